import asyncio
import io
import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from infra.cli.app import app
from infra.cli.evaluation_table import evaluation_table
from infra.cli.exit_codes import Exit
from infra.client.audio_files import AudioFile
from infra.client.batch import TranscriptionOutcome
from infra.client.errors import Rejected
from infra.evaluation import runner
from infra.evaluation.calls import CannotEvaluate, calls_in
from infra.evaluation.configuration import (
    Configuration,
    UnusableSettings,
    configurations,
    unknown_settings,
)
from infra.evaluation.figures import (
    ConfigurationResult,
    Evaluation,
    RecordingFigures,
    figures_of,
    result_of,
)
from infra.evaluation.runner import Evaluator, own_stack
from infra.evaluation.truth import Truth, Turn, load_truth
from infra.local.errors import CannotStart

CALLS = Path(__file__).parent.parent / "calls"
CALL = Truth(
    duration=10.0,
    turns=(
        Turn(speaker="left", start_time=1.0, end_time=3.0, text="Good morning, who is this?"),
        Turn(speaker="right", start_time=3.5, end_time=6.0, text="It's me."),
    ),
)


def folder_with(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(CALL.model_dump_json() if path.suffix == ".json" else "")
    return folder


def problems(folder: Path) -> tuple[str, ...]:
    with pytest.raises(CannotEvaluate) as raised:
        calls_in(folder)
    return raised.value.problems


def test_the_sample_calls_are_recordings_with_their_truths() -> None:
    found = {call.name: call.truth for call in calls_in(CALLS)}
    assert found.keys() == {"nano.wav", "support.wav", "unseen.wav"}
    assert found["support.wav"] == load_truth(CALLS / "support.truth.json")


def test_recordings_of_several_kinds_and_folders_are_found_and_other_files_left(
    tmp_path: Path,
) -> None:
    folder_with(tmp_path, "a.wav", "a.mp3", "a.truth.json", "b/c.v2.FLAC", "b/c.v2.truth.json")
    folder_with(tmp_path, "b/notes.txt", ".hidden/d.truth.json")
    assert [call.name for call in calls_in(tmp_path)] == ["a.mp3", "a.wav", "b/c.v2.FLAC"]


def test_a_truth_of_the_old_name_is_read_while_there_is_none_of_the_new(tmp_path: Path) -> None:
    folder_with(tmp_path, "a.wav", "a.json", "b.wav", "b.json", "b.truth.json")
    (tmp_path / "b.json").write_text("what somebody else keeps here")
    assert [call.truth for call in calls_in(tmp_path)] == [CALL, CALL]


def test_a_result_beside_a_recording_is_never_taken_for_its_truth(tmp_path: Path) -> None:
    folder_with(tmp_path, "a.wav", "a.truth.json", "b.wav")
    for name in ("a.json", "b.json", "gone.json"):
        (tmp_path / name).write_text('{"session_id": "1", "status": "completed"}')
    assert [call.name for call in calls_in(tmp_path, skip_without_truth=True)] == ["a.wav"]
    without = f"{tmp_path}/b.wav has no truth; needed: b.truth.json beside it."
    assert problems(tmp_path) == (without,)


def test_a_folder_in_which_no_recording_has_a_truth_is_none_to_evaluate(tmp_path: Path) -> None:
    with pytest.raises(CannotEvaluate, match=r"has a truth NAME\.truth\.json"):
        calls_in(folder_with(tmp_path, "a.wav"), skip_without_truth=True)


def test_all_that_is_missing_or_broken_is_told_at_once(tmp_path: Path) -> None:
    folder_with(tmp_path, "a.wav", "a.truth.json", "b.wav", "c.truth.json", "d.wav")
    (tmp_path / "d.truth.json").write_text('{"duration": 1}')
    alone, without, broken = problems(tmp_path)
    assert alone == (
        f"{tmp_path}/c.truth.json has no recording; needed: c.wav (or another) beside it."
    )
    assert without == f"{tmp_path}/b.wav has no truth; needed: b.truth.json beside it."
    assert broken.startswith(f"{tmp_path}/d.truth.json: turns: Field required; needed: duration")


def test_an_empty_folder_is_told_what_it_should_hold(tmp_path: Path) -> None:
    (trouble,) = problems(folder_with(tmp_path, "notes.txt"))
    assert trouble.startswith(f"There is no recording in {tmp_path}; needed: NAME.wav")


def test_of_many_troubles_some_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    folder_with(tmp_path, *(f"{number}.wav" for number in range(14)))
    with pytest.raises(CannotEvaluate) as raised:
        calls_in(tmp_path)
    lines = str(raised.value).splitlines()
    assert (len(lines), lines[-1]) == (11, "… and 4 more.")


def test_without_settings_there_is_one_configuration_on_whatever_runs() -> None:
    assert configurations(None, None, "http://there") == [Configuration()]


def test_each_configuration_has_its_own_settings_and_its_own_stack() -> None:
    assert configurations(["A=1", "B=x=y"], None, None) == [
        Configuration({"A": "1", "B": "x=y"}, own_stack=True)
    ]
    assert configurations(["A=1"], ["A=2", "C="], None) == [
        Configuration({"A": "1"}, own_stack=True),
        Configuration({"A": "2", "C": ""}, own_stack=True),
    ]
    assert configurations(None, ["A=2"], None) == [
        Configuration({}, own_stack=True),
        Configuration({"A": "2"}, own_stack=True),
    ]


@pytest.mark.parametrize(
    ("with_settings", "against_settings", "server", "message"),
    [
        (["RECOGNIZER"], None, None, "--with RECOGNIZER: needed: NAME=VALUE"),
        (None, ["=sphinx"], None, "--against sphinx: needed: NAME=VALUE"),
        (["CONCURRENCY=2"], None, None, "the stack itself sets CONCURRENCY"),
        (["DISPATCH_GRACE=30"], None, None, "the stack itself sets DISPATCH_GRACE"),
        (["sweep_url=x"], None, None, "the stack itself sets sweep_url"),
        (["A=1"], ["nats_url=nats://there"], None, "the stack itself sets nats_url"),
        (["A=1"], None, "http://there", "so --server cannot be given too"),
        (None, ["A=1"], "http://there", "so --server cannot be given too"),
    ],
)
def test_settings_that_cannot_be_used_are_wrong_usage(
    with_settings: list[str] | None,
    against_settings: list[str] | None,
    server: str | None,
    message: str,
) -> None:
    with pytest.raises(UnusableSettings, match=message):
        configurations(with_settings, against_settings, server)


def test_a_setting_that_nothing_reads_is_noticed() -> None:
    known = {"RECOGNIZER": "sphinx", "whisper_model": "small", "HF_HOME": "x", "MAX_WAIT": "1"}
    known |= {"GRACE": "1", "DISPATCH_ACK_WAIT": "3"}
    assert unknown_settings([Configuration(known)]) == []
    assert unknown_settings([Configuration(known), Configuration({"RECOGNISER": "sphinx"})]) == [
        "RECOGNISER"
    ]


def test_an_evaluations_stack_never_shares_its_servers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://there")
    done = evaluate(
        folder_with(tmp_path / "calls", "a.wav", "a.truth.json"), tmp_path, "--with", "GRACE=1"
    )
    assert done.exit_code == 2
    assert "DATABASE_URL" in done.stderr
    assert not (tmp_path / "evaluate.log").exists()


def recording(name: str) -> AudioFile:
    return AudioFile(Path("calls", name), Path(name).with_suffix(""))


def completed(*heard: tuple[str, float, float, str], seconds: float = 2.0) -> dict[str, Any]:
    """The body of a call in which these segments were heard."""
    names = ("speaker", "start_time", "end_time", "text")
    return {
        "status": "completed",
        "transcript": {"segments": [dict(zip(names, each, strict=True)) for each in heard]},
        "metadata": {
            "duration": 10.0,
            "processing_time": seconds,
            "model_versions": {"recognizer": "test 1"},
        },
    }


NEARLY = completed(("left", 1.0, 3.0, "Good morning who is it"), ("right", 3.5, 6.0, "it's me"))
SWAPPED = completed(("left", 3.5, 6.0, "it's me"), seconds=8.0)
GOOD = figures_of(TranscriptionOutcome(recording("a.wav"), NEARLY), CALL)
BAD = figures_of(TranscriptionOutcome(recording("b.wav"), SWAPPED), CALL)
GONE = figures_of(
    TranscriptionOutcome(recording("b.wav"), error=Rejected("audio_constraints: too short")), CALL
)


def test_a_recordings_figures_are_those_of_its_transcript() -> None:
    assert BAD.channels is not None
    left, right, both = BAD.channels.left, BAD.channels.right, BAD.channels.both
    assert (left.words, left.substituted, left.deleted, left.inserted) == (5, 2, 3, 0)
    assert (left.word_error_rate, left.wrong_channel_words) == (1.0, 2)
    assert (right.words, right.deleted, right.wrong_channel_words) == (2, 2, 0)
    assert (both.words, both.word_error_rate, both.wrong_channel_words) == (7, 1.0, 2)
    assert len(BAD.turn_order_errors) == 3
    assert (BAD.recognizer, BAD.real_time_factor) == ("test 1", 0.8)


def test_a_recording_without_a_result_says_why_and_has_no_figures() -> None:
    assert (
        RecordingFigures(
            recording="calls/b.wav", status="refused", error="audio_constraints: too short"
        )
        == GONE
    )


@pytest.mark.parametrize(
    "odd",
    [
        {"transcript": None},
        {"transcript": {"segments": [{"speaker": "left"}]}},
        {"metadata": None},
        {"metadata": NEARLY["metadata"] | {"duration": "ten"}},
    ],
)
def test_an_answer_without_figures_is_a_failure_of_its_recording(odd: dict[str, Any]) -> None:
    found = figures_of(TranscriptionOutcome(recording("b.wav"), NEARLY | odd), CALL)
    assert (found.status, found.channels) == ("failed", None)
    assert found.error is not None
    assert found.error.startswith("the server's answer has no figures (")
    assert result_of({}, [GOOD, found]).total == result_of({}, [GOOD]).total


@pytest.mark.parametrize(
    "unknown", [{"duration": None}, {"duration": 0}, {"processing_time": None}]
)
def test_a_recording_of_unknown_length_or_time_has_all_other_figures(
    unknown: dict[str, Any],
) -> None:
    body = NEARLY | {"metadata": NEARLY["metadata"] | unknown}
    found = figures_of(TranscriptionOutcome(recording("a.wav"), body), CALL)
    assert (found.channels, found.real_time_factor) == (GOOD.channels, None)
    total = result_of({}, [GOOD, found]).total
    assert (total.recordings, total.real_time_factor) == (2, GOOD.real_time_factor)


def test_the_total_is_of_all_that_were_completed() -> None:
    both = result_of({}, [GOOD, BAD]).total
    assert (both.recordings, both.turn_order_errors, both.real_time_factor) == (2, 3, 0.5)
    assert both.channels.both.words == 14
    assert both.channels.left.word_error_rate == pytest.approx(6 / 10)
    assert result_of({}, [GOOD, GONE]).total.channels == GOOD.channels
    none = result_of({}, [GONE]).total
    assert (none.recordings, none.channels.both.word_error_rate) == (0, None)
    assert none.real_time_factor is None


def lines_of(*sides: ConfigurationResult) -> list[str]:
    stream = io.StringIO()
    names = ["a.wav", "[b] b.wav"]
    shown = evaluation_table(Evaluation(sides=sides), [CALL, CALL], names)
    Console(file=stream, width=80).print(shown)
    return [" ".join(line.split()) for line in stream.getvalue().splitlines()]


def test_a_table_has_a_row_for_each_channel_and_for_both() -> None:
    lines = lines_of(result_of({}, [GOOD, BAD]))
    for row in (
        "recording channel words WER channel order time",
        "a.wav left 5 20.0% 0",
        "right 2 0.0% 0",
        "both 7 14.3% 0 0 0.20",
        "[b] b.wav left 5 100.0% 2",
        "both 7 100.0% 2 3 0.80",
        "total left 10 60.0% 2",
        "both 14 57.1% 2 3 0.50",
        "test 1, 2 of 2 completed",
    ):
        assert row in lines


def test_two_configurations_stand_side_by_side_in_eighty_columns() -> None:
    lines = lines_of(result_of({"A": "[1]"}, [GOOD, BAD]), result_of({"A": "2"}, [GOOD, GONE]))
    for row in (
        "recording channel words A B A B A B A B",
        "both 7 14.3% 14.3% 0 0 0 0 0.20 0.20",
        "both 7 100.0% – 2 – 3 – 0.80 –",  # noqa: RUF001
        "both 14 57.1% 14.3% 2 0 3 0 0.50 0.20",
        "A: A=[1], test 1, 2 of 2 completed",
        "B: A=2, test 1, 1 of 2 completed",
    ):
        assert row in lines


def test_the_json_is_the_same_figures() -> None:
    evaluation = Evaluation(sides=(result_of({"A": "1"}, [GOOD, GONE]),))
    (side,) = json.loads(evaluation.model_dump_json())["sides"]
    assert side["settings"] == {"A": "1"}
    assert side["recordings"][0]["channels"]["left"] == {
        "words": 5,
        "substituted": 1,
        "deleted": 0,
        "inserted": 0,
        "word_error_rate": 0.2,
        "wrong_channel_words": 0,
    }
    assert side["recordings"][1]["channels"] is None
    assert side["total"]["recordings"] == 1
    assert Evaluation.model_validate_json(evaluation.model_dump_json()) == evaluation


def evaluate(folder: Path, data: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["evaluate", str(folder), "--data", str(data), *options])


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    return folder_with(tmp_path / "calls", "a.wav", "b.wav", "a.truth.json", "b.truth.json")


def test_a_second_configuration_that_cannot_start_leaves_the_first_ones_figures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, calls: Path
) -> None:
    async def ran(_: Evaluator, configuration: Configuration) -> list[TranscriptionOutcome]:
        if configuration.settings:
            raise CannotStart("there is no such model")
        return [
            TranscriptionOutcome(recording("a.wav"), NEARLY),
            TranscriptionOutcome(recording("b.wav"), SWAPPED),
        ]

    monkeypatch.setattr(Evaluator, "run", ran)
    done = evaluate(calls, tmp_path, "--json", "--against", "WHISPER_MODEL=gone")
    assert done.exit_code == Exit.AWAY
    assert "there is no such model" in done.stderr
    assert json.loads(done.stdout) == json.loads(
        Evaluation(sides=(result_of({}, [GOOD, BAD]),)).model_dump_json()
    )


