"""The failure counts of one consumer's events, in memory."""

from datetime import datetime

from infra.dispatcher.consumer import InFlightDelivery
from infra.dispatcher.retry_policy import FailureCount


class FailureCounts:
    """Failure counts by event.

    An event that has failed `max_attempts` times is stuck.
    """

    def __init__(self, max_attempts: int) -> None:
        self._max_attempts = max_attempts
        self._epoch: datetime | None = None
        self._counts: dict[int, FailureCount] = {}
        self._stuck: set[int] = set()

    @property
    def stuck(self) -> int:
        """How many events are stuck."""
        return len(self._stuck)

    def of(self, delivery: InFlightDelivery) -> FailureCount:
        """Return the event's count; one of zero if it has none yet."""
        if delivery.epoch != self._epoch:
            return FailureCount()
        return self._counts.get(delivery.sequence, FailureCount())

    def is_stuck(self, delivery: InFlightDelivery) -> bool:
        return delivery.epoch == self._epoch and delivery.sequence in self._stuck

    def put(self, delivery: InFlightDelivery, count: FailureCount) -> None:
        """Store the event's count. A new epoch, after the broker was wiped, removes all others."""
        if delivery.epoch != self._epoch:
            self._counts.clear()
            self._stuck.clear()
            self._epoch = delivery.epoch
        self._counts[delivery.sequence] = count
        if count.failures >= self._max_attempts:
            self._stuck.add(delivery.sequence)

    def remove(self, delivery: InFlightDelivery) -> None:
        """Remove the count of an event that is done."""
        if delivery.epoch == self._epoch:
            self._counts.pop(delivery.sequence, None)
            self._stuck.discard(delivery.sequence)
