"""`pocwhisp transcribe`: recordings in, their conversations out."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.exit_codes import Exit, exit_code
from infra.cli.option_groups import with_groups
from infra.cli.options import (
    Force,
    Jobs,
    Quiet,
    chosen_formats,
    chosen_server,
    upload_options,
)
from infra.cli.output import error_screen, print_error, print_line, screen
from infra.cli.run import run
from infra.cli.server_choice import ServerChoice
from infra.client.audio_files import AudioFile, find_audio_files, find_collision
from infra.client.upload_options import UploadOptions

if TYPE_CHECKING:
    from infra.client.batch import ResultStore, TranscriptionOutcome
    from infra.client.client import RecordingBody


Audio = Annotated[list[Path], typer.Argument(help="Recordings, and folders of them.", exists=True)]
Out = Annotated[Path | None, typer.Option(help="Folder for files, named as the input.")]
ExternalId = Annotated[str | None, typer.Option(help="Your name for the call.")]


@with_groups(formats=chosen_formats, options=upload_options, server=chosen_server)
def transcribe(  # noqa: PLR0913 - one parameter for each option
    audio: Audio,
    *,
    formats: list[str],
    out: Out = None,
    force: Force = False,
    quiet: Quiet = False,
    jobs: Jobs = 4,
    options: UploadOptions,
    external_id: ExternalId = None,
    server: ServerChoice,
) -> None:
    """Transcribe recordings, on a running stack or on one started for it.

    A single result is printed. With --out results are files: JSON, or the formats chosen.
    """
    found = find_audio_files(audio)
    check_outputs(found, formats, out, external_id, force=force)
    named = replace(options, external_id=external_id)
    files = _result_files(out, formats, force=force)
    outcomes = run(_transcribe(found, named, files, server, jobs, quiet=quiet))
    raise typer.Exit(_report(outcomes, None if out else formats, quiet=quiet))


def check_outputs(
    found: Sequence[AudioFile],
    formats: Sequence[str],
    out: Path | None,
    external_id: str | None,
    *,
    force: bool,
) -> None:
    """Raise `BadParameter` if the options contradict each other."""
    if not found:
        raise typer.BadParameter("There is no recording in the folder.")
    if external_id is not None and len(found) > 1:
        raise typer.BadParameter("--external-id names one call; there are several.")
    if out is None and formats and len(found) * len(formats) > 1:
        raise typer.BadParameter("Several results need --out DIR.")
    if out is None and force:
        raise typer.BadParameter("--force replaces files, so it needs --out DIR.")
    if out is not None and out.exists() and not out.is_dir():
        raise typer.BadParameter(f"--out {out} is a file; needed: a folder.")
    if out is not None and (both := find_collision(found)):
        raise typer.BadParameter(f"{both[0].name} and {both[1].name} would have the same results.")


def _result_files(out: Path | None, formats: Sequence[str], *, force: bool) -> "ResultStore":
    from infra.client.batch import DiscardResults
    from infra.client.result_files import ResultFiles

    return ResultFiles(out, formats or ["json"], force=force) if out else DiscardResults()


async def _transcribe(  # noqa: PLR0913 - what the command's options say
    found: Sequence[AudioFile],
    options: UploadOptions,
    results: "ResultStore",
    server: ServerChoice,
    jobs: int,
    *,
    quiet: bool,
) -> "list[TranscriptionOutcome]":
    from infra.cli.progress_display import shown_on
    from infra.client.batch import Transcriber
    from infra.client.client import Client

    async with server.open() as url, Client(url) as client:
        await client.live()
        with shown_on(error_screen, quiet=quiet) as display:
            transcriber = Transcriber(client, options, display, results)
            return await transcriber.transcribe_all(found, jobs)


def _report(
    outcomes: "Sequence[TranscriptionOutcome]", formats: Sequence[str] | None, *, quiet: bool
) -> Exit:
    """Print results, unless `formats` is None, and a summary. Returns the exit code."""
    from infra.client.batch import count_statuses

    statuses = [outcome.status for outcome in outcomes]
    code = exit_code(statuses)
    if formats is not None and not _print_all(outcomes, formats):
        code = code or Exit.FAILED
    if len(outcomes) > 1 and not quiet:
        print_error(count_statuses(statuses))
    return code


def _print_all(outcomes: "Sequence[TranscriptionOutcome]", formats: Sequence[str]) -> bool:
    """Print the results, in the format chosen or as tables. Returns False if one cannot be."""
    all_shown = True
    for outcome in outcomes:
        if len(outcomes) > 1 and outcome.session is not None:
            print_line(f"{outcome.recording.name}:")
        try:
            _print(outcome.session, formats)
        except (LookupError, TypeError, ValueError) as error:
            odd = f"the server's answer cannot be shown ({type(error).__name__}: {error})"
            print_error(f"{outcome.recording.name}: {odd}; try --json")
            all_shown = False
    return all_shown


def _print(session: "RecordingBody | None", formats: Sequence[str]) -> None:
    from infra.cli.report import report
    from infra.client.result_files import result_text

    if session is not None and formats:
        typer.echo(result_text(session, formats[0]), nl=False)
    elif session is not None:
        screen.print(report(session))
