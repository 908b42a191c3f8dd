import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from infra.client import folder_watch
from infra.client.audio_files import AudioFile
from infra.client.batch import TranscriptionOutcome
from infra.client.errors import Rejected, ServerAway
from infra.client.folder_watch import Scan, WatchedFolder, keep_watching

SETTLE = 2.0
DEADLINE = 10.0


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_watch, "SCAN_INTERVAL", 0.0)
    monkeypatch.setattr(folder_watch, "RETRY_DELAY", 0.0)


@pytest.fixture
def printed() -> list[str]:
    return []


@pytest.fixture
def folder(tmp_path: Path, printed: list[str]) -> WatchedFolder:
    def has_results(recording: AudioFile) -> bool:
        return recording.path.with_suffix(".json").exists()

    return WatchedFolder(tmp_path, has_results, printed.append, SETTLE)


def ready(folder: WatchedFolder, now: float) -> list[str]:
    """The names of those that are ready, which are taken and done with at once."""
    found = [recording for recording in folder.scan(now).ready if folder.take(recording)]
    for recording in found:
        folder.give_back(recording)
    return [recording.path.name for recording in found]


def test_a_file_is_ready_once_it_has_stopped_growing(tmp_path: Path, folder: WatchedFolder) -> None:
    call = tmp_path / "call.wav"
    call.write_bytes(b"a")
    assert ready(folder, 0.0) == []
    assert ready(folder, 1.9) == []
    call.write_bytes(b"ab")
    assert ready(folder, 2.5) == []
    assert ready(folder, 4.0) == []
    assert ready(folder, 4.5) == ["call.wav"]


def test_a_file_is_ready_once(tmp_path: Path, folder: WatchedFolder) -> None:
    (tmp_path / "call.wav").write_bytes(b"a")
    ready(folder, 0.0)
    assert ready(folder, 5.0) == ["call.wav"]
    assert ready(folder, 9.0) == []


def test_a_file_that_has_changed_since_is_ready_again(
    tmp_path: Path, folder: WatchedFolder
) -> None:
    call = tmp_path / "call.wav"
    call.write_bytes(b"a")
    ready(folder, 0.0)
    ready(folder, 5.0)
    call.write_bytes(b"a")
    os.utime(call, ns=(1, 1))
    ready(folder, 6.0)
    assert ready(folder, 9.0) == ["call.wav"]


def test_a_file_that_changes_while_it_is_at_work_is_ready_when_that_has_ended(
    tmp_path: Path, folder: WatchedFolder
) -> None:
    call = tmp_path / "call.wav"
    call.write_bytes(b"a")
    folder.scan(0.0)
    [recording] = folder.scan(5.0).ready
    assert folder.take(recording)
    call.write_bytes(b"ab")
    folder.scan(6.0)
    assert folder.scan(9.0).ready == ()
    folder.give_back(recording)
    assert ready(folder, 9.5) == ["call.wav"]


def test_a_file_that_changes_before_it_is_taken_settles_anew(
    tmp_path: Path, folder: WatchedFolder
) -> None:
    call = tmp_path / "call.wav"
    call.write_bytes(b"a")
    folder.scan(0.0)
    [recording] = folder.scan(5.0).ready
    call.write_bytes(b"ab")
    assert not folder.take(recording)
    assert ready(folder, 6.0) == []
    assert ready(folder, 8.0) == ["call.wav"]


def test_a_file_whose_results_are_there_is_done(tmp_path: Path, folder: WatchedFolder) -> None:
    (tmp_path / "call.wav").write_bytes(b"a")
    (tmp_path / "call.json").touch()
    ready(folder, 0.0)
    assert folder.scan(5.0) == Scan(found=1, done=1, ready=())


def test_a_file_that_is_replaced_after_its_results_came_is_ready_again(
    tmp_path: Path, folder: WatchedFolder
) -> None:
    call = tmp_path / "call.wav"
    call.write_bytes(b"a")
    (tmp_path / "call.json").touch()
    ready(folder, 0.0)
    call.write_bytes(b"ab")
    os.utime(call, ns=(1, 1))  # an old file, copied with its time
    ready(folder, 5.0)
    assert ready(folder, 8.0) == ["call.wav"]
    assert ready(folder, 12.0) == []


def test_an_empty_file_is_not_ready(tmp_path: Path, folder: WatchedFolder) -> None:
    (tmp_path / "call.wav").touch()
    ready(folder, 0.0)
    assert ready(folder, 5.0) == []


