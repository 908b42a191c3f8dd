"""Filters for events, as types and as NATS subjects."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from uuid import UUID

from events.base import TYPE_PREFIX

EVERYTHING = f"{TYPE_PREFIX}>"


@dataclass(frozen=True, slots=True)
class EventFilter:
    """The events to follow: those of one recording (`session`), or all.

    `pattern` is a shell pattern for types, see `matches`. `from_start`: events of the past, too,
    as always for one recording. `until_end`: stop once the recording's last run has ended.
    """

    session: UUID | None = None
    pattern: str | None = None
    from_start: bool = False
    until_end: bool = False


def subject_of(session: UUID | None) -> str:
    """Return the NATS subjects of all events, or of one recording's of any tenant."""
    return EVERYTHING if session is None else f"{TYPE_PREFIX}*.*.*.*.{session}"


def matches(event_type: str, pattern: str | None) -> bool:
    """Whether a type fits a shell pattern, such as `recording.*` or `*.completed`.

    The prefix `io.pocwhisp.` and the version may be left out.
    """
    short = event_type.removeprefix(TYPE_PREFIX)
    names = (event_type, short, short.rpartition(".")[0])
    return pattern is None or any(fnmatchcase(name, pattern) for name in names)


def intersect_subjects(wanted: str, other: str) -> str | None:
    """Return the pattern of the subjects that fit both NATS patterns. Returns None if none does.

    A consumer's filter must lie within its stream's subjects.
    """
    ours, theirs = wanted.split("."), other.split(".")
    common: list[str] = []
    for place in range(max(len(ours), len(theirs))):
        our, their = _token(ours, place), _token(theirs, place)
        if our == their == ">":
            return ".".join([*common, ">"])
        if ">" in (our, their):
            our = their = their if our == ">" else our
        if not our or not their or (our != their and "*" not in (our, their)):
            return None
        common.append(their if our == "*" else our)
    return ".".join(common)


def _token(tokens: Sequence[str], place: int) -> str:
    """Return the token at an index, empty behind the last; `>` stands for all from there on."""
    if place < len(tokens):
        return tokens[place]
    return ">" if tokens[-1] == ">" else ""
