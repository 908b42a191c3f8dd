"""The HTTP API beside the sample call: bodies, fields, lists, figures."""

import re
from urllib.parse import urlsplit

import pytest

from tests.support.examples import wav_file
from tests.support.stacks import Body, RunningStack, completed

PATH = "/api/v1/transcribe"
MONO = wav_file(bytes(32_000), channels=1)


def transcribed_channels(body: Body) -> set[str]:
    return {stage["channel"] for stage in body["progress"] if stage["stage"] == "transcribe"}


def test_a_bare_body_is_an_upload(stack: RunningStack) -> None:
    response = stack.http.post(PATH, content=wav_file(), headers={"content-type": "audio/wav"})
    assert transcribed_channels(completed(response)) == {"left", "right"}


def test_a_mono_file_is_transcribed_once_as_left(stack: RunningStack) -> None:
    body = completed(stack.http.post(PATH, files={"audio": MONO}))
    assert transcribed_channels(body) == {"left"}
    assert body["metadata"]["channels"] == 1
    assert body["metadata"]["echoes"] == []


def test_two_mono_files_are_one_stereo_call(stack: RunningStack) -> None:
    longer = wav_file(bytes(48_000), channels=1)
    body = completed(stack.http.post(PATH, files={"left": MONO, "right": longer}))
    assert transcribed_channels(body) == {"left", "right"}
    assert (body["metadata"]["channels"], body["metadata"]["duration"]) == (2, 3.0)


def test_a_file_that_was_cut_off_is_transcribed_with_a_warning(stack: RunningStack) -> None:
    body = completed(stack.http.post(PATH, files={"audio": wav_file()[: 44 + 48_000]}))
    assert body["metadata"]["duration"] == 1.5
    assert "truncated" in [warning["code"] for warning in body["metadata"]["warnings"]]


def test_what_the_client_asks_for_comes_back_in_body_and_list(stack: RunningStack) -> None:
    asked = {
        "language": "en",
        "task": "transcribe",
        "enable_summarization": "false",
        "channels": "left:agent,right:customer",
        "external_id": "call-4711",
        "started_at": "2026-03-01T09:30:00Z",
        "labels": '{"team": "north"}',
        "prompt": "A call about routers.",
        "hotwords": "router, fibre",
    }
    body = completed(stack.http.post(PATH, files={"audio": wav_file()}, data=asked))
    assert body["summary"] is None
    listed = stack.http.get(PATH, params={"limit": 100}).json()["sessions"]
    [entry] = [one for one in listed if one["session_id"] == body["session_id"]]
    for request in (body["request"], entry["request"]):
        assert request["language"] == "en"
        assert request["enable_summarization"] is False
        assert request["channels"] == {"left": "agent", "right": "customer"}
        assert request["external_id"] == "call-4711"
        assert request["started_at"] == "2026-03-01T09:30:00Z"
        assert request["labels"] == {"team": "north"}
        assert (request["task"], request["prompt"]) == ("transcribe", "A call about routers.")
        assert request["hotwords"] == ["router", "fibre"]


def test_a_task_that_the_recogniser_has_not_learnt_fails_and_says_so(stack: RunningStack) -> None:
    response = stack.http.post(PATH, files={"audio": wav_file()}, data={"task": "translate"})
    problem = response.json()
    assert (response.status_code, problem["error"]) == (500, "processing_failed")
    assert "unsupported_task, the model that runs has not learnt the task" in problem["message"]
    kept = stack.http.get(problem["check_url"]).json()
    assert (kept["status"], kept["request"]["task"]) == ("failed", "translate")


def test_fields_may_be_parameters_of_the_query(stack: RunningStack) -> None:
    response = stack.http.post(
        PATH,
        params=[("labels", "a=1"), ("labels", "b=2"), ("external_id", "x"), ("wait", "30")],
        content=wav_file(),
        headers={"content-type": "audio/x-wav"},
    )
    request = completed(response)["request"]
    assert (request["labels"], request["external_id"]) == ({"a": "1", "b": "2"}, "x")


def test_the_list_is_walked_by_its_links(stack: RunningStack) -> None:
    for _ in range(3):
        completed(stack.http.post(PATH, files={"audio": wav_file()}))
    seen: list[str] = []
    url: str | None = f"{PATH}?limit=2&status=completed"
    while url is not None:
        page = stack.http.get(url)
        seen += [session["session_id"] for session in page.json()["sessions"]]
        following = re.search('<([^>]+)>; rel="next"', page.headers.get("link", ""))
        url = following[1] if following else None
        assert url is None or urlsplit(url).path == PATH
    total = page.json()["pagination"]["total"]
    assert len(seen) == len(set(seen)) == total
    assert seen == sorted(seen, reverse=True), "newest first"


def test_health_names_the_engines_that_ran_last(stack: RunningStack, sample_call: Body) -> None:
    health = stack.http.get("/api/v1/health").json()
    assert health["status"] == "healthy"
    assert health["checks"] == {"database": "ok", "broker": "ok", "blobs": "ok"}
    versions = sample_call["metadata"]["model_versions"]
    assert health["engines"]["recognizer"] == versions["recognizer"]


def test_metrics_count_what_was_done(stack: RunningStack, sample_call: Body) -> None:
    refused = stack.http.post(PATH, files={"audio": b"no wav"})
    assert refused.status_code == 400
    text = stack.http.get("/api/v1/metrics").text
    for name in (
        'uploads_total{outcome="accepted"}',
        'uploads_total{outcome="invalid_file_type"}',
        'record_deliveries_total{function="transcribe",outcome="delivered"}',
        'record_stage_seconds_count{stage="transcribe"}',
        'record_backlog{state="queued"}',
        "record_audio_seconds_total",
        "record_real_time_factor",
    ):
        found = re.search(f"^pocwhisp_{re.escape(name)} ([0-9.e+]+)$", text, re.MULTILINE)
        assert found, text
    audio = re.search("^pocwhisp_record_audio_seconds_total ([0-9.e+]+)$", text, re.MULTILINE)
    assert audio is not None
    assert float(audio[1]) >= sample_call["metadata"]["duration"]


def test_another_method_is_told_which_are_allowed(stack: RunningStack) -> None:
    response = stack.http.delete(PATH)
    assert (response.status_code, response.json()["code"]) == (405, 405)
    assert response.headers["allow"]


@pytest.mark.parametrize("path", ["/api/v1/live", "/api/v1/ready", "/openapi.json"])
def test_the_probes_and_the_description_answer(stack: RunningStack, path: str) -> None:
    assert stack.http.get(path).status_code == 200


def test_the_description_names_the_body_and_its_fields(stack: RunningStack) -> None:
    upload = stack.http.get("/openapi.json").json()["paths"][PATH]["post"]
    form = upload["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert {"audio", "file", "left", "right", "language", "task", "labels"} <= set(form)
    assert {"200", "202", "400", "413", "503"} <= set(upload["responses"])
