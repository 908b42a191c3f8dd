"""The program that ends the processes of a supervisor that was killed.

A guard is a small process that reads a pipe whose other end only the supervisor holds. When
the supervisor ends, however it does, the pipe ends and the guard kills every process group that
was written to it: children and grandchildren. Run as a script it imports nothing of ours.
"""

import os
import signal
import sys
import time

KILLED_GROUPS_TIMEOUT = 5.0
"""Seconds that the guard waits for killed groups to end before it ends itself."""


def kill_group(group: int) -> None:
    """Send SIGKILL to what is left of the group."""
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
    kill_groups(groups)


def kill_groups(groups: set[int]) -> None:
    """Kill the groups, and wait until they are gone."""
    for group in groups:
        kill_group(group)
    deadline = time.monotonic() + KILLED_GROUPS_TIMEOUT
    while any(_is_alive(group) for group in groups) and time.monotonic() < deadline:
        time.sleep(0.01)


def _is_alive(group: int) -> bool:
    """Whether the group has a process that is no zombie; in a container those may stay."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    states = [state for state, of in map(_state_and_group, _pids()) if of == group]
    return not states or any(state not in "ZX" for state in states)


def _pids() -> list[str]:
    """List all pids, where there is a /proc (Linux)."""
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
