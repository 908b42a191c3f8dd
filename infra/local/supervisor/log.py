"""Where the lines of the processes go: a sink takes the process's name and one line."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, TypeAlias
from zlib import crc32

Sink: TypeAlias = Callable[[str, str], None]
WIDTH = len("transcribe")
COLOURS = (31, 32, 33, 34, 35, 36, 91, 92, 93, 94, 95, 96)


def silent(_name: str, _line: str) -> None:
    """The sink that forgets."""


def console(stream: TextIO | None = None) -> Sink:
    """A sink that prints to the stream (standard output), in colour only on a terminal."""
    to = sys.stdout if stream is None else stream
    coloured = to.isatty()

    def write(name: str, line: str) -> None:
        to.write(f"{prefix(name, coloured=coloured)} {line}\n")
        to.flush()

    return write


@contextmanager
def log_file(path: Path) -> Iterator[Sink]:
    """A sink that appends to a file, made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        yield console(stream)


def prefix(name: str, *, coloured: bool = False) -> str:
    """The name, aligned with the longest one of the stack, always in the same colour."""
    text = f"{name:<{WIDTH}} |"
    return (
        f"\x1b[{COLOURS[crc32(name.encode()) % len(COLOURS)]}m{text}\x1b[0m" if coloured else text
    )
