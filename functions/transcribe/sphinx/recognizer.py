"""`Recognizer` done with pocketsphinx and the English model that its wheel carries.

pocketsphinx holds the GIL while it decodes, so it runs in child processes and the event loop
stays free. Every utterance is decoded from its own samples alone: equal samples give equal words,
whatever was decoded before them and wherever, so any child will do. An utterance of nothing but
tones is not decoded: the decoder knows words only, and would find some.
"""

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator

from events.documents import Engine, Language, Request, Segment, Word
from functions.transcribe.recognizer import FROM_START, Hypothesis, ResumePoint, Samples
from functions.transcribe.sphinx.children import Children
from functions.transcribe.sphinx.decoder import SPHINX_FRAME_RATE, TimedWord, engine
from functions.transcribe.sphinx.utterances import Cutting, Utterance, UtteranceCutter
from shared.audio.pcm import SAMPLE_RATE
from shared.errors import Permanent
from shared.languages import language_code

AHEAD = 1
"""Utterances of a channel that are cut, and decoded if a child is free, behind the first one."""
MOST_PROCESSES = 2
"""Children if nobody says how many: each takes about 150 MB."""
ENGLISH_LANGUAGE = Language(code="en")


def _check(request: Request) -> None:
    language = request.language
    if language is not None and language_code(language) != ENGLISH_LANGUAGE.code:
        raise Permanent(
            "unsupported_language", f"The embedded recogniser knows English only, not {language}."
        )
    if request.task == "translate":
        raise Permanent("unsupported_task", "The embedded recogniser cannot translate.")


class SphinxRecognizer:
    """Recognises US English. Another language is refused, and translation; other hints are ignored.

    The utterances of all calls go to `processes` children (unset: one for each CPU core this
    process may use, two at most), first come, first served. A child starts with its first
    utterance, or with `warm`. If one dies or hangs, `errors.Transient` is raised for its utterance
    and the next gets a new one; all end with their parent, however that ends.
    A word's confidence is its posterior in the decoder's lattice, a segment's the mean of its
    words' (the posterior of a whole utterance shrinks with its length).
    """

    def __init__(self, cutting: Cutting | None = None, processes: int | None = None) -> None:
        self._cutting = cutting or Cutting()
        self._children = Children(processes or min(len(os.sched_getaffinity(0)), MOST_PROCESSES))

    @property
    def engine(self) -> Engine:
        """Reads the model's files (36 MB) the first time, or in `warm`."""
        return engine()

    @property
    def totals(self) -> None:
        """There are no batches: utterances are decoded one by one."""

    async def warm(self) -> None:
        """Start all children, so that no utterance need wait for the model."""
        await asyncio.gather(asyncio.to_thread(engine), self._children.warm())

    async def check(self) -> None:
        """Do nothing: a child that died is replaced with the next utterance."""

    async def until_broken(self) -> None:
        """Wait for ever: a child that died is replaced with the next utterance."""
        await asyncio.Event().wait()

    async def close(self) -> None:
        """End the children, after the utterances they are decoding."""
        await self._children.close()

    async def recognize(
        self,
        blocks: AsyncIterator[Samples],
        request: Request,
        resume: ResumePoint = FROM_START,
    ) -> AsyncGenerator[Hypothesis, None]:
        _check(request)
        decoding: deque[asyncio.Task[Hypothesis]] = deque()
        cut = 0
        try:
            async for utterance in _utterances(blocks, self._cutting):
                cut += 1
                if cut > resume.hypotheses:
                    decoding.append(asyncio.create_task(self._decoded(utterance)))
                if len(decoding) > AHEAD:
                    yield await decoding.popleft()
            while decoding:
                yield await decoding.popleft()
        finally:
            for task in decoding:
                task.cancel()
            await asyncio.gather(*decoding, return_exceptions=True)

    async def _decoded(self, utterance: Utterance) -> Hypothesis:
        words = await self._children.decode(utterance.samples.tobytes())
        segment = segment_of(utterance, words)
        return Hypothesis((segment,) if segment else (), ENGLISH_LANGUAGE)


async def _utterances(blocks: AsyncIterator[Samples], cutting: Cutting) -> AsyncIterator[Utterance]:
    cutter = UtteranceCutter(cutting)
    async for block in blocks:
        for utterance in await asyncio.to_thread(cutter.push, block):
            yield utterance
    for utterance in await asyncio.to_thread(cutter.flush):
        yield utterance


def segment_of(utterance: Utterance, decoded: list[TimedWord]) -> Segment | None:
    """Place an utterance's words in the recording. Returns None if there are none."""
    if not decoded:
        return None
    words = tuple(_word(utterance, word) for word in decoded)
    return Segment(
        start_time=words[0].start_time,
        end_time=words[-1].end_time,
        text=" ".join(word.word for word in words),
        confidence=sum(word.confidence for word in words) / len(words),
        words=words,
    )


def _word(utterance: Utterance, decoded: TimedWord) -> Word:
    length = len(utterance.samples) / SAMPLE_RATE
    start, end = (
        round(utterance.start / SAMPLE_RATE + min(frame / SPHINX_FRAME_RATE, length), 3)
        for frame in (decoded.start, decoded.end)
    )
    return Word(word=decoded.word, start_time=start, end_time=end, confidence=decoded.posterior)
