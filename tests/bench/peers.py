"""faster-whisper called directly: what the pipeline is measured against."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faster_whisper import BatchedInferencePipeline, WhisperModel
from faster_whisper.audio import decode_audio

from infra.evaluation.word_errors import CHANNELS, ApiSegment

BATCH = 8
"""Windows at a time, as many as ours on a CPU."""


@dataclass(frozen=True)
class Told:
    """Segments of both channels, and the tokens of each window that was decoded."""

    segments: list[ApiSegment]
    tokens: list[int]


class Peer:
    """A model in this process, warm. Same beam as ours, with word times as ours has them."""

    def __init__(self, model: Path, threads: int, device: str = "cpu") -> None:
        self._whisper = WhisperModel(
            str(model),
            device=device,
            compute_type="float16" if device == "cuda" else "int8",
            cpu_threads=threads,
            local_files_only=True,
        )
        self._batched = BatchedInferencePipeline(self._whisper)

    def batched(self, call: Path, batch: int = BATCH) -> Told:
        """Both channels by `BatchedInferencePipeline`, one after the other."""
        return self._told(call, self._batched, batch_size=batch)

    def sequential(self, call: Path) -> Told:
        """Both channels by `WhisperModel.transcribe` with voice activity detection."""
        return self._told(call, self._whisper, vad_filter=True)

    def _told(
        self,
        call: Path,
        engine: WhisperModel | BatchedInferencePipeline,
        **options: Any,  # noqa: ANN401
    ) -> Told:
        told = Told([], [])
        for speaker, samples in zip(
            CHANNELS, decode_audio(str(call), split_stereo=True), strict=True
        ):
            for heard in self._heard(engine, samples, options):
                told.tokens.append(len(heard.tokens))
                told.segments.append(
                    ApiSegment(
                        speaker=speaker,
                        start_time=heard.start,
                        end_time=heard.end,
                        text=heard.text,
                    )
                )
        return told

    def _heard(self, engine: Any, samples: Any, options: dict[str, Any]) -> Iterator[Any]:  # noqa: ANN401
        yield from engine.transcribe(
            samples, language="en", beam_size=5, word_timestamps=True, **options
        )[0]