@pytest.mark.parametrize("option", ["--skip-without-truth", "--skip-untold"])
def test_recordings_without_a_truth_are_left_out_if_wanted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, calls: Path, option: str
) -> None:
    async def ran(self: Evaluator, _: Configuration) -> list[TranscriptionOutcome]:
        return [TranscriptionOutcome(call.recording, NEARLY) for call in self.calls]

    monkeypatch.setattr(Evaluator, "run", ran)
    (calls / "b.truth.json").unlink()
    assert evaluate(calls, tmp_path).exit_code == Exit.USAGE
    assert "1 of 1 completed" in evaluate(calls, tmp_path, option).stdout


def test_a_recording_that_is_refused_stops_no_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, calls: Path
) -> None:
    async def ran(_: Evaluator, __: Configuration) -> list[TranscriptionOutcome]:
        refused = Rejected("audio_constraints: too short")
        return [
            TranscriptionOutcome(recording("a.wav"), NEARLY),
            TranscriptionOutcome(recording("b.wav"), error=refused),
        ]

    monkeypatch.setattr(Evaluator, "run", ran)
    done = evaluate(calls, tmp_path, "--with", "RECOGNISER=sphinx")
    assert done.exit_code == Exit.REJECTED
    assert "RECOGNISER is no setting of a function" in done.stderr
    assert "1 completed, 1 refused" in done.stderr
    assert "1 of 2 completed" in done.stdout


