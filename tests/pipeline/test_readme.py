"""Every command in the README works as it is written."""

import json
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from events import RecordingCompleted
from tests.support.clips import first_turns
from tests.support.examples import wav_file
from tests.support.recognizers import NANO_CALL
from tests.support.stacks import ROOT, SAMPLE_CALL, Body, RunningStack
from tests.support.waiting import eventually

README = (ROOT / "README.md").read_text()
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]
SAMPLE = "tests/calls/support.wav"
OWN_PROCESS = {"make demo", "make test", ".venv/bin/pocwhisp up"}


def run(command: str, seconds: float = 120.0) -> str:
    """Run a command as a shell does, in the project's root; its standard output."""
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_readme_names_the_two_commands_first() -> None:
    assert COMMANDS[:2] == ["make demo", "make test"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl: apt-get install curl")
@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("curl ")])
def test_each_curl_command_is_answered(
    stack: RunningStack, sample_call: Body, tmp_path: Path, command: str
) -> None:
    there = command.replace("http://localhost:8080", stack.info.url)
    there = there.replace("SESSION_ID", sample_call["session_id"])
    there = there.replace(SAMPLE, str(first_turns(SAMPLE_CALL, 2, tmp_path / "call.wav")))
    output = run(f"{there} --silent --show-error --fail")
    if command.endswith("/metrics"):
        assert "pocwhisp_uploads_total" in output
        return
    body = json.loads(output)
    assert body.keys() & {"status", "sessions"}
    if "session_id" in body:
        stack.ended(body["session_id"])


def says_what_was_said(output: str) -> bool:
    return "left" in output and "right" in output


EXPECTED: dict[str, Callable[[str], bool]] = {
    "status": lambda output: "healthy" in output,
    "doctor": lambda output: "PostgreSQL" in output,
}
FOLDERS = ("recordings", "transcripts")


@pytest.fixture
def there(stack: RunningStack, sample_call: Body, tmp_path: Path) -> Callable[[str], str]:
    """Makes a command of the README one of the stack, and of folders that are there."""
    calls, results = (tmp_path / name for name in FOLDERS)
    calls.mkdir()
    (calls / "call.wav").write_bytes(wav_file())
    short = first_turns(SAMPLE_CALL, 2, tmp_path / "call.wav")

    def made(command: str) -> str:
        command = command.replace(SAMPLE, str(short))
        command = command.replace("recordings/", f"{calls}/").replace("transcripts/", f"{results}/")
        command = command.replace("SESSION_ID", sample_call["session_id"])
        return command if command.endswith("doctor") else f"{command} --data {stack.data}"

    return made


def commands(*verbs: str) -> list[str]:
    starts = tuple(f".venv/bin/pocwhisp {verb}" for verb in verbs)
    return [line for line in COMMANDS if line.startswith(starts)]


@pytest.mark.parametrize("command", commands(*EXPECTED))
def test_a_command_about_the_machine_says_how_it_is(
    there: Callable[[str], str], command: str
) -> None:
    assert EXPECTED[command.split()[1]](run(there(command)))


@pytest.mark.parametrize("command", commands("transcribe"))
def test_each_transcribe_command_prints_the_conversation_or_writes_its_files(
    there: Callable[[str], str], tmp_path: Path, command: str
) -> None:
    output = run(there(command))
    endings = {f".{name}" for name in re.findall(r"--(json|txt|srt|vtt)", command)}
    assert {path.suffix for path in (tmp_path / "transcripts").glob("call.*")} == endings
    assert says_what_was_said(output) or endings


@pytest.mark.parametrize("command", commands("evaluate"))
def test_each_evaluate_command_tells_the_errors_of_a_call(
    there: Callable[[str], str], tmp_path: Path, command: str
) -> None:
    folder = tmp_path / "calls"
    folder.mkdir()
    first_turns(NANO_CALL, 2, folder / "short.wav")
    there_command = there(command).replace("tests/calls", str(folder), 1)
    sides = json.loads(run(f"{there_command} --json"))["sides"]
    engines = [side["recordings"][0]["recognizer"].split()[0] for side in sides]
    assert engines == (["sphinx", "whisper-nano"] if "--against" in command else ["sphinx"])
    assert all(side["total"]["channels"]["both"]["words"] == 23 for side in sides)


@contextmanager
def going_on(command: str, output: Path) -> Iterator[None]:
    """A command that goes on until Ctrl-C; it must end well then."""
    with output.open("wb") as stream:
        process = subprocess.Popen(["/bin/sh", "-c", f"exec {command}"], cwd=ROOT, stdout=stream)
        try:
            yield
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()


@pytest.mark.parametrize("command", commands("watch"))
def test_each_watch_command_transcribes_what_is_in_the_folder(
    there: Callable[[str], str], tmp_path: Path, command: str
) -> None:
    with going_on(there(command), tmp_path / "output"):
        eventually((tmp_path / "transcripts" / "call.json").exists, "the result")


@pytest.mark.parametrize("command", [line for line in commands("events") if "end" not in line])
def test_each_events_command_prints_what_passes(
    stack: RunningStack, there: Callable[[str], str], tmp_path: Path, command: str
) -> None:
    def heard() -> list[str]:
        stack.http.post("/api/v1/transcribe", files={"audio": wav_file()})
        return (tmp_path / "output").read_text().splitlines()

    with going_on(there(command), tmp_path / "output"):
        first, *_ = eventually(heard, "an event")
    assert json.loads(first)["specversion"] == "1.0"


@pytest.mark.parametrize("command", [line for line in commands("events") if "end" in line])
def test_a_recordings_story_is_printed_to_its_end(
    there: Callable[[str], str], command: str
) -> None:
    *_, last = run(there(command)).splitlines()
    assert json.loads(last)["type"] == RecordingCompleted.type


def test_make_demo_shows_the_conversation_and_stops_everything() -> None:
    output = run("make demo", 300.0)
    for part in ("summarize", "The conversation", "The summary", "Sentiment", "has stopped"):
        assert part in output


def test_make_clean_deletes_what_the_stack_kept_before_its_folder() -> None:
    first, *others = run("make --no-print-directory --dry-run clean").splitlines()
    assert "pocwhisp down --delete --data .pocwhisp" in first
    assert ".pocwhisp" in others[0]


def test_make_test_is_what_runs_these_tests() -> None:
    assert "-m pytest" in run("make --dry-run test")


def test_every_command_of_the_readme_is_run_by_a_test() -> None:
    verbs = ("transcribe", "watch", "events", "evaluate", *EXPECTED)
    tested = {*commands(*verbs), *(line for line in COMMANDS if line.startswith("curl "))}
    assert set(COMMANDS) - tested == OWN_PROCESS
