"""`pocwhisp watch`: a folder whose recordings are transcribed as they come."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.options import (
    AsJson,
    AsSrt,
    AsText,
    AsVtt,
    Channels,
    Data,
    Force,
    Hotwords,
    Jobs,
    Labels,
    Language,
    NoSummary,
    Prompt,
    Quiet,
    Server,
    Task,
    endings,
    labels,
)
from infra.cli.output import error_screen, print_error
from infra.cli.run import run_until_signal
from infra.client.upload_options import UploadOptions

if TYPE_CHECKING:
    from infra.cli.server_choice import ServerChoice
    from infra.client.result_files import ResultFiles


FolderArgument = Annotated[
    Path,
    typer.Argument(help="Folder to watch, with its sub-folders.", exists=True, file_okay=False),
]
Out = Annotated[
    Path | None, typer.Option(help="WatchedFolder for the results; the watched one if not given.")
]
Settle = Annotated[
    float, typer.Option(help="Seconds for which a file must not have changed.", min=0)
]


def watch(  # noqa: PLR0913 - one parameter for each option
    folder: FolderArgument,
    *,
    as_json: AsJson = False,
    as_text: AsText = False,
    as_srt: AsSrt = False,
    as_vtt: AsVtt = False,
    out: Out = None,
    settle: Settle = 2.0,
    force: Force = False,
    quiet: Quiet = False,
    jobs: Jobs = 4,
    language: Language = None,
    task: Task = None,
    prompt: Prompt = None,
    hotwords: Hotwords = None,
    channels: Channels = None,
    no_summary: NoSummary = False,
    label: Labels = None,
    server: Server = None,
    data: Data,
) -> None:
    """Transcribe each recording that is in a folder or appears in it, once, until Ctrl-C.

    A recording with results is done until its file changes. Results are JSON or as chosen.
    """
    from infra.cli.server_choice import ServerChoice
    from infra.client.result_files import ResultFiles

    formats = endings(json=as_json, txt=as_text, srt=as_srt, vtt=as_vtt) or ["json"]
    options = UploadOptions(
        language=language,
        channels=channels,
        summary=not no_summary,
        labels=labels(label),
        task=task,
        prompt=prompt,
        hotwords=hotwords,
    )
    results = ResultFiles(out or folder, formats, force=force)
    choice = ServerChoice(server, data)
    work = _watch(folder, options, results, choice, jobs, settle=settle, quiet=quiet)
    run_until_signal(work)


async def _watch(  # noqa: PLR0913 - what the command's options say
    folder: Path,
    options: UploadOptions,
    results: "ResultFiles",
    server: "ServerChoice",
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
