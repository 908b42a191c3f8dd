"""`pocwhisp demo`: everything once, with the sample call."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.exit_codes import Exit
from infra.cli.options import demo_folder
from infra.cli.output import screen
from infra.cli.run import run

if TYPE_CHECKING:
    from infra.client.client import RecordingBody

SAMPLE_CALL = Path(__file__).parents[1] / "sample" / "support.wav"


def demo(
    audio: Annotated[
        Path, typer.Argument(help="A stereo recording.", exists=True, dir_okay=False)
    ] = SAMPLE_CALL,
    *,
    data: Annotated[
        Path, typer.Option("--data", default_factory=demo_folder, help="Folder for its state.")
    ],
) -> None:
    """Start everything, send the sample call through the API, show it all, stop everything."""
    session = run(_demo(audio, data))
    raise typer.Exit(Exit.COMPLETED if session["status"] == "completed" else Exit.FAILED)


async def _demo(audio: Path, data: Path) -> "RecordingBody":
    from infra.cli.report import report
    from infra.client.client import Client
    from infra.local.stack import Stack
    from infra.local.supervisor.log import log_file

    screen.print("Starting nats-server, PostgreSQL, the dispatcher and every function …")
    with log_file(data / "stack.log") as sink:
        async with Stack(data, port=0, sink=sink) as stack:
            screen.print(f"Ready at {stack.url}. Posting {audio.name} to /api/v1/transcribe …")
            screen.print(" after upload  stage")
            async with Client(stack.url) as client:
                session = await client.transcribe(audio, _StagePrinter())
            screen.print(report(session))
    screen.print("Everything has stopped. Now: pocwhisp up")
    return session


class _StagePrinter:
    """Prints each stage once, when it is reached."""

    def __init__(self) -> None:
        self._seen = 0

    def __call__(self, session: "RecordingBody") -> None:
        from infra.cli.report import stage_lines

        for line in stage_lines(session["progress"], self._seen):
            screen.print(line, highlight=False)
        self._seen = len(session["progress"])
