"""Several recordings at once: each is sent, followed, and its end told."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from infra.client.client import Client, Session
from infra.client.errors import Refused, ServerAway, ServerError
from infra.client.progress import ProgressDisplay
from infra.client.recordings import Recording
from infra.client.upload_options import UploadOptions


class Results(Protocol):
    """Where results go."""

    def check(self, recording: Recording) -> None:
        """Raise `OSError` if the recording's results could not be kept."""
        ...

    def save(self, recording: Recording, session: Session) -> None:
        """Keep the result of a completed recording. Raises `OSError`."""
        ...


class NoResults:
    """Results that whoever asked gets from the outcomes."""

    def check(self, recording: Recording) -> None:
        pass

    def save(self, recording: Recording, session: Session) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a recording ended: its final body, or what stood in the way."""

    recording: Recording
    session: Session | None = None
    error: Exception | None = None

    @property
    def verdict(self) -> str:
        """`completed`, `failed`, `refused`, `away`: what became of it, in a word."""
        match self.error:
            case None:
                return str(self.session["status"]) if self.session else "failed"
            case Refused():
                return "refused"
            case ServerAway():
                return "away"
            case _:
                return "failed"

    @property
    def trouble(self) -> str:
        """Why it is not completed, in a sentence; empty if it is."""
        match self.error:
            case None:
                failure = (self.session or {}).get("error") or {}
                completed = self.verdict == "completed"
                return "" if completed else str(failure.get("message", self.verdict))
            case ServerError() | OSError():
                return str(self.error) or type(self.error).__name__
            case _:  # nothing that was foreseen: what it is helps whoever looks for it
                return f"{type(self.error).__name__}: {self.error}"


@dataclass(frozen=True, slots=True)
class Transcriber:
    """Sends recordings to a server, shows how far they are, and keeps what comes back.

    An `OSError` of `results` makes the outcome a failure.
    """

    client: Client
    options: UploadOptions
    display: ProgressDisplay
    results: Results

    async def one(self, recording: Recording) -> Outcome:
        """Transcribe a recording. Whatever goes wrong is its outcome, and nobody else's."""
        self.display.begin(recording)
        try:
            outcome = Outcome(recording, await self._transcribed(recording))
        except Exception as error:  # noqa: BLE001 - one odd recording stops no other
            outcome = Outcome(recording, error=error)
        self.display.end(recording, outcome.verdict, outcome.trouble)
        return outcome

    async def all(self, recordings: Sequence[Recording], jobs: int) -> list[Outcome]:
        """Transcribe them, `jobs` at a time; outcomes in the order of the recordings."""
        slots = asyncio.Semaphore(jobs)

        async def in_turn(recording: Recording) -> Outcome:
            async with slots:
                return await self.one(recording)

        return await asyncio.gather(*map(in_turn, recordings))

    async def _transcribed(self, recording: Recording) -> Session:
        self.results.check(recording)
        session = await self.client.transcribe(
            recording.path, lambda now: self.display.update(recording, now), self.options
        )
        if session["status"] == "completed":
            self.results.save(recording, session)
        return session


def summary(outcomes: Sequence[Outcome]) -> str:
    """How many recordings ended in which way, such as `2 completed, 1 refused`."""
    counts = Counter(outcome.verdict for outcome in outcomes)
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
