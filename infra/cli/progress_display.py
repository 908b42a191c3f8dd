"""Progress displays: bars on a terminal, else a line for each recording."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from infra.client.audio_files import AudioFile
from infra.client.client import RecordingBody
from infra.client.progress import ProgressDisplay

STAGES = 7
"""Received, split, transcribed twice, merged, summarised, completed."""


class LineProgress:
    """A line for each recording that has ended, for logs and pipes.

    With `quiet`, only for those that are not completed.
    """

    def __init__(self, screen: Console, *, quiet: bool = False) -> None:
        self._screen = screen
        self._quiet = quiet
        self._began: dict[AudioFile, float] = {}

    def begin(self, recording: AudioFile) -> None:
        self._began[recording] = time.monotonic()

    def update(self, recording: AudioFile, session: RecordingBody) -> None:
        pass

    def end(self, recording: AudioFile, status: str, reason: str) -> None:
        seconds = time.monotonic() - self._began.pop(recording)
        if reason or not self._quiet:
            _print(self._screen, end_line(recording, status, reason, seconds))


class BarProgress:
    """A bar for each recording at work; one that has ended leaves a line above the bars."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[AudioFile, TaskID] = {}

    def begin(self, recording: AudioFile) -> None:
        name = escape(recording.name)
        self._bars[recording] = self._progress.add_task(name, total=STAGES, stage="uploading")

    def update(self, recording: AudioFile, session: RecordingBody) -> None:
        stages = stages_of(session)
        at = stages[-1] if stages else "uploaded"
        self._progress.update(self._bars[recording], completed=len(stages), stage=at)

    def end(self, recording: AudioFile, status: str, reason: str) -> None:
        bar = self._bars.pop(recording)
        seconds = self._progress.tasks[self._progress.task_ids.index(bar)].elapsed or 0.0
        self._progress.remove_task(bar)
        _print(self._progress.console, end_line(recording, status, reason, seconds))


@contextmanager
def shown_on(screen: Console, *, quiet: bool = False) -> Iterator[ProgressDisplay]:
    """Open a display on the screen: bars if it is a terminal and not `quiet`, else lines."""
    if quiet or not screen.is_terminal:
        yield LineProgress(screen, quiet=quiet)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[stage]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=screen, transient=True) as progress:
        yield BarProgress(progress)


def stages_of(session: RecordingBody) -> list[str]:
    """Return the stages that the recording has reached, in order, such as `transcribe left`."""
    return [
        " ".join(filter(None, (stage["stage"], stage.get("channel"))))
        for stage in session.get("progress") or ()
    ]


def end_line(recording: AudioFile, status: str, reason: str, seconds: float) -> str:
    """Return one line: the name, the status, and the reason or the seconds it took."""
    if not reason:
        return f"{recording.name}: {status} after {seconds:.1f} s"
    return f"{recording.name}: {status}" + ("" if reason == status else f": {reason}")


def _print(screen: Console, line: str) -> None:
    screen.print(line, markup=False, highlight=False, soft_wrap=True)
