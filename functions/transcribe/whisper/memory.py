"""How much of a GPU one process takes, and what it does with it."""

from dataclasses import dataclass

FLOAT16 = 2
POSITIONS = 1_500
"""Places of 20 ms that the encoder gives for a window."""
TOKENS = 448
"""Tokens that a text may have, its prompt among them."""
HEAD_WIDTH = 64
"""Width of one attention head in every Whisper model."""
FILL = 16
"""Windows in a batch from which on more gain little: a second instance is worth more."""
LARGEST_BATCH = 64
SPARE = 1.25
"""What is reckoned is multiplied by this: engines need room to work in."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a model's need of memory follows from: its weights in bytes, its width, its decoder's
    layers, and the bytes of a number that it works with.
    """

    weights: int
    width: int
    layers: int
    number: int = FLOAT16

    def window(self, beam: int) -> int:
        """Bytes that one window in a batch takes while it is encoded and decoded.

        Keys and values of the decoder's layers, over the sound once and over the text once per
        beam, and what one layer of the encoder works in: attention over all places, and the
        feed-forward network, four times as wide as the model.
        """
        cache = 2 * self.layers * self.width * (POSITIONS + TOKENS * beam)
        attention = self.width // HEAD_WIDTH * POSITIONS**2
        network = 6 * POSITIONS * self.width
        return int(SPARE * self.number * (cache + attention + network))


@dataclass(frozen=True, slots=True)
class Share:
    """`batch` windows at a time for each of `instances`, which share the weights."""

    batch: int
    instances: int


def share(total: int, fraction: float, shape: Shape, beam: int) -> Share:
    """What fits into a fraction of a device's memory of `total` bytes; at least one window.

    A second instance decodes while the first encodes, so it comes before a larger batch.
    """
    free = total * fraction - shape.weights * SPARE
    windows = max(int(free / shape.window(beam)), 1)
    instances = 2 if windows >= 2 * FILL else 1
    return Share(min(windows // instances, LARGEST_BATCH), instances)
