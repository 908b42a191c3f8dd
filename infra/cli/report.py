"""Renders a recording for a terminal."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from infra.client.client import RecordingBody
from shared.text.plain import clock_time, session_segments, speaker_names

SPEAKER_STYLE = {"left": "cyan", "right": "magenta"}
LEAST_CLIPPED = 0.001
"""Share of clipped samples from which on clipping is shown."""
SENTIMENT_STYLE = {"positive": "green", "neutral": "white", "negative": "red"}


def report(session: RecordingBody) -> RenderableType:
    """Render everything about a finished recording."""
    parts: list[RenderableType] = [conversation(session)]
    if session.get("summary"):
        parts.append(summary_panel(session["summary"]))
    parts.append(facts(session["metadata"]))
    if session.get("error"):
        parts.append(Panel(escape(session["error"]["message"]), title="failed", border_style="red"))
    return Group(*parts)


def conversation(session: RecordingBody) -> Table:
    """Render the segments with their times and speakers; back-channels are dim.

    Overlapping segments have a column with each other's ids.
    """
    names, segments = speaker_names(session), session_segments(session)
    both = any(segment.get("overlaps") for segment in segments)
    table = Table("start", "end", "speaker", "text", "conf.", title="The conversation")
    if both:
        table.add_column("id")
        table.add_column("at once with")
    for segment in segments:
        met = (segment["id"], ", ".join(segment["overlaps"])) if both else ()
        table.add_row(
            clock_time(segment["start_time"]),
            clock_time(segment["end_time"]),
            escape(names.get(segment["speaker"], segment["speaker"])),
            escape(segment["text"]),
            f"{segment['confidence']:.2f}",
            *met,
            style=_style(segment),
        )
    return table


def _style(segment: dict[str, Any]) -> str:
    colour = SPEAKER_STYLE[segment["speaker"]]
    return f"{colour} dim" if segment.get("backchannel") else colour


def summary_panel(content: dict[str, Any]) -> Panel:
    """Render the summary, its key points and its sentiment."""
    points = "\n".join(f"• {escape(point)}" for point in content["key_points"])
    mood = content["sentiment"]
    return Panel(
        f"{escape(content['text'])}\n\n[bold]Key points[/]\n{points}\n\n"
        f"[bold]Sentiment[/] [{SENTIMENT_STYLE[mood]}]{mood}[/]",
        title="The summary",
    )


def facts(metadata: dict[str, Any]) -> Table:
    """Render the engines, the audio's quality and warnings, and the processing time."""
    table = Table.grid(padding=(0, 2))
    for name, text in (*_engines(metadata), *_sound(metadata), *_times(metadata)):
        table.add_row(name, escape(text))
    return table


def _engines(metadata: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, version in metadata["model_versions"].items():
        if version:
            yield name, version
    if metadata["degraded"]:
        yield "degraded", ", ".join(metadata["degraded"])


def _sound(metadata: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if spoken := [_language(found) for found in metadata.get("languages") or ()]:
        yield "language", ", ".join(spoken)
    if flaws := list(quality(metadata.get("quality") or {})):
        yield "quality", "; ".join(flaws)
    for warning in metadata.get("warnings") or ():
        yield "warning", warning["message"]


def _times(metadata: dict[str, Any]) -> Iterator[tuple[str, str]]:
    took, duration = metadata["processing_time"], metadata["duration"]
    if duration is not None:
        yield "recording", f"{duration:.1f} s"
    if took is not None:
        share = f" ({took / duration:.2f} of its length)" if duration else ""
        yield "result after", f"{took:.1f} s{share}"


def _language(found: dict[str, Any]) -> str:
    sure = found.get("probability")
    return f"{found['channel']} {found['code']}" + ("" if sure is None else f" ({sure:.2f})")


def quality(found: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the channels, in a few words each."""
    if found.get("dual_mono"):
        yield "the same on both channels"
    for channel in found.get("channels") or ():
        if channel["silent"]:
            yield f"{channel['channel']} silent"
        if channel["clipped"] >= LEAST_CLIPPED:
            yield f"{channel['channel']} {channel['clipped']:.1%} clipped"
    for leak in found.get("bleed") or ():
        yield f"{leak['source']} heard on {leak['into']} at {leak['gain']:.0f} dB"


BEFORE = {
    "split": "received",
    "transcribe": "split",
    "merge": "transcribe",
    "summarize": "merge",
    "completed": "summarize",
}


def stage_lines(progress: Sequence[dict[str, Any]], seen: int) -> Iterator[str]:
    """Yield a line for each stage after the first `seen`.

    It shows when the stage was reached, in seconds since the upload ended, and how long after
    the last of the stages before it.
    """
    for stage in progress[seen:]:
        name = f"{stage['stage']} {stage['channel'] or ''}"
        earlier = [s["seconds"] for s in progress if s["stage"] == BEFORE.get(stage["stage"])]
        took = f"took {stage['seconds'] - max(earlier):6.2f} s" if earlier else ""
        yield f"  {stage['seconds']:6.2f} s  {name:<18}{took}".rstrip()
