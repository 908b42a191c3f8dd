"""`pocwhisp doctor`: what is on this machine, and what is missing."""

import typer

from infra.cli.output import screen


def doctor() -> None:
    """Tell what is installed, what is missing, and what to do about it."""
    from rich.markup import escape
    from rich.table import Table

    from infra.cli.doctor import examine

    table = Table("what", "found", "what to do")
    findings = examine()
    for finding in findings:
        state = f"[green]{finding.found}[/]" if finding.ok else "[red]missing[/]"
        table.add_row(finding.name, state, "" if finding.ok else escape(finding.remedy))
    screen.print(table)
    raise typer.Exit(0 if all(finding.ok or not finding.needed for finding in findings) else 1)
