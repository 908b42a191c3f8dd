"""The options that several commands share, and what they mean together."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from infra.client.recordings import Recording, colliding

DEFAULT_DATA = Path(".pocwhisp")

Data = Annotated[Path, typer.Option("--data", help="Folder for the stack's state.")]
Server = Annotated[str | None, typer.Option(help="URL of a server that runs already.")]
Jobs = Annotated[int, typer.Option(help="Recordings at work at once.", min=1, max=64)]
AsJson = Annotated[bool, typer.Option("--json", help="The API's answer.")]
AsText = Annotated[bool, typer.Option("--txt", "--text", help="The conversation as plain text.")]
AsSrt = Annotated[bool, typer.Option("--srt", help="Subtitles, SubRip.")]
AsVtt = Annotated[bool, typer.Option("--vtt", help="Subtitles, WebVTT.")]
Language = Annotated[str | None, typer.Option(help="The language spoken, such as en.")]
Task = Annotated[
    Literal["transcribe", "translate"] | None,
    typer.Option(help="Write down what is said as it is said (the default), or in English."),
]
Prompt = Annotated[str | None, typer.Option(help="Text that precedes the call.")]
Hotwords = Annotated[str | None, typer.Option(help="Words likely to occur, separated by commas.")]
Channels = Annotated[
    str | None, typer.Option(help="Who speaks where, such as left:agent,right:customer.")
]
NoSummary = Annotated[bool, typer.Option("--no-summary", help="Leave the summary out.")]
Labels = Annotated[
    list[str] | None, typer.Option("--label", help="A mark of yours, KEY=VALUE; repeatable.")
]


def endings(**chosen: bool) -> list[str]:
    """The formats that were chosen, by their endings."""
    return [ending for ending, wanted in chosen.items() if wanted]


def labels(pairs: Sequence[str] | None) -> dict[str, str]:
    """The labels, split at their first `=`. Raise `BadParameter` if there is none."""
    split = [pair.partition("=") for pair in pairs or ()]
    for name, equals, text in split:
        if not (name and equals):
            raise typer.BadParameter(f"--label {name}{text}: needed: KEY=VALUE.")
    return {name: text for name, _, text in split}


def check(
    found: Sequence[Recording], formats: Sequence[str], out: Path | None, external_id: str | None
) -> None:
    """Raise `BadParameter` for what cannot be meant together."""
    if not found:
        raise typer.BadParameter("There is no recording in the folder.")
    if external_id is not None and len(found) > 1:
        raise typer.BadParameter("--external-id names one call; there are several.")
    if out is None and formats and len(found) * len(formats) > 1:
        raise typer.BadParameter("Several results need --out DIR.")
    if out is not None and (both := colliding(found)):
        raise typer.BadParameter(f"{both[0].path} and {both[1].path} would have the same results.")
