from datetime import timedelta

import pytest

from infra.dispatcher.failure_counts import FailureCounts
from infra.dispatcher.retry_policy import FailureCount
from tests.fakes.consumer import EPOCH, delivery

ONE, OTHER = delivery(b"", sequence=1), delivery(b"", sequence=2)
LATER = EPOCH + timedelta(seconds=1)
AFTER_A_WIPE = delivery(b"", sequence=1, epoch=LATER)


@pytest.fixture
def counts() -> FailureCounts:
    return FailureCounts(max_attempts=3)


def test_each_event_has_a_count_of_its_own_until_it_is_forgotten(counts: FailureCounts) -> None:
    counts.put(ONE, FailureCount(2))
    counts.put(OTHER, FailureCount(1, 4))
    assert (counts.of(ONE), counts.of(OTHER)) == (FailureCount(2), FailureCount(1, 4))
    counts.remove(ONE)
    assert (counts.of(ONE), counts.of(OTHER)) == (FailureCount(), FailureCount(1, 4))


def test_an_event_that_used_up_its_attempts_is_stuck_until_it_is_forgotten(
    counts: FailureCounts,
) -> None:
    counts.put(OTHER, FailureCount(2))
    for failures in (2, 3, 4):
        counts.put(ONE, FailureCount(failures))
    assert counts.is_stuck(ONE)
    assert not counts.is_stuck(OTHER)
    assert counts.stuck == 1
    counts.remove(ONE)
    assert counts.stuck == 0


def test_what_a_wiped_broker_had_is_forgotten(counts: FailureCounts) -> None:
    counts.put(ONE, FailureCount(3))
    counts.put(OTHER, FailureCount(2))
    assert counts.of(AFTER_A_WIPE) == FailureCount()
    assert not counts.is_stuck(AFTER_A_WIPE)
    counts.put(AFTER_A_WIPE, FailureCount(1))
    assert counts.of(delivery(b"", sequence=2, epoch=LATER)) == FailureCount()
    assert counts.of(ONE) == FailureCount()
    assert counts.stuck == 0


def test_a_late_word_on_an_event_of_before_the_wipe_touches_no_other(
    counts: FailureCounts,
) -> None:
    counts.put(AFTER_A_WIPE, FailureCount(1))
    counts.remove(ONE)
    assert counts.of(AFTER_A_WIPE) == FailureCount(1)
