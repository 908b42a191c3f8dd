"""`pocwhisp events`: CloudEvents as they pass."""

import json
from contextlib import aclosing
from typing import Annotated
from uuid import UUID

import typer

from infra.cli.options import DEFAULT_DATA, Data
from infra.cli.output import ignore_broken_pipe
from infra.cli.run import run_until_signal


def events(  # noqa: PLR0913 - one parameter for each option
    *,
    session: Annotated[
        UUID | None, typer.Option(help="Only this recording's, from its beginning.")
    ] = None,
    event_type: Annotated[
        str | None, typer.Option("--type", help="Only these types, such as 'recording.*'.")
    ] = None,
    since_start: Annotated[
        bool, typer.Option("--since-start", help="All that are kept, not only those to come.")
    ] = False,
    until_end: Annotated[
        bool, typer.Option("--until-end", help="With --session: stop when its run has ended.")
    ] = False,
    server: Annotated[str | None, typer.Option(help="URL of a broker, nats://HOST:PORT.")] = None,
    data: Data = DEFAULT_DATA,
) -> None:
    """Print events as they pass, each a CloudEvent as JSON on one line, until Ctrl-C."""
    from infra.cli.server_choice import broker_of
    from infra.client.event_stream import EventFilter, listen

    if until_end and session is None:
        raise typer.BadParameter("--until-end needs --session.")
    wanted = EventFilter(session, event_type, since_start, until_end)

    async def work() -> None:
        async with aclosing(listen(server or broker_of(data), wanted)) as passing:
            async for event in passing:
                typer.echo(json.dumps(event))

    with ignore_broken_pipe():
        run_until_signal(work())
