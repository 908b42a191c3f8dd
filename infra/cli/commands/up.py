"""`pocwhisp up`: the whole stack on this machine."""

import asyncio
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.options import DEFAULT_PORT, Data
from infra.cli.output import print_line
from infra.cli.run import run_until_signal

NEXT = """\
Next: pocwhisp transcribe CALL.wav --data {data}
  or: curl -F audio=@CALL.wav {url}/api/v1/transcribe"""


def up(
    *,
    port: Annotated[
        int, typer.Option(help="Port of the API on this machine; 0: any.", min=0, max=65535)
    ] = DEFAULT_PORT,
    log: Annotated[
        Path | None, typer.Option(help="File for the log, instead of standard output.")
    ] = None,
    data: Data,
) -> None:
    """Start the whole stack and keep it running until Ctrl-C or SIGTERM."""
    from infra.local.stack import Stack
    from infra.local.supervisor.log import console, log_file

    async def work() -> None:
        with log_file(log) if log else nullcontext(console()) as sink:
            async with Stack(data, port=port, sink=sink) as stack:
                print_line(f"PocWhisp answers at {stack.url} - Ctrl-C stops it.")
                print_line(NEXT.format(url=stack.url, data=data))
                await asyncio.Event().wait()

    run_until_signal(work())
