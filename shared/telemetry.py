"""Logs as JSON lines, and the W3C trace context that links events."""

import logging
import re
import secrets
import sys
import threading
from types import TracebackType

import structlog
from prometheus_client import disable_created_metrics
from structlog.typing import Processor

TRACEPARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?"
)
TRACE_FLAGS = 0b11
"""Sampled and random; the others are to be passed on as zeros."""

logger = structlog.get_logger()
disable_created_metrics()  # type: ignore[no-untyped-call]  # process-wide: no `_created` series


def configure_logging() -> None:
    """One JSON object per line on standard output.

    Whatever the process says passes here: our own lines, those of libraries that log with
    `logging`, warnings, and exceptions that nobody caught.
    """
    ours: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    end: list[Processor] = [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(),
    ]
    # One write per line: threads that log at the same time do not mix theirs.
    structlog.configure(
        processors=[*ours, *end], logger_factory=structlog.WriteLoggerFactory(sys.stdout)
    )
    _bridge_libraries([*ours, structlog.stdlib.add_logger_name], end)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def _bridge_libraries(first: list[Processor], end: list[Processor]) -> None:
    """Have what libraries log, warnings included, written as our own lines are."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=first,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *end],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)


def _log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    logger.critical("uncaught", exc_info=(kind, error, trace))


def _log_uncaught_in_thread(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_value is not None:
        _log_uncaught(failed.exc_type, failed.exc_value, failed.exc_traceback)


def next_traceparent(received: str | None) -> str:
    """A new span in the received trace, or in a new one (W3C Trace Context, section 3)."""
    match = _parsed(received)
    trace = match[2] if match else secrets.token_hex(16)
    flags = int(match[3], 16) & TRACE_FLAGS if match else 1
    return f"00-{trace}-{secrets.token_hex(8)}-{flags:02x}"


def trace_id(traceparent: str | None) -> str | None:
    """The id of the trace, or None if there is none."""
    match = _parsed(traceparent)
    return match[2] if match else None


def _parsed(traceparent: str | None) -> re.Match[str] | None:
    """The parts of a header; a version after 00 may have more of them behind those known."""
    match = TRACEPARENT.fullmatch(traceparent or "")
    return None if match and match[1] == "00" and match[4] else match
