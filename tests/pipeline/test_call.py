"""A call goes in, its conversation comes out, through every real part."""

import asyncio
import json
from uuid import UUID

import nats
import pytest
from nats.js.api import ConsumerConfig, DeliverPolicy

from events import EVENTS
from infra.evaluation.truth import load_truth
from infra.evaluation.word_errors import turn_order_errors, word_error_rate
from tests.support.examples import wav_file
from tests.support.stacks import ROOT, SAMPLE_CALL, Body, RunningStack, stopped

TRUTH = load_truth(SAMPLE_CALL.with_suffix(".truth.json"))


def test_the_sample_call_is_transcribed_within_the_promised_word_error_rate(
    sample_call: Body,
) -> None:
    assert word_error_rate(TRUTH, sample_call["transcript"]["segments"]) <= 0.15


def test_every_turn_of_the_sample_call_is_in_true_order_with_the_right_speaker(
    sample_call: Body,
) -> None:
    assert turn_order_errors(TRUTH, sample_call["transcript"]["segments"]) == []


def test_the_body_has_the_promised_names(sample_call: Body) -> None:
    segment = sample_call["transcript"]["segments"][0]
    assert sample_call["status"] == "completed"
    assert segment.keys() >= {
        "id", "speaker", "start_time", "end_time", "text", "confidence", "words",
    }  # fmt: skip
    assert segment["words"][0].keys() >= {"word", "start_time", "end_time", "confidence"}
    assert sample_call["summary"].keys() >= {"text", "key_points", "sentiment"}
    assert sample_call["metadata"].keys() >= {
        "duration", "processing_time", "channels", "sample_rate", "model_versions", "degraded",
    }  # fmt: skip


def test_the_body_tells_what_ran_and_what_stood_in(sample_call: Body) -> None:
    versions = sample_call["metadata"]["model_versions"]
    assert versions["whisper"] is None
    assert versions["llama"] is None
    assert versions["recognizer"].startswith("sphinx ")
    assert versions["summarizer"].startswith("extractive ")
    assert sample_call["metadata"]["degraded"] == ["recognizer:sphinx", "summarizer:extractive"]


def test_segments_have_unique_ids_and_words_within_their_times(sample_call: Body) -> None:
    segments = sample_call["transcript"]["segments"]
    assert [segment["id"] for segment in segments] == [
        f"s{number}" for number in range(1, len(segments) + 1)
    ]
    for segment in segments:
        assert segment["text"] == " ".join(word["word"] for word in segment["words"])
        for word in segment["words"]:
            assert segment["start_time"] <= word["start_time"] <= word["end_time"]
            assert word["end_time"] <= segment["end_time"]


def test_the_summary_says_nothing_that_was_not_said(sample_call: Body) -> None:
    texts = [segment["text"] for segment in sample_call["transcript"]["segments"]]
    points = sample_call["summary"]["key_points"]
    assert 2 <= len(points) <= 5
    assert all(any(point in text for text in texts) for point in points)
    assert sample_call["summary"]["text"]
    assert sample_call["summary"]["sentiment"] in {"positive", "neutral", "negative"}


def test_progress_names_every_stage_in_its_order(sample_call: Body) -> None:
    progress = sample_call["progress"]
    assert [stage["stage"] for stage in progress] == [
        *("received", "split", "transcribe", "transcribe", "merge", "summarize", "completed")
    ]
    times = [stage["at"] for stage in progress]
    assert times == sorted(times)
    # numbers are in the order of writing, in which merge may come before the second channel
    numbers = sorted(stage["sequence"] for stage in progress)
    assert numbers == list(range(1, len(progress) + 1))


def test_a_later_look_gives_the_same_body(stack: RunningStack, sample_call: Body) -> None:
    again = stack.http.get(sample_call["check_url"])
    assert again.status_code == 200
    assert again.json() == sample_call


