from functions.ingest.http.paging import paging_links
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
