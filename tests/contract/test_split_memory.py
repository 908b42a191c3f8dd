"""Split needs as much memory for a long recording as for a short one."""

from tests.bench.split_memory import measured

MOST = 256
"""MiB above idle that a recording of any length may take."""
SPREAD = 24
"""MiB: the stores' buffers fill up more or less, whatever the length."""


def test_memory_does_not_grow_with_the_recording() -> None:
    short, long = measured(64), measured(256)
    assert long.audio > 3.9 * short.audio
    assert long.above_idle < short.above_idle + SPREAD
    assert max(short.above_idle, long.above_idle) < MOST
