"""The figures of `pocwhisp evaluate` as a table."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from rich import box
from rich.markup import escape
from rich.table import Table

from infra.evaluation.figures import (
    ChannelCounts,
    ConfigurationResult,
    Evaluation,
    RecordingFigures,
    Total,
    WordCounts,
)
from infra.evaluation.truth import Truth
from infra.evaluation.word_errors import CHANNELS, word_errors

NO_FIGURE = "–"  # noqa: RUF001 - a dash, where there is no figure
ROWS = ("left", "right", "both")

Figures: TypeAlias = RecordingFigures | Total


def evaluation_table(
    evaluation: Evaluation, truths: Sequence[Truth], names: Sequence[str]
) -> Table:
    """Return the figures as a table: a row for each channel, and one for both with the call's own.

    `truths` and `names` are those of the recordings, in their order. Of two
    configurations, each figure of the one stands beside that of the other.
    """
    results = evaluation.sides
    rendered = Table(box=box.SIMPLE_HEAD, padding=0, caption_justify="left")
    rendered.caption = "\n".join(_caption(result, label) for result, label in _labelled(results))
    rendered.add_column("recording", overflow="fold")
    rendered.add_column("channel", no_wrap=True)
    for heading in _headings(results):
        rendered.add_column(heading, justify="right", no_wrap=True)
    spoken = [_spoken_words(truth) for truth in truths]
    rows = [result.recordings for result in results]
    for name, words, *columns in zip(names, spoken, *rows, strict=True):
        _add_rows(rendered, name, words, columns)
    _add_rows(
        rendered, "total", ChannelCounts.together(spoken), [result.total for result in results]
    )
    return rendered


def _headings(results: Sequence[ConfigurationResult]) -> Iterator[str]:
    yield "words"
    for figure in FIGURES:
        for _, label in _labelled(results):
            yield f"{figure}\n{label}".strip()


def _labelled(results: Sequence[ConfigurationResult]) -> list[tuple[ConfigurationResult, str]]:
    """Return the results with their labels, A and B; one alone has none."""
    return list(zip(results, ("A", "B") if len(results) > 1 else ("",), strict=True))


def _caption(result: ConfigurationResult, label: str) -> str:
    """Return a configuration's settings, engines and count of completed recordings."""
    settings = " ".join(f"{name}={text}" for name, text in result.settings.items())
    engines = sorted({each.recognizer for each in result.recordings if each.recognizer})
    done = f"{result.total.recordings} of {len(result.recordings)} completed"
    caption = ", ".join(filter(None, (settings, *engines, done)))
    return escape(f"{label}: {caption}" if label else caption)


def _spoken_words(truth: Truth) -> ChannelCounts:
    """Count the words of a truth, which are shown even if there is no transcript."""
    left, right = (word_errors(truth, (), channel) for channel in CHANNELS)
    return ChannelCounts.of(left, right)


def _add_rows(
    rendered: Table, name: str, spoken: ChannelCounts, columns: Sequence[Figures]
) -> None:
    for row in ROWS:
        last = row == ROWS[-1]
        words: WordCounts = getattr(spoken, row)
        cells = [figure(figures, row) for figure in FIGURES.values() for figures in columns]
        first = escape(name) if row == ROWS[0] else ""
        rendered.add_row(first, row, str(words.words), *cells, end_section=last)


def _error_rate(figures: Figures, row: str) -> str:
    words: WordCounts | None = getattr(figures.channels, row, None)
    rate = words.word_error_rate if words else None
    return NO_FIGURE if rate is None else f"{rate:.1%}"


def _wrong_channel(figures: Figures, row: str) -> str:
    words: WordCounts | None = getattr(figures.channels, row, None)
    return str(words.wrong_channel_words) if words else NO_FIGURE


def _turn_order(figures: Figures, row: str) -> str:
    if row != ROWS[-1]:
        return ""
    found = figures.turn_order_errors
    count = found if isinstance(found, int) else len(found)
    return str(count) if figures.channels else NO_FIGURE


def _real_time(figures: Figures, row: str) -> str:
    if row != ROWS[-1]:
        return ""
    return NO_FIGURE if figures.real_time_factor is None else f"{figures.real_time_factor:.2f}"


FIGURES: Mapping[str, Callable[[Figures, str], str]] = {
    "WER": _error_rate,
    "wrong\nchannel": _wrong_channel,
    "turn\norder": _turn_order,
    "real\ntime": _real_time,
}
"""By their headings: word error rate, words on the wrong channel, turn-order errors, and seconds
of work for each second of the recording."""
