"""`pocwhisp up`: the whole stack on this machine."""

import asyncio
from typing import Annotated

import typer

from infra.cli.options import DEFAULT_DATA, Data
from infra.cli.output import screen
from infra.cli.run import run_until_signal


def up(
    port: Annotated[int, typer.Option(help="Port of the API on this machine.")] = 8080,
    data: Data = DEFAULT_DATA,
) -> None:
    """Start the whole stack and keep it running until Ctrl-C or SIGTERM."""
    from infra.local.stack import Stack
    from infra.local.supervisor.log import console

    async def work() -> None:
        async with Stack(data, port=port, sink=console()) as stack:
            screen.print(f"PocWhisp answers at [bold]{stack.url}[/] - Ctrl-C stops it.")
            await asyncio.Event().wait()

    run_until_signal(work())
