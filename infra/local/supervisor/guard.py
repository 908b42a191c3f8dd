"""The program that ends what a killed supervisor would leave behind.

A guard is a small process that reads a pipe whose other end only the supervisor holds. When
the supervisor is gone, however it went, the pipe ends and the guard kills every process group
it was told of: children and grandchildren. Run as a script it imports nothing of ours.
"""

import contextlib
import glob
import os
import signal
import sys
import time
from collections.abc import Iterator

LAST_LOOK = 5.0
"""Seconds the guard waits for killed groups to be gone before it leaves itself."""


def kill_group(group: int) -> None:
    """SIGKILL to whatever is left of the group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def main() -> None:
    """Read `+group` and `-group` lines to their end, then kill the groups that remain."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    end(groups)


def end(groups: set[int]) -> None:
    """Kill the groups; return when they are gone."""
    for group in groups:
        kill_group(group)
    deadline = time.monotonic() + LAST_LOOK
    while any(_lives(group) for group in groups) and time.monotonic() < deadline:
        time.sleep(0.01)


def _lives(group: int) -> bool:
    """Whether the group has more than zombies, which in a container nobody may collect."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    states = [state for state, of in _processes() if of == group]
    return not states or any(state not in "ZX" for state in states)


def _processes() -> Iterator[tuple[str, int]]:
    """State and group of every process, where there is a /proc (Linux)."""
    for path in glob.glob("/proc/[0-9]*/stat"):  # noqa: PTH207 - pathlib takes long to load
        with contextlib.suppress(OSError), open(path) as stat:  # noqa: PTH123
            state, _, group, *_ = stat.read().rpartition(")")[2].split()
            yield state, int(group)


if __name__ == "__main__":
    main()
