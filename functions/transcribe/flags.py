"""Truth values of consecutive frames, and the runs of true ones."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Flags: TypeAlias = NDArray[np.bool_]
"""One truth value per frame, shape (frames,)."""


def runs(flags: Flags) -> NDArray[np.int64]:
    """Return first and last + 1 of each run of true flags, shape (runs, 2)."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    return edges.reshape(-1, 2).astype(np.int64)
