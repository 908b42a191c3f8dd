"""The system's metrics as Prometheus text (exposition format 0.0.4)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of the stages that took up to each limit in seconds, rising to +Inf, and their sum."""

    buckets: Sequence[tuple[str, float]]
    total: float


@dataclass(frozen=True, slots=True)
class SystemMetrics:
    """Metrics of all tenants from the record. Durations in seconds.

    `backlog` are the present recordings by state. `real_time_factor` is processing time over audio
    time of the latest completed runs, None if there is none lately. All else only grows.
    """

    backlog: Mapping[str, float]
    ended: Mapping[str, float]
    delivered: Mapping[str, float]
    parked: Mapping[str, float]
    audio_seconds: float
    processing_seconds: float
    real_time_factor: float | None
    stages: Mapping[str, Histogram]


class UploadCounter:
    """Counts this process's uploads by how they were answered."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._count = Counter(
            "pocwhisp_uploads",
            "Uploads to this process, by outcome: accepted, or the error's word.",
            ["outcome"],
            registry=self.registry,
        )

    def note(self, outcome: str) -> None:
        self._count.labels(outcome).inc()


def exposition(uploads: UploadCounter, metrics: SystemMetrics) -> bytes:
    """Return the text that a Prometheus server scrapes."""
    registry = CollectorRegistry()
    registry.register(_Recorded(metrics))
    return generate_latest(uploads.registry) + generate_latest(registry)


@dataclass(eq=False)
class _Recorded(Collector):
    metrics: SystemMetrics

    def collect(self) -> Iterable[Metric]:
        yield from self._counters()
        yield from self._gauges()
        yield self._stages()

    def _counters(self) -> Iterator[Metric]:
        ended = CounterMetricFamily("pocwhisp_record_runs", "Runs that ended.", labels=["state"])
        for state in ("completed", "failed", "cancelled"):
            ended.add_metric([state], self.metrics.ended.get(state, 0))
        yield ended
        yield self._deliveries()
        yield CounterMetricFamily(
            "pocwhisp_record_audio_seconds", "Audio in completed runs.", self.metrics.audio_seconds
        )
        yield CounterMetricFamily(
            "pocwhisp_record_processing_seconds",
            "Time from upload end to result in completed runs.",
            self.metrics.processing_seconds,
        )

    def _deliveries(self) -> Metric:
        deliveries = CounterMetricFamily(
            "pocwhisp_record_deliveries",
            "Events whose outcome is on record, by function.",
            labels=["function", "outcome"],
        )
        for function, count in self.metrics.delivered.items():
            deliveries.add_metric([function, "delivered"], count)
        for function, count in self.metrics.parked.items():
            deliveries.add_metric([function, "parked"], count)
        return deliveries

    def _gauges(self) -> Iterator[Metric]:
        backlog = GaugeMetricFamily(
            "pocwhisp_record_backlog", "Recordings not ended.", labels=["state"]
        )
        for state in ("queued", "processing"):
            backlog.add_metric([state], self.metrics.backlog.get(state, 0))
        yield backlog
        if self.metrics.real_time_factor is not None:
            yield GaugeMetricFamily(
                "pocwhisp_record_real_time_factor",
                "Processing time over audio time of the last 100 runs completed in an hour.",
                self.metrics.real_time_factor,
            )

    def _stages(self) -> Metric:
        seconds = HistogramMetricFamily(
            "pocwhisp_record_stage_seconds", "How long stages took.", labels=["stage"]
        )
        for stage, histogram in self.metrics.stages.items():
            seconds.add_metric([stage], list(histogram.buckets), histogram.total)
        return seconds
