"""Free ports of this machine, and the processes that use the others."""

import random
import socket
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import psutil

from infra.local.errors import CannotStart

HOST = "127.0.0.1"
LOWEST, HIGHEST = 20_000, 65_535
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
PRIVILEGED = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
_handed_out: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Return `count` ports that nobody listens on, each given to this process only once.

    Ports outside the system's range for outgoing connections are preferred: such a connection
    could take the port of a function that is being restarted. Raises `CannotStart` if there are
    too few.
    """
    free = (port for port in _candidates() if port not in _handed_out and is_free(port))
    found = list(islice(free, count))
    if len(found) < count:
        raise CannotStart(
            f"There are only {len(found)} free ports on this machine; needed: {count}."
        )
    _handed_out.update(found)
    return found


def _candidates() -> Iterator[int]:
    """The ports to choose from, with those for outgoing connections last."""
    first, last = _numbers(EPHEMERAL, [32_768, HIGHEST])
    others = [*range(LOWEST, first), *range(max(last + 1, LOWEST), HIGHEST + 1)]
    for ports in (others, [*range(first, last + 1)]):
        begin = random.randrange(len(ports) or 1)  # noqa: S311 - no secret
        yield from ports[begin:]
        yield from ports[:begin]


def _numbers(setting: Path, default: list[int]) -> list[int]:
    """Read the numbers in a setting of the Linux kernel; `default` if it cannot be read."""
    with suppress(OSError):
        return [int(word) for word in setting.read_text().split()]
    return default


def is_free(port: int) -> bool:
    """Whether a server could listen on the port."""
    with suppress(OSError):
        _bind(port)
        return True
    return False


def choose_port(port: int) -> int:
    """Return the port, or a free one for 0; it stays free. Raises `CannotStart` if it is in use
    or needs rights that this account lacks.
    """
    if port == 0:
        return free_ports(1)[0]
    if not 0 < port <= HIGHEST:
        raise CannotStart(f"{port} is no port; allowed: 1 to {HIGHEST}, or 0 for any free one.")
    try:
        _bind(port)
    except PermissionError:
        [first] = _numbers(PRIVILEGED, [1024])
        raise CannotStart(
            f"Port {port} needs rights that this account lacks; choose one from {first} on with"
            " --port (0: any)."
        ) from None
    except OSError:
        raise CannotStart(
            f"Port {port} is in use by {owner(port)}; choose another with --port (0: any)."
        ) from None
    return port


def _bind(port: int) -> None:
    """Bind the port and release it. Raises `OSError` if a server could not listen on it."""
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        candidate.bind((HOST, port))


def owner(port: int) -> str:
    """Return name and pid of the process that listens on the port, if this account may see it."""
    try:
        pid = next(
            found.pid
            for found in psutil.net_connections(kind="tcp")
            if found.status == psutil.CONN_LISTEN and found.laddr[1:] == (port,) and found.pid
        )
        return f"{psutil.Process(pid).name()} (pid {pid})"
    except (psutil.Error, StopIteration):
        return "another process"
