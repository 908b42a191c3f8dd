"""Divide a GPU's memory: windows per batch and instances of the model."""

from dataclasses import dataclass

FLOAT16 = 2
POSITIONS = 1_500
"""Positions of 20 ms in the encoder's output for a window."""
TOKENS = 448
"""Most tokens of a text, its prompt included."""
HEAD_WIDTH = 64
"""Width of one attention head in every Whisper model."""
FILL = 16
"""Windows in a batch beyond which a second instance gains more than a larger batch."""
LARGEST_BATCH = 64
SPARE = 1.25
"""Factor on every estimate: engines need memory to work in."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes that the memory of a model and its windows follows from.

    `weights` in bytes, the model's `width`, the decoder's `layers`, and the bytes of one `number`.
    """

    weights: int
    width: int
    layers: int
    number: int = FLOAT16

    def window(self, beam: int) -> int:
        """Return the bytes that one window in a batch takes while it is encoded and decoded.

        They are keys and values of the decoder's layers, over the sound once and over the text
        once per beam, and what one layer of the encoder works in: attention over all positions,
        and the feed-forward network, four times as wide as the model.
        """
        cache = 2 * self.layers * self.width * (POSITIONS + TOKENS * beam)
        attention = self.width // HEAD_WIDTH * POSITIONS**2
        network = 6 * POSITIONS * self.width
        return int(SPARE * self.number * (cache + attention + network))


@dataclass(frozen=True, slots=True)
class Share:
    """`batch` windows at a time on each of `instances` of the model, which share the weights."""

    batch: int
    instances: int


def share(total: int, fraction: float, shape: Shape, beam: int) -> Share:
    """Return what fits into a fraction of a device's `total` bytes; at least one window.

    A second instance decodes while the first encodes, so it comes before a larger batch.
    """
    free = total * fraction - shape.weights * SPARE
    windows = max(int(free / shape.window(beam)), 1)
    instances = 2 if windows >= 2 * FILL else 1
    return Share(min(windows // instances, LARGEST_BATCH), instances)
