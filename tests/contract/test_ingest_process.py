"""ingest's process: what its clients are answered when it stops, or has no room for them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.support.api import PATH
from tests.support.examples import wav_file
from tests.support.records import rows
from tests.support.served import ServedFunction, served
from tests.support.servers import free_port
from tests.support.waiting import eventually

pytest_plugins = ["tests.support.databases"]
MAIN = Path(__file__).parents[2] / "functions" / "ingest" / "main.py"
LIVE = "/api/v1/live"


@contextmanager
def ingest(folder: Path, url: str, **environment: str) -> Iterator[ServedFunction]:
    """ingest with a database and blobs, but without a broker."""
    places = {
        "DATABASE_URL": url,
        "BLOBS_URL": (folder / "blobs").as_uri(),
        "NATS_URL": f"nats://127.0.0.1:{free_port()}",
    }
    with served(folder, MAIN, LIVE, **places, **environment) as function:
        yield function


def recordings(url: str) -> list[str]:
    return [str(recording) for (recording,) in rows(url, "SELECT id FROM pocwhisp.recordings")]


def test_a_client_that_waits_when_the_process_stops_is_told_where_its_recording_will_be(
    tmp_path: Path, url: str
) -> None:
    with ingest(tmp_path, url) as function, ThreadPoolExecutor() as pool:
        uploading = pool.submit(function.post, f"{PATH}?wait=60", files={"audio": wav_file()})
        [recording] = eventually(lambda: recordings(url), "the recording", 30)
        function.terminate()
        answer = uploading.result()
        assert (answer.status_code, answer.json()["session_id"]) == (202, recording)
        assert answer.headers["location"] == f"{PATH}/{recording}"
        assert function.ended() == 0


def test_a_client_whose_answer_hangs_when_the_grace_is_over_is_told_so_too(
    tmp_path: Path, url: str
) -> None:
    """Another session locks the stages, so that the recording cannot be read."""
    with ingest(tmp_path, url, GRACE="0") as function, ThreadPoolExecutor() as pool:
        uploading = pool.submit(function.post, f"{PATH}?wait=60", files={"audio": wav_file()})
        [recording] = eventually(lambda: recordings(url), "the recording", 30)
        with psycopg.connect(url) as connection:
            connection.execute("LOCK TABLE pocwhisp.stages IN ACCESS EXCLUSIVE MODE")
            function.terminate()
            answer = uploading.result()
        assert (answer.status_code, answer.json()["session_id"]) == (202, recording)
        assert function.ended() == 0
        assert function.said("not_awaited")


def test_a_connection_too_many_is_refused_as_everything_is_in_the_api(
    tmp_path: Path, url: str
) -> None:
    with ingest(tmp_path, url, MAX_CONNECTIONS="1") as function:
        idle = function.connect()
        answer = eventually(lambda: refused(function), "a refusal")
        assert answer == ("application/problem+json", "unavailable")
        idle.close()


def refused(function: ServedFunction) -> tuple[str, str] | None:
    answer = function.get(LIVE)
    if answer.is_success:
        return None
    return answer.headers["content-type"], answer.json()["error"]
