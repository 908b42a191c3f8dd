import asyncio
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from rich.console import Console
from rich.progress import Progress

from infra.cli.exit_codes import Exit, exit_code
from infra.cli.progress_display import BarProgress, LineProgress, end_line, shown_on
from infra.client.audio_files import AudioFile
from infra.client.batch import (
    DiscardResults,
    ResultStore,
    Transcriber,
    TranscriptionOutcome,
    count_statuses,
)
from infra.client.client import Client, RecordingBody
from infra.client.errors import Rejected, ServerAway, ServerError
from infra.client.result_files import ResultFiles, is_result
from infra.client.upload_options import UploadOptions

CALL = AudioFile(Path("calls/call.wav"), Path("call"))
ODD = AudioFile(Path("[b] call.wav"), Path("[b] call"))
SEGMENT = {"speaker": "left", "start_time": 0.5, "end_time": 1.0, "text": "hello", "words": []}
SESSION: dict[str, Any] = {
    "session_id": "1",
    "status": "completed",
    "transcript": {"segments": [SEGMENT]},
    "request": {"channels": {"left": "agent"}},
    "progress": [
        {"stage": "received", "channel": None},
        {"stage": "transcribe", "channel": "left"},
    ],
}
COMPLETED = TranscriptionOutcome(CALL, SESSION)
FAILED = TranscriptionOutcome(CALL, {"status": "failed", "error": {"message": "split gave up"}})
REJECTED = TranscriptionOutcome(CALL, error=Rejected("audio_constraints: too short"))
AWAY = TranscriptionOutcome(CALL, error=ServerAway("nobody answers"))
BROKEN = TranscriptionOutcome(CALL, error=ServerError("server_error: oh"))
UNREADABLE = TranscriptionOutcome(CALL, error=PermissionError(13, "Permission denied"))


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([COMPLETED, COMPLETED], Exit.COMPLETED),
        ([COMPLETED, FAILED], Exit.FAILED),
        ([BROKEN], Exit.FAILED),
        ([UNREADABLE], Exit.FAILED),
        ([COMPLETED, REJECTED], Exit.REJECTED),
        ([REJECTED, FAILED], Exit.FAILED),
        ([REJECTED, FAILED, AWAY], Exit.AWAY),
    ],
)
def test_the_exit_code_tells_the_worst_that_can_be_mended(
    outcomes: list[TranscriptionOutcome], code: Exit
) -> None:
    assert exit_code(outcome.status for outcome in outcomes) == code


def test_the_summary_counts_what_became_of_the_recordings() -> None:
    outcomes = (COMPLETED, FAILED, REJECTED, REJECTED)
    counted = count_statuses(outcome.status for outcome in outcomes)
    assert counted == "2 refused, 1 completed, 1 failed"


@pytest.mark.parametrize(
    ("outcome", "line"),
    [
        (COMPLETED, "calls/call.wav: completed after 1.0 s"),
        (FAILED, "calls/call.wav: failed: split gave up"),
        (REJECTED, "calls/call.wav: refused: audio_constraints: too short"),
        (UNREADABLE, "calls/call.wav: failed: [Errno 13] Permission denied"),
        (
            TranscriptionOutcome(CALL, error=KeyError("status")),
            "calls/call.wav: failed: KeyError: 'status'",
        ),
        (TranscriptionOutcome(CALL, {"status": "cancelled"}), "calls/call.wav: cancelled"),
    ],
)
def test_how_a_recording_ended_is_one_line(outcome: TranscriptionOutcome, line: str) -> None:
    assert end_line(CALL, outcome.status, outcome.reason, 1.0) == line


def test_options_are_the_upload_fields_of_these_names() -> None:
    assert UploadOptions().form == {}
    options = UploadOptions(
        language="en",
        channels="left:agent",
        summary=False,
        external_id="call 7",
        labels={"team": "north", "shift": "2"},
    )
    assert options.form == {
        "language": "en",
        "channels": "left:agent",
        "enable_summarization": "false",
        "external_id": "call 7",
        "labels": ["team=north", "shift=2"],
    }
    assert UploadOptions(task="translate", prompt="A call.", hotwords="router,fibre").form == {
        "task": "translate",
        "prompt": "A call.",
        "hotwords": "router,fibre",
    }


