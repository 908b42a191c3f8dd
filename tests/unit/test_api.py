"""ingest's API over ports in memory."""

from collections.abc import Callable
from uuid import UUID

import httpx
import pytest

from shared.errors import Unavailable
from tests.support.api import MemoryApi, MemoryBroker
from tests.support.examples import wav_file


@pytest.fixture
def api() -> MemoryApi:
    return MemoryApi()


def failing(error: Exception) -> Callable[[], None]:
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
    api.record.before["find"] = failing(error)
    assert is_promised(api.upload(), api)
    assert len(api.broker.published) == 1


@pytest.mark.parametrize("error", ERRORS)
def test_a_client_is_told_where_when_the_broker_goes_away_before_it_waits(error: Exception) -> None:
    api = MemoryApi(broker=MemoryBroker(away=error))
    assert is_promised(api.upload("?wait=0"), api)


@pytest.mark.parametrize("error", ERRORS)
def test_a_client_is_told_where_when_nobody_tells_of_the_end(error: Exception) -> None:
    api = MemoryApi(broker=MemoryBroker(deaf=error))
    assert is_promised(api.upload(), api)


def test_a_commit_that_lost_its_answer_is_a_promise(api: MemoryApi) -> None:
    api.record.before["accepted"] = failing(Unavailable("The connection broke."))
    assert is_promised(api.upload("?wait=0"), api)


def test_what_cannot_be_put_on_record_is_taken_back_and_answered_503(api: MemoryApi) -> None:
    api.record.before["accept"] = failing(Unavailable("The database is away."))
    response = api.upload()
    assert (response.status_code, response.json()["error"]) == (503, "unavailable")
    assert response.headers["retry-after"]
    assert api.record.sessions == {}
    assert api.broker.published == []


def test_a_query_of_ever_so_many_names_is_refused(api: MemoryApi) -> None:
    response = api.upload("?" + "&".join(f"a{number:x}=1" for number in range(101)))
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    assert "101 fields; allowed: 100" in response.json()["message"]


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
