"""Blobs in obstore's stores: `file://` on one machine, `s3://` and such in a cluster."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from errno import EDQUOT, ENOSPC
from pathlib import Path
from typing import Protocol, TypeVar
from urllib.parse import urlsplit
from urllib.request import url2pathname
from uuid import uuid4

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from events.documents import Document
from shared.errors import Missing, Unavailable
from shared.folder import MIB, STAGING, FolderWriter, batches
from shared.ports import Check

D = TypeVar("D", bound=Document)

READ_CHUNK = MIB
WRITE_CHUNK = MIB
UPLOAD_CONCURRENCY = 2
CLAIM_TURNS = 10
"""Claims of other writers, gone or stale, after which a writer gives up."""
BUCKET_CHECK_TIMEOUT = 5.0
SUCCESS_VALIDITY = 15.0
FAILURE_VALIDITY = 5.0
STORE_AWAY = "The blob store is unavailable."
DISK_FULL = "The blob store's disk is full."


class BlobWriter(Protocol):
    """The way that one kind of store takes blobs."""

    async def create(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        """Store the chunks unless the key is taken."""
        ...

    async def write(self, key: str, content: bytes, *, replace: bool) -> bool:
        """Store a small blob. Returns False if the key is taken and it may not `replace` it."""
        ...

    async def settle(self, key: str) -> None:
        """Make sure that a blob which another process wrote lasts."""
        ...

    async def check(self) -> None:
        """Raise `Unavailable` unless blobs can be stored."""
        ...


class ObjectBlobs:
    """`ports.Blobs` on any store obstore opens; a memory store makes it a fake.

    `clock` returns seconds. `reserve` are the bytes that a folder's disk must have free.
    """

    def __init__(
        self,
        store: ObjectStore,
        *,
        clock: Callable[[], float] = time.monotonic,
        reserve: int = 0,
    ) -> None:
        self._store = store
        self._writer: BlobWriter
        if isinstance(store, LocalStore) and store.prefix is not None:
            self._writer = FolderWriter(Path(store.prefix), reserve)
        else:
            self._writer = BucketWriter(store, clock)

    @classmethod
    def open(cls, url: str, *, reserve: int = 0) -> "ObjectBlobs":
        """Open `file:///folder` (made if need be), `s3://bucket/prefix`, `gs://` or `az://`."""
        if urlsplit(url).scheme == "file":
            return cls(_local_store(url), reserve=reserve)
        return cls(from_url(url))

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        source = _Source(chunks)
        try:
            with _store_errors():
                if await self.size(key) is None:
                    await self._writer.create(key, aiter(source))
                else:
                    await self._writer.settle(key)
        except Unavailable:
            if source.failure is not None:
                raise source.failure from None
            raise

    async def put_json(self, key: str, document: Document) -> str:
        content = document.model_dump_json().encode()
        with _store_errors():
            if not await self._writer.write(key, content, replace=False):
                stored = await self.get_json(key, type(document))
                if stored is None or not _has_same_digest(stored, document):
                    await self._writer.write(key, content, replace=True)
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
        with _store_errors(), suppress(FileNotFoundError):
            await obstore.delete_async(self._store, key)

    async def check(self) -> None:
        """Raise `Unavailable` unless blobs can be stored. A bucket is asked only now and then."""
        with _store_errors():
            await self._writer.check()


class BucketWriter:
    """Writes blobs into a bucket whose puts can be made on condition that the key is free.

    An upload in parts, as a long blob needs it, takes no such condition. So it gets a name of its
    own below `.staging`, and the first that is whole is claimed for the key by a small object. A
    writer that finds the claim copies the upload it names to the key, whoever wrote it: so all copy
    the same bytes, and what a killed writer began the next one finishes.
    """

    def __init__(self, store: ObjectStore, clock: Callable[[], float]) -> None:
        self._store = store
        self._recent = RecentCheck(self._answers, clock)

    async def create(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        upload = f"{STAGING}/{uuid4().hex}"
        parts = (b"".join(batch) async for batch in batches(chunks, WRITE_CHUNK))
        await obstore.put_async(self._store, upload, parts, max_concurrency=UPLOAD_CONCURRENCY)
        for _ in range(CLAIM_TURNS):
            if await self._publish(key, upload):
                return
        raise Unavailable("The blob store does not settle which upload is the first.")

    async def write(self, key: str, content: bytes, *, replace: bool) -> bool:
        try:
            await obstore.put_async(
                self._store, key, content, mode="overwrite" if replace else "create"
            )
        except AlreadyExistsError:
            return False
        return True

    async def settle(self, key: str) -> None:
        """Do nothing: what a bucket shows is stored."""

    async def check(self) -> None:
        await self._recent()

    async def _publish(self, key: str, upload: str) -> bool:
        """Copy the first complete upload to the key. Returns False if that upload is gone.

        The key is looked for only after the claim. In the other order, a writer could publish and
        remove its claim in between; this one would then claim its own upload and copy it as well.
        """
        claim = f"{STAGING}/{key}"
        first = await self._claimed(claim, upload)
        if first is None:
            return False
        try:
            if not await self._has(key):
                await obstore.copy_async(self._store, first, key)
        except FileNotFoundError:
            if not await self._has(key):
                await self._remove(claim)
                if first == upload:
                    raise
                return False
        await self._discard(claim, first, upload)
        return True

    async def _claimed(self, claim: str, upload: str) -> str | None:
        """Return the upload that was claimed first. Returns None if no claim is left."""
        if await self.write(claim, upload.encode(), replace=False):
            return upload
        try:
            found = await obstore.get_async(self._store, claim)
            return bytes(await found.bytes_async()).decode()
        except FileNotFoundError:
            return None

    async def _has(self, key: str) -> bool:
        try:
            await obstore.head_async(self._store, key)
        except FileNotFoundError:
            return False
        return True

    async def _discard(self, *names: str) -> None:
        """Remove blobs that are no longer needed. What cannot be removed does no harm."""
        for name in dict.fromkeys(names):
            with suppress(BaseError, OSError):
                await self._remove(name)

    async def _remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            await obstore.delete_async(self._store, name)

    async def _answers(self) -> None:
        with _store_errors():
            async with asyncio.timeout(BUCKET_CHECK_TIMEOUT):
                await self._has("check")


class RecentCheck:
    """A check whose outcome stays valid for some seconds, so that frequent probes cost little."""

    def __init__(self, check: Check, clock: Callable[[], float]) -> None:
        self._check = check
        self._clock = clock
        self._lock = asyncio.Lock()
        self._until = float("-inf")
        self._trouble: Unavailable | None = None

    async def __call__(self) -> None:
        """Raise `Unavailable` if the check does so, or did a few seconds ago."""
        async with self._lock:
            if self._clock() >= self._until:
                await self._look()
        if self._trouble is not None:
            raise Unavailable(str(self._trouble)) from self._trouble.__cause__

    async def _look(self) -> None:
        try:
            await self._check()
        except Unavailable as error:
            self._trouble = error
            self._until = self._clock() + FAILURE_VALIDITY
        else:
            self._trouble = None
            self._until = self._clock() + SUCCESS_VALIDITY


class _Source:
    """The chunks of a blob. `failure` is the error that ended them, as it was."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self.failure: Exception | None = None
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._chunks:
                yield chunk
        except Exception as error:
            self.failure = error
            raise


def _local_store(url: str) -> LocalStore:
    folder = Path(url2pathname(urlsplit(url).path))
    folder.mkdir(parents=True, exist_ok=True)
    return LocalStore(folder, automatic_cleanup=True)


def _has_same_digest(stored: Document, new: Document) -> bool:
    return getattr(stored, "digest", None) == getattr(new, "digest", None)


@contextmanager
def _store_errors() -> Iterator[None]:
    """Turn the store's errors into `Unavailable`; details of the store stay in its cause."""
    try:
        yield
    except (BaseError, OSError) as error:
        full = isinstance(error, OSError) and error.errno in {ENOSPC, EDQUOT}
        raise Unavailable(DISK_FULL if full else STORE_AWAY) from error
