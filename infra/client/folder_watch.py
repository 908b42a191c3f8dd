"""Watches a folder: each recording that appears in it is transcribed once."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from infra.client.audio_files import AudioFile, audio_files_in, is_file
from infra.client.batch import TranscriptionOutcome
from infra.client.errors import ServerAway
from infra.client.file_version import FileVersion, version_of

SCAN_INTERVAL = 0.5
RETRY_DELAY = 2.0
LONGEST_RETRY_DELAY = 30.0
"""Seconds until a recording is tried again; the delay doubles from the first to the second."""
SCAN_SHARE = 0.1
"""Share of the time that scans of the folder may take."""


@dataclass(frozen=True, slots=True)
class Scan:
    """A scan of a folder: number of recordings, how many are done, and those that are ready."""

    found: int
    done: int
    ready: tuple[AudioFile, ...]


class WatchedFolder:
    """The recordings of a folder, and which of them are ready to be transcribed.

    A recording is ready once its file has not changed for `settle` seconds, and again if it
    changes later. `is_done` returns whether its results exist. Of two recordings whose results
    would have the same name, the second is left out.
    """

    def __init__(
        self,
        path: Path,
        is_done: Callable[[AudioFile], bool],
        print_error: Callable[[str], None],
        settle: float,
    ) -> None:
        self._path = path
        self._is_done = is_done
        self._print_error = print_error
        self._settle = settle
        self._since: dict[Path, tuple[FileVersion, float]] = {}
        self._taken: dict[Path, FileVersion] = {}
        self._done: dict[Path, FileVersion] = {}
        self._colliding: set[Path] = set()
        self._at_work: set[Path] = set()
        self._owners: dict[Path, AudioFile] = {}

    def scan(self, now: float) -> Scan:
        """Scan the folder; `now` is the time in seconds of a monotonic clock."""
        found = done = 0
        ready: list[AudioFile] = []
        for recording in audio_files_in(self._path):
            version = _version_of(recording.path)
            if version is None or not self._owns(recording):
                continue
            found += 1
            settled = self._is_settled(recording.path, version, now)
            if self._has_results(recording, version):
                done += 1
            elif settled and self._is_new(recording.path, version):
                ready.append(recording)
        return Scan(found, done, tuple(ready))

    def take(self, recording: AudioFile) -> bool:
        """Start work on a ready recording. Returns False if its file has changed meanwhile."""
        version = _version_of(recording.path)
        if version is None or version != self._since[recording.path][0]:
            return False
        self._taken[recording.path] = version
        self._done.pop(recording.path, None)
        self._at_work.add(recording.path)
        return True

    def give_back(self, recording: AudioFile) -> None:
        """End the work on a recording that was taken."""
        self._at_work.discard(recording.path)

    def _owns(self, recording: AudioFile) -> bool:
        owner = self._owners.get(recording.result_stem)
        if owner is None or not is_file(owner.path):
            owner = self._owners[recording.result_stem] = recording
        elif owner.path != recording.path and recording.path not in self._colliding:
            self._colliding.add(recording.path)
            self._print_error(f"{recording.name}: its results would replace those of {owner.name}")
        return owner.path == recording.path

    def _has_results(self, recording: AudioFile, version: FileVersion) -> bool:
        """Whether its results exist, and the recording has not changed since they were found."""
        path = recording.path
        if self._done.get(path, version) != version or self._taken.get(path, version) != version:
            return False
        if path in self._at_work or not self._is_done(recording):
            return False
        self._done[path] = version
        return True

    def _is_new(self, path: Path, version: FileVersion) -> bool:
        return path not in self._at_work and self._taken.get(path) != version

    def _is_settled(self, path: Path, version: FileVersion, now: float) -> bool:
        earlier, since = self._since.setdefault(path, (version, now))
        if earlier != version:
            self._since[path] = (version, now)
            return self._settle <= 0
        return now - since >= self._settle


async def keep_watching(
    folder: WatchedFolder,
    transcribe: Callable[[AudioFile], Awaitable[TranscriptionOutcome]],
    check_server: Callable[[], Awaitable[None]],
    print_error: Callable[[str], None],
    jobs: int,
) -> None:
    """Transcribe recordings as they become ready, `jobs` at a time, until cancelled.

    A recording is uploaded once `check_server` does not raise `ServerAway`, and tried again
    while the server is away. One that is refused or fails is tried again only when its file
    changes. Scans run in a thread, a small share of the time.
    """
    slots = asyncio.Semaphore(jobs)

    async def process(recording: AudioFile) -> None:
        try:
            await _until_answered(recording, transcribe, check_server, print_error)
        finally:
            folder.give_back(recording)
            slots.release()

    try:
        async with asyncio.TaskGroup() as group, aclosing(_scans(folder, print_error)) as scans:
            async for scan in scans:
                for recording in scan.ready:
                    await slots.acquire()
                    if folder.take(recording):
                        group.create_task(process(recording))
                    else:
                        slots.release()
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from errors


async def _scans(folder: WatchedFolder, print_error: Callable[[str], None]) -> AsyncGenerator[Scan]:
    """Scan the folder again and again, with pauses; print what the first scan found.

    While the folder cannot be read, print why, each reason once.
    """
    is_first, problem = True, ""
    while True:
        scan, began = None, time.monotonic()
        try:
            scan = await asyncio.to_thread(folder.scan, began)
        except OSError as error:
            if str(error) != problem:
                print_error(f"The folder cannot be read: {error}")
            problem = str(error)
        took = time.monotonic() - began
        if scan:
            if is_first:
                print_error(f"{scan.found} recordings, {scan.done} have results. Ctrl-C stops.")
            is_first, problem = False, ""
            yield scan
        await asyncio.sleep(max(SCAN_INTERVAL, took / SCAN_SHARE))


async def _until_answered(
    recording: AudioFile,
    transcribe: Callable[[AudioFile], Awaitable[TranscriptionOutcome]],
    check_server: Callable[[], Awaitable[None]],
    print_error: Callable[[str], None],
) -> None:
    """Transcribe the recording, again and again while the server is away."""
    pause = RETRY_DELAY
    while True:
        reason = ""
        try:
            await check_server()
            if (await transcribe(recording)).status != "away":
                return
        except ServerAway as away:  # of the check: one of the transcription is its outcome
            reason = f"{away}; "
        print_error(f"{recording.name}: {reason}trying again in {pause:g} s")
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_RETRY_DELAY)


def _version_of(path: Path) -> FileVersion | None:
    """Return the file's present version. Returns None if it is empty or gone."""
    try:
        version = version_of(path)
    except OSError:
        return None
    return version if version.size else None
