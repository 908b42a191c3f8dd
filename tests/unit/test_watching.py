import asyncio
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from infra.client import folder_watch
from infra.client.batch import Outcome
from infra.client.errors import Refused, ServerAway
from infra.client.folder_watch import Folder, keep_watching
from infra.client.recordings import Recording

SETTLE = 2.0


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def folder(tmp_path: Path, said: list[str]) -> Folder:
    return Folder(
        tmp_path,
        lambda it: it.path.with_suffix(".json").exists(),
        said.append,
        SETTLE,
    )


def names(found: Iterator[Recording]) -> list[str]:
    return [recording.path.name for recording in found]


def test_a_file_is_ready_once_it_has_stopped_growing(tmp_path: Path, folder: Folder) -> None:
    call = tmp_path / "call.wav"
    call.write_bytes(b"a")
    assert names(folder.ready(0.0)) == []
    assert names(folder.ready(1.9)) == []
    call.write_bytes(b"ab")
    assert names(folder.ready(2.5)) == []
    assert names(folder.ready(4.0)) == []
    assert names(folder.ready(4.5)) == ["call.wav"]


def test_a_file_is_ready_once(tmp_path: Path, folder: Folder) -> None:
    (tmp_path / "call.wav").write_bytes(b"a")
    list(folder.ready(0.0))
    assert names(folder.ready(5.0)) == ["call.wav"]
    assert names(folder.ready(9.0)) == []


def test_a_file_that_has_changed_since_is_ready_again(tmp_path: Path, folder: Folder) -> None:
    call = tmp_path / "call.wav"
    call.write_bytes(b"a")
    list(folder.ready(0.0))
    list(folder.ready(5.0))
    call.write_bytes(b"a")
    os.utime(call, ns=(1, 1))
    list(folder.ready(6.0))
    assert names(folder.ready(9.0)) == ["call.wav"]


def test_a_file_whose_results_are_there_is_done(tmp_path: Path, folder: Folder) -> None:
    (tmp_path / "call.wav").write_bytes(b"a")
    (tmp_path / "call.json").touch()
    list(folder.ready(0.0))
    assert names(folder.ready(5.0)) == []


def test_an_empty_file_is_not_ready(tmp_path: Path, folder: Folder) -> None:
    (tmp_path / "call.wav").touch()
    list(folder.ready(0.0))
    assert names(folder.ready(5.0)) == []


def test_of_two_files_whose_results_would_have_one_name_the_second_is_left_alone(
    tmp_path: Path, folder: Folder, said: list[str]
) -> None:
    for name in ("call.mp3", "call.wav"):
        (tmp_path / name).write_bytes(b"a")
    list(folder.ready(0.0))
    assert names(folder.ready(5.0)) == ["call.mp3"]
    wav, mp3 = tmp_path / "call.wav", tmp_path / "call.mp3"
    assert said == [f"{wav}: its results would replace those of {mp3}"]
    (tmp_path / "call.mp3").unlink()
    list(folder.ready(6.0))
    assert names(folder.ready(9.0)) == ["call.wav"]


def test_with_the_server_away_a_recording_is_tried_again(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = [ServerAway("gone"), ServerAway("gone"), None, Refused("no audio")]
    tried = watched(tmp_path, errors, said, monkeypatch, "a.wav", "b.wav")
    assert tried == ["a.wav", "a.wav", "a.wav", "b.wav"]
    again = f"{tmp_path}/a.wav: gone; trying again"
    assert said == [again, again, f"{tmp_path}/b.wav: no audio"]


def watched(
    tmp_path: Path,
    answers: Sequence[Exception | None],
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
    *files: str,
) -> list[str]:
    """Watch with a server that answers so, until there are no answers left; what was tried."""
    monkeypatch.setattr(folder_watch, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(folder_watch, "AGAIN_AFTER", 0.0)
    for name in files:
        (tmp_path / name).write_bytes(b"a")
    errors, tried = list(answers), list[str]()

    async def scenario() -> None:
        enough = asyncio.Event()

        async def transcribe(recording: Recording) -> Outcome:
            tried.append(recording.path.name)
            error = errors.pop(0)
            if not errors:
                enough.set()
            return Outcome(recording, None if error else {"status": "completed"}, error)

        folder = Folder(tmp_path, lambda _: False, said.append, 0.0)
        watching_it = asyncio.create_task(keep_watching(folder, transcribe, said.append, 1))
        await enough.wait()
        await asyncio.sleep(0)
        watching_it.cancel()
        await asyncio.gather(watching_it, return_exceptions=True)

    asyncio.run(scenario())
    return tried
