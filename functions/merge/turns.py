"""Bring the channels' segments into spoken order."""

from collections.abc import Sequence
from itertools import count

from events.documents import ChannelTranscript, SpokenSegment


def interleave(sides: Sequence[ChannelTranscript]) -> tuple[SpokenSegment, ...]:
    """All segments by start time, named s1, s2, … in that order.

    Equal starts are ordered by end, then left before right, so that the order in which the
    channels arrived changes nothing.
    """
    spoken = sorted(
        ((segment, side.channel) for side in sides for segment in side.segments),
        key=lambda one: (one[0].start_time, one[0].end_time, one[1]),
    )
    return tuple(
        SpokenSegment(id=f"s{number}", speaker=speaker, **dict(segment))
        for number, (segment, speaker) in zip(count(1), spoken, strict=False)
    )
