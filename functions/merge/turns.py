"""Bring the segments of both channels into spoken order, as turns.

Each speaker's phrases run on in one segment until the other party takes the turn, or until a
pause says that something new begins. Where both talk at the same time, each one's words stay
together, and the segments name each other. A back-channel takes no turn.
"""

from collections.abc import Iterator, Sequence

from events.base import Channel
from events.documents import ChannelTranscript, SpokenSegment
from functions.merge.backchannels import Floor, short_turns
from functions.merge.phrases import TURN_PAUSE, Phrase, joined, phrases_of

LONGEST_TURN = 30.0
"""Most seconds of a segment, if a pause or the end of a sentence allows to end it."""
MOST_WORDS = 80
"""Most words of a segment, in the same way."""
LONG = 2 / 3
"""Share of either limit from which the end of a sentence ends a segment, too."""
BARGE = 1.0
"""Seconds of talking at once while the turn passes from one speaker to the other."""
ASIDE = 0.5
"""Seconds of a speaker's silence after which the other's words are a turn in any case."""

OTHER: dict[Channel, Channel] = {"left": "right", "right": "left"}


class SegmentDraft:
    """Phrases of one speaker, at least one and in order, that are to become one segment."""

    def __init__(self, phrases: Sequence[Phrase], *, backchannel: bool = False) -> None:
        self.phrases = list(phrases)
        self.backchannel = backchannel
        self.speaker = phrases[0].speaker
        self.start = phrases[0].start
        self.end = max(phrase.end for phrase in phrases)
        self.length = sum(phrase.length for phrase in phrases)

    @property
    def place(self) -> tuple[float, float, Channel]:
        """The key that orders drafts: start, then end, then left before right."""
        return self.start, self.end, self.speaker

    def add(self, more: "SegmentDraft") -> None:
        self.phrases += more.phrases
        self.end = max(self.end, more.end)
        self.length += more.length


def interleave(sides: Sequence[ChannelTranscript]) -> tuple[SpokenSegment, ...]:
    """Return the segments of all channels in spoken order, named s1, s2, … in that order.

    They are ordered by start, then by end, then left before right, so the order of `sides`
    changes nothing. No word is lost, doubled or given to the other speaker.
    """
    spoken = {side.channel: phrases_of(side) for side in sides}
    drafts = sorted(_run_on(_drafts(spoken)), key=lambda draft: draft.place)
    beside = _overlaps(drafts)
    return tuple(
        SpokenSegment(
            id=f"s{index + 1}",
            speaker=draft.speaker,
            overlaps=tuple(f"s{other + 1}" for other in beside[index]),
            backchannel=draft.backchannel,
            **dict(joined(draft.phrases)),
        )
        for index, draft in enumerate(drafts)
    )


def _drafts(spoken: dict[Channel, list[Phrase]]) -> Iterator[SegmentDraft]:
    """Yield back-channels as they are, and of everything else each phrase by itself."""
    for channel, phrases in spoken.items():
        floor = Floor(spoken.get(OTHER[channel], ()))
        for turn in short_turns(phrases):
            if floor.goes_on_over(turn):
                yield SegmentDraft(turn.phrases, backchannel=True)
            else:
                yield from (SegmentDraft([phrase]) for phrase in turn.phrases)


def _run_on(drafts: Iterator[SegmentDraft]) -> list[SegmentDraft]:
    """Join the drafts of one segment, going through the call in order of time."""
    segments: list[SegmentDraft] = []
    latest: dict[tuple[Channel, bool], int] = {}
    for draft in sorted(drafts, key=lambda one: one.place):
        before = latest.get((draft.speaker, False))
        other = OTHER[draft.speaker]
        others = [
            segments[at] for kind in (False, True) if (at := latest.get((other, kind))) is not None
        ]
        if draft.backchannel or before is None or not _goes_on(segments[before], draft, others):
            latest[draft.speaker, draft.backchannel] = len(segments)
            segments.append(draft)
        else:
            segments[before].add(draft)
    return segments


def _goes_on(before: SegmentDraft, after: SegmentDraft, others: Sequence[SegmentDraft]) -> bool:
    """Return whether both belong to one segment; `others` are the other speaker's latest."""
    between = [other for other in others if other.start <= after.start and other.end > before.end]
    patience = before.phrases[-1].patience
    if any(other.backchannel for other in between):
        patience = TURN_PAUSE  # who waits for a back-channel has not ended
    if after.start - before.end >= patience or _is_full(before, after):
        return False
    return not any(_parts(other, before, after) for other in between if not other.backchannel)


def _parts(turn: SegmentDraft, before: SegmentDraft, after: SegmentDraft) -> bool:
    """Return whether the other's turn comes between `before` and `after` and parts them.

    Talking on at the same time, with hardly a pause, is no change of turns: the turn must begin
    at the end of the one before, or end at the beginning of the one after.
    """
    return turn.start >= before.start - BARGE and (
        after.start - before.end >= ASIDE
        or turn.start >= before.end - BARGE
        or turn.end <= after.start + BARGE
    )


def _is_full(before: SegmentDraft, after: SegmentDraft) -> bool:
    """Return whether both together would be too long for a segment."""
    share = max(
        (max(before.end, after.end) - before.start) / LONGEST_TURN,
        (before.length + after.length) / MOST_WORDS,
    )
    return share > 1 or (share > LONG and before.phrases[-1].ends_sentence)


def _overlaps(drafts: Sequence[SegmentDraft]) -> list[list[int]]:
    """Return for each draft the indices of the other speaker's drafts that share time with it."""
    beside: list[list[int]] = [[] for _ in drafts]
    for index, one in enumerate(drafts):
        for following in range(index + 1, len(drafts)):
            other = drafts[following]
            if other.start >= one.end:
                break
            if other.speaker != one.speaker and other.end > other.start:
                beside[index].append(following)
                beside[following].append(index)
    return beside
