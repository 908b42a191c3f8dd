"""What every blob store promises: the unit tests' memory store, a real folder and a real S3."""

import asyncio
import errno
import os
import resource
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Never, TypeAlias
from uuid import uuid4

import obstore
import psutil
import pytest
from obstore.exceptions import AlreadyExistsError, GenericError
from obstore.store import LocalStore, MemoryStore, ObjectStore, S3Store, from_url

from events.documents import Request, Transcript
from shared.blobs import FAILURE_VALIDITY, READ_CHUNK, SUCCESS_VALIDITY, ObjectBlobs
from shared.errors import Missing, Permanent, Unavailable
from shared.folder import STAGING, STALE_SECONDS
from tests.support.examples import stream, transcript
from tests.support.seaweedfs import BUCKET, seaweedfs
from tests.support.servers import free_port
from tests.support.waiting import run

Environment: TypeAlias = dict[str, str]
Inode: TypeAlias = tuple[int, int]
KEY = "default/recording/audio.wav"
MIB = 1 << 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "blobs"


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Environment]:
    with seaweedfs(tmp_path_factory.mktemp("s3")) as environment:
        yield environment


@dataclass(frozen=True)
class Home:
    """A new store, and what is in it under whatever name."""

    blobs: ObjectBlobs
    store: ObjectStore

    def names(self) -> list[str]:
        return sorted(found["path"] for page in obstore.list(self.store) for found in page)


def folder_home(folder: Path) -> Home:
    return Home(ObjectBlobs.open(folder.as_uri()), LocalStore(folder))


def memory_home() -> Home:
    store = MemoryStore()
    return Home(ObjectBlobs(store), store)


@pytest.fixture
def s3_home(s3: Environment, monkeypatch: pytest.MonkeyPatch) -> Home:
    for name, text in s3.items():
        monkeypatch.setenv(name, text)
    url = f"s3://{BUCKET}/{uuid4()}"
    return Home(ObjectBlobs.open(url), from_url(url))


@pytest.fixture(params=["memory", "file", "s3"])
def home(request: pytest.FixtureRequest, folder: Path) -> Home:
    """A new store of every kind."""
    if request.param == "file":
        return folder_home(folder)
    if request.param == "memory":
        return memory_home()
    found: Home = request.getfixturevalue("s3_home")
    return found


@pytest.fixture(params=["memory", "s3"])
def bucket(request: pytest.FixtureRequest) -> Home:
    """A new store of every kind that is no folder."""
    if request.param == "memory":
        return memory_home()
    found: Home = request.getfixturevalue("s3_home")
    return found


@pytest.fixture
def blobs(home: Home) -> ObjectBlobs:
    return home.blobs


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
    found = {str(path.relative_to(folder)) for path in folder.rglob("*")}
    return sorted(found - {STAGING})


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


@pytest.mark.parametrize(
    ("after", "error"),
    [
        (0, Permanent("invalid_audio", "Broken.")),
        (1, Permanent("invalid_audio", "Broken.")),
        (20, Permanent("invalid_audio", "Broken.")),
        (1, BlockingIOError(errno.EAGAIN, "no process for the decoder")),
        (1, TimeoutError("the decoder")),
    ],
)
def test_a_blob_whose_chunks_fail_leaves_nothing_and_the_error_comes_through(
    home: Home, folder: Path, after: int, error: Exception
) -> None:
    async def work() -> None:
        with pytest.raises(type(error)) as raised:
            await home.blobs.put(KEY, failing(after, error))
        assert raised.value is error
        assert home.names() == []
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


def test_a_first_blob_is_never_replaced(home: Home) -> None:
    async def work() -> None:
        await home.blobs.put(KEY, stream([b"first"]))
        await home.blobs.put(KEY, stream([b"second"]))
        assert await content(home.blobs) == b"first"
        assert home.names() == [KEY]

    run(work())


