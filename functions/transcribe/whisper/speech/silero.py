"""`Detector` done with Silero VAD, the model that faster-whisper ships.

https://github.com/snakers4/silero-vad: a recurrent network that takes 32 ms of 16 kHz at a time,
each with the last 4 ms before it, and keeps a state from frame to frame.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from faster_whisper.vad import SileroVADModel

CONTEXT = 64
"""Samples before a frame that the model takes with it."""
STATE_SHAPE = (1, 1, 128)
"""Shape of the hidden and of the cell state."""


class SileroDetector:
    """Detects speech on one channel; it has a state, so every channel needs a detector of its own.

    All detectors share one model in memory, which is loaded at the first frames and works without
    the GIL on the calling thread.
    """

    def __init__(self) -> None:
        self._context, self._hidden, self._cell = _initial_state()

    def probabilities(self, frames: NDArray[np.float32], *, afresh: bool) -> NDArray[np.float32]:
        if afresh:
            self._context, self._hidden, self._cell = _initial_state()
        if not len(frames):
            return np.zeros(0, np.float32)
        before = np.concatenate((self._context, frames[:-1, -CONTEXT:]))
        self._context = frames[-1:, -CONTEXT:].copy()
        inputs = {
            "input": np.concatenate((before, frames), axis=1),
            "h": self._hidden,
            "c": self._cell,
        }
        probabilities: NDArray[np.float32]
        probabilities, self._hidden, self._cell = _silero().session.run(None, inputs)
        return probabilities


def _initial_state() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return context, hidden and cell state as before the first frame."""
    return (
        np.zeros((1, CONTEXT), np.float32),
        np.zeros(STATE_SHAPE, np.float32),
        np.zeros(STATE_SHAPE, np.float32),
    )


def _silero() -> "SileroVADModel":
    from faster_whisper.vad import get_vad_model  # noqa: PLC0415 - only this engine pays for it

    return get_vad_model()
