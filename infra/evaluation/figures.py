"""The figures of `pocwhisp evaluate`, as JSON and as a table."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Self, TypeAlias

from pydantic import Field
from rich import box
from rich.markup import escape
from rich.table import Table

from events.base import Frozen
from infra.client.batch import Outcome
from infra.evaluation.truth import Truth
from infra.evaluation.word_errors import Segment, WordErrors, total, turn_order_errors, word_errors

NO_FIGURE = "–"  # noqa: RUF001 - a dash, where there is no figure
ROWS = ("left", "right", "both")


class Words(Frozen):
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


class Channels(Frozen):
    """Word counts by channel, and of both together."""

    left: Words
    right: Words
    both: Words

    @classmethod
    def of(cls, left: WordErrors, right: WordErrors) -> Self:
        words = (Words.of(errors) for errors in (left, right, total((left, right))))
        return cls(**dict(zip(ROWS, words, strict=True)))

    @classmethod
    def together(cls, several: Iterable[Self]) -> Self:
        """Return the sums over several calls."""
        scored = list(several)
        return cls.of(
            total(one.left.errors for one in scored), total(one.right.errors for one in scored)
        )


class Score(Frozen):
    """The figures of one recording; those of a transcript are missing if there is none."""

    recording: Annotated[str, Field(description="Its path.")]
    status: Annotated[str, Field(description="completed, failed, refused or away.")]
    error: Annotated[str | None, Field(description="Why it is not completed.")] = None
    recognizer: Annotated[str | None, Field(description="The engine that really ran.")] = None
    channels: Channels | None = None
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
    """The figures of all completed recordings of a side."""

    recordings: Annotated[int, Field(description="How many were completed.")]
    channels: Channels
    turn_order_errors: int
    real_time_factor: Annotated[
        float | None, Field(description="All seconds of work over all seconds of recordings.")
    ]


class ConfigurationResult(Frozen):
    """The figures of all recordings under one configuration."""

    settings: Annotated[dict[str, str], Field(description="Those given for this side.")]
    recordings: tuple[Score, ...]
    total: Total


class Evaluation(Frozen):
    """What `pocwhisp evaluate --json` prints; with `--against` there are two sides."""

    sides: tuple[ConfigurationResult, ...]


def scored(outcome: Outcome, truth: Truth) -> Score:
    """Return a recording's figures, or why there are none."""
    name, verdict = outcome.recording.name, outcome.verdict
    if outcome.session is None or verdict != "completed":
        return Score(recording=name, status=verdict, error=outcome.reason)
    metadata = outcome.session["metadata"]
    segments: list[Segment] = outcome.session["transcript"]["segments"]
    left, right = (word_errors(truth, segments, speaker) for speaker in ("left", "right"))
    duration, processing_time = metadata["duration"], metadata["processing_time"]
    return Score(
        recording=name,
        status=verdict,
        recognizer=metadata["model_versions"]["recognizer"],
        channels=Channels.of(left, right),
        turn_order_errors=tuple(turn_order_errors(truth, segments)),
        duration=duration,
        processing_time=processing_time,
        real_time_factor=processing_time / duration,
    )


def result_of(settings: Mapping[str, str], scores: Sequence[Score]) -> ConfigurationResult:
    """Return the recordings' figures with their total."""
    done = [score for score in scores if score.channels]
    duration = sum(score.duration or 0 for score in done)
    together = Total(
        recordings=len(done),
        channels=Channels.together(score.channels for score in done if score.channels),
        turn_order_errors=sum(len(score.turn_order_errors) for score in done),
        real_time_factor=sum(score.processing_time or 0 for score in done) / duration
        if duration
        else None,
    )
    return ConfigurationResult(settings=dict(settings), recordings=tuple(scores), total=together)


Line: TypeAlias = Score | Total


def table(evaluation: Evaluation, truths: Sequence[Truth], names: Sequence[str]) -> Table:
    """Return the figures as a table: a row for each channel, and one for both with the call's own.

    `truths` and `names` are those of the recordings, in their order. Of two sides, each figure
    of the one stands beside that of the other.
    """
    sides = evaluation.sides
    rendered = Table(box=box.SIMPLE_HEAD, padding=0, caption_justify="left")
    rendered.caption = "\n".join(_caption(side, label) for side, label in _labelled(sides))
    rendered.add_column("recording", overflow="fold")
    rendered.add_column("channel", no_wrap=True)
    for heading in _headings(sides):
        rendered.add_column(heading, justify="right", no_wrap=True)
    spoken = [_spoken_words(truth) for truth in truths]
    rows = [side.recordings for side in sides]
    for name, words, *scores in zip(names, spoken, *rows, strict=True):
        _add(rendered, name, words, scores)
    _add(rendered, "total", Channels.together(spoken), [side.total for side in sides])
    return rendered


def _headings(sides: Sequence[ConfigurationResult]) -> Iterator[str]:
    yield "words"
    for figure in FIGURES:
        for _, label in _labelled(sides):
            yield f"{figure}\n{label}".strip()


def _labelled(sides: Sequence[ConfigurationResult]) -> list[tuple[ConfigurationResult, str]]:
    """Return the sides with their labels, A and B; one alone has none."""
    return list(zip(sides, ("A", "B") if len(sides) > 1 else ("",), strict=True))


def _caption(side: ConfigurationResult, label: str) -> str:
    """Return a side's settings, engines and number of completed recordings, as one line."""
    settings = " ".join(f"{name}={text}" for name, text in side.settings.items())
    engines = sorted({score.recognizer for score in side.recordings if score.recognizer})
    done = f"{side.total.recordings} of {len(side.recordings)} completed"
    caption = ", ".join(filter(None, (settings, *engines, done)))
    return escape(f"{label}: {caption}" if label else caption)


def _spoken_words(truth: Truth) -> Channels:
    """Count the words of a truth, which are shown even if there is no transcript."""
    left, right = (word_errors(truth, (), speaker) for speaker in ("left", "right"))
    return Channels.of(left, right)


def _add(rendered: Table, name: str, spoken: Channels, lines: Sequence[Line]) -> None:
    for row in ROWS:
        last = row == ROWS[-1]
        words: Words = getattr(spoken, row)
        cells = [figure(line, row) for figure in FIGURES.values() for line in lines]
        first = escape(name) if row == ROWS[0] else ""
        rendered.add_row(first, row, str(words.words), *cells, end_section=last)


def _error_rate(line: Line, row: str) -> str:
    words: Words | None = getattr(line.channels, row, None)
    rate = words.word_error_rate if words else None
    return NO_FIGURE if rate is None else f"{rate:.1%}"


def _wrong_channel(line: Line, row: str) -> str:
    words: Words | None = getattr(line.channels, row, None)
    return str(words.wrong_channel_words) if words else NO_FIGURE


def _turn_order(line: Line, row: str) -> str:
    if row != ROWS[-1]:
        return ""
    found = line.turn_order_errors
    count = found if isinstance(found, int) else len(found)
    return str(count) if line.channels else NO_FIGURE


def _real_time(line: Line, row: str) -> str:
    if row != ROWS[-1]:
        return ""
    return NO_FIGURE if line.real_time_factor is None else f"{line.real_time_factor:.2f}"


FIGURES: Mapping[str, Callable[[Line, str], str]] = {
    "WER": _error_rate,
    "wrong\nchannel": _wrong_channel,
    "turn\norder": _turn_order,
    "real\ntime": _real_time,
}
"""By their headings: word error rate, words on the wrong channel, turn-order errors, and seconds
of work for each second of the recording."""
