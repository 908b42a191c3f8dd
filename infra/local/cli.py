"""The command `pocwhisp`: the whole stack on one machine, and a client for any of its servers."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from infra.local import printing
from infra.local.client import Client, ServerError, Session
from infra.local.doctor import examine
from infra.local.output import console, log_file
from infra.local.stack import CannotStart, Stack, running_stack

T = TypeVar("T")
DEFAULT_DATA = Path(".pocwhisp")
SAMPLE_CALL = Path(__file__).parents[2] / "tests" / "calls" / "support.wav"

app = typer.Typer(
    help="Two-party call recordings in, conversations out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
screen = Console()
complaints = Console(stderr=True)

Data = Annotated[Path, typer.Option("--data", help="Folder for the stack's state.")]
Audio = Annotated[
    Path, typer.Argument(help="A stereo WAV.", exists=True, dir_okay=False, readable=True)
]


@app.command()
def up(
    port: Annotated[int, typer.Option(help="Port of the API on this machine.")] = 8080,
    data: Data = DEFAULT_DATA,
) -> None:
    """Start the whole stack and keep it running until Ctrl-C or SIGTERM."""

    async def run() -> None:
        async with Stack(data, port=port, sink=console()) as stack:
            screen.print(f"PocWhisp answers at [bold]{stack.url}[/] - Ctrl-C stops it.")
            await _stop_signal()

    _run(run())


@app.command()
def transcribe(
    audio: Audio,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the API's body.")] = False,
    as_text: Annotated[bool, typer.Option("--text", help="Print the conversation only.")] = False,
    server: Annotated[str | None, typer.Option(help="URL of a server that runs already.")] = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Transcribe one recording, on a running stack or on one started for it."""

    async def run() -> Session:
        async with _server(server, data) as url, Client(url) as client:
            return await client.transcribe(audio, lambda _: None)

    session = _run(run())
    _print_session(session, as_json=as_json, as_text=as_text)
    raise typer.Exit(0 if session["status"] == "completed" else 1)


@app.command()
def status(data: Data = DEFAULT_DATA) -> None:
    """Tell whether a stack runs, where, and how its parts are."""
    info = running_stack(data)
    if info is None:
        screen.print(f"No stack runs in {data}. Start one with: pocwhisp up")
        raise typer.Exit(1)

    async def look() -> Session:
        async with Client(info.url) as client:
            return await client.health()

    health = _run(look())
    table = Table("part", "state", title=f"{info.url} is {health['status']} (pid {info.pid})")
    for name, answer in health["checks"].items():
        table.add_row(name, answer)
    for name, pid in info.processes.items():
        table.add_row(name, f"pid {pid}")
    screen.print(table)


@app.command()
def doctor() -> None:
    """Tell what is installed, what is missing, and what to do about it."""
    table = Table("what", "found", "what to do")
    findings = examine()
    for finding in findings:
        state = f"[green]{finding.found}[/]" if finding.ok else "[red]missing[/]"
        table.add_row(finding.name, state, "" if finding.ok else escape(finding.remedy))
    screen.print(table)
    raise typer.Exit(0 if all(finding.ok or not finding.needed for finding in findings) else 1)


@app.command()
def demo(audio: Audio = SAMPLE_CALL, data: Data = DEFAULT_DATA / "demo") -> None:
    """Start everything, send the sample call through the API, show it all, stop everything."""
    session = _run(_demo(audio, data))
    raise typer.Exit(0 if session["status"] == "completed" else 1)


async def _demo(audio: Path, data: Path) -> Session:
    screen.print("Starting nats-server, PostgreSQL, the dispatcher and every function …")
    with log_file(data / "stack.log") as sink:
        async with Stack(data, port=0, sink=sink) as stack:
            screen.print(f"Ready at {stack.url}. Posting {audio.name} to /api/v1/transcribe …")
            screen.print(" after upload  stage")
            async with Client(stack.url) as client:
                session = await client.transcribe(audio, _StagePrinter())
            screen.print(printing.report(session))
    screen.print("Everything has stopped. Now: pocwhisp up")
    return session


class _StagePrinter:
    """Prints each stage once, as it passes."""

    def __init__(self) -> None:
        self._seen = 0

    def __call__(self, session: Session) -> None:
        for line in printing.stage_lines(session["progress"], self._seen):
            screen.print(line, highlight=False)
        self._seen = len(session["progress"])


@asynccontextmanager
async def _server(url: str | None, data: Path) -> AsyncIterator[str]:
    """The URL given, that of the running stack, or that of one started for the call."""
    running = running_stack(data)
    if url is not None or running is not None:
        yield url or (running.url if running else "")
        return
    complaints.print(f"No stack runs in {data}: starting one for this call …")
    with log_file(data / "stack.log") as sink:
        async with Stack(data, port=0, sink=sink) as stack:
            yield stack.url


def _print_session(session: Session, *, as_json: bool, as_text: bool) -> None:
    if as_json:
        typer.echo(json.dumps(session, indent=2))
    elif as_text:
        typer.echo(printing.plain_text(session))
    else:
        screen.print(printing.report(session))


async def _stop_signal() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()


def _run(work: Awaitable[T]) -> T:
    """Run the work; what a user can mend is told in one line, with exit code 1."""

    async def task() -> T:
        return await work

    try:
        return asyncio.run(task())
    except (ServerError, CannotStart) as error:
        complaints.print(f"[red]pocwhisp:[/] {escape(str(error))}")
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def main() -> None:
    """Run the command line."""
    sys.exit(app())
