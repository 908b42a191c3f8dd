"""The figures of `pocwhisp evaluate`, as its JSON has them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Self

from pydantic import Field

from events.base import Frozen
from infra.client.batch import TranscriptionOutcome
from infra.evaluation.truth import Truth
from infra.evaluation.word_errors import (
    CHANNELS,
    ApiSegment,
    WordErrors,
    total,
    turn_order_errors,
    word_errors,
)


class WordCounts(Frozen):
    """Word counts of one channel, or of both together."""

    words: Annotated[int, Field(description="Words spoken, by the truth.")]
    substituted: Annotated[int, Field(description="Words recognised as another one.")]
    deleted: Annotated[int, Field(description="Words not recognised.")]
    inserted: Annotated[int, Field(description="Words recognised that were not spoken.")]
    word_error_rate: Annotated[
        float | None, Field(description="All three over the words spoken; null if there are none.")
    ]
    wrong_channel_words: Annotated[
        int, Field(description="Words recognised on this channel that the other party spoke.")
    ]

    @classmethod
    def of(cls, errors: WordErrors) -> Self:
        return cls(
            words=errors.words,
            substituted=errors.substituted,
            deleted=errors.deleted,
            inserted=errors.inserted,
            word_error_rate=errors.rate,
            wrong_channel_words=errors.wrong_channel_words,
        )

    @property
    def errors(self) -> WordErrors:
        return WordErrors(
            self.words, self.substituted, self.deleted, self.inserted, self.wrong_channel_words
        )


class ChannelCounts(Frozen):
    """Word counts by channel, and of both together."""

    left: WordCounts
    right: WordCounts
    both: WordCounts

    @classmethod
    def of(cls, left: WordErrors, right: WordErrors) -> Self:
        words = (WordCounts.of(errors) for errors in (left, right, total((left, right))))
        return cls(**dict(zip(("left", "right", "both"), words, strict=True)))

    @classmethod
    def together(cls, several: Iterable[Self]) -> Self:
        """Return the sums over several calls."""
        counted = list(several)
        return cls.of(
            total(one.left.errors for one in counted), total(one.right.errors for one in counted)
        )


class RecordingFigures(Frozen):
    """The figures of one recording; those of a transcript are missing if there is none."""

    recording: Annotated[str, Field(description="Its path.")]
    status: Annotated[str, Field(description="completed, failed, refused or away.")]
    error: Annotated[str | None, Field(description="Why it is not completed.")] = None
    recognizer: Annotated[str | None, Field(description="The engine that really ran.")] = None
    channels: ChannelCounts | None = None
    turn_order_errors: Annotated[
        tuple[str, ...], Field(description="Where turns are lost or out of order, each a sentence.")
    ] = ()
    duration: Annotated[float | None, Field(description="Of the recording, in seconds.")] = None
    processing_time: Annotated[
        float | None, Field(description="Seconds from the upload's end to the result.")
    ] = None
    real_time_factor: Annotated[
        float | None, Field(description="processing_time over duration.")
    ] = None


class Total(Frozen):
    """The figures of all completed recordings under one configuration."""

    recordings: Annotated[int, Field(description="How many were completed.")]
    channels: ChannelCounts
    turn_order_errors: int
    real_time_factor: Annotated[
        float | None, Field(description="All seconds of work over all seconds of recordings.")
    ]


class ConfigurationResult(Frozen):
    """The figures of all recordings under one configuration."""

    settings: Annotated[dict[str, str], Field(description="Those given for this configuration.")]
    recordings: tuple[RecordingFigures, ...]
    total: Total


class Evaluation(Frozen):
    """What `pocwhisp evaluate --json` prints: one configuration, or with `--against` two."""

    sides: tuple[ConfigurationResult, ...]


def figures_of(outcome: TranscriptionOutcome, truth: Truth) -> RecordingFigures:
    """Return a recording's figures, or why there are none."""
    name, status = outcome.recording.name, outcome.status
    if outcome.session is None or status != "completed":
        return RecordingFigures(recording=name, status=status, error=outcome.reason)
    try:
        return _figures_in(name, outcome.session, truth)
    except (LookupError, TypeError, ValueError) as error:
        odd = f"the server's answer has no figures ({type(error).__name__}: {error})"
        return RecordingFigures(recording=name, status="failed", error=odd)


def _figures_in(name: str, body: Mapping[str, Any], truth: Truth) -> RecordingFigures:
    metadata = body["metadata"]
    segments: list[ApiSegment] = body["transcript"]["segments"]
    left, right = (word_errors(truth, segments, channel) for channel in CHANNELS)
    duration, processing_time = metadata["duration"], metadata["processing_time"]
    timed = duration and processing_time is not None
    return RecordingFigures(
        recording=name,
        status="completed",
        recognizer=metadata["model_versions"]["recognizer"],
        channels=ChannelCounts.of(left, right),
        turn_order_errors=tuple(turn_order_errors(truth, segments)),
        duration=duration,
        processing_time=processing_time,
        real_time_factor=processing_time / duration if timed else None,
    )


def result_of(
    settings: Mapping[str, str], recordings: Sequence[RecordingFigures]
) -> ConfigurationResult:
    """Return the recordings' figures with their total."""
    done = [each for each in recordings if each.channels]
    timed = [each for each in done if each.real_time_factor is not None]
    duration = sum(each.duration or 0 for each in timed)
    together = Total(
        recordings=len(done),
        channels=ChannelCounts.together(each.channels for each in done if each.channels),
        turn_order_errors=sum(len(each.turn_order_errors) for each in done),
        real_time_factor=sum(each.processing_time or 0 for each in timed) / duration
        if duration
        else None,
    )
    return ConfigurationResult(
        settings=dict(settings), recordings=tuple(recordings), total=together
    )
