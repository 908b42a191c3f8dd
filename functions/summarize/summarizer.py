"""The port to an engine that tells a conversation in short."""

from dataclasses import dataclass
from typing import Protocol

from events.documents import Engine, Request, Sentiment, Transcript


@dataclass(frozen=True)
class Gist:
    """What an engine made of one transcript; the handler wraps it into a `Summary`.

    `text` is empty only for an empty transcript. `key_points` are in spoken order.
    `sentiment_score` runs from -1 (negative) to 1 (positive) over the whole call.
    """

    text: str
    key_points: tuple[str, ...]
    sentiment: Sentiment
    sentiment_score: float


class Summarizer(Protocol):
    """Turns a merged transcript into its gist.

    `request` carries the caller's hints, such as who speaks on which channel. `summarize` raises
    `errors.Transient` if the engine died, `errors.Permanent` if it can never handle this input.
    """

    @property
    def engine(self) -> Engine:
        """Name, revision and model digest of what really runs."""
        ...

    async def summarize(self, transcript: Transcript, request: Request) -> Gist: ...
