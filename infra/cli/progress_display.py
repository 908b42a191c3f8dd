"""How far recordings are, shown on standard error: bars on a terminal, else a line per stage."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from infra.client.client import Session
from infra.client.progress import ProgressDisplay
from infra.client.recordings import Recording

STAGES = 7
"""Received, split, transcribed twice, merged, summarised, completed."""


class LineProgress:
    """A line for each stage, for logs and pipes."""

    def __init__(self, screen: Console) -> None:
        self._screen = screen
        self._seen: dict[Recording, int] = {}

    def begin(self, recording: Recording) -> None:
        self._say(recording, "uploading")

    def update(self, recording: Recording, session: Session) -> None:
        stages = stages_of(session)
        for stage in stages[self._seen.get(recording, 0) :]:
            self._say(recording, stage)
        self._seen[recording] = len(stages)

    def end(self, recording: Recording, verdict: str) -> None:
        self._seen.pop(recording, None)
        self._say(recording, verdict)

    def _say(self, recording: Recording, words: str) -> None:
        line = f"{recording.name}: {words}"
        self._screen.print(line, markup=False, highlight=False, soft_wrap=True)


class BarProgress:
    """A bar for each recording at work; one that is done leaves a line above the bars."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[Recording, TaskID] = {}

    def begin(self, recording: Recording) -> None:
        name = escape(recording.name)
        self._bars[recording] = self._progress.add_task(name, total=STAGES, stage="uploading")

    def update(self, recording: Recording, session: Session) -> None:
        stages = stages_of(session)
        at = stages[-1] if stages else "uploaded"
        self._progress.update(self._bars[recording], completed=len(stages), stage=at)

    def end(self, recording: Recording, verdict: str) -> None:
        bar = self._bars.pop(recording)
        seconds = self._progress.tasks[self._progress.task_ids.index(bar)].elapsed or 0.0
        self._progress.remove_task(bar)
        line = f"{recording.name}  {verdict}  {seconds:.1f} s"
        self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def shown_on(screen: Console) -> Iterator[ProgressDisplay]:
    """Bars if the screen is a terminal, lines if it is not."""
    if not screen.is_terminal:
        yield LineProgress(screen)
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


def stages_of(session: Session) -> list[str]:
    """The stages it has reached, in order, such as `transcribe left`."""
    return [
        " ".join(filter(None, (stage["stage"], stage["channel"]))) for stage in session["progress"]
    ]
