"""`pocwhisp models`: the Whisper models on this machine, and how to get one."""

from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.exit_codes import EXIT_CODES, Exit
from infra.cli.output import print_error, print_line, screen

if TYPE_CHECKING:
    from functions.transcribe.whisper.models import Model

models_app = typer.Typer(
    help="Whisper models on this machine.", no_args_is_help=True, epilog=EXIT_CODES
)


@models_app.command(name="list")
def show() -> None:
    """Show the models on this machine, and the one that RECOGNIZER=auto takes."""
    from rich.markup import escape
    from rich.table import Table

    from functions.transcribe.engines import model_for
    from functions.transcribe.settings import Settings
    from functions.transcribe.whisper.models import NoEngine
    from infra.cli.models import on_this_machine

    settings = Settings().model_copy(update={"recognizer": "auto"})
    try:
        picked, reason = model_for(settings), ""
    except NoEngine as missing:
        picked, reason = None, str(missing)
    table = Table("model", "revision", "size", "state", "folder")
    for model in on_this_machine(settings):
        table.add_row(model.name, model.revision[:12], *_facts(model), escape(str(model.folder)))
    if table.row_count:
        screen.print(table)
    chosen = (
        f"auto takes {picked.name} ({picked.folder})." if picked else f"auto: sphinx. {reason}."
    )
    print_line(chosen)


@models_app.command(epilog=EXIT_CODES)
def pull(
    model: Annotated[str, typer.Argument(help="NAME or OWNER/NAME, with @REVISION if wanted.")],
) -> None:
    """Download a model from the Hugging Face hub into its cache (HF_HUB_CACHE, HF_HOME)."""
    from functions.transcribe.settings import Settings
    from infra.cli.models import CannotPull, fetch

    try:
        pulled = fetch(model, Settings().model_cache)
    except CannotPull as error:
        print_error(f"pocwhisp: {error}")
        raise typer.Exit(Exit.FAILED) from error
    print_line(f"{pulled.name} is in {pulled.folder}. Use it with: WHISPER_MODEL={model}")


def _facts(model: "Model") -> tuple[str, str]:
    """Size and state."""
    if model.missing:
        return "", f"incomplete: lacks {', '.join(model.missing)}"
    return f"{model.size / 1e6:,.1f} MB", "for tests only" if model.is_fixture else "whole"
