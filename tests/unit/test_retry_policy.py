from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.dispatcher.retry_policy import (
    Ack,
    AttemptOutcome,
    FailureCount,
    FunctionAnswer,
    NoAnswer,
    Park,
    Policy,
    Retry,
    decide,
)

POLICY = Policy(max_attempts=3, base=1, cap=5, outage_cap=30)
FRESH = FailureCount()

outcomes = st.builds(FunctionAnswer, st.integers(100, 599)) | st.sampled_from(NoAnswer)
outages = st.sampled_from(
    [FunctionAnswer(503), FunctionAnswer(503, "unavailable"), NoAnswer.NOT_UP]
)
failures = st.sampled_from(
    [
        FunctionAnswer(500),
        FunctionAnswer(502),
        FunctionAnswer(408),
        FunctionAnswer(429),
        NoAnswer.DIED,
        NoAnswer.TIMEOUT,
    ]
)
counts = st.builds(FailureCount, st.integers(0, 5000), st.integers(0, 5000))


@pytest.mark.parametrize("status", [200, 202, 204, 299])
def test_an_answer_of_2xx_is_an_ack(status: int) -> None:
    assert decide(FunctionAnswer(status), FRESH, POLICY) == Ack()


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (FunctionAnswer(500), "http_500"),
        (FunctionAnswer(500, "transient"), "transient"),
        (FunctionAnswer(429), "http_429"),
        (NoAnswer.DIED, "function_died"),
        (NoAnswer.TIMEOUT, "function_timeout"),
    ],
)
def test_the_last_counted_attempt_parks_as_exhausted(outcome: AttemptOutcome, code: str) -> None:
    assert decide(outcome, FailureCount(failures=2), POLICY) == Park("exhausted", code, attempts=3)


@pytest.mark.parametrize("status", [301, 400, 404, 405, 422])
def test_a_refusal_parks_at_once_as_permanent(status: int) -> None:
    verdict = decide(FunctionAnswer(status, "not_found"), FRESH, POLICY)
    assert verdict == Park("permanent", f"http_{status}", attempts=1)


def test_counted_failures_double_the_delay_up_to_the_cap() -> None:
    patient = Policy(max_attempts=100, base=1, cap=5)
    delays = [
        decide(FunctionAnswer(500), FailureCount(failures=before), patient) for before in range(5)
    ]
    assert [verdict.delay for verdict in delays if isinstance(verdict, Retry)] == [1, 2, 4, 5, 5]


@given(outages, counts)
def test_an_outage_is_never_parked_nor_counted(
    outcome: AttemptOutcome, count: FailureCount
) -> None:
    verdict = decide(outcome, count, POLICY)
    assert isinstance(verdict, Retry)
    assert verdict.count == FailureCount(count.failures, count.outages + 1)
    assert 0 < verdict.delay <= POLICY.outage_cap


@given(failures, counts)
def test_a_failure_is_counted_and_ends_the_outage(
    outcome: AttemptOutcome, count: FailureCount
) -> None:
    match decide(outcome, count, POLICY):
        case Retry(delay, after):
            assert after == FailureCount(count.failures + 1, 0)
            assert 0 < delay <= POLICY.cap
        case Park(_, _, attempts):
            assert attempts == count.failures + 1 >= POLICY.max_attempts
        case Ack():
            pytest.fail("a failure is no ack")


@given(outcomes, counts)
def test_a_parked_delivery_is_never_parked_itself(
    outcome: AttemptOutcome, count: FailureCount
) -> None:
    assert not isinstance(decide(outcome, count, POLICY, may_park=False), Park)


@given(st.integers(1, 100_000), st.floats(0, 30))
def test_any_number_of_stuck_events_takes_a_fifth_of_the_function_at_most(
    stuck: int, seconds: float
) -> None:
    delay = POLICY.stuck_delay(stuck, seconds)
    assert stuck * seconds <= (delay + seconds) / 4
    assert stuck / 4 <= delay


@given(failures, st.floats(0, 1e6))
def test_an_event_that_may_not_be_parked_waits_for_its_turn_once_it_is_stuck(
    outcome: AttemptOutcome, turn: float
) -> None:
    before, after = (
        decide(outcome, FailureCount(failures), POLICY, may_park=False, stuck_delay=turn)
        for failures in (1, 2)
    )
    assert before == Retry(2, FailureCount(2))
    assert after == Retry(max(4, turn), FailureCount(3))


@given(st.lists(outages | failures, max_size=30))
def test_only_failures_exhaust_whatever_outages_lie_between(history: list[AttemptOutcome]) -> None:
    count, counted = FRESH, 0
    for outcome in history:
        counted += outcome not in (
            FunctionAnswer(503),
            FunctionAnswer(503, "unavailable"),
            NoAnswer.NOT_UP,
        )
        verdict = decide(outcome, count, POLICY)
        assert isinstance(verdict, Park) == (counted == POLICY.max_attempts)
        if not isinstance(verdict, Retry):
            return
        count = verdict.count


@given(st.floats(0.01, 10), st.floats(0.01, 600))
def test_the_delay_never_shrinks_from_one_outage_to_the_next(base: float, cap: float) -> None:
    policy = Policy(base=base, outage_cap=cap)
    verdicts = [
        decide(NoAnswer.NOT_UP, FailureCount(outages=before), policy) for before in range(40)
    ]
    delays = [verdict.delay for verdict in verdicts if isinstance(verdict, Retry)]
    assert all(earlier <= later for earlier, later in pairwise(delays))
    assert len(delays) == 40
