"""The object store, done with obstore: `file://` on one machine, `s3://` or such in a cluster."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname
from uuid import uuid4

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from events.documents import Document
from shared.errors import Missing, Unavailable

D = TypeVar("D", bound=Document)

READ_CHUNK = 1 << 20
WRITE_CHUNK = 1 << 20
UPLOAD_CONCURRENCY = 2


class ObjectBlobs:
    """`ports.Blobs` on any store obstore opens; a memory store makes it a fake.

    On `file://` a blob's bytes are on the disk before it has its name, and its folders before
    anyone is told of it: no crash leaves a name without its bytes.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        folder = store.prefix if isinstance(store, LocalStore) else None
        self._folder = None if folder is None else Path(folder)

    @classmethod
    def open(cls, url: str) -> "ObjectBlobs":
        """Open `file:///folder` (made if need be), `s3://bucket/prefix`, `gs://` or `az://`."""
        if urlsplit(url).scheme == "file":
            return cls(_local_store(url))
        return cls(from_url(url))

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        with _store_errors():
            if await self.size(key) is None:
                await self._upload(key, gathered(chunks, WRITE_CHUNK))
            else:
                await self._sync(key)
            await self._sync_folders(key)

    async def put_json(self, key: str, document: Document) -> str:
        content = document.model_dump_json().encode()
        with _store_errors():
            try:
                await self._write(key, content)
            except AlreadyExistsError:
                kept = await self.get_json(key, type(document))
                if kept is None or not _same_work(kept, document):
                    await self._write(key, content, replace=True)
            await self._sync(key)
            await self._sync_folders(key)
        return key

    async def get_json(self, key: str, model: type[D]) -> D | None:
        with _store_errors():
            try:
                found = await obstore.get_async(self._store, key)
                content = bytes(await found.bytes_async())
            except FileNotFoundError:
                return None
        return model.model_validate_json(content)

    async def size(self, key: str) -> int | None:
        with _store_errors():
            try:
                return (await obstore.head_async(self._store, key))["size"]
            except FileNotFoundError:
                return None

    async def read(self, key: str, start: int = 0) -> AsyncIterator[bytes]:
        size = await self.size(key)
        if size is None:
            raise Missing(key)
        for offset in range(start, size, READ_CHUNK):
            with _store_errors():
                part = await obstore.get_range_async(
                    self._store, key, start=offset, end=min(offset + READ_CHUNK, size)
                )
            yield bytes(part)

    async def delete(self, key: str) -> None:
        """Remove the blob; one that is not there is no error."""
        with _store_errors():
            try:
                await obstore.delete_async(self._store, key)
            except FileNotFoundError:
                return

    async def check(self) -> None:
        """Raise `Unavailable` unless the store answers."""
        await self.size("check")

    async def _upload(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        """Upload in parts: with `mode="create"` obstore would hold the whole blob in memory.

        A bucket shows the blob once it is complete. In a folder the upload has a name of its own,
        because completing it would replace a blob that came meanwhile.
        """
        name = key if self._folder is None else f"{key}.{uuid4().hex}"
        try:
            await obstore.put_async(self._store, name, chunks, max_concurrency=UPLOAD_CONCURRENCY)
            if name != key:
                await self._sync(name)
                await obstore.rename_async(self._store, name, key, overwrite=False)
        except AlreadyExistsError:
            await self.delete(name)
        except BaseException:
            if self._folder is not None:
                await self.delete(name)
                await asyncio.to_thread(_remove_empty_parents, self._folder, name)
            raise

    async def _write(self, key: str, content: bytes, *, replace: bool = False) -> None:
        """Write a small blob whole. Raise `AlreadyExistsError` unless it may `replace` another."""
        if self._folder is None:
            await obstore.put_async(
                self._store, key, content, mode="overwrite" if replace else "create"
            )
            return
        name = f"{key}.{uuid4().hex}"
        await obstore.put_async(self._store, name, content)
        try:
            await self._sync(name)
            await obstore.rename_async(self._store, name, key, overwrite=replace)
        except BaseException:
            await self.delete(name)
            raise

    async def _sync(self, name: str) -> None:
        if self._folder is not None:
            await asyncio.to_thread(_fsync, self._folder / name)

    async def _sync_folders(self, key: str) -> None:
        if self._folder is not None:
            await asyncio.to_thread(_fsync_parents, self._folder, key)


async def gathered(chunks: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """The same bytes in chunks of at least `size`, but for the last.

    Each chunk crosses into the store's own threads, which costs more than its bytes do.
    """
    waiting = bytearray()
    async for chunk in chunks:
        waiting += chunk
        if len(waiting) >= size:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)


def _local_store(url: str) -> LocalStore:
    folder = Path(url2pathname(urlsplit(url).path))
    folder.mkdir(parents=True, exist_ok=True)
    return LocalStore(folder, automatic_cleanup=True)


def _same_work(kept: Document, new: Document) -> bool:
    return getattr(kept, "digest", None) == getattr(new, "digest", None)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fsync_parents(root: Path, key: str) -> None:
    folder = (root / key).parent
    while folder != root.parent:
        _fsync(folder)
        folder = folder.parent


def _remove_empty_parents(root: Path, key: str) -> None:
    folder = (root / key).parent
    while folder != root:
        try:
            folder.rmdir()
        except OSError:  # something else is in it
            return
        folder = folder.parent


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError) as error:
        raise Unavailable(f"The blob store failed: {error}", part="The blob store") from error
