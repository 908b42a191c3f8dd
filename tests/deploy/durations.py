"""The two ways in which the manifests write durations, in seconds."""

import re
from collections.abc import Mapping

ISO = re.compile(r"PT(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+)S)?")
GO = re.compile(r"(?:(?P<hours>\d+)h)?(?:(?P<minutes>\d+)m)?(?:(?P<seconds>\d+)s)?")


def iso_seconds(text: str) -> int:
    """ISO 8601, as Knative Eventing reads it: `PT10M5S`."""
    return _seconds(ISO, text)


def go_seconds(text: str) -> int:
    """Go's notation, as Kubernetes reads it: `168h`."""
    return _seconds(GO, text)


def backoff_seconds(retries: int, delay: int) -> int:
    """How long eventing-natss goes on: it waits `delay * 2**n` before the n-th retry, uncapped."""
    return sum(delay * 2**attempt for attempt in range(1, retries + 1))


def _seconds(pattern: re.Pattern[str], text: str) -> int:
    match = pattern.fullmatch(text)
    if match is None or not any(match.groups()):
        raise ValueError(f"Not a duration: {text!r}.")
    parts: Mapping[str, str | None] = match.groupdict()
    hours, minutes, seconds = (int(parts[name] or 0) for name in ("hours", "minutes", "seconds"))
    return 3600 * hours + 60 * minutes + seconds