def test_a_client_that_does_not_wait_is_told_where_to_look(stack: RunningStack) -> None:
    response = stack.http.post("/api/v1/transcribe?wait=0", files={"audio": wav_file()})
    body = response.json()
    assert response.status_code == 202
    assert body["status"] in {"queued", "processing"}
    assert UUID(body["session_id"]).version == 7
    assert body["check_url"] == f"/api/v1/transcribe/{body['session_id']}"
    assert response.headers["location"] == body["check_url"]
    assert int(response.headers["retry-after"]) >= 1
    assert stack.ended(body["session_id"])["status"] == "completed"


@pytest.mark.parametrize("prefer", ["respond-async", "wait=0", "handling=lenient, wait=0"])
def test_prefer_says_how_long_to_wait(stack: RunningStack, prefer: str) -> None:
    response = stack.http.post(
        "/api/v1/transcribe", files={"file": wav_file()}, headers={"Prefer": prefer}
    )
    assert response.status_code == 202


def test_a_silent_call_is_completed_without_a_word(stack: RunningStack) -> None:
    response = stack.http.post("/api/v1/transcribe", files={"audio": wav_file()})
    body = response.json()
    assert (response.status_code, body["status"]) == (200, "completed")
    assert body["transcript"]["segments"] == []
    assert body["summary"] == {"text": "", "key_points": [], "sentiment": "neutral"}


def test_a_recording_that_can_never_be_split_fails_and_says_why(stack: RunningStack) -> None:
    with stopped(stack, "split"):
        session_id = stack.post(wait="0").json()["session_id"]
        (stack.data / "blobs" / "default" / session_id / "audio.wav").write_bytes(b"overwritten")
    body = stack.ended(session_id)
    assert body["status"] == "failed"
    assert body["error"]["function"] == "split"
    assert body["error"]["error"] == "invalid_file_type"


def test_the_bus_keeps_the_whole_story_of_a_recording(
    stack: RunningStack, sample_call: Body
) -> None:
    story = events_of(stack, sample_call["session_id"])
    assert sorted(event["type"].removeprefix("io.pocwhisp.") for event in story) == [
        "channel.transcribed.v1",
        "channel.transcribed.v1",
        "recording.completed.v1",
        "recording.received.v1",
        "recording.split.v1",
        "transcript.merged.v1",
        "transcript.summarized.v1",
    ]
    by_id = {event["id"]: event for event in story}
    causes = [by_id.get(event.get("causationid", "")) for event in story]
    assert causes.count(None) == 1, "only the first event has no cause"
    assert len({event["traceparent"].split("-")[1] for event in story}) == 1
    assert {event["correlationid"] for event in story} == {f"{sample_call['session_id']}/1"}


def test_no_event_holds_a_spoken_word(stack: RunningStack, sample_call: Body) -> None:
    known = {"left", "right"}
    spoken = {
        word["word"]
        for segment in sample_call["transcript"]["segments"]
        for word in segment["words"]
        if len(word["word"]) > 5 and word["word"] not in known
    }
    for event in events_of(stack, sample_call["session_id"]):
        EVENTS[event["type"]].model_validate(event["data"])
        values = json.dumps(list(event["data"].values()))
        assert not [word for word in spoken if f" {word} " in values]


def events_of(stack: RunningStack, session_id: str) -> list[Body]:
    """What a plain NATS client finds on one recording's subjects."""

    async def read() -> list[Body]:
        client = await nats.connect(stack.info.nats_url)
        try:
            context = client.jetstream()
            subscription = await context.subscribe(
                f"io.pocwhisp.*.*.*.default.{session_id}",
                ordered_consumer=True,
                config=ConsumerConfig(deliver_policy=DeliverPolicy.ALL),
            )
            return [json.loads((await subscription.next_msg(timeout=5)).data) for _ in range(7)]
        finally:
            await client.close()

    return asyncio.run(read())


def test_the_sample_call_is_the_one_that_was_spoken() -> None:
    assert SAMPLE_CALL.is_relative_to(ROOT)
    assert len(TRUTH.turns) >= 10
