"""Warnings for the client about words that were removed as the other party's."""

from collections.abc import Sequence

from events.documents import AudioWarning, Echo

ECHO_REMOVED = "echo_removed"


def echo_warnings(echoes: Sequence[Echo]) -> list[AudioWarning]:
    """Return a warning for each channel that words were removed from; none without echoes."""
    channels = sorted({echo.channel for echo in echoes})
    return [_warning([echo for echo in echoes if echo.channel == channel]) for channel in channels]


def _warning(echoes: Sequence[Echo]) -> AudioWarning:
    """Return the warning about one channel's echoes. It counts passages, not words: not all scripts
    have spaces.
    """
    channel = echoes[0].channel
    passages = "1 passage" if len(echoes) == 1 else f"{len(echoes)} passages"
    seconds = sum(echo.end_time - echo.start_time for echo in echoes)
    return AudioWarning(
        code=ECHO_REMOVED,
        message=(
            f"The other party can be heard on the {channel} channel; {passages} of what was heard"
            f" there ({seconds:.1f} s) were taken out of the transcript."
        ),
    )
