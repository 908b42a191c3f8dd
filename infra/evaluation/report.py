"""How well recordings came out: the figures of `pocwhisp evaluate`, as JSON and as a table."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Self, TypeAlias

from pydantic import Field
from rich import box
from rich.markup import escape
from rich.table import Table

from events.base import Frozen
from infra.client.batch import Outcome
from infra.evaluation.errors import Segment, WordErrors, total, turn_order_errors, word_errors
from infra.evaluation.truth import Truth

NOTHING = "–"  # noqa: RUF001 - a dash, where there is no figure
ROWS = ("left", "right", "both")


class Words(Frozen):
    """The words of one channel, or of both: the errors of both over the words of both."""

    words: Annotated[int, Field(description="Words truly said.")]
    substituted: Annotated[int, Field(description="Words heard as another one.")]
    deleted: Annotated[int, Field(description="Words not heard.")]
    inserted: Annotated[int, Field(description="Words heard that were not said.")]
    word_error_rate: Annotated[
        float | None, Field(description="All three over the words said; null if there are none.")
    ]
    wrong_channel_words: Annotated[
        int, Field(description="Words heard on this channel that the other party said.")
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
    """Words by channel, and of the two together."""

    left: Words
    right: Words
    both: Words

    @classmethod
    def of(cls, left: WordErrors, right: WordErrors) -> Self:
        words = (Words.of(errors) for errors in (left, right, total((left, right))))
        return cls(**dict(zip(ROWS, words, strict=True)))

    @classmethod
    def together(cls, several: Iterable[Self]) -> Self:
        """The errors of all over the words of all."""
        scored = list(several)
        return cls.of(
            total(one.left.errors for one in scored), total(one.right.errors for one in scored)
        )


class Score(Frozen):
    """How well one recording came out. Without a transcript there are no figures of one."""

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
    """All recordings of a side that were completed."""

    recordings: Annotated[int, Field(description="How many were completed.")]
    channels: Channels
    turn_order_errors: int
    real_time_factor: Annotated[
        float | None, Field(description="All seconds of work over all seconds of recordings.")
    ]


class ConfigurationResult(Frozen):
    """Every recording under the same settings."""

    settings: Annotated[dict[str, str], Field(description="Those given for this side.")]
    recordings: tuple[Score, ...]
    total: Total


class Evaluation(Frozen):
    """What `pocwhisp evaluate --json` prints; with `--against` there are two sides."""

    sides: tuple[ConfigurationResult, ...]


def scored(outcome: Outcome, truth: Truth) -> Score:
    """A recording's figures, or why there are none."""
    name, verdict = outcome.recording.name, outcome.verdict
    if outcome.session is None or verdict != "completed":
        return Score(recording=name, status=verdict, error=outcome.trouble)
    metadata = outcome.session["metadata"]
    segments: list[Segment] = outcome.session["transcript"]["segments"]
    left, right = (word_errors(truth, segments, speaker) for speaker in ("left", "right"))
    duration, took = metadata["duration"], metadata["processing_time"]
    return Score(
        recording=name,
        status=verdict,
        recognizer=metadata["model_versions"]["recognizer"],
        channels=Channels.of(left, right),
        turn_order_errors=tuple(turn_order_errors(truth, segments)),
        duration=duration,
        processing_time=took,
        real_time_factor=took / duration,
    )


def result_of(settings: Mapping[str, str], scores: Sequence[Score]) -> ConfigurationResult:
    """The recordings with their total."""
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
    """The figures for people: a row for each channel, and one for both with the call's own.

    `truths` and `names` are those of the recordings, in their order. Of two sides, each figure
    of the one stands beside that of the other.
    """
    sides = evaluation.sides
    shown = Table(box=box.SIMPLE_HEAD, padding=0, caption_justify="left")
    shown.caption = "\n".join(_caption(side, mark) for side, mark in _marked(sides))
    shown.add_column("recording", overflow="fold")
    shown.add_column("channel", no_wrap=True)
    for heading in _headings(sides):
        shown.add_column(heading, justify="right", no_wrap=True)
    said = [_said(truth) for truth in truths]
    rows = [side.recordings for side in sides]
    for name, words, *scores in zip(names, said, *rows, strict=True):
        _add(shown, name, words, scores)
    _add(shown, "total", Channels.together(said), [side.total for side in sides])
    return shown


def _headings(sides: Sequence[ConfigurationResult]) -> Iterator[str]:
    yield "words"
    for figure in FIGURES:
        for _, mark in _marked(sides):
            yield f"{figure}\n{mark}".strip()


def _marked(sides: Sequence[ConfigurationResult]) -> list[tuple[ConfigurationResult, str]]:
    """The sides as A and B; one alone needs no name."""
    return list(zip(sides, ("A", "B") if len(sides) > 1 else ("",), strict=True))


def _caption(side: ConfigurationResult, mark: str) -> str:
    """Which settings and engines a side's figures are of, and of how many recordings."""
    settings = " ".join(f"{name}={text}" for name, text in side.settings.items())
    engines = sorted({score.recognizer for score in side.recordings if score.recognizer})
    done = f"{side.total.recordings} of {len(side.recordings)} completed"
    told = ", ".join(filter(None, (settings, *engines, done)))
    return escape(f"{mark}: {told}" if mark else told)


def _said(truth: Truth) -> Channels:
    """The words there are to hear, so that they are told where none was heard."""
    left, right = (word_errors(truth, (), speaker) for speaker in ("left", "right"))
    return Channels.of(left, right)


def _add(shown: Table, name: str, said: Channels, lines: Sequence[Line]) -> None:
    for row in ROWS:
        last = row == ROWS[-1]
        words: Words = getattr(said, row)
        cells = [figure(line, row) for figure in FIGURES.values() for line in lines]
        first = escape(name) if row == ROWS[0] else ""
        shown.add_row(first, row, str(words.words), *cells, end_section=last)


def _error_rate(line: Line, row: str) -> str:
    words: Words | None = getattr(line.channels, row, None)
    rate = words.word_error_rate if words else None
    return NOTHING if rate is None else f"{rate:.1%}"


def _wrong_channel(line: Line, row: str) -> str:
    words: Words | None = getattr(line.channels, row, None)
    return str(words.wrong_channel_words) if words else NOTHING


def _turn_order(line: Line, row: str) -> str:
    if row != ROWS[-1]:
        return ""
    found = line.turn_order_errors
    count = found if isinstance(found, int) else len(found)
    return str(count) if line.channels else NOTHING


def _real_time(line: Line, row: str) -> str:
    if row != ROWS[-1]:
        return ""
    return NOTHING if line.real_time_factor is None else f"{line.real_time_factor:.2f}"


FIGURES: Mapping[str, Callable[[Line, str], str]] = {
    "WER": _error_rate,
    "wrong\nchannel": _wrong_channel,
    "turn\norder": _turn_order,
    "real\ntime": _real_time,
}
"""By their headings: word error rate, words on the wrong channel, turn-order errors, and seconds
of work for each second of the recording."""
