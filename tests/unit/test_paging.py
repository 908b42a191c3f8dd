from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.ingest.http.paging import (
    MOST_OFFSET,
    decode_cursor,
    encode_cursor,
    paging_links,
)
from functions.ingest.views import Pagination
from shared.errors import Permanent
from shared.recording import Position


def links(offset: int, total: int, next_cursor: str | None = None) -> str:
    query = {"status": "failed", "offset": str(offset)}
    page = Pagination(limit=10, offset=offset, total=total, next_cursor=next_cursor)
    return paging_links("/list", query, page)


def test_a_list_on_one_page_has_no_links() -> None:
    assert links(0, 10) == ""


def test_the_first_page_links_to_the_next() -> None:
    assert links(0, 11) == '</list?status=failed&limit=10&offset=10>; rel="next"'


def test_a_page_in_between_links_both_ways() -> None:
    assert links(10, 30) == (
        '</list?status=failed&limit=10&offset=0>; rel="prev", '
        '</list?status=failed&limit=10&offset=20>; rel="next"'
    )


def test_the_page_before_a_short_offset_is_the_first() -> None:
    assert 'offset=0>; rel="prev"' in links(3, 12)


def test_pages_are_linked_by_cursor_unless_an_offset_was_asked_for() -> None:
    page = Pagination(limit=10, offset=0, total=30, next_cursor="n", prev_cursor="p")
    assert paging_links("/list", {"cursor": "x", "status": "failed"}, page) == (
        '</list?status=failed&limit=10&cursor=p>; rel="prev", '
        '</list?status=failed&limit=10&cursor=n>; rel="next"'
    )


def test_a_page_beyond_the_largest_offset_is_linked_by_cursor() -> None:
    assert links(MOST_OFFSET, MOST_OFFSET + 11, "n").endswith('&limit=10&cursor=n>; rel="next"')


@given(st.datetimes(timezones=st.just(UTC)), st.uuids(), st.booleans())
def test_a_cursor_comes_back_as_the_place_it_stands_for(
    created_at: datetime,
    recording: UUID,
    backwards: bool,  # noqa: FBT001 - hypothesis gives it
) -> None:
    position = Position(created_at, recording, backwards)
    cursor = encode_cursor(position)
    assert cursor.replace("-", "").replace("_", "").isalnum()
    assert decode_cursor(cursor) == position


@pytest.mark.parametrize("cursor", ["", "x", "é", "W10", "bnVsbA", "eyJhIjoxfQ", "0" * 9])
def test_a_cursor_that_is_none_is_refused(cursor: str) -> None:
    with pytest.raises(Permanent, match="allowed: one from a page of a list"):
        decode_cursor(cursor)
