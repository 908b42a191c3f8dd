"""Sinks for the output of processes: each takes the process's name and one line."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging import INFO, LogRecord
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import TextIO, TypeAlias
from zlib import crc32

Sink: TypeAlias = Callable[[str, str], None]
LONGEST_FILE = 20_000_000
"""Bytes of a log file: some days of a busy stack."""
WIDTH = len("transcribe")
COLOURS = (31, 32, 33, 34, 35, 36, 91, 92, 93, 94, 95, 96)


def silent(_name: str, _line: str) -> None:
    """Discard the line."""


def console(stream: TextIO | None = None) -> Sink:
    """Return a sink that prints to `stream` (standard output), in colour only on a terminal.

    Characters that the stream's encoding lacks are printed as escapes.
    """
    to = sys.stdout if stream is None else stream
    coloured, encoding = to.isatty(), to.encoding or "utf-8"

    def write(name: str, line: str) -> None:
        writable = line.encode(encoding, "backslashreplace").decode(encoding)
        to.write(f"{prefix(name, coloured=coloured)} {writable}\n")
        to.flush()

    return write


@contextmanager
def log_file(path: Path, limit: int = LONGEST_FILE) -> Iterator[Sink]:
    """Open a sink that appends to a file, made if it is missing.

    Before the file grows over `limit` bytes it becomes `NAME.1`, which replaces the one before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = _File(path, maxBytes=limit, backupCount=1, encoding="utf-8")
    try:
        yield lambda name, line: handler.emit(_record(f"{prefix(name)} {line}"))
    finally:
        handler.close()


class _File(RotatingFileHandler):
    def handleError(self, record: LogRecord) -> None:  # noqa: ARG002, N802 - logging's names
        raise  # noqa: PLE0704 - it is called while an error is handled


def _record(line: str) -> LogRecord:
    return LogRecord("", INFO, "", 0, line, None, None)


def prefix(name: str, *, coloured: bool = False) -> str:
    """Return the name padded to the longest of the stack, each name in one colour."""
    text = f"{name:<{WIDTH}} |"
    return (
        f"\x1b[{COLOURS[crc32(name.encode()) % len(COLOURS)]}m{text}\x1b[0m" if coloured else text
    )