FORMATS = ["json", "txt", "srt", "vtt"]


@pytest.fixture
def call(tmp_path: Path) -> AudioFile:
    path = tmp_path / "in" / "sub" / "call.v2.wav"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"sound")
    return AudioFile(path, Path("sub/call.v2"))


def test_results_are_files_named_after_the_input(tmp_path: Path, call: AudioFile) -> None:
    results = ResultFiles(tmp_path, FORMATS)
    assert not results.has_results(call)
    results.save(call, SESSION)
    assert results.has_results(call)
    names = sorted(path.name for path in (tmp_path / "sub").iterdir())
    assert names == ["call.v2.json", "call.v2.srt", "call.v2.txt", "call.v2.vtt"]
    assert (tmp_path / "sub" / "call.v2.txt").read_text() == "[00:00.5] agent: hello\n"


def test_results_are_written_as_they_are_read(tmp_path: Path, call: AudioFile) -> None:
    said = {"transcript": {"segments": [SEGMENT | {"text": "grüß Gott 你好"}]}}
    ResultFiles(tmp_path, ["json", "txt"]).save(call, SESSION | said)
    for ending in ("json", "txt"):
        assert "grüß Gott 你好" in (tmp_path / "sub" / f"call.v2.{ending}").read_text("utf-8")


def test_a_result_appears_whole_or_not_at_all(tmp_path: Path, call: AudioFile) -> None:
    results = ResultFiles(tmp_path, ["json"])
    results.save(call, SESSION)
    before = (tmp_path / "sub" / "call.v2.json").read_bytes()
    with pytest.raises(UnicodeEncodeError):  # half-way through the file
        results.save(call, SESSION | {"note": "\ud800"})
    assert [path.read_bytes() for path in (tmp_path / "sub").iterdir()] == [before]


def test_results_replace_older_ones(tmp_path: Path, call: AudioFile) -> None:
    results = ResultFiles(tmp_path, FORMATS)
    silence: dict[str, Any] = {"transcript": {"segments": []}}
    for session in (SESSION | silence, SESSION, SESSION | silence):
        results.save(call, session)


@pytest.mark.parametrize(
    ("ending", "content"),
    [
        ("json", '{"duration": 1, "turns": []}'),
        ("json", "[]"),
        ("json", "RIFF"),
        ("json", ""),
        ("txt", "to do: call back"),
        ("srt", "notes"),
        ("vtt", "notes"),
        ("vtt", "\xff"),
    ],
)
def test_a_file_that_is_no_result_is_replaced_only_by_force(
    tmp_path: Path, call: AudioFile, ending: str, content: str
) -> None:
    there = tmp_path / "sub" / f"call.v2.{ending}"
    there.parent.mkdir()
    there.write_text(content, encoding="latin-1")
    results = ResultFiles(tmp_path, [ending])
    assert not results.has_results(call)
    refusal = r"call\.v2\..* is no result of PocWhisp; .* --force"
    with pytest.raises(OSError, match=refusal):
        results.check(call)
    with pytest.raises(OSError, match=refusal):
        results.save(call, SESSION)
    assert there.read_text(encoding="latin-1") == content
    ResultFiles(tmp_path, [ending], force=True).save(call, SESSION)
    assert is_result(there)


def test_the_results_of_a_recording_that_was_replaced_are_not_there(
    tmp_path: Path, call: AudioFile
) -> None:
    results = ResultFiles(tmp_path, ["json"])
    results.save(call, SESSION)
    os.utime(tmp_path / "sub" / "call.v2.json", ns=(1, 1))
    assert not results.has_results(call)


def test_a_recorder_whose_clock_is_ahead_makes_no_result_old(
    tmp_path: Path, call: AudioFile
) -> None:
    os.utime(call.path, (2**32, 2**32))
    results = ResultFiles(tmp_path, ["json"])
    results.save(call, SESSION)
    assert results.has_results(call)


