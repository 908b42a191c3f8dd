"""A folder that is watched: each recording that appears is transcribed once."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeAlias

from infra.client.batch import Outcome
from infra.client.recordings import Recording, recordings_in

Version: TypeAlias = tuple[int, int]
"""A file's size in bytes and its time of change in ns; another version is another recording."""

LOOK_EVERY = 0.5
AGAIN_AFTER = 2.0


class Folder:
    """Which recordings of a folder are to be transcribed now.

    A recording is ready once it has been the same for `settle` seconds. `is_done` says whether
    its results are there. Of two whose results would have one name, the second is left alone.
    """

    def __init__(
        self,
        path: Path,
        is_done: Callable[[Recording], bool],
        print_error: Callable[[str], None],
        settle: float,
    ) -> None:
        self._path = path
        self._is_done = is_done
        self._complain = print_error
        self._settle = settle
        self._since: dict[Path, tuple[Version, float]] = {}
        self._taken: dict[Path, Version] = {}
        self._owners: dict[Path, Recording] = {}

    def ready(self, now: float) -> Iterator[Recording]:
        """Those that are ready at the time `now` (s, of a clock that never goes back), once."""
        for recording in recordings_in(self._path):
            version = version_of(recording.path)
            if version is None or not self._owns(recording):
                continue
            if self._is_settled(recording.path, version, now) and self._is_new(recording, version):
                self._taken[recording.path] = version
                yield recording

    def _owns(self, recording: Recording) -> bool:
        owner = self._owners.get(recording.result_stem)
        if owner is None or not owner.path.exists():
            owner = self._owners[recording.result_stem] = recording
        elif owner.path != recording.path and recording.path not in self._taken:
            self._taken[recording.path] = (0, 0)
            self._complain(f"{recording.name}: its results would replace those of {owner.name}")
        return owner.path == recording.path

    def _is_settled(self, path: Path, version: Version, now: float) -> bool:
        known, since = self._since.setdefault(path, (version, now))
        if known != version:
            self._since[path] = (version, now)
            return False
        return now - since >= self._settle

    def _is_new(self, recording: Recording, version: Version) -> bool:
        return self._taken.get(recording.path) != version and not self._is_done(recording)


async def keep_watching(
    folder: Folder,
    transcribe: Callable[[Recording], Awaitable[Outcome]],
    print_error: Callable[[str], None],
    jobs: int,
) -> None:
    """Transcribe what becomes ready, `jobs` at a time, until cancelled.

    With the server away a recording is tried again until it is back. What is refused or fails
    is complained of, and tried again only when its file has changed.
    """
    slots = asyncio.Semaphore(jobs)

    async def attend(recording: Recording) -> None:
        async with slots:
            while (outcome := await transcribe(recording)).verdict == "away":
                print_error(f"{recording.name}: {outcome.trouble}; trying again")
                await asyncio.sleep(AGAIN_AFTER)
        if outcome.trouble:
            print_error(f"{recording.name}: {outcome.trouble}")

    async with asyncio.TaskGroup() as group:
        while True:
            for recording in folder.ready(time.monotonic()):
                group.create_task(attend(recording))
            await asyncio.sleep(LOOK_EVERY)


def version_of(path: Path) -> Version | None:
    """The file's present version; None if it is empty or gone."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_size, found.st_mtime_ns) if found.st_size else None
