"""Versions of files."""

from pathlib import Path
from typing import NamedTuple


class FileVersion(NamedTuple):
    """A file's size in bytes and its time of change in ns; other content has another version.

    Not its inode: some network file systems give a file a new one now and then.
    """

    size: int
    changed: int


def version_of(path: Path) -> FileVersion:
    """Return the file's present version. Raises `OSError`."""
    found = path.stat()
    return FileVersion(found.st_size, found.st_mtime_ns)
