"""Whether the broker stores what it is sent, by its own account."""

import json

import httpx

TIMEOUT = 5.0


async def refusal(monitor_url: str) -> str | None:
    """Why the nats-server monitored at this URL stores nothing, or None if it does.

    Once writing has failed (a full disk), nats-server refuses every event of that stream until
    it is started again, free space or not; only `/healthz` tells. While it reads its streams
    after a start it refuses, too: a refusal that lasts is what a restart mends.
    """
    try:
        async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=False) as client:
            response = await client.get(f"{monitor_url}/healthz")
    except httpx.HTTPError as error:
        return f"it does not answer ({type(error).__name__})"
    return None if response.is_success else _reason(response)


def _reason(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"])
    except (json.JSONDecodeError, KeyError, TypeError):
        return f"it answers {response.status_code}"
