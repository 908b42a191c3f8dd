"""What is promised of recognition, figure by figure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

from tests.bench.tables import table

PAIRS = 7


@dataclass(frozen=True)
class Figure:
    """What is measured, what is wanted of it, and what it was."""

    name: str
    goal: str
    measured: str


@dataclass(frozen=True)
class Part:
    """Figures measured together, and how they were."""

    figures: Sequence[Figure]
    note: str


def paired(ours: Callable[[], float], theirs: Callable[[], float]) -> list[tuple[float, float]]:
    """Both measured in turn, so many times; who begins alternates."""
    measured = []
    for number in range(PAIRS):
        if number % 2:
            second = theirs()
            measured.append((ours(), second))
        else:
            measured.append((ours(), theirs()))
    return measured


def ratio(pairs: Sequence[tuple[float, float]]) -> str:
    """The median of the ratios of seconds, their range, and the medians of both."""
    ratios = sorted(ours / theirs for ours, theirs in pairs)
    first, second = (median(values) for values in zip(*pairs, strict=True))
    return (
        f"{median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}; "
        f"{first:.2f} ÷ {second:.2f} s; {len(pairs)} pairs)"
    )


def section(parts: Sequence[Part]) -> str:
    """One table of them all, and the notes below it."""
    rows = [(one.name, one.goal, one.measured) for part in parts for one in part.figures]
    notes = "\n".join(f"* {part.note}" for part in parts)
    return (
        "\n## Recognition\n\n"
        + table(("figure", "goal", "measured"), rows)
        + f"\nPairs: ours and the peer's in turn in one run; median (range; medians).\n\n{notes}\n"
    )
