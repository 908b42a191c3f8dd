from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.ingest.http.paging import decode_cursor, encode_cursor, paging_links
from functions.ingest.http.views import Pagination


def links(offset: int, total: int) -> str:
    return paging_links(
        "/list", {"status": "failed"}, Pagination(limit=10, offset=offset, total=total)
    )


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


@given(st.datetimes(timezones=st.just(UTC)), st.uuids(), st.booleans())
def test_a_cursor_comes_back_as_the_place_it_stands_for(
    created_at: datetime,
    recording: UUID,
    backwards: bool,  # noqa: FBT001 - hypothesis gives it
) -> None:
    cursor = encode_cursor(created_at, recording, backwards=backwards)
    assert cursor.replace("-", "").replace("_", "").isalnum()
    assert decode_cursor(cursor) == (created_at, recording, backwards)


@pytest.mark.parametrize("cursor", ["", "x", "é", "W10", "bnVsbA", "eyJhIjoxfQ", "0" * 9])
def test_a_cursor_that_is_none_is_refused(cursor: str) -> None:
    with pytest.raises(ValueError, match="allowed: one from a page of this list"):
        decode_cursor(cursor)
