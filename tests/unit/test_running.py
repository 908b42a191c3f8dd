"""How a command's work ends: by itself, by an error that a user can mend, or by a signal."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import typer

from infra.cli import run as running
from infra.cli.app import main
from infra.cli.output import ignore_broken_pipe
from infra.cli.run import run, run_until_signal
from infra.client.errors import Rejected, ServerAway, ServerError
from infra.local.errors import CannotStart


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Signals end nobody but the work, before it and after it too."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in running.SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def code_of(begin: Callable[[], object]) -> int:
    with pytest.raises(typer.Exit) as ended:
        begin()
    return ended.value.exit_code


class Work:
    """Work that signals itself, and is slow to clean up."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = numbers
        self.cleaned_up = False

    async def __call__(self) -> None:
        first, *others = self.numbers
        try:
            os.kill(os.getpid(), first)
            await asyncio.Event().wait()
        finally:
            for number in others:
                os.kill(os.getpid(), number)
                for _ in range(5):
                    await asyncio.sleep(0)
            self.cleaned_up = True


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_is_one_cancel_and_an_exit_code(number: int, code: int) -> None:
    work = Work(number)
    assert code_of(lambda: run(work())) == code
    assert work.cleaned_up


@pytest.mark.parametrize("second", running.SIGNALS)
def test_no_second_signal_cuts_the_clean_up_off(second: int) -> None:
    work = Work(signal.SIGINT, second, signal.SIGINT)
    assert code_of(lambda: run(work())) == 130
    assert work.cleaned_up


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_runs_until_it_is_stopped_ends_well_when_it_is(number: int) -> None:
    work = Work(number, number)
    run_until_signal(work())
    assert work.cleaned_up


def test_a_terminal_that_is_closed_is_no_good_end() -> None:
    assert code_of(lambda: run_until_signal(Work(signal.SIGHUP)())) == 129


def test_a_signal_that_was_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` has it

    async def work() -> str:
        os.kill(os.getpid(), signal.SIGHUP)
        for _ in range(5):
            await asyncio.sleep(0)
        return "done"

    assert run(work()) == "done"


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (CannotStart("no port"), 3, "pocwhisp: no port"),
        (ServerAway("nobody answers"), 3, "pocwhisp: nobody answers"),
        (PermissionError(13, "Permission denied", "/proc/x"), 3, "/proc/x: Permission denied"),
        (Rejected("no audio"), 4, "pocwhisp: no audio"),
        (ServerError("oh"), 1, "pocwhisp: oh"),
    ],
)
def test_what_a_user_can_mend_is_a_sentence_and_an_exit_code(
    capsys: pytest.CaptureFixture[str], error: Exception, code: int, sentence: str
) -> None:
    async def work() -> None:
        raise error

    assert code_of(lambda: run(work())) == code
    printed = capsys.readouterr().err
    assert sentence in printed
    assert len(printed.splitlines()) == 1


def test_a_signal_before_any_work_ends_the_command_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def importing() -> Coroutine[Any, Any, None]:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError

    monkeypatch.setattr("infra.cli.app.app", importing)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 143


def test_nobody_who_reads_standard_output_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        with ignore_broken_pipe():
            print("an event", flush=True)  # noqa: T201 - the text stays in the buffer
        pipe.flush()  # as Python does at its exit
