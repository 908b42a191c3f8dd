"""Links to the neighbouring pages of a list (RFC 8288)."""

from collections.abc import Mapping
from urllib.parse import urlencode

from functions.ingest.http.views import Pagination


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
