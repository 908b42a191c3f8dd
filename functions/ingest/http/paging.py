"""Links to the neighbouring pages of a list (RFC 8288), and the cursors they carry."""

import base64
import binascii
import json
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlencode
from uuid import UUID

from functions.ingest.http.views import Pagination


def encode_cursor(created_at: datetime, recording: UUID, *, backwards: bool = False) -> str:
    """A place in a list as a word for URLs, which means nothing to clients."""
    place = json.dumps([created_at.isoformat(), str(recording), backwards])
    return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> tuple[datetime, UUID, bool]:
    """The place that the cursor stands for. Raises `ValueError` if it is none of ours."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        created_at, recording, backwards = json.loads(base64.urlsafe_b64decode(padded.encode()))
        place = datetime.fromisoformat(created_at), UUID(recording), bool(backwards)
    except (ValueError, TypeError, AttributeError, binascii.Error, RecursionError) as error:
        raise ValueError(f"cursor={cursor!r}; allowed: one from a page of this list.") from error
    if place[0].tzinfo is None:
        raise ValueError(f"cursor={cursor!r}; allowed: one from a page of this list.")
    return place


def paging_links(path: str, query: Mapping[str, str], page: Pagination) -> str:
    """The `Link` header's value: `prev` and `next` where there is one, else nothing."""
    offsets = {}
    if page.offset > 0:
        offsets["prev"] = max(0, page.offset - page.limit)
    if page.offset + page.limit < page.total:
        offsets["next"] = page.offset + page.limit
    return ", ".join(
        f'<{path}?{urlencode({**query, "limit": page.limit, "offset": offset})}>; rel="{name}"'
        for name, offset in offsets.items()
    )
