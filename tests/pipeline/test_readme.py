"""Every command in the README works as it is written."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable

import pytest

from tests.stacks import ROOT, Body, RunningStack

README = (ROOT / "README.md").read_text()
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
]
OWN_PROCESS = {"make demo", "make test", ".venv/bin/pocwhisp up"}


def run(command: str, seconds: float = 120.0) -> str:
    """Run a command as a shell does, in the project's root; its standard output."""
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_readme_names_the_two_commands_first() -> None:
    assert COMMANDS[:2] == ["make demo", "make test"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl: apt-get install curl")
@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("curl ")])
def test_each_curl_command_is_answered(
    stack: RunningStack, sample_call: Body, command: str
) -> None:
    there = command.replace("http://localhost:8080", stack.info.url)
    there = there.replace("SESSION_ID", sample_call["session_id"])
    body = json.loads(run(f"{there} --silent --show-error --fail"))
    assert "status" in body
    if "session_id" in body:
        stack.ended(body["session_id"])


def says_what_was_said(output: str) -> bool:
    return "left" in output and "right" in output


EXPECTED: dict[str, Callable[[str], bool]] = {
    "transcribe": says_what_was_said,
    "status": lambda output: "healthy" in output,
    "doctor": lambda output: "PostgreSQL" in output,
}


@pytest.mark.parametrize(
    "command",
    [line for line in COMMANDS if line.startswith(".venv/bin/") and line not in OWN_PROCESS],
)
def test_each_pocwhisp_command_does_what_it_says(stack: RunningStack, command: str) -> None:
    _, verb, *_ = command.split()
    data = "" if verb == "doctor" else f" --data {stack.data}"
    assert EXPECTED[verb](run(command + data))


def test_make_demo_shows_the_conversation_and_stops_everything() -> None:
    output = run("make demo", 300.0)
    for part in ("summarize", "The conversation", "The summary", "Sentiment", "has stopped"):
        assert part in output


def test_make_test_is_what_runs_these_tests() -> None:
    assert "-m pytest" in run("make --dry-run test")


def test_every_command_of_the_readme_is_run_by_a_test() -> None:
    tested = ("curl ", ".venv/bin/pocwhisp ")
    assert [line for line in COMMANDS if not line.startswith(tested)] == ["make demo", "make test"]
