"""What every blob store promises, on the memory store of the unit tests and on a real folder."""

import asyncio
import os
import resource
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from obstore.store import MemoryStore

from events.documents import Request, Transcript
from shared.blobs import READ_CHUNK, ObjectBlobs
from shared.errors import Missing, Permanent, Unavailable
from tests.support.examples import stream, transcript

Inode: TypeAlias = tuple[int, int]
KEY = "default/recording/audio.wav"
MIB = 1 << 20


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture(params=["memory", "file"])
def blobs(request: pytest.FixtureRequest, folder: Path) -> ObjectBlobs:
    """A new store of every kind."""
    if request.param == "memory":
        return ObjectBlobs(MemoryStore())
    return ObjectBlobs.open(folder.as_uri())


@pytest.fixture
def in_folder(folder: Path) -> ObjectBlobs:
    return ObjectBlobs.open(folder.as_uri())


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Inode]:
    """What was fsynced, in order."""
    inodes: list[Inode] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        fsync(descriptor)
        found = os.fstat(descriptor)
        inodes.append((found.st_dev, found.st_ino))

    monkeypatch.setattr(os, "fsync", note)
    return inodes


@pytest.fixture
def nearly_full_disk() -> Iterator[None]:
    """Files of more than a mebibyte cannot be written."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MIB, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def inode(path: Path) -> Inode:
    found = path.stat()
    return found.st_dev, found.st_ino


def below(folder: Path) -> list[str]:
    """Everything in the folder, temporary files and empty folders too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


async def failing(after: int, error: Exception) -> AsyncIterator[bytes]:
    """So many mebibytes, then the error."""
    for number in range(after):
        yield bytes([number]) * MIB
    raise error


async def content(blobs: ObjectBlobs, key: str = KEY, start: int = 0) -> bytes:
    return b"".join([piece async for piece in blobs.read(key, start)])


# --- streamed blobs


@pytest.mark.parametrize(
    "chunks", [[], [b""], [b"abc"], [b"a", b"", b"bc"], [b"x" * MIB, b"y" * (12 * MIB), b"z"]]
)
def test_a_blob_is_what_was_put(blobs: ObjectBlobs, chunks: list[bytes]) -> None:
    async def work() -> None:
        await blobs.put(KEY, stream(chunks))
        assert await content(blobs) == b"".join(chunks)
        assert await blobs.size(KEY) == len(b"".join(chunks))

    run(work())


@pytest.mark.parametrize("after", [0, 1, 20])
def test_a_blob_whose_chunks_fail_leaves_nothing_and_the_error_comes_through(
    blobs: ObjectBlobs, folder: Path, after: int
) -> None:
    error = Permanent("invalid_audio", "Broken.")

    async def work() -> None:
        with pytest.raises(Permanent) as raised:
            await blobs.put(KEY, failing(after, error))
        assert raised.value is error
        assert await blobs.size(KEY) is None
        assert below(folder) == []

    run(work())


