"""The ports that every function may ask for. Their adapters: `blobs.py`, `bus.py`."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Protocol, TypeAlias, TypeVar

from events import Envelope, Event
from events.documents import Document

D = TypeVar("D", bound=Document)
Clock: TypeAlias = Callable[[], datetime]
Check: TypeAlias = Callable[[], Awaitable[None]]
"""A call that raises `errors.Unavailable` unless its part answers."""


def utc_now() -> datetime:
    """Return the present time."""
    return datetime.now(UTC)


class Blobs(Protocol):
    """The object store. A blob appears whole or not at all.

    Of several writers of one key, in whatever processes and at whatever time, the first that has
    all its bytes in the store stays, and every successful writer reads that one. This holds in a
    folder of one file system with hard links, and in a bucket that honours `If-None-Match: *` on
    the put of an object, as S3, GCS, Azure and SeaweedFS do. A bucket needs two settings of its
    own: a rule that ends incomplete uploads in parts, and one that removes what is older than a day
    or more below `.staging/` (under the URL's prefix, if it has one), where a killed writer may
    leave an upload. Blobs are copied inside the bucket; where a copy of the longest takes more than
    30 s, obstore's time limit of a request, set `AWS_TIMEOUT` (`5m`).

    Every method raises `errors.Unavailable` while the store is away; reading what is not there
    raises `errors.Missing`.
    """

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        """Store the chunks unless the key is taken; a first blob is never replaced.

        Memory is bounded, however long the blob. If the chunks raise, nothing is stored.
        """
        ...

    async def put_json(self, key: str, document: Document) -> str:
        """Store the document and return its key.

        A stored document stays if its digest is equal, and is replaced as a whole if not.
        """
        ...

    async def get_json(self, key: str, model: type[D]) -> D | None:
        """Return the document. Returns None if there is none."""
        ...

    async def size(self, key: str) -> int | None:
        """Return the bytes of the blob. Returns None if there is none."""
        ...

    async def delete(self, key: str) -> None:
        """Remove the blob; one that is not there is no error."""
        ...

    def read(self, key: str, start: int = 0) -> AsyncIterator[bytes]:
        """Yield the blob's bytes from `start` on, in chunks of bounded size."""
        ...


class Publisher(Protocol):
    """Sends events. `publish` returns once the broker keeps the event.

    It raises `errors.Unavailable` while the broker is away.
    """

    async def publish(self, envelope: Envelope[Event]) -> None: ...