def test_hidden_files_are_left_alone(tmp_path: Path, folder: WatchedFolder) -> None:
    for name in (".call.wav", ".git/call.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"a")
    ready(folder, 0.0)
    assert folder.scan(5.0) == Scan(found=0, done=0, ready=())


def test_of_two_files_whose_results_would_have_one_name_the_second_is_left_alone(
    tmp_path: Path, folder: WatchedFolder, printed: list[str]
) -> None:
    for name in ("call.mp3", "call.wav"):
        (tmp_path / name).write_bytes(b"a")
    ready(folder, 0.0)
    assert ready(folder, 5.0) == ["call.mp3"]
    wav, mp3 = tmp_path / "call.wav", tmp_path / "call.mp3"
    assert printed == [f"{wav}: its results would replace those of {mp3}"]
    (tmp_path / "call.mp3").unlink()
    ready(folder, 6.0)
    assert ready(folder, 9.0) == ["call.wav"]


class Watch:
    """`keep_watching` over a folder, with a server that gives these answers and then waits."""

    def __init__(self, folder: Path, *answers: Exception | None, jobs: int = 1) -> None:
        self.folder = folder
        self.answers = list(answers)
        self.checks = list[Exception | None]()
        self.jobs = jobs
        self.tried = list[str]()
        self.printed = list[str]()
        self.changed = asyncio.Condition()

    async def transcribe(self, recording: AudioFile) -> TranscriptionOutcome:
        async with self.changed:
            self.tried.append(recording.path.name)
            self.changed.notify_all()
            await self.changed.wait_for(lambda: bool(self.answers))
            error = self.answers.pop(0)
        return TranscriptionOutcome(recording, None if error else {"status": "completed"}, error)

    async def check_server(self) -> None:
        if self.checks and (error := self.checks.pop(0)):
            raise error

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE), self.changed:
            await self.changed.wait_for(condition)

    def run(self, scenario: Callable[[], Awaitable[None]]) -> None:
        """Watch while the scenario lasts."""

        async def watching() -> None:
            watched = WatchedFolder(self.folder, lambda _: False, self.printed.append, 0.0)
            task = asyncio.create_task(
                keep_watching(
                    watched, self.transcribe, self.check_server, self.printed.append, self.jobs
                )
            )
            try:
                await scenario()
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

        asyncio.run(watching())


def test_with_the_server_away_a_recording_is_tried_again(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_bytes(b"a")
    watch = Watch(tmp_path, ServerAway("gone"), ServerAway("gone"), None, Rejected("no audio"))
    watch.run(lambda: watch.until(lambda: watch.tried[3:] == ["b.wav"]))
    assert watch.tried == ["a.wav", "a.wav", "a.wav", "b.wav"]
    again = f"{tmp_path}/a.wav: trying again in 0 s"
    assert watch.printed == ["2 recordings, 0 have results. Ctrl-C stops.", again, again]


def test_so_many_files_are_at_work_as_there_are_jobs(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav", "c.wav", "d.wav"):
        (tmp_path / name).write_bytes(b"a")
    watch = Watch(tmp_path, jobs=2)

    async def scenario() -> None:
        await watch.until(lambda: len(watch.tried) == 2)
        for _ in range(20):
            await asyncio.sleep(0)
        assert watch.tried == ["a.wav", "b.wav"]
        async with watch.changed:
            watch.answers.append(None)
            watch.changed.notify_all()
        await watch.until(lambda: len(watch.tried) == 3)

    watch.run(scenario)


def test_a_look_at_the_folder_holds_nothing_else_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking, go_on = threading.Event(), threading.Event()
    went_on = list[bool]()

    def scan(_: WatchedFolder, __: float) -> Scan:
        looking.set()
        went_on.append(go_on.wait(DEADLINE))
        return Scan(0, 0, ())

    monkeypatch.setattr(WatchedFolder, "scan", scan)

    async def scenario() -> None:
        assert await asyncio.to_thread(looking.wait, DEADLINE)
        go_on.set()  # only a loop that goes on comes here

    Watch(tmp_path).run(scenario)
    assert went_on[0]


def test_a_recording_is_sent_only_to_a_server_that_answers_as_one(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"a")
    watch = Watch(tmp_path, ServerAway("gone"), None)
    watch.checks = [ServerAway("there is no PocWhisp"), None, ServerAway("not yet"), None]
    watch.run(lambda: watch.until(lambda: len(watch.tried) == 2))
    assert watch.checks == []
    assert watch.printed[1:] == [
        f"{tmp_path}/a.wav: there is no PocWhisp; trying again in 0 s",
        f"{tmp_path}/a.wav: trying again in 0 s",
        f"{tmp_path}/a.wav: not yet; trying again in 0 s",
    ]


def test_a_folder_that_cannot_be_read_is_told_once_and_scanned_again(tmp_path: Path) -> None:
    folder, away = tmp_path / "calls", tmp_path / "away"
    folder.mkdir()
    (folder / "a.wav").write_bytes(b"a")
    watch = Watch(folder, None, None)

    async def scenario() -> None:
        await watch.until(lambda: watch.tried == ["a.wav"])
        folder.rename(away)
        while len(watch.printed) < 2:  # noqa: ASYNC110 - printing wakes nobody
            await asyncio.sleep(0)
        (away / "b.wav").write_bytes(b"b")
        away.rename(folder)
        await watch.until(lambda: watch.tried == ["a.wav", "b.wav"])

    watch.run(scenario)
    gone = f"The folder cannot be read: [Errno 2] No such file or directory: '{folder}'"
    assert watch.printed == ["1 recordings, 0 have results. Ctrl-C stops.", gone]


def test_an_error_of_the_watching_itself_is_raised_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"a")

    async def work() -> None:
        watch = Watch(tmp_path)
        watch.checks = [PermissionError(13, "Permission denied")]
        watched = WatchedFolder(tmp_path, lambda _: False, watch.printed.append, 0.0)
        await keep_watching(
            watched, watch.transcribe, watch.check_server, watch.printed.append, jobs=1
        )

    with pytest.raises(PermissionError, match="Permission denied"):
        asyncio.run(work())
