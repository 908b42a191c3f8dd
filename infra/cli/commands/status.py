"""`pocwhisp status`: whether a stack runs, and how it is."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.exit_codes import Exit
from infra.cli.options import Data
from infra.cli.output import print_line, screen
from infra.cli.run import run

if TYPE_CHECKING:
    from infra.client.client import HealthBody
    from infra.local.state import StackState


def status(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="All of it, for scripts.")] = False,
    data: Data,
) -> None:
    """Tell whether a stack runs, where, and how its parts are; exit code 1 if one is away."""
    from infra.cli.server_choice import stack_in
    from infra.local.state import running_stack, unready_stack

    if running_stack(data) is None and (pid := unready_stack(data)) is not None:
        _print_unready(data, pid, as_json=as_json)
        raise typer.Exit(Exit.FAILED)

    async def look() -> "tuple[StackState, HealthBody]":
        info = stack_in(data)
        from infra.client.client import Client

        async with Client(info.url) as client:
            return info, await client.health()

    info, health = run(look())
    if as_json:
        facts = {"url": info.url, "pid": info.pid, "data": str(data.absolute()), **health}
        typer.echo(json.dumps(facts | {"processes": info.processes}, indent=2))
    else:
        _print(info, health)
    raise typer.Exit(Exit.COMPLETED if health["status"] == "healthy" else Exit.FAILED)


def _print_unready(data: Path, pid: int, *, as_json: bool) -> None:
    place = str(data.absolute())
    if as_json:
        typer.echo(json.dumps({"pid": pid, "data": place, "status": "starting"}, indent=2))
    else:
        print_line(f"The stack in {place} is starting or stopping (pid {pid}).")


def _print(info: "StackState", health: "HealthBody") -> None:
    from rich.table import Table

    print_line(f"{info.url} is {health['status']} (pid {info.pid})")
    table = Table("part", "state")
    for name, answer in health["checks"].items():
        table.add_row(name, str(answer))
    for name, pid in info.processes.items():
        table.add_row(name, f"pid {pid}")
    screen.print(table)
