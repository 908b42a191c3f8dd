"""The digest of bytes as they arrive, computed beside the event loop."""

import asyncio
import hashlib
from collections.abc import Sequence

HASH_BATCH = 1 << 20
"""Bytes worth another thread's trouble."""


class StreamDigest:
    """SHA-256 of bytes that come in pieces. Long ones are hashed while the next ones come."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._batch: list[bytes] = []
        self._size = 0
        self._hashing: asyncio.Task[None] | None = None

    async def feed(self, piece: bytes) -> None:
        """Take the next bytes. Wait while earlier ones are being hashed, so that few are kept."""
        self._batch.append(piece)
        self._size += len(piece)
        if self._size >= HASH_BATCH:
            await self._wait()
            batch, self._batch, self._size = self._batch, [], 0
            self._hashing = asyncio.create_task(asyncio.to_thread(self._update, batch))

    async def finish(self) -> str:
        """The digest of all bytes, in hexadecimal."""
        await self._wait()
        self._update(self._batch)
        return self._sha256.hexdigest()

    async def _wait(self) -> None:
        if self._hashing is not None:
            await self._hashing

    def _update(self, batch: Sequence[bytes]) -> None:
        for piece in batch:
            self._sha256.update(piece)
