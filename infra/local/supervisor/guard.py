"""The program that ends what a killed supervisor would leave behind.

A guard is a small process that reads a pipe whose other end only the supervisor holds. When
the supervisor is gone, however it went, the pipe ends and the guard kills every process group
it was told of: children and grandchildren. Run as a script it imports nothing of ours.
"""

import os
import signal
import sys
import time

LAST_LOOK = 5.0
"""Seconds the guard waits for killed groups to be gone before it leaves itself."""


def kill_group(group: int) -> None:
    """SIGKILL to whatever is left of the group."""
    try:  # noqa: SIM105 - contextlib takes long to load
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        pass


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
    states = [state for state, of in map(_state_and_group, _pids()) if of == group]
    return not states or any(state not in "ZX" for state in states)


def _pids() -> list[str]:
    """Every process, where there is a /proc (Linux)."""
    try:
        return [name for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - as above
    except FileNotFoundError:
        return []


def _state_and_group(pid: str) -> tuple[str, int]:
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123 - pathlib takes long, too
            state, _, group, *_ = stat.read().rpartition(")")[2].split()
            return state, int(group)
    except OSError:
        return "X", 0


if __name__ == "__main__":
    main()
