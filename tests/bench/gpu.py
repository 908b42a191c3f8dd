"""CPU and throughput with the large models' shapes, where there is a GPU."""

import tempfile
from pathlib import Path

from functions.transcribe.whisper.gpu import has_gpu
from tests.bench.figures import Figure, Part
from tests.bench.parrot import LARGE, TURBO
from tests.bench.recognition import by_parrots

MODELS = {"large-v3-turbo": TURBO, "large-v3": LARGE}
NOTE = (
    "GPU: as the base-shape rows, with random weights of true shape in float16 on the first GPU; "
    "`python -m tests.bench gpu` measures these alone."
)


def part() -> Part:
    """The same figures as on the CPU for each of the large models, or that there is no GPU."""
    if not has_gpu():
        return Part(
            [Figure("the same on a GPU, turbo and large-v3", "", "not measured: no GPU")], NOTE
        )
    with tempfile.TemporaryDirectory() as folder:
        figures = [
            figure
            for name, shape in MODELS.items()
            for figure in by_parrots(Path(folder) / name, shape, name, "cuda")
        ]
    return Part(figures, NOTE)
