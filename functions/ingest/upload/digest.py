"""The digest of a stream, computed in another thread."""

import asyncio
import hashlib
from collections.abc import Sequence

HASH_BATCH = 1 << 20
"""Bytes that are worth a call in another thread."""


class StreamDigest:
    """The SHA-256 of a stream. A full batch is hashed while the next bytes arrive."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._batch: list[bytes] = []
        self._size = 0
        self._hashing: asyncio.Task[None] | None = None

    async def feed(self, piece: bytes) -> None:
        """Add the next bytes. Waits while an earlier batch is hashed, to bound the memory."""
        self._batch.append(piece)
        self._size += len(piece)
        if self._size >= HASH_BATCH:
            await self._wait()
            batch, self._batch, self._size = self._batch, [], 0
            self._hashing = asyncio.create_task(asyncio.to_thread(self._update, batch))

    async def finish(self) -> str:
        """Return the digest of all bytes, in hexadecimal."""
        await self._wait()
        self._update(self._batch)
        return self._sha256.hexdigest()

    async def _wait(self) -> None:
        if self._hashing is not None:
            await self._hashing

    def _update(self, batch: Sequence[bytes]) -> None:
        for piece in batch:
            self._sha256.update(piece)
