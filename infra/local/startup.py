"""The order in which a stack starts."""

import asyncio

from infra.local.errors import CannotStart
from infra.local.plan import StackPlan
from infra.local.servers import StackServer
from infra.local.supervisor.supervisor import Supervisor
from shared.tasks import together


async def start_all(
    supervisor: Supervisor, plan: StackPlan, broker: StackServer, database: StackServer
) -> None:
    """Start all processes at once; functions load while their stores start.

    The time that a function may take to be ready begins when its stores can be used. Raises
    `CannotStart`.
    """
    broker_up, migrated = asyncio.Event(), asyncio.Event()

    async def start_broker() -> None:
        await broker.start(supervisor)
        broker_up.set()
        await supervisor.start(plan.dispatcher())

    async def start_database() -> None:
        await database.start(supervisor)
        await asyncio.to_thread(migrate_record, database.url)
        migrated.set()

    functions = (
        supervisor.start(
            plan.function(deployment),
            after=migrated if deployment.needs_database else broker_up,
            deadline=plan.supervision.start_limit,
        )
        for deployment in plan.deployments
    )
    await together(start_broker(), start_database(), *functions)


def migrate_record(database_url: str) -> None:
    """Bring the record to this release. Raises `CannotStart` if the database cannot be used."""
    # Imported here: it takes half a second, well spent while the database starts.
    from psycopg import Error  # noqa: PLC0415
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    from shared.record.migrate import migrate  # noqa: PLC0415

    try:
        migrate(database_url)
    except (Error, SQLAlchemyError) as error:
        raise CannotStart(f"The database cannot be used: {error}") from error
