"""The command `pocwhisp`: the whole stack on one machine, and a client for any of its servers."""

import asyncio
import json
import math
import sys
from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from infra.cli import models, progress_display, report
from infra.cli.doctor import examine
from infra.cli.exit_codes import (
    EXIT_CODES,
    Exit,
    error_screen,
    ignore_broken_pipe,
    print_error,
    run,
)
from infra.cli.exit_codes import run_until_stopped as until_stopped
from infra.cli.options import (
    DEFAULT_DATA,
    AsJson,
    AsSrt,
    AsText,
    AsVtt,
    Channels,
    Data,
    Hotwords,
    Jobs,
    Labels,
    Language,
    NoSummary,
    Prompt,
    Server,
    Task,
    check,
    endings,
    labels,
)
from infra.cli.server_choice import broker_of, server_for
from infra.client import result_files
from infra.client.batch import Outcome, Transcriber, exit_code, summary
from infra.client.client import Client, Session, UploadOptions
from infra.client.event_stream import EventFilter, listen
from infra.client.folder_watch import Folder, keep_watching
from infra.client.recordings import Recording, recordings
from infra.evaluation.report import ConfigurationResult, Evaluation, result_of, scored, table
from infra.evaluation.runner import (
    Against,
    Call,
    CannotEvaluate,
    Configuration,
    Evaluator,
    Figures,
    Truths,
    With,
    calls_in,
    configurations,
    unknown_settings,
)
from infra.local.stack import Stack, running_stack
from infra.local.supervisor.log import console, log_file

SAMPLE_CALL = Path(__file__).parents[2] / "tests" / "calls" / "support.wav"

