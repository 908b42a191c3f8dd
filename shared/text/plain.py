"""A conversation as plain text, one line per segment."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

SessionBody: TypeAlias = Mapping[str, Any]
"""A recording as the body of the API."""


def clock_time(seconds: float) -> str:
    """Return minutes and seconds with tenths, as in 01:23.4."""
    minutes, rest = divmod(max(0.0, round(seconds, 1)), 60)
    return f"{int(minutes):02d}:{rest:04.1f}"


def plain_lines(session: SessionBody) -> Iterator[str]:
    """Yield the conversation, one line per segment; back-channels in brackets."""
    names = speaker_names(session)
    for segment in session_segments(session):
        speaker = names.get(segment["speaker"], segment["speaker"])
        text = f"({segment['text']})" if segment.get("backchannel") else segment["text"]
        yield f"[{clock_time(segment['start_time'])}] {speaker}: {text}"


def speaker_names(session: SessionBody) -> dict[str, str]:
    """Return the speakers' names by channel, for the channels that the upload named."""
    names: dict[str, str] = (session.get("request") or {}).get("channels") or {}
    return names


def session_segments(session: SessionBody) -> list[dict[str, Any]]:
    """Return the segments; none while there is no transcript."""
    segments: list[dict[str, Any]] = (session.get("transcript") or {}).get("segments", [])
    return segments
