"""Transcribes several recordings at once, and collects their outcomes."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from infra.client.audio_files import AudioFile
from infra.client.client import Client, RecordingBody
from infra.client.errors import Rejected, ServerAway, ServerError
from infra.client.progress import ProgressDisplay
from infra.client.upload_options import UploadOptions


class ResultStore(Protocol):
    """A place for results."""

    def check(self, recording: AudioFile) -> None:
        """Raise `OSError` if the recording's results could not be kept."""
        ...

    def save(self, recording: AudioFile, session: RecordingBody) -> None:
        """Keep the result of a completed recording. Raises `OSError`."""
        ...


class DiscardResults:
    """Keeps no results: the caller takes them from the outcomes."""

    def check(self, recording: AudioFile) -> None:
        pass

    def save(self, recording: AudioFile, session: RecordingBody) -> None:
        pass


@dataclass(frozen=True, slots=True)
class TranscriptionOutcome:
    """How a recording ended: the API's final body, or the error that prevented it."""

    recording: AudioFile
    session: RecordingBody | None = None
    error: Exception | None = None

    @property
    def status(self) -> str:
        """One of `completed`, `failed`, `cancelled`, `refused` and `away`."""
        match self.error:
            case None:
                return str(self.session["status"]) if self.session else "failed"
            case Rejected():
                return "refused"
            case ServerAway():
                return "away"
            case _:
                return "failed"

    @property
    def reason(self) -> str:
        """Why it is not completed, in a sentence; empty if it is."""
        match self.error:
            case None:
                failure = (self.session or {}).get("error") or {}
                completed = self.status == "completed"
                return "" if completed else str(failure.get("message", self.status))
            case ServerError() | OSError():
                return str(self.error) or type(self.error).__name__
            case _:  # unexpected: its type helps to find the cause
                return f"{type(self.error).__name__}: {self.error}"


@dataclass(frozen=True, slots=True)
class Transcriber:
    """Sends recordings to a server, shows how far they are, and keeps what comes back.

    An `OSError` of `results` makes the outcome a failure.
    """

    client: Client
    options: UploadOptions
    display: ProgressDisplay
    results: ResultStore

    async def transcribe(self, recording: AudioFile) -> TranscriptionOutcome:
        """Transcribe a recording. Returns every error as its outcome, so that others go on."""
        self.display.begin(recording)
        try:
            outcome = TranscriptionOutcome(recording, await self._transcribed(recording))
        except Exception as error:  # noqa: BLE001 - one odd recording stops no other
            outcome = TranscriptionOutcome(recording, error=error)
        self.display.end(recording, outcome.status, outcome.reason)
        return outcome

    async def transcribe_all(
        self, recordings: Sequence[AudioFile], jobs: int
    ) -> list[TranscriptionOutcome]:
        """Transcribe recordings, `jobs` at a time. Returns outcomes in the same order."""
        slots = asyncio.Semaphore(jobs)

        async def in_turn(recording: AudioFile) -> TranscriptionOutcome:
            async with slots:
                return await self.transcribe(recording)

        return await asyncio.gather(*map(in_turn, recordings))

    async def _transcribed(self, recording: AudioFile) -> RecordingBody:
        self.results.check(recording)
        session = await self.client.transcribe(
            recording.path, lambda now: self.display.update(recording, now), self.options
        )
        if session["status"] == "completed":
            self.results.save(recording, session)
        return session


def count_statuses(statuses: Iterable[str]) -> str:
    """Return how often each status occurs, such as `2 completed, 1 refused`."""
    counts = Counter(statuses).most_common()
    return ", ".join(f"{count} {status}" for status, count in counts)
