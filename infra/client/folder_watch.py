"""A folder that is watched: each recording that appears is transcribed once."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from infra.client.batch import Outcome
from infra.client.recordings import Recording, recordings_in

Version: TypeAlias = tuple[int, int]
"""A file's size in bytes and its time of change in ns; another version is another recording."""

LOOK_EVERY = 0.5
AGAIN_AFTER = 2.0
AGAIN_AT_MOST = 30.0
"""Seconds until a recording is tried again, which double up to the second figure."""
SHARE = 0.1
"""Share of the time that may go into looking at the folder."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a folder found: how many recordings, how many done, and which are ready."""

    found: int
    done: int
    ready: tuple[Recording, ...]


class Folder:
    """Which recordings of a folder are to be transcribed now.

    A recording is ready once it has been the same for `settle` seconds. `is_done` says whether
    its results are there; if it changes afterwards, it is ready once more. Of two whose results
    would have one name, the second is left alone.
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
        self._print_error = print_error
        self._settle = settle
        self._since: dict[Path, tuple[Version, float]] = {}
        self._taken: dict[Path, Version] = {}
        self._done: dict[Path, Version] = {}
        self._colliding: set[Path] = set()
        self._at_work: set[Path] = set()
        self._owners: dict[Path, Recording] = {}

    def look(self, now: float) -> Look:
        """Look at the folder at the time `now` (s, of a clock that never goes back)."""
        found = done = 0
        ready: list[Recording] = []
        for recording in recordings_in(self._path):
            version = version_of(recording.path)
            if version is None or not self._owns(recording):
                continue
            found += 1
            settled = self._is_settled(recording.path, version, now)
            if self._has_results(recording, version):
                done += 1
            elif settled and self._is_new(recording.path, version):
                ready.append(recording)
        return Look(found, done, tuple(ready))

    def take(self, recording: Recording) -> bool:
        """Take one that was ready; False if it has changed meanwhile, and is to settle again."""
        version = version_of(recording.path)
        if version is None or version != self._since[recording.path][0]:
            return False
        self._taken[recording.path] = version
        self._done.pop(recording.path, None)
        self._at_work.add(recording.path)
        return True

    def give_back(self, recording: Recording) -> None:
        """A recording that was taken is done with, until it changes."""
        self._at_work.discard(recording.path)

    def _owns(self, recording: Recording) -> bool:
        owner = self._owners.get(recording.result_stem)
        if owner is None or not owner.path.exists():
            owner = self._owners[recording.result_stem] = recording
        elif owner.path != recording.path and recording.path not in self._colliding:
            self._colliding.add(recording.path)
            self._print_error(f"{recording.name}: its results would replace those of {owner.name}")
        return owner.path == recording.path

    def _has_results(self, recording: Recording, version: Version) -> bool:
        """Whether its results are there, and it has not changed since they were found there."""
        path = recording.path
        if self._done.get(path, version) != version or self._taken.get(path, version) != version:
            return False
        if path in self._at_work or not self._is_done(recording):
            return False
        self._done[path] = version
        return True

    def _is_new(self, path: Path, version: Version) -> bool:
        return path not in self._at_work and self._taken.get(path) != version

    def _is_settled(self, path: Path, version: Version, now: float) -> bool:
        earlier, since = self._since.setdefault(path, (version, now))
        if earlier != version:
            self._since[path] = (version, now)
            return self._settle <= 0
        return now - since >= self._settle


async def keep_watching(
    folder: Folder,
    transcribe: Callable[[Recording], Awaitable[Outcome]],
    print_error: Callable[[str], None],
    jobs: int,
) -> None:
    """Transcribe what becomes ready, `jobs` at a time, until cancelled.

    With the server away a recording is tried again until it is back. What is refused or fails
    is tried again only when its file has changed. Looking takes a small share of the time, and
    holds nothing else up.
    """
    slots = asyncio.Semaphore(jobs)

    async def attend(recording: Recording) -> None:
        try:
            await _until_answered(recording, transcribe, print_error)
        finally:
            folder.give_back(recording)
            slots.release()

    async with asyncio.TaskGroup() as group:
        first = True
        while True:
            began = time.monotonic()
            look = await asyncio.to_thread(folder.look, began)
            took = time.monotonic() - began
            if first:
                print_error(f"{look.found} recordings, {look.done} have results. Ctrl-C stops.")
                first = False
            for recording in look.ready:
                await slots.acquire()
                if folder.take(recording):
                    group.create_task(attend(recording))
                else:
                    slots.release()
            await asyncio.sleep(max(LOOK_EVERY, took / SHARE))


async def _until_answered(
    recording: Recording,
    transcribe: Callable[[Recording], Awaitable[Outcome]],
    print_error: Callable[[str], None],
) -> None:
    """Transcribe the recording, again and again while the server is away."""
    pause = AGAIN_AFTER
    while (await transcribe(recording)).verdict == "away":
        print_error(f"{recording.name}: trying again in {pause:g} s")
        await asyncio.sleep(pause)
        pause = min(2 * pause, AGAIN_AT_MOST)


def version_of(path: Path) -> Version | None:
    """The file's present version; None if it is empty or gone."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_size, found.st_mtime_ns) if found.st_size else None