def test_an_answer_without_figures_takes_no_others_away(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, calls: Path
) -> None:
    async def ran(_: Evaluator, __: Configuration) -> list[TranscriptionOutcome]:
        odd = TranscriptionOutcome(recording("b.wav"), {"status": "completed"})
        return [TranscriptionOutcome(recording("a.wav"), NEARLY), odd]

    monkeypatch.setattr(Evaluator, "run", ran)
    done = evaluate(calls, tmp_path)
    assert done.exit_code == Exit.FAILED
    assert "1 completed, 1 failed" in done.stderr
    assert "1 of 2 completed" in done.stdout


class PassingStack:
    """A stack that leaves a file, as a real one does, and may fail to start."""

    url = "http://there"
    fails = False

    def __init__(self, data: Path, port: int, sink: object, env: Mapping[str, str]) -> None:
        self.data, self.port, self.sink, self.env = data, port, sink, env

    async def __aenter__(self) -> Self:
        assert not self.data.exists()
        self.data.mkdir()
        (self.data / "audio.wav").touch()
        if self.fails:
            raise CannotStart("there is no such model")
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


def delete(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_of_an_evaluations_stack_is_left_not_even_an_earlier_ones(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, fails: bool
) -> None:
    monkeypatch.setattr(runner, "Stack", PassingStack)
    monkeypatch.setattr(PassingStack, "fails", fails)
    (tmp_path / "evaluate" / "blobs").mkdir(parents=True)

    async def work() -> None:
        async with own_stack(Configuration(), tmp_path, delete) as url:
            assert url == "http://there"

    with suppress(CannotStart):
        asyncio.run(work())
    assert [path.name for path in tmp_path.iterdir()] == ["evaluate.log"]
