"""Several recordings at once: each is sent, followed, and its end told."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from infra.client.client import Client, Session
from infra.client.errors import Refused, ServerAway, ServerError
from infra.client.progress import ProgressDisplay
from infra.client.recordings import Recording
from infra.client.upload_options import UploadOptions


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
        if self.error is not None:
            return str(self.error) or type(self.error).__name__
        failure = (self.session or {}).get("error") or {}
        return "" if self.verdict == "completed" else str(failure.get("message", self.verdict))


@dataclass(frozen=True, slots=True)
class Transcriber:
    """Sends recordings to a server, shows how far they are, and keeps what comes back.

    `keep` gets each completed one; an `OSError` of its makes the outcome a failure.
    """

    client: Client
    options: UploadOptions
    display: ProgressDisplay
    keep: Callable[[Recording, Session], None]

    async def one(self, recording: Recording) -> Outcome:
        """Transcribe a recording. What goes wrong is its outcome."""
        self.display.begin(recording)
        outcome = await self._followed(recording)
        self.display.end(recording, outcome.verdict)
        return outcome

    async def all(self, recordings: Sequence[Recording], jobs: int) -> list[Outcome]:
        """Transcribe them, `jobs` at a time; outcomes in the order of the recordings."""
        slots = asyncio.Semaphore(jobs)

        async def in_turn(recording: Recording) -> Outcome:
            async with slots:
                return await self.one(recording)

        return await asyncio.gather(*map(in_turn, recordings))

    async def _followed(self, recording: Recording) -> Outcome:
        try:
            session = await self.client.transcribe(
                recording.path,
                lambda session: self.display.update(recording, session),
                self.options,
            )
            if session["status"] == "completed":
                self.keep(recording, session)
        except (ServerError, OSError) as error:
            return Outcome(recording, error=error)
        return Outcome(recording, session)


def summary(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """A line for each recording that is not completed; of several, one more that counts."""
    for outcome in outcomes:
        if outcome.trouble:
            yield f"{outcome.recording.name}: {outcome.trouble}"
    if len(outcomes) > 1:
        counts = Counter(outcome.verdict for outcome in outcomes)
        yield ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
