"""The totals of the batches, as metrics for Prometheus."""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from functions.transcribe.whisper.batcher import BatchTotals


class BatchMetrics(Collector):
    """Counters of batches, of the windows in them and of the seconds they took.

    There are none while `totals` returns None. Windows over batches, over the size of a full one,
    tells how busy a device could be.
    """

    def __init__(self, totals: Callable[[], BatchTotals | None]) -> None:
        self._totals = totals

    def collect(self) -> Iterator[Metric]:
        totals = self._totals()
        if totals is not None:
            yield CounterMetricFamily(
                "pocwhisp_batches", "Batches that were decoded.", totals.batches
            )
            yield CounterMetricFamily(
                "pocwhisp_batch_windows", "Windows of speech in them.", totals.items
            )
            yield CounterMetricFamily(
                "pocwhisp_batch_seconds", "Seconds that devices worked on them.", totals.seconds
            )
