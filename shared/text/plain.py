"""A conversation as plain text, one line per segment."""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

SessionBody: TypeAlias = Mapping[str, Any]
"""A recording as the API's body tells it."""


def clock_time(seconds: float) -> str:
    """Minutes and seconds with tenths, as in 01:23.4."""
    minutes, rest = divmod(max(0.0, round(seconds, 1)), 60)
    return f"{int(minutes):02d}:{rest:04.1f}"


def plain_lines(session: SessionBody) -> Iterator[str]:
    """The conversation, one line per segment; signs of listening in brackets."""
    names = speaker_names(session)
    for segment in session_segments(session):
        speaker = names.get(segment["speaker"], segment["speaker"])
        text = f"({segment['text']})" if segment.get("backchannel") else segment["text"]
        yield f"[{clock_time(segment['start_time'])}] {speaker}: {text}"


def speaker_names(session: SessionBody) -> dict[str, str]:
    """Who speaks on a channel, where the upload said so."""
    names: dict[str, str] = (session.get("request") or {}).get("channels") or {}
    return names


def session_segments(session: SessionBody) -> list[dict[str, Any]]:
    """The segments; none while there is no transcript."""
    segments: list[dict[str, Any]] = (session.get("transcript") or {}).get("segments", [])
    return segments
