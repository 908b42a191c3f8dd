"""The command `pocwhisp`: the whole stack on one machine, and a client for any of its servers."""

import sys
from typing import Annotated

import typer

from infra.cli.commands.demo import demo
from infra.cli.commands.doctor import doctor
from infra.cli.commands.down import down
from infra.cli.commands.evaluate import evaluate
from infra.cli.commands.events import events
from infra.cli.commands.models import models_app
from infra.cli.commands.status import status
from infra.cli.commands.transcribe import transcribe
from infra.cli.commands.up import up
from infra.cli.commands.watch import watch
from infra.cli.exit_codes import EXIT_CODES
from infra.cli.output import ignore_broken_pipe
from infra.cli.run import exit_on_signals

app = typer.Typer(
    help="Two-party call recordings in, conversations out.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - as typer calls it
    if wanted:
        from importlib import metadata  # noqa: PLC0415 - slow, and needed only here

        typer.echo(f"pocwhisp {metadata.version('pocwhisp')}")
        raise typer.Exit


for command in (up, transcribe, watch, evaluate, events, status, doctor, demo, down):
    app.command(epilog=EXIT_CODES)(command)
app.add_typer(models_app, name="models")


@app.callback()
def options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Two-party call recordings in, conversations out."""


def main() -> None:
    """Run the command line."""
    exit_on_signals()
    with ignore_broken_pipe():
        sys.exit(app())
