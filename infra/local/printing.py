"""How a recording looks on a terminal."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from infra.local.client import Session

SPEAKER_STYLE = {"left": "cyan", "right": "magenta"}
SENTIMENT_STYLE = {"positive": "green", "neutral": "white", "negative": "red"}


def clock(seconds: float) -> str:
    """Minutes and seconds with tenths, as in 01:23.4."""
    minutes, rest = divmod(max(0.0, round(seconds, 1)), 60)
    return f"{int(minutes):02d}:{rest:04.1f}"


def plain_lines(session: Session) -> Iterator[str]:
    """The conversation, one line per segment."""
    names = names_of(session)
    for segment in segments_of(session):
        speaker = names.get(segment["speaker"], segment["speaker"])
        yield f"[{clock(segment['start_time'])}] {speaker}: {segment['text']}"


def names_of(session: Session) -> dict[str, str]:
    """Who speaks on a channel, where the upload said so."""
    names: dict[str, str] = (session.get("request") or {}).get("channels") or {}
    return names


def segments_of(session: Session) -> list[dict[str, Any]]:
    """The segments; none while there is no transcript."""
    segments: list[dict[str, Any]] = (session.get("transcript") or {}).get("segments", [])
    return segments


def report(session: Session) -> RenderableType:
    """Everything about a finished recording."""
    parts: list[RenderableType] = [conversation(session)]
    if session.get("summary"):
        parts.append(summary(session["summary"]))
    parts.append(facts(session["metadata"]))
    if session.get("error"):
        parts.append(Panel(escape(session["error"]["message"]), title="failed", border_style="red"))
    return Group(*parts)


def conversation(session: Session) -> Table:
    """The segments with their times and speakers."""
    table = Table("start", "end", "speaker", "text", "conf.", title="The conversation")
    names = names_of(session)
    for segment in segments_of(session):
        table.add_row(
            clock(segment["start_time"]),
            clock(segment["end_time"]),
            escape(names.get(segment["speaker"], segment["speaker"])),
            escape(segment["text"]),
            f"{segment['confidence']:.2f}",
            style=SPEAKER_STYLE[segment["speaker"]],
        )
    return table


def summary(content: dict[str, Any]) -> Panel:
    """The summary, its key points and its sentiment."""
    points = "\n".join(f"• {escape(point)}" for point in content["key_points"])
    mood = content["sentiment"]
    return Panel(
        f"{escape(content['text'])}\n\n[bold]Key points[/]\n{points}\n\n"
        f"[bold]Sentiment[/] [{SENTIMENT_STYLE[mood]}]{mood}[/]",
        title="The summary",
    )


def facts(metadata: dict[str, Any]) -> Table:
    """What ran, and how long it took."""
    table = Table.grid(padding=(0, 2))
    for name, version in metadata["model_versions"].items():
        if version:
            table.add_row(name, version)
    if metadata["degraded"]:
        table.add_row("degraded", ", ".join(metadata["degraded"]))
    for warning in metadata.get("warnings") or ():
        table.add_row("warning", escape(warning["message"]))
    took, duration = metadata["processing_time"], metadata["duration"]
    if duration is not None:
        table.add_row("recording", f"{duration:.1f} s")
    if took is not None:
        share = f" ({took / duration:.2f} of its length)" if duration else ""
        table.add_row("result after", f"{took:.1f} s{share}")
    return table


BEFORE = {
    "split": "received",
    "transcribe": "split",
    "merge": "transcribe",
    "summarize": "merge",
    "completed": "summarize",
}


def stage_lines(progress: Sequence[dict[str, Any]], seen: int) -> Iterator[str]:
    """A line for each stage after the first `seen`.

    It tells when the stage was reached, in seconds since the upload ended, and how long after
    the last of the stages it builds on.
    """
    for stage in progress[seen:]:
        name = f"{stage['stage']} {stage['channel'] or ''}"
        earlier = [s["seconds"] for s in progress if s["stage"] == BEFORE.get(stage["stage"])]
        took = f"took {stage['seconds'] - max(earlier):6.2f} s" if earlier else ""
        yield f"  {stage['seconds']:6.2f} s  {name:<18}{took}".rstrip()