class Server:
    """A client of nobody: what it answers for each file, and how many were at work at once."""

    def __init__(self, **answers: dict[str, Any] | Exception) -> None:
        self.answers = answers
        self.at_work = self.most_at_work = 0
        self.uploads = list[str]()

    async def transcribe(
        self, audio: Path, watch: Callable[[RecordingBody], None], _: UploadOptions
    ) -> RecordingBody:
        self.uploads.append(audio.name)
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        for _turn in range(5):
            await asyncio.sleep(0)
        self.at_work -= 1
        answer = self.answers.get(audio.stem, SESSION)
        if isinstance(answer, Exception):
            raise answer
        watch(answer)
        return answer


def transcriber(server: Server, results: ResultStore | None = None) -> Transcriber:
    display = LineProgress(Console(file=io.StringIO()))
    return Transcriber(
        cast("Client", server), UploadOptions(), display, results or DiscardResults()
    )


def named(*names: str) -> list[AudioFile]:
    return [AudioFile(Path(f"{name}.wav"), Path(name)) for name in names]


def test_whatever_goes_wrong_with_one_recording_stops_no_other() -> None:
    odd: dict[str, dict[str, Any] | Exception] = {
        "a": KeyError("status"),
        "b": UnicodeEncodeError("utf-8", "caf\udce9", 3, 4, "surrogates not allowed"),
        "c": Rejected("no audio"),
        "d": {},
    }
    found = named(*"abcde")
    outcomes = asyncio.run(transcriber(Server(**odd)).transcribe_all(found, 2))
    assert [one.recording for one in outcomes] == found
    assert [one.status for one in outcomes] == [
        "failed",
        "failed",
        "refused",
        "failed",
        "completed",
    ]
    assert outcomes[0].reason == "KeyError: 'status'"


def test_so_many_recordings_are_at_work_as_there_are_jobs() -> None:
    server = Server()
    asyncio.run(transcriber(server).transcribe_all(named(*"abcdefgh"), 3))
    assert server.most_at_work == 3


def test_a_recording_whose_result_cannot_be_kept_is_not_sent(
    tmp_path: Path, call: AudioFile
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "call.v2.json").write_text("{}")
    server = Server()
    outcome = asyncio.run(transcriber(server, ResultFiles(tmp_path, ["json"])).transcribe(call))
    assert (outcome.status, server.uploads) == ("failed", [])
    assert "--force" in outcome.reason


@pytest.mark.parametrize(
    ("quiet", "lines"),
    [(False, ["a.wav: completed", "b.wav: refused"]), (True, ["b.wav: refused"])],
)
def test_without_a_terminal_each_recording_is_a_line(*, quiet: bool, lines: list[str]) -> None:
    stream = io.StringIO()
    with shown_on(Console(file=stream, width=20), quiet=quiet) as display:
        assert isinstance(display, LineProgress)
        for recording, status, reason in zip(
            named("a", "b"), ("completed", "refused"), ("", "no audio"), strict=True
        ):
            display.begin(recording)
            display.update(recording, SESSION)
            display.end(recording, status, reason)
    shown = stream.getvalue().splitlines()
    assert [line.startswith(start) for line, start in zip(shown, lines, strict=True)]


def test_on_a_terminal_each_recording_at_work_has_a_bar() -> None:
    stream = io.StringIO()
    with shown_on(Console(file=stream, force_terminal=True, width=100)) as bars:
        assert isinstance(bars, BarProgress)
        bars.begin(ODD)
        bars.begin(CALL)
        bars.update(ODD, SESSION)
        bars.end(CALL, "refused", "too short")
    shown = stream.getvalue()
    assert "[b] call.wav" in shown
    assert "transcribe left" in shown
    assert "calls/call.wav: refused: too short" in shown


def test_a_bar_is_gone_once_its_recording_has_ended() -> None:
    progress = Progress(console=Console(file=io.StringIO()))
    bars = BarProgress(progress)
    bars.begin(CALL)
    bars.update(CALL, SESSION)
    assert [task.completed for task in progress.tasks] == [2]
    bars.end(CALL, "completed", "")
    assert progress.tasks == []
