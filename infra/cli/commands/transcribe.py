"""`pocwhisp transcribe`: recordings in, their conversations out."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.exit_codes import exit_code
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
from infra.cli.output import error_screen, print_error, screen
from infra.cli.run import run
from infra.client.recordings import Recording, recordings
from infra.client.upload_options import UploadOptions

if TYPE_CHECKING:
    from infra.client.batch import Outcome
    from infra.client.client import Session


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
    from infra.cli.progress_display import shown_on
    from infra.cli.server_choice import server_for
    from infra.client.batch import Outcome, Transcriber, summary
    from infra.client.client import Client

    found, formats = recordings(audio), endings(json=as_json, txt=as_text, srt=as_srt, vtt=as_vtt)
    check(found, formats, out, external_id)
    options = UploadOptions(
        language, channels, not no_summary, external_id, labels(label), task, prompt, hotwords
    )

    async def work() -> list[Outcome]:
        async with server_for(server, data) as url, Client(url) as client:
            await client.live()
            with shown_on(error_screen) as display:
                transcriber = Transcriber(client, options, display, keeper(out, formats))
                return await transcriber.all(found, jobs)

    outcomes = run(work())
    if out is None:
        _print_all(outcomes, formats)
    for line in summary(outcomes):
        print_error(line)
    raise typer.Exit(exit_code(outcomes))


def keeper(out: Path | None, formats: Sequence[str]) -> "Callable[[Recording, Session], None]":
    """Writes results below `out`, if there is one."""
    from infra.client import result_files

    def keep(recording: Recording, session: "Session") -> None:
        if out is not None:
            result_files.save(session, recording, out, formats or ["json"])

    return keep


def _print_all(outcomes: "Sequence[Outcome]", formats: Sequence[str]) -> None:
    """Print the results: in the one format chosen, else for people."""
    from infra.cli.report import report
    from infra.client.result_files import written

    for outcome in outcomes:
        if outcome.session is None:
            continue
        if formats:
            typer.echo(written(outcome.session, formats[0]), nl=False)
        else:
            screen.print(report(outcome.session))
