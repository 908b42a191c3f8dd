"""Ends what a killed supervisor would leave behind.

The guard is a small process that reads a pipe whose other end only the supervisor holds. When
the supervisor is gone, however it went, the pipe ends and the guard kills every process group
it was told of: children and grandchildren. Run as a script it imports nothing of ours.
"""

import contextlib
import glob
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator

LAST_LOOK = 5.0
"""Seconds the guard waits for killed groups to be gone before it leaves itself."""


class Guard:
    """The supervisor's end of the pipe.

    `hold` are file descriptors that the guard keeps open until all groups are dead: a lock held
    through one is freed no sooner.
    """

    def __init__(self, hold: Iterable[int] = ()) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own file
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            pass_fds=tuple(hold),
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def watch(self, group: int) -> None:
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        self._tell(f"-{group}\n")

    def close(self) -> None:
        """Let the guard go; it ends the groups it still knows."""
        self._process.communicate()

    def _tell(self, line: str) -> None:
        pipe = self._process.stdin
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.write(line.encode())
                pipe.flush()


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
    for group in groups:
        kill_group(group)
    _wait_until_gone(groups)


def _wait_until_gone(groups: set[int]) -> None:
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
