"""The summarizer that needs no model: it quotes sentences of the call and adds nothing."""

import asyncio
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from events.base import Channel
from events.documents import Engine, Request, SummaryContent, Transcript
from functions.summarize.extractive.salience import headlines, in_spoken_order, key_points
from functions.summarize.extractive.sentences import Sentence, sentences
from functions.summarize.extractive.sentiment import (
    call_score,
    label,
    lexicon_digest,
    lexicon_version,
)
from functions.summarize.summarizer import SummaryResult


class ExtractiveSummarizer:
    """Salient sentences as text and key points, lexicon sentiment; a `Summarizer`.

    The text quotes 1 to 4 sentences, each after its speaker: `Agent: "…" Customer: "…"`. The
    speaker is the channel's role if the request gives one, else Left or Right. Equal transcripts
    give equal summaries. It raises nothing of its own.
    """

    @property
    def engine(self) -> Engine:
        """The digest is the sentiment lexicon's; salience is part of this package's version."""
        revision = f"{_own_version()}+vader.{lexicon_version()}"
        return Engine(name="extractive", revision=revision, digest=lexicon_digest())

    async def summarize(self, transcript: Transcript, request: Request) -> SummaryResult:
        """Work in a thread, so that probes are answered while a long call is read."""
        return SummaryResult(await asyncio.to_thread(_content, transcript, request), self.engine)


def _content(transcript: Transcript, request: Request) -> SummaryContent:
    spoken = sentences(transcript.segments)
    points = key_points(spoken)
    score = call_score(spoken)
    return SummaryContent(
        text=_quoted(in_spoken_order(headlines(points)), request.roles),
        key_points=tuple(point.text for point in in_spoken_order(points)),
        sentiment=label(score),
        sentiment_score=score,
    )


def _quoted(chosen: Sequence[Sentence], roles: dict[Channel, str]) -> str:
    return " ".join(f'{_name(one.speaker, roles)}: "{one.text}"' for one in chosen)


def _name(speaker: Channel, roles: dict[Channel, str]) -> str:
    name = " ".join(roles.get(speaker, "").split()) or speaker
    return name[0].upper() + name[1:]


def _own_version() -> str:
    try:
        return version("pocwhisp")
    except PackageNotFoundError:
        return "0"
