import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.progress import Progress

from infra.cli.exit_codes import Exit, exit_code
from infra.cli.progress_display import BarProgress, LineProgress, shown_on
from infra.client import result_files
from infra.client.batch import Outcome, summary
from infra.client.errors import Refused, ServerAway, ServerError
from infra.client.recordings import Recording
from infra.client.upload_options import UploadOptions

CALL = Recording(Path("calls/call.wav"), Path("call"))
ODD = Recording(Path("[b] call.wav"), Path("[b] call"))
SEGMENT = {"speaker": "left", "start_time": 0.5, "end_time": 1.0, "text": "hello", "words": []}
SESSION: dict[str, Any] = {
    "status": "completed",
    "transcript": {"segments": [SEGMENT]},
    "request": {"channels": {"left": "agent"}},
    "progress": [
        {"stage": "received", "channel": None},
        {"stage": "transcribe", "channel": "left"},
    ],
}
COMPLETED = Outcome(CALL, SESSION)
FAILED = Outcome(CALL, {"status": "failed", "error": {"message": "split gave up"}})
REFUSED = Outcome(CALL, error=Refused("audio_constraints: too short"))
AWAY = Outcome(CALL, error=ServerAway("nobody answers"))
BROKEN = Outcome(CALL, error=ServerError("server_error: oh"))
UNREADABLE = Outcome(CALL, error=PermissionError(13, "Permission denied"))


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([COMPLETED, COMPLETED], Exit.COMPLETED),
        ([COMPLETED, FAILED], Exit.FAILED),
        ([BROKEN], Exit.FAILED),
        ([UNREADABLE], Exit.FAILED),
        ([COMPLETED, REFUSED], Exit.REFUSED),
        ([REFUSED, FAILED], Exit.FAILED),
        ([REFUSED, FAILED, AWAY], Exit.AWAY),
    ],
)
def test_the_exit_code_tells_the_worst_that_can_be_mended(
    outcomes: list[Outcome], code: Exit
) -> None:
    assert exit_code(outcomes) == code


def test_the_summary_names_what_is_not_completed_and_counts() -> None:
    assert list(summary([COMPLETED, FAILED, REFUSED, REFUSED])) == [
        "calls/call.wav: split gave up",
        "calls/call.wav: audio_constraints: too short",
        "calls/call.wav: audio_constraints: too short",
        "2 refused, 1 completed, 1 failed",
    ]
    assert list(summary([COMPLETED])) == []
    assert list(summary([REFUSED])) == ["calls/call.wav: audio_constraints: too short"]


def test_wishes_are_the_upload_fields_of_these_names() -> None:
    assert UploadOptions().form == {}
    options = UploadOptions("en", "left:agent", False, "call 7", {"team": "north", "shift": "2"})  # noqa: FBT003
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


def test_results_are_files_named_after_the_input(tmp_path: Path) -> None:
    recording = Recording(Path("in/sub/call.v2.wav"), Path("sub/call.v2"))
    endings = ["json", "txt", "srt", "vtt"]
    assert not result_files.is_saved(recording, tmp_path, endings)
    result_files.save(SESSION, recording, tmp_path, endings)
    assert result_files.is_saved(recording, tmp_path, endings)
    names = sorted(path.name for path in (tmp_path / "sub").iterdir())
    assert names == ["call.v2.json", "call.v2.srt", "call.v2.txt", "call.v2.vtt"]
    assert (tmp_path / "sub" / "call.v2.txt").read_text() == "[00:00.5] agent: hello\n"


def test_without_a_terminal_each_stage_is_a_line() -> None:
    stream = io.StringIO()
    with shown_on(Console(file=stream, width=20)) as lines:
        assert isinstance(lines, LineProgress)
        lines.begin(CALL)
        lines.update(CALL, SESSION)
        lines.update(CALL, SESSION)
        lines.end(CALL, "completed")
    assert stream.getvalue().splitlines() == [
        "calls/call.wav: uploading",
        "calls/call.wav: received",
        "calls/call.wav: transcribe left",
        "calls/call.wav: completed",
    ]


def test_on_a_terminal_each_recording_at_work_has_a_bar() -> None:
    stream = io.StringIO()
    with shown_on(Console(file=stream, force_terminal=True, width=100)) as bars:
        assert isinstance(bars, BarProgress)
        bars.begin(ODD)
        bars.begin(CALL)
        bars.update(ODD, SESSION)
        bars.end(CALL, "refused")
    shown = stream.getvalue()
    assert "[b] call.wav" in shown
    assert "transcribe left" in shown
    assert "calls/call.wav  refused" in shown


def test_a_bar_is_gone_once_its_recording_has_ended() -> None:
    progress = Progress(console=Console(file=io.StringIO()))
    bars = BarProgress(progress)
    bars.begin(CALL)
    bars.update(CALL, SESSION)
    assert [task.completed for task in progress.tasks] == [2]
    bars.end(CALL, "completed")
    assert progress.tasks == []
