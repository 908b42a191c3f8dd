"""`pocwhisp doctor`: what is on this machine, and what is missing."""

import typer

from infra.cli.exit_codes import Exit
from infra.cli.options import DEFAULT_PORT, Data
from infra.cli.output import screen


def doctor(*, data: Data) -> None:
    """Tell what is installed, what is missing, and what to do about it."""
    from rich.markup import escape
    from rich.table import Table

    from infra.cli.doctor import check_machine

    table = Table("what", "found", "what to do")
    findings = check_machine(data, DEFAULT_PORT)
    for finding in findings:
        missing = "[red]missing[/]" if finding.needed else "[yellow]no[/]"
        state = f"[green]{escape(finding.found)}[/]" if finding.found else missing
        table.add_row(escape(finding.name), state, "" if finding.ok else escape(finding.remedy))
    screen.print(table)
    is_well = all(finding.ok or not finding.needed for finding in findings)
    raise typer.Exit(Exit.COMPLETED if is_well else Exit.FAILED)
