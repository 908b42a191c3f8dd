from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from events.base import Channel
from shared.record.runs import EndedRun, RunEnding, RunFailure
from shared.record.stages import ReachedStage
from shared.record.totals import run_changes, stage_changes, stage_seconds

START = datetime(2026, 7, 1, tzinfo=UTC)


def reached(stage: str, seconds: float, channel: Channel | Literal[""] = "") -> ReachedStage:
    return ReachedStage(stage, channel, 1, START + timedelta(seconds=seconds))


STAGES = [
    reached("received", 0),
    reached("split", 1),
    reached("transcribe", 9, "left"),
    reached("transcribe", 4, "right"),
    reached("merge", 9.5),
    reached("completed", 9.25),
]


def test_a_stage_takes_from_the_latest_before_it_in_the_pipeline() -> None:
    assert stage_seconds(STAGES) == [
        ("split", 1.0),
        ("transcribe", 8.0),
        ("transcribe", 3.0),
        ("merge", 0.5),
        ("completed", 0.0),  # another machine's clock
    ]


def test_a_completed_run_adds_its_audio_and_its_time() -> None:
    changes = run_changes(RunEnding("completed"), EndedRun(START, 9.25, 60.0), STAGES)
    assert changes["ended", "completed"] == 1
    assert (changes["audio_seconds", ""], changes["processing_seconds", ""]) == (60, 9.25)
    assert changes["stage_seconds_count", "transcribe"] == 2
    assert changes["stage_seconds_sum", "transcribe"] == 11
    assert changes["stage_seconds_bucket", "transcribe/10"] == 1
    assert changes["stage_seconds_bucket", "transcribe/5"] == 1
    assert not any(measure == "parked" for measure, _ in changes)


def test_a_failed_run_adds_the_function_that_gave_up_and_no_audio() -> None:
    failure = RunFailure("merge", "permanent", "missing_blob", 1)
    changes = run_changes(RunEnding("failed", failure=failure), EndedRun(START, 1.0, 60.0), [])
    assert changes == {("ended", "failed"): 1, ("parked", "merge"): 1}


def test_what_lasts_longer_than_every_bucket_is_counted_all_the_same() -> None:
    changes = run_changes(
        RunEnding("completed"),
        EndedRun(START, 999, None),
        [reached("received", 0), reached("split", 999)],
    )
    assert changes["stage_seconds_count", "split"] == 1
    assert not any(measure == "stage_seconds_bucket" for measure, _ in changes)


@pytest.mark.parametrize("stage", ["split", "summarize"])
def test_a_stage_that_was_reached_is_an_event_handled(stage: str) -> None:
    assert stage_changes(stage) == {("delivered", stage): 1}
    assert stage_changes(stage, "parked") == {("parked", stage): 1}