app = typer.Typer(
    help="Two-party call recordings in, conversations out.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(models.app, name="models")
screen = Console()


@app.command()
def up(
    port: Annotated[int, typer.Option(help="Port of the API on this machine.")] = 8080,
    data: Data = DEFAULT_DATA,
) -> None:
    """Start the whole stack and keep it running until Ctrl-C or SIGTERM."""

    async def work() -> None:
        async with Stack(data, port=port, sink=console()) as stack:
            screen.print(f"PocWhisp answers at [bold]{stack.url}[/] - Ctrl-C stops it.")
            await asyncio.Event().wait()

    until_stopped(work())


@app.command(epilog=EXIT_CODES)
def transcribe(  # noqa: PLR0913 - one parameter for each option
    audio: Annotated[
        list[Path], typer.Argument(help="Recordings, and folders of them.", exists=True)
    ],
    *,
    as_json: AsJson = False,
    as_text: AsText = False,
    as_srt: AsSrt = False,
    as_vtt: AsVtt = False,
    out: Annotated[Path | None, typer.Option(help="Folder for files, named as the input.")] = None,
    jobs: Jobs = 4,
    language: Language = None,
    task: Task = None,
    prompt: Prompt = None,
    hotwords: Hotwords = None,
    channels: Channels = None,
    no_summary: NoSummary = False,
    external_id: Annotated[str | None, typer.Option(help="Your name for the call.")] = None,
    label: Labels = None,
    server: Server = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Transcribe recordings, on a running stack or on one started for it.

    A single result is printed. With --out results are files: JSON, or the formats chosen.
    """
    found, formats = recordings(audio), endings(json=as_json, txt=as_text, srt=as_srt, vtt=as_vtt)
    check(found, formats, out, external_id)
    options = UploadOptions(
        language, channels, not no_summary, external_id, labels(label), task, prompt, hotwords
    )

    async def work() -> list[Outcome]:
        async with server_for(server, data) as url, Client(url) as client:
            await client.live()
            with progress_display.board(error_screen) as board:
                transcriber = Transcriber(client, options, board, _keeper(out, formats))
                return await transcriber.all(found, jobs)

    outcomes = run(work())
    if out is None:
        _print_all(outcomes, formats)
    for line in summary(outcomes):
        print_error(line)
    raise typer.Exit(exit_code(outcomes))


@app.command(epilog=EXIT_CODES)
def watch(  # noqa: PLR0913 - one parameter for each option
    folder: Annotated[
        Path, typer.Argument(help="The folder; those in it too.", exists=True, file_okay=False)
    ],
    *,
    as_json: AsJson = False,
    as_text: AsText = False,
    as_srt: AsSrt = False,
    as_vtt: AsVtt = False,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the results; the watched one if not given.")
    ] = None,
    settle: Annotated[
        float, typer.Option(help="Seconds for which a file must not have changed.", min=0)
    ] = 2.0,
    jobs: Jobs = 4,
    language: Language = None,
    task: Task = None,
    prompt: Prompt = None,
    hotwords: Hotwords = None,
    channels: Channels = None,
    no_summary: NoSummary = False,
    label: Labels = None,
    server: Server = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Transcribe each recording that is in a folder or appears in it, once, until Ctrl-C.

    A recording whose results are there is done. Results are JSON, or the formats chosen.
    """
    place = out or folder
    formats = endings(json=as_json, txt=as_text, srt=as_srt, vtt=as_vtt) or ["json"]
    options = UploadOptions(
        language, channels, not no_summary, None, labels(label), task, prompt, hotwords
    )
    watched = Folder(
        folder, lambda it: result_files.is_saved(it, place, formats), print_error, settle
    )

    async def work() -> None:
        async with server_for(server, data) as url, Client(url, patience=math.inf) as client:
            with progress_display.board(error_screen) as board:
                transcriber = Transcriber(client, options, board, _keeper(place, formats))
                await keep_watching(watched, transcriber.one, print_error, jobs)

    until_stopped(work())


@app.command(epilog=EXIT_CODES)
def evaluate(  # noqa: PLR0913 - one parameter for each option
    folder: Truths,
    *,
    of_a: With = None,
    of_b: Against = None,
    as_json: Figures = False,
    jobs: Jobs = 1,
    language: Language = None,
    server: Server = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Count the errors in recordings whose words are known, of one set-up or of two.

    Uses the server, the running stack, or one started for it; each side of --with and --against
    has a stack of its own. Figures: words, word error rate, words heard on the wrong channel,
    turns lost or out of order, and seconds of work per second of the recording.
    """
    calls, chosen = _calls(folder), configurations(of_a, of_b, server)
    for name in unknown_settings(chosen):
        print_error(f"{name} is no setting of a function; it is passed on all the same.")
    evaluator = Evaluator(calls, UploadOptions(language), jobs, server, data)
    outcomes: list[Outcome] = []
    sides: list[ConfigurationResult] = []

    async def work() -> None:
        for configuration in chosen:
            ended = await evaluator.run(configuration)
            for line in summary(ended):
                print_error(line)
            outcomes.extend(ended)
            sides.append(_side(configuration, calls, ended))

    try:
        run(work())
    finally:  # a second side that cannot start does not take the first one's figures away
        _print_evaluation(sides, calls, as_json=as_json)
    raise typer.Exit(exit_code(outcomes))


@app.command(epilog=EXIT_CODES)
def events(  # noqa: PLR0913 - one parameter for each option
    *,
    session: Annotated[
        UUID | None, typer.Option(help="Only this recording's, from its beginning.")
    ] = None,
    event_type: Annotated[
        str | None, typer.Option("--type", help="Only these types, such as 'recording.*'.")
    ] = None,
    since_start: Annotated[
        bool, typer.Option("--since-start", help="All that are kept, not only those to come.")
    ] = False,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="With --session: stop when its run has ended.")
    ] = False,
    server: Annotated[str | None, typer.Option(help="URL of a broker, nats://HOST:PORT.")] = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Print events as they pass, each a CloudEvent as JSON on one line, until Ctrl-C."""
    if until_end and session is None:
        raise typer.BadParameter("--until-end needs --session.")
    wanted = EventFilter(session, event_type, since_start, until_end)

    async def work() -> None:
        async with aclosing(listen(server or broker_of(data), wanted)) as passing:
            async for event in passing:
                typer.echo(json.dumps(event))

    with ignore_broken_pipe():
        until_stopped(work())


@app.command()
def status(data: Data = DEFAULT_DATA) -> None:
    """Tell whether a stack runs, where, and how its parts are."""
    info = running_stack(data)
    if info is None:
        screen.print(f"No stack runs in {data}. Start one with: pocwhisp up")
        raise typer.Exit(Exit.AWAY)

    async def look() -> Session:
        async with Client(info.url) as client:
            return await client.health()

    health = run(look())
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
def demo(
    audio: Annotated[
        Path, typer.Argument(help="A stereo recording.", exists=True, dir_okay=False)
    ] = SAMPLE_CALL,
    data: Data = DEFAULT_DATA / "demo",
) -> None:
    """Start everything, send the sample call through the API, show it all, stop everything."""
    session = run(_demo(audio, data))
    raise typer.Exit(Exit.COMPLETED if session["status"] == "completed" else Exit.FAILED)


async def _demo(audio: Path, data: Path) -> Session:
    screen.print("Starting nats-server, PostgreSQL, the dispatcher and every function …")
    with log_file(data / "stack.log") as sink:
        async with Stack(data, port=0, sink=sink) as stack:
            screen.print(f"Ready at {stack.url}. Posting {audio.name} to /api/v1/transcribe …")
            screen.print(" after upload  stage")
            async with Client(stack.url) as client:
                session = await client.transcribe(audio, _StagePrinter())
            screen.print(report.report(session))
    screen.print("Everything has stopped. Now: pocwhisp up")
    return session


class _StagePrinter:
    """Prints each stage once, as it passes."""

    def __init__(self) -> None:
        self._seen = 0

    def __call__(self, session: Session) -> None:
        for line in report.stage_lines(session["progress"], self._seen):
            screen.print(line, highlight=False)
        self._seen = len(session["progress"])


def _keeper(out: Path | None, formats: Sequence[str]) -> Callable[[Recording, Session], None]:
    """Writes results below `out`, if there is one."""

    def keep(recording: Recording, session: Session) -> None:
        if out is not None:
            result_files.save(session, recording, out, formats or ["json"])

    return keep


def _calls(folder: Path) -> list[Call]:
    """The recordings and truths of a folder; what is wrong with it ends the command."""
    try:
        return calls_in(folder)
    except CannotEvaluate as error:
        print_error(f"pocwhisp: {error}")
        raise typer.Exit(Exit.USAGE) from error


def _side(
    configuration: Configuration, calls: Sequence[Call], outcomes: Sequence[Outcome]
) -> ConfigurationResult:
    """Hold what was heard of each call against what is said in it."""
    pairs = zip(outcomes, calls, strict=True)
    return result_of(
        configuration.settings, [scored(outcome, call.truth) for outcome, call in pairs]
    )


def _print_evaluation(
    sides: Sequence[ConfigurationResult], calls: Sequence[Call], *, as_json: bool
) -> None:
    """Print what there is: as JSON, else for people."""
    evaluation = Evaluation(sides=tuple(sides))
    if sides and as_json:
        typer.echo(evaluation.model_dump_json(indent=2))
    elif sides:
        truths, names = [call.truth for call in calls], [call.name for call in calls]
        screen.print(table(evaluation, truths, names))


def _print_all(outcomes: Sequence[Outcome], formats: Sequence[str]) -> None:
    """Print the results: in the one format chosen, else for people."""
    for outcome in outcomes:
        if outcome.session is None:
            continue
        if formats:
            typer.echo(result_files.written(outcome.session, formats[0]), nl=False)
        else:
            screen.print(report.report(outcome.session))


def main() -> None:
    """Run the command line."""
    sys.exit(app())
