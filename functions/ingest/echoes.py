"""What the client is told where words were taken out as the other party's voice."""

from collections.abc import Sequence

from events.documents import AudioWarning, Echo

ECHO_REMOVED = "echo_removed"


def echo_warnings(echoes: Sequence[Echo]) -> list[AudioWarning]:
    """A warning for each channel that words were taken from; none without echoes."""
    channels = sorted({echo.channel for echo in echoes})
    return [_warning([echo for echo in echoes if echo.channel == channel]) for channel in channels]


def _warning(echoes: Sequence[Echo]) -> AudioWarning:
    """The warning about one channel's echoes. Passages are counted: not all writing has spaces."""
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
