"""Turns in true order: made-up calls whose turns are known."""

from functions.merge.turns import interleave
from infra.evaluation.word_errors import ApiSegment, turn_order_errors
from tests.bench.figures import Figure, Part
from tests.support.conversations import conversation

CALLS = 250
PAUSES = 0.2, 0.5
"""Silence at which an engine ends a segment: Whisper's here, and sphinx's."""
NOTE = (
    f"Turns: {CALLS} calls of 24 turns with overlaps, pauses inside turns, short answers and signs "
    "of listening, each with and without punctuation and cut into segments at pauses of "
    f"{' and '.join(map(str, PAUSES))} s. A call counts when not one turn is lost, split by the "
    "other party's, or out of place; signs of listening are no turns."
)


def part() -> Part:
    """The share of calls without an error."""
    tried = [
        (seed, pause, punctuated)
        for seed in range(CALLS)
        for pause in PAUSES
        for punctuated in (True, False)
    ]
    right = sum(not wrong(seed, pause, punctuated=punctuated) for seed, pause, punctuated in tried)
    return Part(
        [
            Figure(
                "turns in true order, synthetic calls with known turns",
                "100 %",
                f"{right / len(tried):.1%} of {len(tried)} calls",
            )
        ],
        NOTE,
    )


def wrong(seed: int, pause: float, *, punctuated: bool) -> list[str]:
    """What is wrong with the turns of one call."""
    call = conversation(seed, punctuated=punctuated)
    told = [
        ApiSegment(
            speaker=turn.speaker,
            start_time=turn.start_time,
            end_time=turn.end_time,
            text=turn.text,
        )
        for turn in interleave(call.sides(pause))
        if not turn.backchannel
    ]
    return turn_order_errors(call.truth, told)
