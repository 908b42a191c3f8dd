"""`pocwhisp models`, with the hub's real client and a hub of the test's own."""

import hashlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from functions.transcribe.whisper.models import NoEngine, find_model
from infra.cli.models import CannotPull, fetch
from tests.support.recognizers import NANO, NOWHERE, ROOT

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REPOSITORY = "acme/nano"
FILES = {path.name: path.read_bytes() for path in NANO.iterdir()}
MODELS = "from infra.cli.commands.models import models_app; models_app(prog_name='pocwhisp models')"


class Hub(BaseHTTPRequestHandler):
    """Just enough of huggingface.co: one repository with one commit, of plain files."""

    breaks_off = ""
    """The file of which only the first half ever arrives; who asks for the rest gets an error."""

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, *, with_body: bool) -> None:
        path = urlsplit(self.path).path
        if path in {f"/api/models/{REPOSITORY}", f"/api/models/{REPOSITORY}/revision/main"}:
            siblings = [{"rfilename": name} for name in FILES]
            self.reply({"_id": "1", "id": REPOSITORY, "sha": COMMIT, "siblings": siblings})
        elif path == f"/api/models/{REPOSITORY}/tree/{COMMIT}":
            self.reply([entry(name, content) for name, content in FILES.items()])
        elif path.startswith(f"/{REPOSITORY}/resolve/"):
            self.file(path.rpartition("/")[2], with_body=with_body)
        else:
            self.reply({"error": "Repository not found"}, 404)

    def reply(self, answer: object, status: int = 200) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def file(self, name: str, *, with_body: bool) -> None:
        content = FILES[name]
        if name == self.breaks_off and "Range" in self.headers:
            self.reply({"error": "Internal error"}, 500)
            return
        self.send_response(200)
        self.send_header("ETag", f'"{etag(content)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_body:
            whole = name != self.breaks_off
            self.wfile.write(content if whole else content[: len(content) // 2])
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


def etag(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def entry(name: str, content: bytes) -> dict[str, object]:
    return {"type": "file", "path": name, "oid": etag(content), "size": len(content)}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Hub, "breaks_off", "")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def nobody() -> Iterator[str]:
    """A hub that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def models(
    *arguments: str, cache: Path, endpoint: str = "http://127.0.0.1:9", **env: str
) -> subprocess.CompletedProcess[str]:
    """Run `pocwhisp models`; nobody listens at its hub unless one is given."""
    settings = {"HF_ENDPOINT": endpoint, "HF_HUB_CACHE": str(cache), "HF_HUB_DISABLE_XET": "1"}
    return subprocess.run(
        [sys.executable, "-c", MODELS, *arguments],
        env=settings | {"COLUMNS": "300", "HF_HUB_DOWNLOAD_TIMEOUT": "5"} | env,
        cwd=ROOT.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_pulled_model_is_whole_listed_and_ready_to_use(hub: str, tmp_path: Path) -> None:
    ran = models("pull", REPOSITORY, cache=tmp_path, endpoint=hub)
    assert ran.returncode == 0, ran.stderr
    assert f"WHISPER_MODEL={REPOSITORY}" in ran.stdout
    pulled = find_model(REPOSITORY, tmp_path)
    assert (pulled.name, pulled.revision) == ("nano", COMMIT)
    assert pulled.digest() == find_model(str(NANO), NOWHERE).digest()
    listed = models("list", cache=tmp_path)
    assert listed.returncode == 0
    assert COMMIT[:12] in listed.stdout
    assert "whole" in listed.stdout


def test_a_pulled_model_stays_usable_without_the_hub(hub: str, tmp_path: Path) -> None:
    models("pull", REPOSITORY, cache=tmp_path, endpoint=hub)
    ran = models("pull", REPOSITORY, cache=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "cannot be asked" in ran.stderr


def test_a_pull_that_breaks_off_leaves_no_model(
    hub: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Hub, "breaks_off", "model.bin")
    ran = models("pull", REPOSITORY, cache=tmp_path, endpoint=hub)
    assert ran.returncode == 1
    with pytest.raises(NoEngine, match=r"lacks model\.bin"):
        find_model(REPOSITORY, tmp_path)
    assert "whole" not in models("list", cache=tmp_path).stdout
    monkeypatch.setattr(Hub, "breaks_off", "")
    assert models("pull", REPOSITORY, cache=tmp_path, endpoint=hub).returncode == 0
    assert find_model(REPOSITORY, tmp_path).missing == ()


def test_without_a_network_a_pull_fails_in_one_line(tmp_path: Path) -> None:
    ran = models("pull", "small", cache=tmp_path)
    assert ran.returncode == 1
    (line,) = ran.stderr.splitlines()
    assert line.startswith("pocwhisp: Cannot get small from the Hugging Face hub")


def test_a_hub_that_never_answers_is_given_up_within_seconds(nobody: str, tmp_path: Path) -> None:
    ran = models("pull", "small", cache=tmp_path, endpoint=nobody, HF_HUB_ETAG_TIMEOUT="1")
    assert ran.returncode == 1
    assert len(ran.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["smal", "/small"])
def test_a_name_without_an_owner_that_no_model_has_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CannotPull, match=f"No model is called {name}"):
        fetch(name, tmp_path)


@pytest.mark.parametrize("name", ["acme/unheard-of", "../../etc"])
def test_a_name_that_leads_nowhere_fails_in_one_line(hub: str, tmp_path: Path, name: str) -> None:
    ran = models("pull", name, cache=tmp_path, endpoint=hub)
    assert ran.returncode == 1
    assert len(ran.stderr.splitlines()) == 1
    assert name.strip("./") in ran.stderr


def test_the_list_shows_the_folder_that_is_set_and_what_auto_takes(tmp_path: Path) -> None:
    ran = models("list", cache=tmp_path, WHISPER_MODEL=str(NANO))
    assert ran.returncode == 0
    assert "for tests only" in ran.stdout
    assert "auto: sphinx." in ran.stdout
