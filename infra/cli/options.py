"""The options that several commands share, and the checks on them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import typer

from infra.cli.languages import language_problem
from infra.cli.server_choice import ServerChoice
from infra.client.upload_options import UploadOptions
from infra.client.urls import without_password

DATA = Path(".pocwhisp")
DEFAULT_PORT = 8080


def data_folder() -> Path:
    """Return the stack's data folder if neither --data nor POCWHISP_DATA names one.

    That is `.pocwhisp` in the nearest folder, from this one up, that has one; else in this one.
    """
    try:
        here = Path.cwd()
    except OSError:  # the folder is gone
        return DATA
    return next((f / DATA for f in (here, *here.parents) if (f / DATA).is_dir()), here / DATA)


def demo_folder() -> Path:
    """Return the data folder of the demonstration's stack, within that of the user's."""
    return Path(os.environ.get("POCWHISP_DATA") or data_folder()) / "demo"


def web_address(server: str | None) -> str | None:
    """Return the URL of an HTTP server; `http://` may be left out. Raises `BadParameter`."""
    return _address(server, "http", ("http", "https"))


def broker_address(server: str | None) -> str | None:
    """Return the URL of a broker; `nats://` may be left out. Raises `BadParameter`."""
    return _address(server, "nats", ("nats", "tls", "ws", "wss"))


def _address(server: str | None, scheme: str, allowed: Sequence[str]) -> str | None:
    if server is None:
        return None
    url = server if "://" in server else f"{scheme}://{server}"
    try:
        parts = urlsplit(url)
        is_one = parts.scheme in allowed and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one:
        shown = without_password(server)
        raise typer.BadParameter(f"{shown} is no address; needed: {scheme}://HOST:PORT.")
    return url


def language(tag: str | None) -> str | None:
    """Return the language's tag. Raises `BadParameter` if it is none."""
    if tag and (problem := language_problem(tag)):
        raise typer.BadParameter(problem)
    return tag


Data = Annotated[
    Path,
    typer.Option(
        "--data",
        envvar="POCWHISP_DATA",
        default_factory=data_folder,
        show_default="the nearest .pocwhisp",
        help="Folder for the stack's state.",
    ),
]
Server = Annotated[
    str | None, typer.Option(callback=web_address, help="URL of a server that runs already.")
]
Jobs = Annotated[int, typer.Option(help="Recordings at work at once.", min=1, max=64)]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print only recordings that are not completed.")
]
Force = Annotated[
    bool,
    typer.Option("--force", help="Overwrite existing files even if PocWhisp did not write them."),
]
AsJson = Annotated[bool, typer.Option("--json", help="The API's answer.")]
AsText = Annotated[bool, typer.Option("--txt", "--text", help="The conversation as plain text.")]
AsSrt = Annotated[bool, typer.Option("--srt", help="Subtitles, SubRip.")]
AsVtt = Annotated[bool, typer.Option("--vtt", help="Subtitles, WebVTT.")]
Language = Annotated[
    str | None, typer.Option(callback=language, help="The language spoken, such as en.")
]
Task = Annotated[
    Literal["transcribe", "translate"] | None,
    typer.Option(help="transcribe: in the language spoken (default); translate: into English."),
]
Prompt = Annotated[str | None, typer.Option(help="Text that precedes the call.")]
Hotwords = Annotated[str | None, typer.Option(help="Words likely to occur, separated by commas.")]
Channels = Annotated[
    str | None, typer.Option(help="Who speaks where, such as left:agent,right:customer.")
]
NoSummary = Annotated[bool, typer.Option("--no-summary", help="Leave the summary out.")]
Labels = Annotated[
    list[str] | None, typer.Option("--label", help="A label, KEY=VALUE; repeatable.")
]


def chosen_formats(
    *,
    as_json: AsJson = False,
    as_text: AsText = False,
    as_srt: AsSrt = False,
    as_vtt: AsVtt = False,
) -> list[str]:
    """Return the endings of the formats that were chosen."""
    chosen = {"json": as_json, "txt": as_text, "srt": as_srt, "vtt": as_vtt}
    return [ending for ending, wanted in chosen.items() if wanted]


def upload_options(  # noqa: PLR0913 - one parameter for each option
    *,
    language: Language = None,
    task: Task = None,
    prompt: Prompt = None,
    hotwords: Hotwords = None,
    channels: Channels = None,
    no_summary: NoSummary = False,
    label: Labels = None,
) -> UploadOptions:
    """Return the options of an upload. Raises `BadParameter` if a label has no name or value."""
    return UploadOptions(
        language=language,
        task=task,
        prompt=prompt,
        hotwords=hotwords,
        channels=channels,
        summary=not no_summary,
        labels=labels(label),
    )


def chosen_server(*, server: Server = None, data: Data) -> ServerChoice:
    """Return the server named, or the folder of the stack to use instead."""
    return ServerChoice(server, data)


def labels(pairs: Sequence[str] | None) -> dict[str, str]:
    """Return the labels, split at their first `=`. Raises `BadParameter` if one has none."""
    split = [pair.partition("=") for pair in pairs or ()]
    for name, equals, text in split:
        if not (name and equals):
            raise typer.BadParameter(f"--label {name}{text}: needed: KEY=VALUE.")
    return {name: text for name, _, text in split}
