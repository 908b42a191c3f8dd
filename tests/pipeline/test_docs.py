"""The code in the documentation runs as it is printed."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from events import EVENTS, RecordingCompleted
from tests.support.examples import wav_file
from tests.support.stacks import ROOT, Body, RunningStack
from tests.support.waiting import eventually

PAGE = (ROOT / "docs" / "events.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@contextmanager
def subscriber(stack: RunningStack, folder: Path) -> Iterator[None]:
    """The very code of the page, running in the folder until the context ends by SIGKILL."""
    (code,) = blocks("python")
    command = [sys.executable, "-W", "error", "-c", code]
    env = {**os.environ, "NATS_URL": stack.info.nats_url}
    process = subprocess.Popen(command, cwd=folder, env=env)
    try:
        yield
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def call(stack: RunningStack) -> str:
    """A silent call that is completed; its id."""
    response = stack.http.post("/api/v1/transcribe?wait=60", files={"audio": wav_file()})
    assert response.status_code == 200, response.text
    return str(response.json()["session_id"])


def event_about(session_id: str, folder: Path) -> Body | None:
    """The event that the subscriber kept of a call."""
    kept = [json.loads(path.read_text() or "{}") for path in folder.glob("*.json")]
    return next((event for event in kept if event.get("subject") == session_id), None)


def test_the_subscriber_has_ten_lines_and_needs_nothing_of_pocwhisp() -> None:
    (code,) = blocks("python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    assert not re.search(r"^\s*(from|import) (events|shared|infra)", code, re.MULTILINE)


def test_the_subscriber_gets_a_call_and_what_passed_while_it_was_dead(
    stack: RunningStack, tmp_path: Path
) -> None:
    with subscriber(stack, tmp_path):
        first = call(stack)
        event = eventually(lambda: event_about(first, tmp_path), "the event of a call")
    second = call(stack)
    with subscriber(stack, tmp_path):
        eventually(lambda: event_about(second, tmp_path), "the event of the call meanwhile")
    assert event["type"] == RecordingCompleted.type
    assert (tmp_path / f"{event['id']}.json").exists()


def test_the_event_on_the_page_is_one(stack: RunningStack, tmp_path: Path) -> None:
    (printed,) = (json.loads(block) for block in blocks("json"))
    RecordingCompleted.model_validate(printed["data"])
    with subscriber(stack, tmp_path):
        session_id = call(stack)
        real = eventually(lambda: event_about(session_id, tmp_path), "the event of a call")
    assert printed.keys() - real.keys() == set()
    assert printed["data"].keys() == real["data"].keys()


@pytest.mark.parametrize("subject", re.findall(r"`(io\.pocwhisp\.[^`<]*)", PAGE))
def test_the_subjects_on_the_page_are_of_types_that_exist(subject: str) -> None:
    pattern = re.compile(r"\.".join(r"\w+" if t == "*" else t for t in subject.split(".")[:5]))
    assert any(pattern.fullmatch(name) for name in EVENTS), subject
