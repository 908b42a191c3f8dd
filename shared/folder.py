"""Blobs as files. Under its key a file has all its bytes, on the disk before a writer returns."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import ParamSpec, TypeVar
from uuid import uuid4

from shared.errors import Unavailable
from shared.tasks import uninterrupted

P = ParamSpec("P")
T = TypeVar("T")

STAGING = ".staging"
STALE_SECONDS = 86_400.0  # seconds
MIB = 1 << 20
WRITE_BYTES = MIB // 2
WRITE_BACK_BYTES = 32 * MIB
MOST_CHUNKS_PER_WRITE = os.sysconf("SC_IOV_MAX")
RESERVE_SHARE = 20
"""The reserve is at most one part in this many of the disk, or a small disk were never ready."""


class FolderWriter:
    """Writes blobs into a folder on one file system with hard links.

    A blob gets a name of its own in `.staging`; once its bytes are on the disk it is linked to its
    key, which fails if the key is taken. Files that killed processes left are removed after a day.
    """

    def __init__(self, root: Path, reserve: int) -> None:
        self._root = root
        self._staging = root / STAGING
        self._reserve = reserve
        _remove_stale(self._staging)

    async def create(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        """Store the chunks unless the key is taken."""
        async with self._staged() as file:
            begun = written = 0
            async for batch in batches(chunks, WRITE_BYTES):
                await to_the_end(_write, file, batch)
                written += sum(map(len, batch))
                if written - begun >= WRITE_BACK_BYTES:
                    await to_the_end(_begin_write_back, file, begun, written)
                    begun = written
            await to_the_end(self._link, file, key)

    async def write(self, key: str, content: bytes, *, replace: bool) -> bool:
        """Store a small blob. Returns False if the key is taken and it may not `replace` it."""
        async with self._staged() as file:
            await to_the_end(_write, file, [content])
            return await to_the_end(self._replace if replace else self._link, file, key)

    async def settle(self, key: str) -> None:
        """Make the name of a blob that another process wrote durable; its bytes are."""
        await to_the_end(_fsync, self._path(key).parent)

    async def check(self) -> None:
        """Raise `Unavailable` while the disk is nearly full."""
        disk = await to_the_end(os.statvfs, self._root)
        free = disk.f_bavail * disk.f_frsize
        needed = min(self._reserve, disk.f_blocks * disk.f_frsize // RESERVE_SHARE)
        if free < needed:
            raise Unavailable(
                "The blob store's disk is nearly full: "
                f"{free // MIB} MiB free, {needed // MIB} MiB needed."
            )

    @asynccontextmanager
    async def _staged(self) -> AsyncIterator[FileIO]:
        """Yield a new file in `.staging`, which is removed at the end."""
        self._staging.mkdir(exist_ok=True)
        file = FileIO(self._staging / uuid4().hex, "x")
        try:
            yield file
        finally:
            await to_the_end(_drop, file)

    def _link(self, file: FileIO, key: str) -> bool:
        os.fsync(file.fileno())
        path = self._make_way(key)
        try:
            path.hardlink_to(str(file.name))
        except FileExistsError:
            return False
        finally:
            _fsync(path.parent)
        return True

    def _replace(self, file: FileIO, key: str) -> bool:
        os.fsync(file.fileno())
        path = self._make_way(key)
        Path(str(file.name)).replace(path)
        _fsync(path.parent)
        return True

    def _make_way(self, key: str) -> Path:
        path = self._path(key)
        _make(path.parent)
        return path

    def _path(self, key: str) -> Path:
        path = self._root / key
        if ".." in path.parts or not path.is_relative_to(self._root):
            raise ValueError(f"A key stays in its folder; this does not: {key!r}.")
        return path


async def batches(chunks: AsyncIterator[bytes], size: int) -> AsyncIterator[list[bytes]]:
    """Yield the same chunks in lists of at least `size` bytes together, except for the last.

    A call in another thread costs more than its bytes do.
    """
    batch: list[bytes] = []
    waiting = 0
    async for chunk in chunks:
        batch.append(chunk)
        waiting += len(chunk)
        if waiting >= size or len(batch) == MOST_CHUNKS_PER_WRITE:
            yield batch
            batch, waiting = [], 0
    if batch:
        yield batch


async def to_the_end(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run `work` in a thread, to its end even if the caller is cancelled: it may use a file."""
    return await uninterrupted(asyncio.to_thread(work, *args, **kwargs))


def _write(file: FileIO, batch: list[bytes]) -> None:
    written = os.writev(file.fileno(), batch)
    if written < sum(map(len, batch)):  # the disk is full, or nearly so
        rest = memoryview(b"".join(batch))[written:]
        while rest:
            rest = rest[file.write(rest) :]


def _begin_write_back(file: FileIO, start: int, end: int) -> None:
    """Have the kernel write these bytes now instead of at the fsync."""
    os.posix_fadvise(file.fileno(), start, end - start, os.POSIX_FADV_DONTNEED)


def _drop(file: FileIO) -> None:
    with file:
        Path(str(file.name)).unlink(missing_ok=True)


def _make(folder: Path) -> None:
    """Make the folder and its missing parents, and make their names durable."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(exist_ok=True)
        _fsync(folder.parent)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_stale(staging: Path) -> None:
    for path in staging.glob("*"):
        with suppress(OSError):
            if path.stat().st_mtime < time.time() - STALE_SECONDS:
                path.unlink()
