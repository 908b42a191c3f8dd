"""The command line against a real stack: what it prints, what it writes, how it ends."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from events import RecordingCompleted
from infra.local.state import is_alive, running_stack
from tests.support.examples import wav_file
from tests.support.servers import free_port
from tests.support.stacks import POCWHISP, ROOT, Body, RunningStack, stopped
from tests.support.waiting import eventually

SILENCE = wav_file()
STORY = [
    "recording.received.v1",
    "recording.split.v1",
    "channel.transcribed.v1",
    "channel.transcribed.v1",
    "transcript.merged.v1",
    "transcript.summarized.v1",
    "recording.completed.v1",
]


def pocwhisp(*arguments: str | Path, seconds: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command = [*POCWHISP, *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False
    )


@contextmanager
def started(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    """The command while it runs; killed at the end if need be."""
    command = [*POCWHISP, *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def interrupted(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Press Ctrl-C; the exit code and what was said on standard error."""
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


def calls(folder: Path, *names: str) -> Path:
    """A folder with silent calls of these names."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(SILENCE)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_files_and_folders_become_files_named_after_them(
    stack: RunningStack, tmp_path: Path
) -> None:
    calls(tmp_path, "one.wav", "more/two.wav", "more/sub/three.WAV", "more/notes.txt")
    out = tmp_path / "out"
    done = pocwhisp(
        "transcribe", tmp_path / "one.wav", tmp_path / "more", "--data", stack.data,
        *("--json", "--srt", "--vtt", "--txt", "--out", out),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    endings = ("json", "srt", "txt", "vtt")
    expected = {f"{name}.{end}" for name in ("one", "two", "sub/three") for end in endings}
    assert set(names(out)) == expected
    assert json.loads((out / "sub" / "three.json").read_text())["status"] == "completed"
    assert done.stdout == ""
    assert [line for line in done.stderr.splitlines() if "two.wav: completed after" in line]
    assert len(done.stderr.splitlines()) == 4
    assert done.stderr.endswith("3 completed\n")


def test_one_result_is_printed_and_nothing_but_it(stack: RunningStack, tmp_path: Path) -> None:
    call = calls(tmp_path, "call.wav") / "call.wav"
    done = pocwhisp("transcribe", call, "--vtt", "--data", stack.data)
    assert (done.returncode, done.stdout) == (0, "WEBVTT\n")


def test_what_is_asked_for_reaches_the_api(stack: RunningStack, tmp_path: Path) -> None:
    call = calls(tmp_path, "call.wav") / "call.wav"
    done = pocwhisp(
        "transcribe", call, "--json", "--server", stack.info.url, "--language", "en",
        *("--channels", "left:agent,right:customer", "--no-summary", "--external-id", "call 7"),
        *("--label", "team=north", "--label", "shift=2", "--task", "transcribe"),
        *("--prompt", "A call about routers.", "--hotwords", "router,fibre"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    body = json.loads(done.stdout)
    assert body["request"] == {
        "language": "en",
        "channels": {"left": "agent", "right": "customer"},
        "external_id": "call 7",
        "labels": {"team": "north", "shift": "2"},
        "task": "transcribe",
        "prompt": "A call about routers.",
        "hotwords": ["router", "fibre"],
        "enable_summarization": False,
        "started_at": None,
    }
    assert body["summary"] is None


def test_refused_input_is_told_in_the_words_of_the_api(stack: RunningStack, tmp_path: Path) -> None:
    call = tmp_path / "letter.wav"
    call.write_text("Dear customer, this is a letter.")
    done = pocwhisp("transcribe", call, "--data", stack.data)
    assert done.returncode == 4
    assert done.stdout == ""
    assert "letter.wav: refused: invalid_file_type: " in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_refused_stops_no_other(stack: RunningStack, tmp_path: Path) -> None:
    calls(tmp_path / "calls", "a.wav", "c.wav")
    (tmp_path / "calls" / "b.wav").write_bytes(SILENCE[:30])
    out = tmp_path / "out"
    done = pocwhisp(
        "transcribe", tmp_path / "calls", "--jobs=1", "--out", out, "--data", stack.data
    )
    assert done.returncode == 4
    assert names(out) == ["a.json", "c.json"]
    assert "b.wav: refused: invalid_" in done.stderr
    assert done.stderr.endswith("2 completed, 1 refused\n")


def test_a_failed_run_is_told_and_leaves_no_result(stack: RunningStack, tmp_path: Path) -> None:
    call = calls(tmp_path, "call.wav") / "call.wav"
    out = tmp_path / "out"
    before = set(stack.recordings())
    with (
        stopped(stack, "split") as pids,
        started("transcribe", call, "--out", out, "--data", stack.data) as process,
    ):
        new = eventually(lambda: set(stack.recordings()) - before, "the upload")
        (stack.data / "blobs" / "default" / new.pop() / "audio.wav").write_bytes(b"overwritten")
        os.kill(pids["split"], signal.SIGCONT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "call.wav: failed: split gave up" in said
    assert not out.exists()


def test_a_server_that_is_away_is_told(tmp_path: Path) -> None:
    call = calls(tmp_path, "call.wav") / "call.wav"
    nowhere = free_port()
    done = pocwhisp("transcribe", call, "--server", f"http://127.0.0.1:{nowhere}")
    assert done.returncode == 3
    assert f"http://127.0.0.1:{nowhere} does not answer" in done.stderr
    done = pocwhisp("events", "--server", f"nats://127.0.0.1:{nowhere}")
    assert (done.returncode, done.stdout) == (3, "")
    assert f"There is no broker at nats://127.0.0.1:{nowhere}" in done.stderr


def test_ctrl_c_stops_a_transcription_cleanly(stack: RunningStack, tmp_path: Path) -> None:
    call = calls(tmp_path, "call.wav") / "call.wav"
    before = set(stack.recordings())
    with (
        stopped(stack, "split"),
        started("transcribe", call, "--data", stack.data) as process,
    ):
        new = eventually(lambda: set(stack.recordings()) - before, "the upload")
        code, said = interrupted(process)
    assert code == 130
    assert "Traceback" not in said
    stack.ended(new.pop())


def test_ctrl_c_leaves_nothing_of_a_stack_that_was_started_for_a_command(tmp_path: Path) -> None:
    call, data = calls(tmp_path, "call.wav") / "call.wav", tmp_path / "data"
    with started("transcribe", call, "--data", data) as process:
        info = eventually(lambda: running_stack(data), "its stack")
        code, said = interrupted(process)
    assert (code, "Traceback" in said) == (130, False), said
    assert not (data / "stack.json").exists()
    assert not [pid for pid in info.processes.values() if is_alive(pid)]
    assert "was interrupted" not in (data / "stack.log").read_text()
    assert pocwhisp("down", "--delete", "--data", data).returncode == 0
    assert not data.exists()


def test_watch_takes_each_file_once_when_it_is_whole(
    own_stack: RunningStack, tmp_path: Path
) -> None:
    folder, out = calls(tmp_path / "calls", "there.wav"), tmp_path / "out"
    before = set(own_stack.recordings())
    watching = ("watch", folder, "--out", out, "--data", own_stack.data)
    with started(*watching, "--settle=0.5", "--vtt", "--json") as process:
        with (folder / "slow.wav").open("wb", buffering=0) as slow:
            slow.write(SILENCE[:30_000])
            eventually(
                lambda: slow.write(bytes(10)) and (out / "there.vtt").exists(),
                "the file that was there",
            )
            slow.write(SILENCE[slow.tell() :])
        eventually((out / "slow.vtt").exists, "the file that came slowly")
        (folder / "letter.wav").write_text("Dear customer, this is a letter.")
        os.kill(own_stack.pid("ingest"), signal.SIGKILL)
        calls(folder, "sub/last.wav")
        eventually((out / "sub" / "last.vtt").exists, "the file after the restart")
        code, said = interrupted(process)
    assert code == 0
    assert names(out) == sorted(
        f"{name}.{ending}" for name in ("there", "slow", "sub/last") for ending in ("json", "vtt")
    )
    assert json.loads((out / "slow.json").read_text())["metadata"]["duration"] == 2.0
    assert said.count("letter.wav: refused: invalid_file_type") == 1
    assert "Traceback" not in said
    assert len(set(own_stack.recordings()) - before) == 3


def test_watch_leaves_alone_what_has_its_results(stack: RunningStack, tmp_path: Path) -> None:
    folder = calls(tmp_path, "done.wav", "new.wav")
    (folder / "done.json").write_text('{"session_id": "1"}')
    with started("watch", folder, "--settle=0", "--data", stack.data) as process:
        eventually((folder / "new.json").exists, "the new file")
        code, said = interrupted(process)
    assert code == 0
    assert said.startswith("2 recordings, 1 have results.")
    assert (folder / "done.json").read_text() == '{"session_id": "1"}'


def silent_call(stack: RunningStack) -> str:
    """A silent call that is completed; its id."""
    response = stack.http.post("/api/v1/transcribe?wait=60", files={"audio": SILENCE})
    assert response.status_code == 200, response.text
    return str(response.json()["session_id"])


def test_events_tells_a_recordings_whole_story_in_order(stack: RunningStack) -> None:
    session_id = silent_call(stack)
    done = pocwhisp("events", "--session", session_id, "--until-end", "--data", stack.data)
    assert done.returncode == 0, done.stderr
    story = [json.loads(line) for line in done.stdout.splitlines()]
    assert {event["subject"] for event in story} == {session_id}
    types = [event["type"].removeprefix("io.pocwhisp.") for event in story]
    assert sorted(types) == sorted(STORY)
    assert without_repeats(types) == without_repeats(STORY)
    assert all(event["specversion"] == "1.0" for event in story)


def without_repeats(types: list[str]) -> list[str]:
    """Merge may have seen both transcripts before the second one was announced."""
    return list(dict.fromkeys(types))


def test_events_goes_on_until_ctrl_c(stack: RunningStack) -> None:
    known = silent_call(stack)
    only = ("--type", "*.completed", "--since-start", "--server", stack.info.nats_url)
    with started("events", *only) as process:
        assert process.stdout
        until_told(process, known)
        new = silent_call(stack)
        event = until_told(process, new)
        code, said = interrupted(process)
    assert event["type"] == RecordingCompleted.type
    assert (code, said) == (0, "")


def until_told(process: subprocess.Popen[str], session_id: str) -> Body:
    """Read lines up to the event of this recording."""
    assert process.stdout
    for line in process.stdout:
        event: Body = json.loads(line)
        if event["subject"] == session_id:
            return event
    raise AssertionError(process.stderr and process.stderr.read())


def test_events_ends_in_silence_when_nobody_reads_them(stack: RunningStack) -> None:
    silent_call(stack)
    with started("events", "--since-start", "--data", stack.data) as process:
        assert process.stdout
        assert process.stderr
        assert json.loads(process.stdout.readline())["specversion"] == "1.0"
        process.stdout.close()
        silent_call(stack)
        assert process.wait(20) == 0
        assert process.stderr.read() == ""
