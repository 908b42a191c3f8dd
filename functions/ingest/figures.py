"""The system's figures as Prometheus text (exposition format 0.0.4)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


@dataclass(frozen=True, slots=True)
class StageTime:
    """How long a stage took in the last hour, in seconds."""

    stage: str
    median: float
    p95: float


@dataclass(frozen=True, slots=True)
class Figures:
    """What the record tells of all tenants. Durations in seconds.

    `deliveries` are by function and outcome (delivered or parked); `real_time_factor` is
    processing time over audio time in the last hour, None if nothing was completed in it.
    """

    runs: Mapping[str, int]
    deliveries: Mapping[tuple[str, str], int]
    audio_seconds: float
    processing_seconds: float
    real_time_factor: float | None
    stages: Sequence[StageTime]


class Uploads:
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


def exposition(uploads: Uploads, figures: Figures) -> bytes:
    """The text a Prometheus server scrapes."""
    registry = CollectorRegistry()
    registry.register(_Recorded(figures))
    return generate_latest(uploads.registry) + generate_latest(registry)


@dataclass(eq=False)
class _Recorded(Collector):
    figures: Figures

    def collect(self) -> Iterable[Metric]:
        yield from self._counters()
        yield from self._gauges()

    def _counters(self) -> Iterator[Metric]:
        ended = CounterMetricFamily("pocwhisp_runs", "Runs that ended.", labels=["state"])
        deliveries = CounterMetricFamily(
            "pocwhisp_deliveries", "Events handled, by function.", labels=["function", "outcome"]
        )
        for state in ("completed", "failed", "cancelled"):
            ended.add_metric([state], self.figures.runs.get(state, 0))
        for labels, count in self.figures.deliveries.items():
            deliveries.add_metric(labels, count)
        yield ended
        yield deliveries
        yield CounterMetricFamily(
            "pocwhisp_audio_seconds", "Audio in completed runs.", self.figures.audio_seconds
        )
        yield CounterMetricFamily(
            "pocwhisp_processing_seconds",
            "Time from upload end to result in completed runs.",
            self.figures.processing_seconds,
        )

    def _gauges(self) -> Iterator[Metric]:
        backlog = GaugeMetricFamily("pocwhisp_backlog", "Runs not ended.", labels=["state"])
        for state in ("queued", "processing"):
            backlog.add_metric([state], self.figures.runs.get(state, 0))
        stages = GaugeMetricFamily(
            "pocwhisp_stage_seconds",
            "How long stages took in the last hour.",
            labels=["stage", "quantile"],
        )
        for stage in self.figures.stages:
            stages.add_metric([stage.stage, "0.5"], stage.median)
            stages.add_metric([stage.stage, "0.95"], stage.p95)
        yield backlog
        yield stages
        if self.figures.real_time_factor is not None:
            yield GaugeMetricFamily(
                "pocwhisp_real_time_factor",
                "Processing time over audio time in the last hour.",
                self.figures.real_time_factor,
            )
