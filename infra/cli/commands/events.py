"""`pocwhisp events`: CloudEvents as they pass."""

import json
from contextlib import aclosing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from infra.cli.options import Data, broker_address
from infra.cli.output import ignore_broken_pipe, print_error
from infra.cli.run import run_until_signal

if TYPE_CHECKING:
    from infra.client.event_filter import EventFilter


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
    server: Annotated[
        str | None, typer.Option(callback=broker_address, help="A broker, nats://HOST:PORT.")
    ] = None,
    data: Data,
) -> None:
    """Print events as they pass, each a CloudEvent as JSON on one line, until Ctrl-C."""
    from infra.client.event_filter import EventFilter
    from infra.client.event_stream import listen

    if until_end and session is None:
        raise typer.BadParameter("--until-end needs --session.")
    wanted = EventFilter(session, event_type, since_start, until_end)

    warn_of_unknown_type(event_type)

    async def work() -> None:
        broker = server or await _broker_of(data, wanted)
        async with aclosing(listen(broker, wanted, print_error)) as passing:
            async for event in passing:
                typer.echo(json.dumps(event))

    with ignore_broken_pipe():
        run_until_signal(work())


def warn_of_unknown_type(pattern: str | None) -> None:
    """Tell the user of a pattern that fits no type of ours: nothing may ever come."""
    from events import EVENTS
    from infra.client.event_filter import PREFIX, matches

    if not any(matches(event_type, pattern) for event_type in EVENTS):
        names = ", ".join(name.removeprefix(PREFIX) for name in EVENTS)
        print_error(f"--type {pattern} fits none of the types there are: {names}.")


async def _broker_of(data: Path, wanted: "EventFilter") -> str:
    """The running stack's broker. Raises `Refused` for the end of a recording it does not have."""
    from infra.cli.server_choice import stack_in
    from infra.client.client import Client
    from infra.client.errors import ServerAway

    stack = stack_in(data)
    if wanted.session and wanted.until_end:
        async with Client(stack.url) as client:
            with suppress(ServerAway):
                await client.find(str(wanted.session))
    return stack.nats_url
