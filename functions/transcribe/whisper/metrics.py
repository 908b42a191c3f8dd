"""What the batches did, for Prometheus."""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from functions.transcribe.whisper.batcher import BatchTotals


class BatchMetrics(Collector):
    """Counts batches, the windows in them and the seconds they took; nothing before the first.

    Windows over batches, over the size of a full one, tells how busy a device could be.
    """

    def __init__(self, figures: Callable[[], BatchTotals | None]) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        figures = self._figures()
        if figures is not None:
            yield CounterMetricFamily(
                "pocwhisp_batches", "Batches that were decoded.", figures.batches
            )
            yield CounterMetricFamily(
                "pocwhisp_batch_windows", "Windows of speech in them.", figures.items
            )
            yield CounterMetricFamily(
                "pocwhisp_batch_seconds", "Seconds that devices worked on them.", figures.seconds
            )
