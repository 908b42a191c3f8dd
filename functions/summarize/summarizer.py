"""The port to an engine that summarises a conversation."""

from dataclasses import dataclass
from typing import Protocol

from events.documents import Engine, Request, SummaryContent, Transcript


@dataclass(frozen=True)
class SummaryResult:
    """A summary and what made it.

    `engine` is the engine that really ran. `degraded` names it as `port:engine` if it stood in
    for a better one, and is empty otherwise.
    """

    content: SummaryContent
    engine: Engine
    degraded: tuple[str, ...] = ()


class Summarizer(Protocol):
    """Summarises a merged transcript.

    The text is empty only for an empty transcript; key points are in spoken order. `request`
    carries the client's hints, such as who speaks on which channel. `summarize` raises
    `errors.Transient` if the engine died, `errors.Permanent` if it can never handle this input.
    """

    @property
    def engine(self) -> Engine:
        """The engine that is tried first: name, revision and model digest."""
        ...

    async def summarize(self, transcript: Transcript, request: Request) -> SummaryResult: ...
