"""`pocwhisp status`: whether a stack runs, and how it is."""

from typing import TYPE_CHECKING

import typer

from infra.cli.exit_codes import Exit
from infra.cli.options import DEFAULT_DATA, Data
from infra.cli.output import screen
from infra.cli.run import run

if TYPE_CHECKING:
    from infra.client.client import Session


def status(data: Data = DEFAULT_DATA) -> None:
    """Tell whether a stack runs, where, and how its parts are."""
    from rich.table import Table

    from infra.client.client import Client
    from infra.local.state import running_stack

    info = running_stack(data)
    if info is None:
        screen.print(f"No stack runs in {data}. Start one with: pocwhisp up")
        raise typer.Exit(Exit.AWAY)

    async def look() -> "Session":
        async with Client(info.url) as client:
            return await client.health()

    health = run(look())
    table = Table("part", "state", title=f"{info.url} is {health['status']} (pid {info.pid})")
    for name, answer in health["checks"].items():
        table.add_row(name, answer)
    for name, pid in info.processes.items():
        table.add_row(name, f"pid {pid}")
    screen.print(table)
