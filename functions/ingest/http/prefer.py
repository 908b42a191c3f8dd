"""The client's preference how long to wait for the result (RFC 7240)."""

import math
import re

from shared.errors import Permanent

WAIT = re.compile(r'^wait\s*=\s*"?(\d+)"?$', re.IGNORECASE)


def seconds_to_wait(prefer: str | None, query: str | None, default: float, longest: float) -> float:
    """Return the seconds to wait, at most `longest`.

    They are `?wait=N`, else `Prefer: wait=N`, else 0 for `respond-async`, else `default`. Both
    preferences together mean: wait, then answer where the result will be. A preference that cannot
    be read is ignored, as RFC 7240 wants. Raises `Permanent` for a query that cannot be read.
    """
    preferred = _from_query(query) if query is not None else _from_prefer(prefer or "")
    return min(default if preferred is None else preferred, longest)


def _from_query(query: str) -> float:
    try:
        seconds = float(query)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:
        raise Permanent("invalid_request", f"wait={query!r}; allowed: seconds from 0 on.")
    return seconds


def _from_prefer(prefer: str) -> float | None:
    preferences = [part.strip() for part in re.split("[,;]", prefer)]
    waits = [float(match[1]) for part in preferences if (match := WAIT.match(part))]
    if waits:
        return waits[0]
    return 0.0 if any(part.lower() == "respond-async" for part in preferences) else None