def test_of_two_writers_at_the_same_time_the_first_that_is_done_stays(home: Home) -> None:
    async def work() -> None:
        begun, done = asyncio.Event(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            begun.set()
            await done.wait()
            yield b"late"

        late = asyncio.ensure_future(home.blobs.put(KEY, slow()))
        await begun.wait()
        await home.blobs.put(KEY, stream([b"early"]))
        done.set()
        await late
        assert await content(home.blobs) == b"early"
        assert home.names() == [KEY]

    run(work())


@pytest.mark.parametrize("size", [1, 6 * MIB])
def test_writers_that_are_done_at_once_all_read_the_same_blob(home: Home, size: int) -> None:
    """An object store takes parts of 5 MiB: the longer blob is uploaded in several."""

    async def written(number: int, key: str) -> bytes:
        await home.blobs.put(key, stream([bytes([number]) * size]))
        return await content(home.blobs, key)

    async def work() -> None:
        keys = [f"default/{number}/audio.wav" for number in range(2)]
        for key in keys:
            found = set(await asyncio.gather(*(written(number, key) for number in range(3))))
            assert found in [{bytes([number]) * size} for number in range(3)]
        assert home.names() == keys

    run(work())


def lost(*_: object, **__: object) -> Never:
    raise GenericError("The connection is lost.")


async def put_but_die_before_the_copy(blobs: ObjectBlobs, first: bytes) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(obstore, "copy_async", lost)
        with pytest.raises(Unavailable):
            await blobs.put(KEY, stream([first]))


def test_what_a_writer_left_between_upload_and_key_is_finished_by_the_next(bucket: Home) -> None:
    async def work() -> None:
        await put_but_die_before_the_copy(bucket.blobs, b"first")
        assert await bucket.blobs.size(KEY) is None
        await bucket.blobs.put(KEY, stream([b"second"]))
        assert await content(bucket.blobs) == b"first"
        assert bucket.names() == [KEY]

    run(work())


def test_a_key_whose_first_upload_expired_goes_to_the_next(bucket: Home) -> None:
    async def work() -> None:
        await put_but_die_before_the_copy(bucket.blobs, b"first")
        [upload] = [name for name in bucket.names() if KEY not in name]
        await obstore.delete_async(bucket.store, upload)
        await bucket.blobs.put(KEY, stream([b"second"]))
        assert await content(bucket.blobs) == b"second"
        assert bucket.names() == [KEY]

    run(work())


def test_a_stale_claim_that_cannot_be_removed_is_an_outage(
    bucket: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def denied(*_: object, **__: object) -> Never:
        raise GenericError("no right to delete")

    async def work() -> None:
        await put_but_die_before_the_copy(bucket.blobs, b"first")
        [upload] = [name for name in bucket.names() if KEY not in name]
        await obstore.delete_async(bucket.store, upload)
        monkeypatch.setattr(obstore, "delete_async", denied)
        with pytest.raises(Unavailable):
            await asyncio.wait_for(bucket.blobs.put(KEY, stream([b"second"])), 10)

    run(work())


def test_a_writer_whose_claim_always_vanishes_gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    put = obstore.put_async

    async def put_unless_claimed(*given: Any, **more: Any) -> object:  # noqa: ANN401 - obstore's
        if more.get("mode") == "create":
            raise AlreadyExistsError("taken")
        return await put(*given, **more)

    monkeypatch.setattr(obstore, "put_async", put_unless_claimed)
    with pytest.raises(Unavailable, match="does not settle"):
        run(asyncio.wait_for(memory_home().blobs.put(KEY, stream([b"abc"])), 10))


def test_a_writer_whose_own_upload_is_gone_gives_up(
    bucket: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> Never:
        raise FileNotFoundError

    monkeypatch.setattr(obstore, "copy_async", gone)
    with pytest.raises(Unavailable):
        run(bucket.blobs.put(KEY, stream([b"abc"])))


def test_a_long_blob_goes_to_s3_as_it_comes(s3_home: Home) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(128):
            yield b"x" * MIB

    run(s3_home.blobs.put("warm/up", stream([b"x" * MIB] * 16)))
    Path("/proc/self/clear_refs").write_text("5")  # count the peak of memory anew
    idle = psutil.Process().memory_info().rss
    run(s3_home.blobs.put(KEY, chunks()))
    status = Path("/proc/self/status").read_text().splitlines()
    [peak] = [int(line.split()[1]) for line in status if line.startswith("VmHWM")]
    assert peak * 1024 - idle < 64 * MIB, "kept in memory"


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


def test_deleting_leaves_nothing_and_may_be_repeated(home: Home, folder: Path) -> None:
    async def work() -> None:
        await home.blobs.put(KEY, stream([b"abc"]))
        await home.blobs.delete(KEY)
        await home.blobs.delete(KEY)
        assert await home.blobs.size(KEY) is None
        assert home.names() == []
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


def test_file_and_new_folders_are_on_disk_before_anyone_is_told(
    in_folder: ObjectBlobs, folder: Path, synced: list[Inode]
) -> None:
    run(in_folder.put(KEY, stream([b"abc"])))
    recording = (folder / KEY).parent
    assert synced == [inode(each) for each in (folder / KEY, folder, recording.parent, recording)]


def test_only_what_is_new_is_synced(
    in_folder: ObjectBlobs, folder: Path, synced: list[Inode]
) -> None:
    async def work() -> None:
        await in_folder.put(KEY, stream([b"abc"]))
        synced.clear()
        await in_folder.put(f"{KEY}.2", stream([b"abc"]))

    run(work())
    assert synced == [inode(folder / f"{KEY}.2"), inode((folder / KEY).parent)]


def test_a_blob_has_its_name_only_once_its_bytes_are_on_disk(
    in_folder: ObjectBlobs, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named: list[bool] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        named.append((folder / KEY).exists())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    run(in_folder.put(KEY, stream([b"abc"])))
    assert named == [False, False, False, True]


def test_a_document_is_on_disk_before_anyone_is_told(
    in_folder: ObjectBlobs, folder: Path, synced: list[Inode]
) -> None:
    other = transcript().model_copy(update={"digest": "other"})

    async def work() -> None:
        for document in (transcript(), other):
            synced.clear()
            await in_folder.put_json(KEY, document)
            assert synced[0] == inode(folder / KEY)
            assert synced[-1] == inode((folder / KEY).parent)

    run(work())


def test_the_name_that_somebody_else_gave_is_on_disk_too_before_anyone_is_told(
    in_folder: ObjectBlobs, folder: Path, synced: list[Inode]
) -> None:
    async def work() -> None:
        await in_folder.put_json(KEY, transcript())
        for again in (in_folder.put(KEY, stream([b"abc"])), _put(in_folder)):
            synced.clear()
            await again
            assert inode((folder / KEY).parent) in synced

    run(work())


async def _put(blobs: ObjectBlobs) -> None:
    await blobs.put_json(KEY, transcript())


def test_a_key_stays_in_its_folder(in_folder: ObjectBlobs, tmp_path: Path) -> None:
    for key in ("../outside", str(tmp_path / "outside")):
        with pytest.raises(ValueError, match="outside"):
            run(in_folder.put(key, stream([b"abc"])))
        with pytest.raises(ValueError, match="outside"):
            asyncio.run(in_folder.put_json(key, transcript()))
    assert not (tmp_path / "outside").exists()


def test_what_killed_writers_left_is_removed_after_a_day(folder: Path) -> None:
    old, new = (folder / STAGING / name for name in ("old", "new"))
    old.parent.mkdir(parents=True)
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, time.time() - STALE_SECONDS - 1))
    ObjectBlobs.open(folder.as_uri())
    assert below(folder) == [f"{STAGING}/new"]


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


def test_a_full_disk_is_named(in_folder: ObjectBlobs, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> Never:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "writev", full)
    with pytest.raises(Unavailable, match="The blob store's disk is full"):
        run(in_folder.put(KEY, stream([b"abc"])))


def test_an_upload_that_is_given_up_leaves_nothing(home: Home, folder: Path) -> None:
    async def work() -> None:
        halfway = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield b"x" * MIB
            halfway.set()
            await asyncio.Event().wait()

        upload = asyncio.ensure_future(home.blobs.put(KEY, endless()))
        await halfway.wait()
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
        assert home.names() == []
        assert below(folder) == []

    run(work())


def test_a_folder_is_made_when_it_is_opened(tmp_path: Path) -> None:
    folder = tmp_path / "a b" / "ü"

    async def work() -> None:
        blobs = ObjectBlobs.open(folder.as_uri())
        await blobs.check()
        await blobs.put(KEY, stream([b"abc"]))

    run(work())
    assert (folder / KEY).read_bytes() == b"abc"


# --- readiness


class Disk:
    """A disk of so many MiB, as statvfs(2) tells of it."""

    f_frsize = MIB

    def __init__(self, size: int, free: int) -> None:
        self.f_blocks, self.f_bavail = size, free


@pytest.mark.parametrize(
    ("size", "free", "needed"), [(100_000, 511, 512), (100_000, 0, 512), (60, 2, 3)]
)
def test_a_nearly_full_disk_is_told_before_an_upload_fails_on_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, size: int, free: int, needed: int
) -> None:
    blobs = ObjectBlobs.open(folder.as_uri(), reserve=512 * MIB)
    monkeypatch.setattr(os, "statvfs", lambda _: Disk(size, free))
    told = f"The blob store's disk is nearly full: {free} MiB free, {needed} MiB needed."
    with pytest.raises(Unavailable, match=told):
        run(blobs.check())


@pytest.mark.parametrize(("size", "free"), [(100_000, 512), (60, 3), (8, 1)])
def test_a_disk_with_its_reserve_free_is_ready(
    folder: Path, monkeypatch: pytest.MonkeyPatch, size: int, free: int
) -> None:
    blobs = ObjectBlobs.open(folder.as_uri(), reserve=512 * MIB)
    monkeypatch.setattr(os, "statvfs", lambda _: Disk(size, free))
    run(blobs.check())


def test_every_kind_of_store_is_ready(blobs: ObjectBlobs) -> None:
    run(blobs.check())


def test_a_folder_that_is_gone_is_not_ready(in_folder: ObjectBlobs, folder: Path) -> None:
    folder.rmdir()
    with pytest.raises(Unavailable):
        run(in_folder.check())


class Probed:
    """A bucket's blobs whose requests are counted; `now` is the time in seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.requests = 0
        self.away = False
        self.blobs = ObjectBlobs(MemoryStore(), clock=lambda: self.now)
        monkeypatch.setattr(obstore, "head_async", self._head)

    async def _head(self, *_: object) -> None:
        self.requests += 1
        if self.away:
            lost()

    async def is_ready(self) -> bool:
        try:
            await self.blobs.check()
        except Unavailable:
            return False
        return True


def test_a_bucket_is_asked_once_in_fifteen_seconds_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    probed = Probed(monkeypatch)

    async def work() -> None:
        for probed.now in range(31):
            assert all(await asyncio.gather(*(probed.is_ready() for _ in range(3))))

    run(work())
    assert (SUCCESS_VALIDITY, probed.requests) == (15, 3)


def test_a_bucket_that_is_back_is_ready_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    probed = Probed(monkeypatch)
    probed.away = True

    async def work() -> None:
        assert not await probed.is_ready()
        probed.away = False
        probed.now = FAILURE_VALIDITY - 1
        assert not await probed.is_ready()
        assert probed.requests == 1
        probed.now = FAILURE_VALIDITY
        assert await probed.is_ready()

    run(work())


def test_what_clients_are_told_of_a_store_that_is_away_shows_nothing_of_it() -> None:
    address = f"http://127.0.0.1:{free_port()}"
    store = S3Store(
        "bucket",
        endpoint=address,
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
        access_key_id="key",
        secret_access_key="secret",  # noqa: S106 - nobody listens
    )

    async def work() -> None:
        blobs = ObjectBlobs(store)
        for attempt in (blobs.put(KEY, stream([b"abc"])), _put(blobs), blobs.check()):
            with pytest.raises(Unavailable) as raised:
                await attempt
            assert str(raised.value) == "The blob store is unavailable."
            assert address in str(raised.value.__cause__)

    run(work())
