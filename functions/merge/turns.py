"""Bring what was said on both channels into spoken order, as turns.

Each speaker's phrases run on in one segment until the other party takes the turn, or until a
pause says that something new begins. Where both talk at the same time, each one's words stay
together, and the segments name each other. A sign of listening takes no turn.
"""

from collections.abc import Iterator, Sequence

from events.base import Channel
from events.documents import ChannelTranscript, SpokenSegment
from functions.merge.backchannels import Floor, short_turns
from functions.merge.phrases import TURN_PAUSE, Phrase, joined, phrases_of

LONGEST_TURN = 30.0
"""Seconds a segment may last, if a pause or the end of a sentence allows to end it."""
MOST_WORDS = 80
"""Words it may have, in the same way."""
LONG = 2 / 3
"""The part of either from which on the end of a sentence ends a segment, too."""
BARGE = 1.0
"""Seconds for which two may talk at once while the turn passes from one to the other."""
ASIDE = 0.5
"""Seconds of a speaker's silence that the other's words take as a turn in any case."""

OTHER: dict[Channel, Channel] = {"left": "right", "right": "left"}


class Stretch:
    """What is to be one segment: phrases of one speaker, at least one, in order."""

    def __init__(self, phrases: Sequence[Phrase], *, backchannel: bool = False) -> None:
        self.phrases = list(phrases)
        self.backchannel = backchannel
        self.speaker = phrases[0].speaker
        self.start = phrases[0].start
        self.end = max(phrase.end for phrase in phrases)
        self.length = sum(phrase.length for phrase in phrases)

    @property
    def place(self) -> tuple[float, float, Channel]:
        """By start, then by end, then left before right."""
        return self.start, self.end, self.speaker

    def add(self, more: "Stretch") -> None:
        self.phrases += more.phrases
        self.end = max(self.end, more.end)
        self.length += more.length


def interleave(sides: Sequence[ChannelTranscript]) -> tuple[SpokenSegment, ...]:
    """All that was said in spoken order, in segments named s1, s2, … in that order.

    They are ordered by start, then by end, then left before right, so that the order in which
    the channels arrived changes nothing. No word is lost, doubled or given to the other.
    """
    spoken = {side.channel: phrases_of(side) for side in sides}
    stretches = sorted(_run_on(_stretches(spoken)), key=lambda stretch: stretch.place)
    beside = _overlaps(stretches)
    return tuple(
        SpokenSegment(
            id=f"s{place + 1}",
            speaker=stretch.speaker,
            overlaps=tuple(f"s{other + 1}" for other in beside[place]),
            backchannel=stretch.backchannel,
            **dict(joined(stretch.phrases)),
        )
        for place, stretch in enumerate(stretches)
    )


def _stretches(spoken: dict[Channel, list[Phrase]]) -> Iterator[Stretch]:
    """Back-channels as they are, of everything else each phrase by itself."""
    for channel, phrases in spoken.items():
        floor = Floor(spoken.get(OTHER[channel], ()))
        for remark in short_turns(phrases):
            if floor.is_kept(remark):
                yield Stretch(remark.phrases, backchannel=True)
            else:
                yield from (Stretch([phrase]) for phrase in remark.phrases)


def _run_on(stretches: Iterator[Stretch]) -> list[Stretch]:
    """Join what belongs together, going through the call in order of time."""
    told: list[Stretch] = []
    latest: dict[tuple[Channel, bool], int] = {}
    for stretch in sorted(stretches, key=lambda one: one.place):
        before = latest.get((stretch.speaker, False))
        other = OTHER[stretch.speaker]
        heard = [
            told[at] for kind in (False, True) if (at := latest.get((other, kind))) is not None
        ]
        if stretch.backchannel or before is None or not _goes_on(told[before], stretch, heard):
            latest[stretch.speaker, stretch.backchannel] = len(told)
            told.append(stretch)
        else:
            told[before].add(stretch)
    return told


def _goes_on(before: Stretch, after: Stretch, heard: Sequence[Stretch]) -> bool:
    """Whether both are one speaker's same segment; `heard`: the other's latest up to then."""
    between = [other for other in heard if other.start <= after.start and other.end > before.end]
    patience = before.phrases[-1].patience
    if any(other.backchannel for other in between):
        patience = TURN_PAUSE  # who waits for a sign of listening has not ended
    if after.start - before.end >= patience or _is_full(before, after):
        return False
    return not any(_parts(other, before, after) for other in between if not other.backchannel)


def _parts(turn: Stretch, before: Stretch, after: Stretch) -> bool:
    """Whether the other's turn, heard between the two, begins since the one and parts them.

    Talking on at the same time, with hardly a pause, is no change of turns: the turn must begin
    at the end of the one before, or end at the beginning of the one after.
    """
    return turn.start >= before.start - BARGE and (
        after.start - before.end >= ASIDE
        or turn.start >= before.end - BARGE
        or turn.end <= after.start + BARGE
    )


def _is_full(before: Stretch, after: Stretch) -> bool:
    """Whether both together would be too long for a segment."""
    share = max(
        (max(before.end, after.end) - before.start) / LONGEST_TURN,
        (before.length + after.length) / MOST_WORDS,
    )
    return share > 1 or (share > LONG and before.phrases[-1].ends_sentence)


def _overlaps(stretches: Sequence[Stretch]) -> list[list[int]]:
    """For each stretch, the places of the other speaker's that share time with it."""
    beside: list[list[int]] = [[] for _ in stretches]
    for place, one in enumerate(stretches):
        for following in range(place + 1, len(stretches)):
            other = stretches[following]
            if other.start >= one.end:
                break
            if other.speaker != one.speaker and other.end > other.start:
                beside[place].append(following)
                beside[following].append(place)
    return beside
