"""Pages of a list: cursors, and links to the neighbouring pages (RFC 8288)."""

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlencode
from uuid import UUID

from functions.ingest.views import Pagination
from shared.errors import Permanent
from shared.recording import Position

MOST_OFFSET = 10_000
"""Recordings that `offset` may skip, as each costs time. Cursors lead further."""


def encode_cursor(position: Position) -> str:
    """Return the position as an opaque string for URLs."""
    place = json.dumps(
        [position.created_at.isoformat(), str(position.recording), position.backwards]
    )
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> Position:
    """Return the position of a cursor. Raises `Permanent` if it is no cursor."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        created_at, recording, backwards = json.loads(base64.urlsafe_b64decode(padded.encode()))
        position = Position(datetime.fromisoformat(created_at), UUID(recording), bool(backwards))
    except (ValueError, TypeError, AttributeError, binascii.Error, RecursionError) as error:
        raise _no_cursor(cursor) from error
    if position.created_at.tzinfo is None:
        raise _no_cursor(cursor)
    return position


def paging_links(path: str, query: Mapping[str, str], page: Pagination) -> str:
    """Return the `Link` header: `prev` and `next` where there is such a page, else an empty string.

    The links use cursors, or offsets if the query did.
    """
    others = {name: text for name, text in query.items() if name not in {"cursor", "offset"}}
    steps = _offsets(page) if "offset" in query else _cursors(page)
    return ", ".join(
        f'<{path}?{urlencode({**others, "limit": page.limit, **step})}>; rel="{name}"'
        for name, step in steps.items()
    )


def _cursors(page: Pagination) -> dict[str, dict[str, str | int]]:
    cursors = {"prev": page.prev_cursor, "next": page.next_cursor}
    return {name: {"cursor": cursor} for name, cursor in cursors.items() if cursor is not None}


def _offsets(page: Pagination) -> dict[str, dict[str, str | int]]:
    steps: dict[str, dict[str, str | int]] = {}
    if page.offset > 0:
        steps["prev"] = {"offset": max(0, page.offset - page.limit)}
    if page.offset + page.limit < page.total:
        following = page.offset + page.limit
        beyond = following > MOST_OFFSET and page.next_cursor is not None
        steps["next"] = {"cursor": page.next_cursor or ""} if beyond else {"offset": following}
    return steps


def _no_cursor(cursor: str) -> Permanent:
    return Permanent("invalid_request", f"cursor={cursor!r}; allowed: one from a page of a list.")
