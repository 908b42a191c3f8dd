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
"""The trace flags sampled and random; any other is passed on as zero."""

logger = structlog.get_logger()
disable_created_metrics()  # type: ignore[no-untyped-call]  # process-wide: no `_created` series


def configure_logging() -> None:
    """Log one JSON object per line on standard output.

    This covers the product's own lines, those of libraries that use `logging`, warnings, and
    exceptions that nobody caught.
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
    """Write the log lines of libraries, warnings included, in the same form."""
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
    """Return a new span in the trace of `received`, or in a new one (W3C Trace Context)."""
    match = _parsed(received)
    trace = match[2] if match else secrets.token_hex(16)
    flags = int(match[3], 16) & TRACE_FLAGS if match else 1
    return f"00-{trace}-{secrets.token_hex(8)}-{flags:02x}"


def trace_id(traceparent: str | None) -> str | None:
    """Return the id of the trace. Returns None if there is none."""
    match = _parsed(traceparent)
    return match[2] if match else None


def _parsed(traceparent: str | None) -> re.Match[str] | None:
    """Return the parts of a header; versions after 00 may append further parts."""
    match = TRACEPARENT.fullmatch(traceparent or "")
    return None if match and match[1] == "00" and match[4] else match
