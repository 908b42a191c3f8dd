"""`pocwhisp watch`: a folder whose recordings are transcribed as they come."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.option_groups import with_groups
from infra.cli.options import (
    Force,
    Jobs,
    Quiet,
    chosen_formats,
    chosen_server,
    upload_options,
)
from infra.cli.output import error_screen, print_error
from infra.cli.run import run_until_signal
from infra.cli.server_choice import ServerChoice
from infra.client.upload_options import UploadOptions

if TYPE_CHECKING:
    from infra.client.result_files import ResultFiles


FolderArgument = Annotated[
    Path,
    typer.Argument(help="Folder to watch, with its sub-folders.", exists=True, file_okay=False),
]
Out = Annotated[
    Path | None, typer.Option(help="Folder for the results; the watched one if not given.")
]
Settle = Annotated[
    float, typer.Option(help="Seconds for which a file must not have changed.", min=0)
]


@with_groups(formats=chosen_formats, options=upload_options, server=chosen_server)
def watch(  # noqa: PLR0913 - one parameter for each option
    folder: FolderArgument,
    *,
    formats: list[str],
    out: Out = None,
    settle: Settle = 2.0,
    force: Force = False,
    quiet: Quiet = False,
    jobs: Jobs = 4,
    options: UploadOptions,
    server: ServerChoice,
) -> None:
    """Transcribe each recording that is in a folder or appears in it, once, until Ctrl-C.

    A recording with results is done until its file changes. Results are JSON or as chosen.
    """
    from infra.client.result_files import ResultFiles

    results = ResultFiles(out or folder, formats or ["json"], force=force)
    work = _watch(folder, options, results, server, jobs, settle=settle, quiet=quiet)
    run_until_signal(work)


async def _watch(  # noqa: PLR0913 - what the command's options say
    folder: Path,
    options: UploadOptions,
    results: "ResultFiles",
    server: ServerChoice,
    jobs: int,
    *,
    settle: float,
    quiet: bool,
) -> None:
    from infra.cli.progress_display import shown_on
    from infra.client.batch import Transcriber
    from infra.client.client import Client
    from infra.client.folder_watch import WatchedFolder, keep_watching

    watched = WatchedFolder(folder, results.has_results, print_error, settle)

    async with server.open() as url, Client(url, away_limit=math.inf) as client:
        with shown_on(error_screen, quiet=quiet) as display:
            transcriber = Transcriber(client, options, display, results)
            await keep_watching(watched, transcriber.transcribe, client.live, print_error, jobs)