def test_a_failed_blob_does_not_stop_the_next_attempt(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        with pytest.raises(ValueError, match="once"):
            await blobs.put(KEY, failing(7, ValueError("once")))
        await blobs.put(KEY, stream([b"whole"]))
        assert await content(blobs) == b"whole"

    run(work())


def test_a_failed_blob_leaves_its_neighbours_alone(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await blobs.put("default/recording/other", stream([b"neighbour"]))
        with pytest.raises(ValueError, match="once"):
            await blobs.put(KEY, failing(1, ValueError("once")))
        assert await content(blobs, "default/recording/other") == b"neighbour"

    run(work())


def test_a_blob_is_not_seen_before_it_is_whole(blobs: ObjectBlobs) -> None:
    seen: list[int | None] = []

    async def looking() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * MIB
            seen.append(await blobs.size(KEY))

    run(blobs.put(KEY, looking()))
    assert seen == [None] * 20


def test_a_first_blob_is_never_replaced(blobs: ObjectBlobs, folder: Path) -> None:
    async def work() -> None:
        await blobs.put(KEY, stream([b"first"]))
        before = below(folder)
        await blobs.put(KEY, stream([b"second"]))
        assert await content(blobs) == b"first"
        assert below(folder) == before

    run(work())


def test_of_two_writers_at_the_same_time_the_first_that_is_done_stays(
    in_folder: ObjectBlobs, folder: Path
) -> None:
    async def work() -> None:
        begun, done = asyncio.Event(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            begun.set()
            await done.wait()
            yield b"late"

        late = asyncio.ensure_future(in_folder.put(KEY, slow()))
        await begun.wait()
        await in_folder.put(KEY, stream([b"early"]))
        done.set()
        await late
        assert await content(in_folder) == b"early"
        assert below(folder) == ["default", "default/recording", KEY]

    run(work())


def test_a_long_blob_goes_to_disk_as_it_comes(in_folder: ObjectBlobs, folder: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"x" * MIB
        assert bytes_below(folder) > 32 * MIB, "kept in memory"

    run(in_folder.put(KEY, chunks()))


# --- reading


@pytest.mark.parametrize("start", [0, 1, READ_CHUNK - 1, READ_CHUNK, READ_CHUNK + 1, 3 * MIB])
def test_reading_begins_anywhere_and_comes_in_bounded_chunks(
    blobs: ObjectBlobs, start: int
) -> None:
    whole = bytes(range(256)) * (3 * MIB // 256) + b"end"

    async def work() -> None:
        await blobs.put(KEY, stream([whole]))
        pieces = [piece async for piece in blobs.read(KEY, start)]
        assert b"".join(pieces) == whole[start:]
        assert max(map(len, pieces)) <= READ_CHUNK

    run(work())


@pytest.mark.parametrize("start", [3, 4, 1000])
def test_reading_from_the_end_on_gives_nothing(blobs: ObjectBlobs, start: int) -> None:
    async def work() -> None:
        await blobs.put(KEY, stream([b"abc"]))
        assert await content(blobs, start=start) == b""

    run(work())


def test_what_is_not_there_is_missing(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        assert await blobs.size(KEY) is None
        assert await blobs.get_json(KEY, Request) is None
        with pytest.raises(Missing, match=KEY):
            await content(blobs)

    run(work())


def test_deleting_leaves_nothing_and_may_be_repeated(blobs: ObjectBlobs, folder: Path) -> None:
    async def work() -> None:
        await blobs.put(KEY, stream([b"abc"]))
        await blobs.delete(KEY)
        await blobs.delete(KEY)
        assert await blobs.size(KEY) is None
        assert below(folder) == []

    run(work())


# --- documents


def test_a_document_is_what_was_put(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        assert await blobs.put_json(KEY, transcript()) == KEY
        assert await blobs.get_json(KEY, Transcript) == transcript()

    run(work())


def test_a_document_of_the_same_work_stays(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await blobs.put_json(KEY, transcript("s1"))
        assert await blobs.put_json(KEY, transcript("s1", "s2")) == KEY
        assert await blobs.get_json(KEY, Transcript) == transcript("s1")

    run(work())


def test_a_document_of_other_work_is_replaced_as_a_whole(blobs: ObjectBlobs, folder: Path) -> None:
    other = transcript("s1").model_copy(update={"digest": "other"})

    async def work() -> None:
        await blobs.put_json(KEY, transcript("s1", "s2"))
        before = below(folder)
        assert await blobs.put_json(KEY, other) == KEY
        assert await blobs.get_json(KEY, Transcript) == other
        assert below(folder) == before

    run(work())


def test_a_document_without_a_digest_stays(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await blobs.put_json(KEY, Request(prompt="first"))
        await blobs.put_json(KEY, Request(prompt="second"))
        assert await blobs.get_json(KEY, Request) == Request(prompt="first")

    run(work())


# --- durability and trouble, in a folder


def test_file_and_folders_are_on_disk_before_anyone_is_told(
    in_folder: ObjectBlobs, folder: Path, synced: list[Inode]
) -> None:
    run(in_folder.put(KEY, stream([b"abc"])))
    path = folder / KEY
    assert synced == [inode(each) for each in (path, *path.parents[:3])]
    assert path.parents[2] == folder


def test_a_document_is_on_disk_before_anyone_is_told(
    in_folder: ObjectBlobs, folder: Path, synced: list[Inode]
) -> None:
    other = transcript().model_copy(update={"digest": "other"})

    async def work() -> None:
        for document in (transcript(), other):
            synced.clear()
            await in_folder.put_json(KEY, document)
            assert synced[0] == inode(folder / KEY)
            assert inode(folder / "default") in synced

    run(work())


def test_what_somebody_else_wrote_is_on_disk_too_before_anyone_is_told(
    in_folder: ObjectBlobs, folder: Path, synced: list[Inode]
) -> None:
    async def work() -> None:
        await in_folder.put_json(KEY, transcript())
        for again in (in_folder.put(KEY, stream([b"abc"])), _put(in_folder)):
            synced.clear()
            await again
            assert inode(folder / KEY) in synced

    run(work())


async def _put(blobs: ObjectBlobs) -> None:
    await blobs.put_json(KEY, transcript())


def test_a_store_in_disorder_is_unavailable(in_folder: ObjectBlobs, folder: Path) -> None:
    (folder / "default").write_text("a file where a folder should be")

    async def work() -> None:
        with pytest.raises(Unavailable):
            await in_folder.put(KEY, stream([b"abc"]))
        with pytest.raises(Unavailable):
            await in_folder.put_json(KEY, transcript())
        with pytest.raises(Unavailable):
            await in_folder.size(KEY)
        with pytest.raises(Unavailable):
            await in_folder.get_json(KEY, Transcript)
        with pytest.raises(Unavailable):
            await content(in_folder)

    run(work())
    assert below(folder) == ["default"]


@pytest.mark.usefixtures("nearly_full_disk")
def test_a_full_disk_is_unavailable_and_nothing_half_written_stays(
    in_folder: ObjectBlobs, folder: Path
) -> None:
    async def work() -> None:
        with pytest.raises(Unavailable):
            await in_folder.put(KEY, stream([b"x" * MIB] * 20))
        assert await in_folder.size(KEY) is None

    run(work())
    assert below(folder) == []


def test_an_upload_that_is_given_up_leaves_nothing(in_folder: ObjectBlobs, folder: Path) -> None:
    async def work() -> None:
        halfway = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield b"x" * MIB
            halfway.set()
            await asyncio.Event().wait()

        upload = asyncio.ensure_future(in_folder.put(KEY, endless()))
        await halfway.wait()
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
        assert await in_folder.size(KEY) is None
        async with asyncio.timeout(5):
            while bytes_below(folder):  # noqa: ASYNC110 - the store does not tell
                await asyncio.sleep(0.01)

    run(work())


def test_a_folder_is_made_when_it_is_opened(tmp_path: Path) -> None:
    folder = tmp_path / "a b" / "ü"

    async def work() -> None:
        blobs = ObjectBlobs.open(folder.as_uri())
        await blobs.check()
        await blobs.put(KEY, stream([b"abc"]))

    run(work())
    assert (folder / KEY).read_bytes() == b"abc"
