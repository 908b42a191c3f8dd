"""Each function takes exactly what eventing-natss posts: binary mode, `Prefer: reply`, twice."""

import asyncio

import httpx
import psutil
import pytest
from cloudevents.conversion import to_binary
from cloudevents.http import from_dict

from shared.bus import Bus
from tests.support.examples import wav_file
from tests.support.servers import last_event
from tests.support.stacks import Body, RunningStack

TAKES = {
    "split": "io.pocwhisp.recording.received.v1",
    "transcribe": "io.pocwhisp.recording.split.v1",
    "merge": "io.pocwhisp.channel.transcribed.v1",
    "summarize": "io.pocwhisp.transcript.merged.v1",
    "persist": "io.pocwhisp.transcript.summarized.v1",
}


@pytest.fixture(scope="module")
def silent_call(stack: RunningStack) -> Body:
    """A finished recording of silence, for these tests alone."""
    body: Body = stack.http.post("/api/v1/transcribe", files={"audio": wav_file()}).json()
    assert body["status"] == "completed"
    return body


def port_of(stack: RunningStack, name: str) -> str:
    return psutil.Process(stack.pid(name)).environ()["PORT"]


def push(stack: RunningStack, name: str, event: Body, path: str = "/") -> httpx.Response:
    """Post an event as the cluster's pusher does."""
    data = event.pop("data")
    headers, body = to_binary(from_dict({**event, "data": data}))
    event["data"] = data
    return httpx.post(
        f"http://127.0.0.1:{port_of(stack, name)}{path}",
        content=body,
        headers={**headers, "content-type": "application/json", "prefer": "reply"},
        timeout=60,
    )


def kept(stack: RunningStack, kind: str, session_id: str) -> Body:
    """The event of this kind that the broker keeps for a recording."""

    async def read() -> Body:
        async with Bus.connect(stack.info.nats_url) as bus:
            event = await last_event(bus, f"{kind}.default.{session_id}")
            assert event is not None
            return event

    return asyncio.run(read())


@pytest.mark.parametrize("name", TAKES)
def test_a_function_answers_a_redelivery_with_an_empty_2xx_and_changes_nothing(
    stack: RunningStack, silent_call: Body, name: str
) -> None:
    event = kept(stack, TAKES[name], silent_call["session_id"])
    blobs = {path: path.read_bytes() for path in stack.blobs}
    answers = [push(stack, name, event) for _ in range(2)]
    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b"")] * 2
    assert {path: path.read_bytes() for path in stack.blobs} == blobs
    assert stack.http.get(silent_call["check_url"]).json() == silent_call


@pytest.mark.parametrize("name", TAKES)
def test_a_function_never_answers_an_event_that_is_not_for_it_with_a_4xx(
    stack: RunningStack, silent_call: Body, name: str
) -> None:
    event = kept(stack, "io.pocwhisp.recording.completed.v1", silent_call["session_id"])
    assert push(stack, name, event).status_code == 204
    assert stack.http.get(silent_call["check_url"]).json() == silent_call


def test_a_dead_letter_is_taken_at_parked_and_fails_no_completed_call(
    stack: RunningStack, silent_call: Body
) -> None:
    event = kept(stack, TAKES["merge"], silent_call["session_id"])
    marks = {"knativeerrordest": "http://merge.pocwhisp.svc/", "knativeerrorcode": "500"}
    assert push(stack, "persist", {**event, **marks}, "/parked").status_code == 204
    parked = kept(stack, "io.pocwhisp.delivery.parked.v1", silent_call["session_id"])
    assert parked["data"]["original_id"]
    assert stack.http.get(silent_call["check_url"]).json() == silent_call


@pytest.mark.parametrize("name", [*TAKES, "sweep"])
def test_a_function_tells_its_figures(stack: RunningStack, name: str) -> None:
    text = httpx.get(f"http://127.0.0.1:{port_of(stack, name)}/metrics").text
    assert "process_cpu_seconds_total" in text
