"""CPU seconds of processes."""

from contextlib import suppress

import psutil


def of_tree(pid: int) -> float:
    """CPU seconds that a process and all below it have used so far, ended ones included.

    A process that has ended is counted by its parent.
    """
    root = psutil.Process(pid)
    return sum(_of(one) for one in (root, *root.children(recursive=True)))


def _of(process: psutil.Process) -> float:
    with suppress(psutil.NoSuchProcess):
        used = process.cpu_times()
        return float(used.user + used.system + used.children_user + used.children_system)
    return 0.0
