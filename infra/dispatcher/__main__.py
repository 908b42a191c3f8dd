"""The dispatcher: pushes JetStream's events to functions, as eventing-natss does in a cluster.

Started with `python -m infra.dispatcher`; its settings come from the environment.
"""

import asyncio
import contextlib
import signal
import sys

import structlog

from infra.dispatcher.session import dispatch
from infra.dispatcher.settings import DispatchSettings, SweepSettings
from shared.errors import Unavailable
from shared.settings import BusSettings
from shared.telemetry import configure_logging

logger = structlog.get_logger()


async def _until_signal() -> None:
    """Dispatch until the first SIGTERM or Ctrl-C; a second one does not cut the drain off."""
    work = asyncio.create_task(
        dispatch(DispatchSettings(), SweepSettings(), BusSettings().nats_url)
    )

    def stop() -> None:
        if not work.cancelling():
            work.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    with contextlib.suppress(asyncio.CancelledError):
        await work
    logger.info("stopped")


def main() -> None:
    """Run until SIGTERM; the exit status is then 0, or 1 if the broker's address is none."""
    configure_logging()
    try:
        asyncio.run(_until_signal())
    except Unavailable as error:
        logger.error("cannot_start", reason=str(error))  # noqa: TRY400 - the reason says it all
        sys.exit(1)


if __name__ == "__main__":
    main()
