"""Free ports of this machine, and who has the others."""

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
_given: set[int] = set()


def free_ports(count: int) -> list[int]:
    """So many ports that nobody listens on now and that this process was not given before.

    They are none of those that the system gives to outgoing connections: such a connection could
    take one away from a function that is being restarted.
    """
    free = (port for port in _candidates() if port not in _given and is_free(port))
    found = list(islice(free, count))
    if len(found) < count:
        raise CannotStart(
            f"There are only {len(found)} free ports on this machine; needed: {count}."
        )
    _given.update(found)
    return found


def _candidates() -> Iterator[int]:
    """The ports that may be given, with those for outgoing connections last."""
    first, last = _numbers(EPHEMERAL, [32_768, HIGHEST])
    others = [*range(LOWEST, first), *range(max(last + 1, LOWEST), HIGHEST + 1)]
    for ports in (others, [*range(first, last + 1)]):
        begin = random.randrange(len(ports) or 1)  # noqa: S311 - no secret
        yield from ports[begin:]
        yield from ports[:begin]


def _numbers(setting: Path, default: list[int]) -> list[int]:
    """The numbers that a setting of the Linux kernel holds."""
    with suppress(OSError):
        return [int(word) for word in setting.read_text().split()]
    return default


def is_free(port: int) -> bool:
    """Whether a server could listen on the port."""
    with suppress(OSError):
        _try(port)
        return True
    return False


def claim(port: int) -> int:
    """The port, or any free one for 0. Raise `CannotStart` if it is taken or not allowed."""
    if port == 0:
        return free_ports(1)[0]
    if not 0 < port <= HIGHEST:
        raise CannotStart(f"{port} is no port; allowed: 1 to {HIGHEST}, or 0 for any free one.")
    try:
        _try(port)
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


def _try(port: int) -> None:
    """Raise `OSError` if a server could not listen there."""
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        candidate.bind((HOST, port))


def owner(port: int) -> str:
    """Who listens on the port, as far as this account may know."""
    try:
        pid = next(
            found.pid
            for found in psutil.net_connections(kind="tcp")
            if found.status == psutil.CONN_LISTEN and found.laddr[1:] == (port,) and found.pid
        )
        return f"{psutil.Process(pid).name()} (pid {pid})"
    except (psutil.Error, StopIteration):
        return "another process"
