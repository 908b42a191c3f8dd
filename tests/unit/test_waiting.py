import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.ingest.http.prefer import seconds_to_wait
from shared.errors import Permanent


def asked(prefer: str | None = None, query: str | None = None) -> float:
    return seconds_to_wait(prefer, query, default=25.0, longest=120.0)


def test_without_a_wish_the_default_counts() -> None:
    assert asked() == 25.0


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("wait=10", 10.0),
        ("Wait=10", 10.0),
        ('wait="10"', 10.0),
        (" wait = 10 ", 10.0),
        ("wait=0", 0.0),
        ("respond-async", 0.0),
        ("Respond-Async", 0.0),
        ("return=minimal, wait=3", 3.0),
        ("respond-async, wait=10", 10.0),
        ("wait=10, respond-async", 10.0),
        ("wait=4, wait=9", 4.0),
        ("wait=121", 120.0),
        (f"wait={'9' * 400}", 120.0),
    ],
)
def test_a_preference_is_followed(prefer: str, seconds: float) -> None:
    assert asked(prefer) == seconds


@pytest.mark.parametrize(
    "prefer", ["", "wait", "wait=", "wait=-1", "wait=soon", "wait=1.5", "await=1", "return=minimal"]
)
def test_a_preference_that_cannot_be_read_is_ignored(prefer: str) -> None:
    assert asked(prefer) == 25.0


@pytest.mark.parametrize(
    ("query", "seconds"), [("10", 10.0), ("0", 0.0), ("1.5", 1.5), ("1000", 120.0), ("inf", 120.0)]
)
def test_a_query_is_followed(query: str, seconds: float) -> None:
    assert asked(query=query) == seconds


def test_the_query_goes_before_the_preference() -> None:
    assert asked("respond-async", "7") == 7.0


@pytest.mark.parametrize("query", ["", "soon", "-1", "-0.1", "nan", "-inf"])
def test_a_query_that_cannot_be_read_is_refused(query: str) -> None:
    with pytest.raises(Permanent, match="allowed: seconds from 0 on") as refused:
        asked(query=query)
    assert refused.value.code == "invalid_request"
    assert repr(query) in str(refused.value)


@given(st.text(), st.none() | st.floats().map(str))
def test_the_wait_is_never_negative_and_never_too_long(prefer: str, query: str | None) -> None:
    try:
        seconds = asked(prefer, query)
    except Permanent:
        assert query is not None
    else:
        assert 0 <= seconds <= 120.0
