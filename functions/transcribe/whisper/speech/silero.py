"""`Detector` done with Silero VAD, the model that faster-whisper ships.

https://github.com/snakers4/silero-vad: a recurrent network that takes 32 ms of 16 kHz at a time,
each with the last 4 ms before it, and remembers what it has heard.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from faster_whisper.vad import SileroVADModel

CONTEXT = 64
"""Samples before a frame that the model looks at with it."""
STATE_SHAPE = (1, 1, 128)
"""The shape of either half of what the network remembers."""


class SileroDetector:
    """Hears one channel: it remembers, so every channel needs its own.

    All of them share one model in memory, which is loaded at the first frames and works without
    the GIL on the calling thread.
    """

    def __init__(self) -> None:
        self._context, self._hidden, self._cell = _nothing_heard()

    def probabilities(self, frames: NDArray[np.float32], *, afresh: bool) -> NDArray[np.float32]:
        if afresh:
            self._context, self._hidden, self._cell = _nothing_heard()
        if not len(frames):
            return np.zeros(0, np.float32)
        before = np.concatenate((self._context, frames[:-1, -CONTEXT:]))
        self._context = frames[-1:, -CONTEXT:].copy()
        heard = {
            "input": np.concatenate((before, frames), axis=1),
            "h": self._hidden,
            "c": self._cell,
        }
        probabilities: NDArray[np.float32]
        probabilities, self._hidden, self._cell = _silero().session.run(None, heard)
        return probabilities


def _nothing_heard() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Context and both halves of the memory before the first frame."""
    return (
        np.zeros((1, CONTEXT), np.float32),
        np.zeros(STATE_SHAPE, np.float32),
        np.zeros(STATE_SHAPE, np.float32),
    )


def _silero() -> "SileroVADModel":
    from faster_whisper.vad import get_vad_model  # noqa: PLC0415 - only this engine pays for it

    return get_vad_model()
