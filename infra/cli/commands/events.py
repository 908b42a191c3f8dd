"""`pocwhisp events`: CloudEvents as they pass."""

import json
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from infra.cli.options import Data, broker_address
from infra.cli.output import ignore_broken_pipe, print_error
from infra.cli.run import run_until_signal

if TYPE_CHECKING:
    from infra.client.event_filter import EventFilter


def events(  # noqa: PLR0913 - one parameter for each option
    *,
    session: Annotated[
        UUID | None, typer.Option(help="Only this recording's, from its beginning.")
    ] = None,
    event_type: Annotated[
        str | None, typer.Option("--type", help="Only these types, such as 'recording.*'.")
    ] = None,
    since_start: Annotated[
        bool, typer.Option("--since-start", help="Also the events that the broker has stored.")
    ] = False,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="With --session: stop when its run has ended.")
    ] = False,
    server: Annotated[
        str | None, typer.Option(callback=broker_address, help="A broker, nats://HOST:PORT.")
    ] = None,
    data: Data,
) -> None:
    """Print events as they pass, each a CloudEvent as JSON on one line, until Ctrl-C."""
    from infra.client.event_filter import EventFilter

    if until_end and session is None:
        raise typer.BadParameter("--until-end needs --session.")
    warn_of_unknown_type(event_type)
    event_filter = EventFilter(session, event_type, since_start, until_end)
    with ignore_broken_pipe():
        run_until_signal(_print_events(event_filter, server, data))


async def _print_events(event_filter: "EventFilter", server: str | None, data: Path) -> None:
    from infra.client.event_stream import follow_events

    broker = server or await _broker_of(data, event_filter)
    async with aclosing(follow_events(broker, event_filter, print_error)) as followed:
        async for event in followed:
            typer.echo(json.dumps(event))


def warn_of_unknown_type(pattern: str | None) -> None:
    """Print a warning if the pattern fits no type of event: none may ever come."""
    from events import EVENTS
    from events.base import TYPE_PREFIX
    from infra.client.event_filter import matches

    if not any(matches(event_type, pattern) for event_type in EVENTS):
        names = ", ".join(name.removeprefix(TYPE_PREFIX) for name in EVENTS)
        print_error(f"--type {pattern} fits none of the types there are: {names}.")


async def _broker_of(data: Path, event_filter: "EventFilter") -> str:
    """Return the URL of the running stack's broker.

    Raises `ServerAway` if none runs, `Rejected` for the end of a recording that it does not have.
    """
    from infra.cli.server_choice import stack_in
    from infra.client.client import Client
    from infra.client.errors import ServerAway

    stack = stack_in(data)
    if event_filter.session and event_filter.until_end:
        async with Client(stack.url) as client:
            with suppress(ServerAway):
                await client.find(str(event_filter.session))
    return stack.nats_url
