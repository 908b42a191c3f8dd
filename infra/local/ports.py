"""Free ports of this machine, and who has the others."""

import socket
from contextlib import ExitStack

import psutil

from infra.local.supervisor.child import CannotStart

HOST = "127.0.0.1"
_given: set[int] = set()


def free_ports(count: int) -> list[int]:
    """So many ports that nobody listens on now and that this process was not given before."""
    with ExitStack() as held:
        found: list[int] = []
        while len(found) < count:
            candidate = held.enter_context(socket.socket())
            candidate.bind((HOST, 0))
            port = int(candidate.getsockname()[1])
            if port not in _given:
                found.append(port)
        _given.update(found)
        return found


def is_free(port: int) -> bool:
    """Whether a server could listen on the port."""
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((HOST, port))
        except OSError:
            return False
    return True


def claim(port: int) -> int:
    """The port, or any free one for 0. Raise `CannotStart` if it is taken or not allowed."""
    if port == 0:
        return free_ports(1)[0]
    if not is_free(port):
        raise CannotStart(
            f"Port {port} is in use by {owner(port)}; choose another with --port (0: any)."
        )
    return port


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
