"""The verdict on an event after an attempt to deliver it (pure).

    2xx                                         ack
    503, or the function is not up or silent    retry as long as it takes, not counted
    other 5xx, 408, 429, died or never ended    retry, counted; parked at the last attempt
    anything else                               parked at once: functions never answer it

An outage is not a failed call. JetStream's own delivery count cannot tell the two apart, so
failures are counted here. An event that may not be parked is stuck after the last attempt: its
retries go on, with delays that grow with the number of stuck events.
"""

from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import TypeAlias

from events.base import ErrorClass

RETRIED_4XX = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)
DOUBLINGS = 32


@dataclass(frozen=True, slots=True)
class FunctionAnswer:
    """The function answered. `error` is the code in its JSON answer, if it had one."""

    status: int
    error: str | None = None

    @property
    def code(self) -> str:
        return self.error or f"http_{self.status}"


class NoAnswer(StrEnum):
    """No answer came; the value is the error's code."""

    NOT_UP = "function_not_up"
    DIED = "function_died"
    SILENT = "function_silent"
    TIMEOUT = "function_timeout"

    @property
    def code(self) -> str:
        return self.value


AttemptOutcome: TypeAlias = FunctionAnswer | NoAnswer


@dataclass(frozen=True, slots=True)
class Policy:
    """When failed deliveries are tried again, and how often. All times are in seconds."""

    max_attempts: int = 8
    """Counted failures after which an event is parked or stuck."""
    base: float = 1
    """Delay after the first failure; each further one doubles it."""
    cap: float = 60
    """Longest delay after a counted failure."""
    outage_cap: float = 30
    """Longest delay after a failure that is an outage of the function."""
    stuck_spacing: float = 0.25
    """Least time between two attempts at any of the stuck events."""
    stuck_rest: float = 4
    """Least time between two attempts at any of the stuck events, as a multiple of what an attempt
    takes. Any number of stuck events so leaves the function free for the others."""

    def stuck_delay(self, stuck: int, seconds: float) -> float:
        """Return the delay (s) of one of `stuck` events whose last attempt took `seconds`."""
        return stuck * max(self.stuck_spacing, self.stuck_rest * seconds)


@dataclass(frozen=True, slots=True)
class FailureCount:
    """Counted failures of an event, and outages since the last of them."""

    failures: int = 0
    outages: int = 0


@dataclass(frozen=True, slots=True)
class Ack:
    """Delivered."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Deliver it again in `delay` seconds; `count` is its failure count from now on."""

    delay: float
    count: FailureCount

    @property
    def is_outage(self) -> bool:
        """Whether the delay is for an outage of the function, not for a failure of the event."""
        return self.count.outages > 0


@dataclass(frozen=True, slots=True)
class Park:
    """Give it up, after `attempts` counted failures."""

    error_class: ErrorClass
    error_code: str
    attempts: int


Verdict: TypeAlias = Ack | Retry | Park


def decide(
    outcome: AttemptOutcome,
    count: FailureCount,
    policy: Policy,
    *,
    may_park: bool = True,
    stuck_delay: float = 0,
) -> Verdict:
    """Return the verdict on an outcome; `count` is the event's failure count before it.

    An event that may not be parked (a parked delivery itself) is retried without end; after
    `max_attempts` failures no sooner than `stuck_delay` seconds.
    """
    if succeeded(outcome):
        return Ack()
    if _is_outage(outcome):
        delay = exponential_delay(count.outages, policy.base, policy.outage_cap)
        return Retry(delay, FailureCount(count.failures, count.outages + 1))
    now = FailureCount(count.failures + 1)
    if may_park and isinstance(outcome, FunctionAnswer) and _is_permanent(outcome):
        return Park("permanent", f"http_{outcome.status}", now.failures)
    if may_park and now.failures >= policy.max_attempts:
        return Park("exhausted", outcome.code, now.failures)
    delay = exponential_delay(count.failures, policy.base, policy.cap)
    if now.failures >= policy.max_attempts:
        delay = max(delay, stuck_delay)
    return Retry(delay, now)


def exponential_delay(before: int, base: float, cap: float) -> float:
    """Return the delay (s) after a failure with `before` earlier ones: it doubles, up to `cap`."""
    return float(min(cap, base * 2 ** min(before, DOUBLINGS)))


def succeeded(outcome: AttemptOutcome) -> bool:
    """Whether the function accepted the event."""
    return (
        isinstance(outcome, FunctionAnswer)
        and HTTPStatus.OK <= outcome.status < HTTPStatus.MULTIPLE_CHOICES
    )


def _is_outage(outcome: AttemptOutcome) -> bool:
    if isinstance(outcome, FunctionAnswer):
        return outcome.status == HTTPStatus.SERVICE_UNAVAILABLE
    return outcome in (NoAnswer.NOT_UP, NoAnswer.SILENT)


def _is_permanent(answer: FunctionAnswer) -> bool:
    """Whether no further attempt could succeed."""
    return answer.status < HTTPStatus.INTERNAL_SERVER_ERROR and answer.status not in RETRIED_4XX
