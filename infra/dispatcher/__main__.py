"""The dispatcher: pushes JetStream's events to functions, as eventing-natss does in a cluster.

Started with `python -m infra.dispatcher`; its settings come from the environment.
"""

import asyncio
import contextlib
import signal

import structlog

from infra.dispatcher.session import dispatch
from infra.dispatcher.settings import DispatchSettings, SweepSettings
from shared.settings import BusSettings
from shared.telemetry import configure_logging

logger = structlog.get_logger()


async def _until_signal() -> None:
    work = asyncio.create_task(
        dispatch(DispatchSettings(), SweepSettings(), BusSettings().nats_url)
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await work
    logger.info("stopped")


def main() -> None:
    """Run until SIGTERM; the exit status is then 0."""
    configure_logging()
    asyncio.run(_until_signal())


if __name__ == "__main__":
    main()
