"""The command `pocwhisp`: the whole stack on one machine, and a client for any of its servers."""

import sys

import typer

from infra.cli.commands import models
from infra.cli.commands.demo import demo
from infra.cli.commands.doctor import doctor
from infra.cli.commands.evaluate import evaluate
from infra.cli.commands.events import events
from infra.cli.commands.status import status
from infra.cli.commands.transcribe import transcribe
from infra.cli.commands.up import up
from infra.cli.commands.watch import watch
from infra.cli.exit_codes import EXIT_CODES

app = typer.Typer(
    help="Two-party call recordings in, conversations out.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (up, transcribe, watch, evaluate, events, status, doctor, demo):
    app.command(epilog=EXIT_CODES)(command)
app.add_typer(models.app, name="models")


def main() -> None:
    """Run the command line."""
    sys.exit(app())
