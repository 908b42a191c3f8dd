"""ingest's API over ports in memory."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
from structlog.testing import capture_logs

from functions.ingest.http.paging import encode_cursor
from functions.ingest.http.session_response import session_response
from functions.ingest.views import Session, TranscriptView
from shared.errors import Unavailable
from shared.ports import Check
from shared.recording import Position
from tests.support.api import PATH, MemoryApi, MemoryBroker, session_of
from tests.support.examples import transcript, wav_file


@pytest.fixture
def api() -> MemoryApi:
    return MemoryApi()


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as lines:
        yield lines


def failing(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def is_promised(response: httpx.Response, api: MemoryApi) -> bool:
    """Whether the answer tells where the one recording will be."""
    [recording] = api.record.sessions
    body = response.json()
    return (
        response.status_code == 202
        and UUID(body["session_id"]) == recording
        and (body["status"], body["progress"]) == ("queued", [])
        and response.headers["location"] == body["check_url"]
        and str(recording) in body["check_url"]
        and "retry-after" in response.headers
    )


ERRORS = [Unavailable("The database is away."), RuntimeError("no such thing")]


@pytest.mark.parametrize("error", ERRORS)
def test_a_client_is_told_where_when_the_record_goes_away_while_it_waits(
    api: MemoryApi, error: Exception
) -> None:
    api.record.before["state"] = failing(error)
    assert is_promised(api.upload(), api)
    assert len(api.broker.published) == 1


@pytest.mark.parametrize("error", ERRORS)
def test_a_client_is_told_where_when_the_record_goes_away_after_it_waited(
    api: MemoryApi, error: Exception
) -> None:
    api.record.before["find"] = failing(error)
    assert is_promised(api.upload("?wait=0"), api)


@pytest.mark.parametrize("error", ERRORS)
def test_a_client_is_told_where_when_the_broker_goes_away_before_it_waits(error: Exception) -> None:
    api = MemoryApi(broker=MemoryBroker(away=error))
    assert is_promised(api.upload("?wait=0"), api)


@pytest.mark.parametrize("error", ERRORS)
def test_a_client_is_told_where_when_nobody_tells_of_the_end(error: Exception) -> None:
    api = MemoryApi(broker=MemoryBroker(deaf=error))
    assert is_promised(api.upload(), api)


@pytest.mark.parametrize(
    "error", [Unavailable("The connection broke."), asyncio.CancelledError()], ids=str
)
def test_a_commit_that_lost_its_answer_is_a_promise(api: MemoryApi, error: BaseException) -> None:
    api.record.before["accepted"] = failing(error)
    assert is_promised(api.upload("?wait=0"), api)


def test_an_upload_whose_commit_is_uncertain_is_answered_503_and_its_blobs_stay(
    api: MemoryApi,
) -> None:
    """The database may commit the row after the connection was lost."""
    api.record.before["accept"] = failing(Unavailable("The database is away."))
    response = api.upload()
    assert (response.status_code, response.json()["error"]) == (503, "unavailable")
    assert response.headers["retry-after"]
    assert api.record.sessions == {}
    assert api.broker.published == []
    assert len(api.kept()) == 2


def test_the_blobs_of_a_row_that_was_certainly_not_inserted_are_removed(api: MemoryApi) -> None:
    api.record.before["accept"] = failing(RuntimeError("no such column"))
    assert api.upload().status_code == 500
    assert api.kept() == []


def test_a_query_of_ever_so_many_names_is_refused(api: MemoryApi) -> None:
    response = api.upload("?" + "&".join(f"a{number:x}=1" for number in range(101)))
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    assert "101 fields; allowed: 100" in response.json()["message"]


@pytest.mark.parametrize("field", [{"langauge": "de"}, {"language": "elvish"}])
def test_a_faulty_field_is_refused_before_the_audio_behind_it_is_taken(
    api: MemoryApi, field: dict[str, str]
) -> None:
    async def put(key: str, chunks: AsyncIterator[bytes]) -> None:
        del chunks
        raise AssertionError(f"{key} was stored.")

    api.blobs.put = put  # type: ignore[method-assign]
    response = api.upload(data=field, files={"audio": wav_file()})
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    assert f"`{next(iter(field))}`" in response.json()["message"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate, gzip", "br"])
def test_a_packed_body_is_told_to_come_unpacked(api: MemoryApi, encoding: str) -> None:
    response = api.upload(content=b"x", headers={"content-encoding": encoding})
    assert (response.status_code, response.json()["error"]) == (415, "unsupported_media_type")
    assert f"{encoding!r}; allowed: identity" in response.json()["message"]
    assert response.headers["accept-encoding"] == "identity"


def test_identity_is_no_packing(api: MemoryApi) -> None:
    files = {"audio": wav_file()}
    response = api.upload("?wait=0", files=files, headers={"content-encoding": "Identity"})
    assert response.status_code == 202


@pytest.mark.parametrize("path", [PATH, "/api/v1/live", "/api/v1/ready", "/openapi.json"])
def test_head_is_answered_as_get_is_without_the_body(api: MemoryApi, path: str) -> None:
    same = {"x-request-id": "mine"}
    get, head = api.ask("GET", path, headers=same), api.ask("HEAD", path, headers=same)
    assert (head.status_code, head.headers, head.content) == (200, get.headers, b"")
    assert int(head.headers["content-length"]) == len(get.content)


def test_head_of_what_cannot_be_read_is_refused(api: MemoryApi) -> None:
    assert api.ask("HEAD", f"{PATH}/{UUID(int=1)}").status_code == 404
    allowed = api.ask("DELETE", "/api/v1/live").headers["allow"]
    assert allowed == "GET, HEAD"


def test_the_description_tells_the_errors_that_are_answered_and_no_others(api: MemoryApi) -> None:
    paths = api.ask("GET", "/openapi.json").json()["paths"]
    found = {
        (method, path.removeprefix("/api/v1")): set(route["responses"])
        for path, methods in paths.items()
        for method, route in methods.items()
    }
    assert not any("422" in statuses for statuses in found.values())
    assert found["get", "/transcribe"] == {"200", "400", "503", "default"}
    assert found["get", "/transcribe/{session_id}"] == {"200", "400", "404", "503", "default"}
    errors = {"400", "408", "413", "415", "500", "503", "default"}
    assert found["post", "/transcribe"] == {"200", "202", *errors}
    assert {method for method, _ in found} == {"get", "post"}


async def fine() -> None:
    """A part that answers."""


async def full() -> None:
    cause = OSError("http://169.254.169.254/latest/api/token: no space left on /dev/vda1")
    raise Unavailable("The blob store is full.") from cause


async def broken() -> None:
    raise RuntimeError("relation alembic_version does not exist")


@pytest.mark.parametrize(
    ("checks", "status", "code", "reasons"),
    [
        ({"database": fine, "blobs": fine, "broker": fine}, "healthy", 200, {}),
        ({"broker": full}, "degraded", 200, {"broker": "The blob store is full."}),
        ({"blobs": full}, "unhealthy", 503, {"blobs": "The blob store is full."}),
        ({"database": broken}, "unhealthy", 503, {"database": "It does not answer as it should."}),
    ],
)
def test_ready_says_which_part_is_away_and_why(
    checks: dict[str, Check], status: str, code: int, reasons: dict[str, str]
) -> None:
    api = MemoryApi(checks=checks)
    for path, expected in (("/api/v1/ready", code), ("/api/v1/health", 200)):
        response = api.ask("GET", path)
        body = response.json()
        assert (response.status_code, body["status"]) == (expected, status)
        assert body["reasons"] == reasons
        assert body["checks"] == {name: "away" if name in reasons else "ok" for name in checks}
        assert ("retry-after" in response.headers) == (response.status_code == 503)


def test_ready_reads_nothing_of_the_record(api: MemoryApi) -> None:
    assert "engines" not in api.ask("GET", "/api/v1/ready").json()
    assert api.record.calls == []


@pytest.mark.parametrize("error", [*ERRORS, ValueError("a name with a line break")])
def test_health_does_without_engines_that_cannot_be_told(api: MemoryApi, error: Exception) -> None:
    api.record.before["engines"] = failing(error)
    response = api.ask("GET", "/api/v1/health")
    assert (response.status_code, response.json()["status"]) == (200, "healthy")
    assert response.json()["engines"] == {"recognizer": None, "summarizer": None}


def test_a_client_reads_what_is_away_and_the_log_where_it_is(
    api: MemoryApi, logged: list[MutableMapping[str, Any]]
) -> None:
    def away() -> None:
        cause = OSError("connection to server at 10.0.0.7, port 5432 failed")
        raise Unavailable("The database is away.") from cause

    api.record.before["find"] = away
    response = api.ask("GET", f"{PATH}/{UUID(int=1)}")
    assert response.status_code == 503
    assert response.json()["message"] == "The database is away. Try again."
    assert "10.0.0.7" not in response.text
    assert any("10.0.0.7" in line.get("reason", "") for line in logged)


def test_what_was_never_expected_is_told_without_a_word_of_it(api: MemoryApi) -> None:
    api.record.before["find"] = failing(RuntimeError("secret"))
    response = api.ask("GET", f"{PATH}/{UUID(int=1)}")
    assert (response.status_code, response.json()["error"]) == (500, "server_error")
    assert "secret" not in response.text


def test_an_upload_that_cannot_be_stored_is_told_to_come_again(api: MemoryApi) -> None:
    async def put(key: str, chunks: AsyncIterator[bytes]) -> None:
        del key, chunks
        await full()

    api.blobs.put = put  # type: ignore[method-assign]
    response = api.upload()
    assert (response.status_code, response.json()["error"]) == (503, "unavailable")
    assert (response.json()["message"], response.headers["retry-after"]) == (
        "The blob store is full. Try again.",
        "5",
    )
    assert api.record.sessions == {}


def test_a_recording_is_read_with_its_transcript(api: MemoryApi) -> None:
    recording = UUID(int=7)
    spoken = TranscriptView(segments=list(transcript().segments))
    session = session_of(recording, "completed", spoken)
    api.record.sessions[recording] = session
    response = api.ask("GET", f"{PATH}/{recording}")
    assert response.headers["content-type"] == "application/json"
    assert response.json() == session.model_dump(mode="json")
    assert Session.model_validate_json(response.content) == session


def test_others_get_their_turn_while_a_long_transcript_is_written() -> None:
    spoken = TranscriptView(segments=list(transcript(*map(str, range(1_000))).segments))

    async def turns() -> int:
        writing = asyncio.create_task(session_response(session_of(UUID(int=7), "failed", spoken)))
        count = 0
        while not writing.done():
            await asyncio.sleep(0)
            count += 1
        return count

    assert asyncio.run(turns()) >= 50


def test_a_list_goes_on_at_a_cursor(api: MemoryApi) -> None:
    position = Position(datetime(2026, 3, 1, tzinfo=UTC), UUID(int=1))
    assert api.ask("GET", f"{PATH}?cursor={encode_cursor(position)}").status_code == 200
    assert api.record.starts == [position]


@pytest.mark.parametrize("query", ["cursor=nothing", "offset=10001", "offset=-1", "limit=101"])
def test_a_page_that_cannot_be_is_refused(api: MemoryApi, query: str) -> None:
    response = api.ask("GET", f"{PATH}?{query}")
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
