"""Listens to one channel: its windows go into the batches and come back as segments.

What the model writes is judged window by window; what is doubtful is asked again by itself, at a
higher temperature. Nothing here knows the engine: it hands over what is to be decoded.
"""

import asyncio
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter

from events.documents import Language, Segment
from functions.transcribe.recognizer import SAMPLE_RATE, Hypothesis, Samples
from functions.transcribe.whisper.decoding import BatchOptions, DecodedWindow, DecodeRequest, Task
from functions.transcribe.whisper.gaps import fill_gaps, gaps_to_retry
from functions.transcribe.whisper.guards import Guards, Verdict, without_loops
from functions.transcribe.whisper.mel import FRAMES, HOP, Mel
from functions.transcribe.whisper.speech.windows import Window
from functions.transcribe.whisper.vocabulary import ENGLISH, Vocabulary
from functions.transcribe.whisper.words import (
    Token,
    in_order,
    is_stretched,
    longest_duration,
    segments_of,
    words_of,
)
from shared.tasks import together

VOTERS = 4
"""Windows that say in which language a channel is: the first ones."""
RETRIES_OF_GAPS = 2
"""Times that speech without a word is heard again, at most."""

Submit = Callable[[BatchOptions, DecodeRequest], Awaitable[asyncio.Future[DecodedWindow]]]
"""Hands a window to the batches, once there is room; the future is what the model wrote."""


@dataclass(frozen=True, kw_only=True)
class WindowDecoder:
    """How a channel's windows are asked for; `hints` are tokens of what may be said in it."""

    submit: Submit
    spectrogram: Callable[[Samples], Mel]
    task: Task = "transcribe"
    hints: tuple[int, ...] = ()

    async def asked(self, window: Window) -> DecodeRequest:
        mel = await asyncio.to_thread(self.spectrogram, window.samples)
        return DecodeRequest(mel, min(len(window.samples) // HOP, FRAMES), self.hints)

    async def decoded(
        self, asked: DecodeRequest, language: str | None, temperature: float
    ) -> DecodedWindow:
        options = BatchOptions(language, self.task, len(self.hints), temperature)
        return await (await self.submit(options, asked))


@dataclass(frozen=True, slots=True)
class LanguageVote:
    """A window of a channel whose language is in question, and what it was taken for."""

    asked: DecodeRequest
    decoded: DecodedWindow


async def elect_language(
    asker: WindowDecoder, windows: Iterable[Window]
) -> tuple[Language, deque[LanguageVote]]:
    """The language that is likeliest on the mean of these windows, and what each was taken for.

    Each window is decoded in the language likeliest for itself, which is most often the same.
    """

    async def vote(window: Window) -> LanguageVote:
        asked = await asker.asked(window)
        return LanguageVote(asked, await asker.decoded(asked, None, 0.0))

    votes = await together(*(vote(window) for window in windows))
    return _elected([vote.decoded.languages for vote in votes]), deque(votes)


def _elected(ballots: Sequence[Mapping[str, float]]) -> Language:
    means = {
        code: sum(ballot.get(code, 0.0) for ballot in ballots) / len(ballots) for code in ballots[0]
    }
    code = max(means, key=lambda one: means[one])
    return Language(code=code, probability=round(min(means[code], 1.0), 4))


@dataclass(frozen=True, kw_only=True)
class ChannelDecoder:
    """Turns the windows of one channel into what is said in them.

    `ahead` tells how many windows may be on their way at that moment. `votes` are what the first
    windows were taken for when the language was not known yet; they are let go of as they are used.
    """

    asker: WindowDecoder
    vocabulary: Vocabulary
    guards: Guards
    language: Language
    ahead: Callable[[], int]
    votes: deque[LanguageVote] = field(default_factory=deque)

    async def listen(self, windows: AsyncIterator[Window]) -> AsyncGenerator[Hypothesis, None]:
        """What is said in each window, in their order; later ones are on their way meanwhile."""
        on_their_way: deque[asyncio.Task[Hypothesis]] = deque()
        try:
            async for window in windows:
                vote = self.votes.popleft() if self.votes else None
                on_their_way.append(asyncio.create_task(self._hear(window, vote)))
                while on_their_way and (
                    len(on_their_way) >= self.ahead() or on_their_way[0].done()
                ):
                    yield await on_their_way.popleft()
            while on_their_way:
                yield await on_their_way.popleft()
        finally:
            for task in on_their_way:
                task.cancel()
            await asyncio.gather(*on_their_way, return_exceptions=True)

    async def _hear(
        self, window: Window, vote: LanguageVote | None = None, again: int = RETRIES_OF_GAPS
    ) -> Hypothesis:
        """What is said in a window. What repeats itself when it is heard again is not believed."""
        asked = vote.asked if vote else await self.asker.asked(window)
        decoded = await self._believed(asked, vote.decoded if vote else None)
        if decoded is None or (again < RETRIES_OF_GAPS and self._repeats(decoded)):
            return Hypothesis((), self.language)
        words = await asyncio.to_thread(self._words, decoded)
        segments = tuple(self._segments(window, words, decoded))
        if again and (parts := gaps_to_retry(window, words, self.guards.unheard)):
            rest = window.within(parts)
            more = await self._hear(rest, again=again - 1)
            segments = fill_gaps(segments, more.segments, rest.spans)
        return Hypothesis(segments, self.language)

    async def _believed(
        self, asked: DecodeRequest, vote: DecodedWindow | None
    ) -> DecodedWindow | None:
        """The first text that is good, or else the likeliest; None if nobody speaks."""
        doubtful: list[DecodedWindow] = []
        if vote is not None and vote.language != self.language.code:
            vote = None
        for temperature in self.guards.temperatures:
            decoded = vote or await self.asker.decoded(asked, self.language.code, temperature)
            vote = None
            verdict = self._verdict(decoded)
            if verdict is Verdict.SILENT:
                return None
            if verdict is Verdict.GOOD:
                return decoded
            doubtful.append(decoded)
        return max(doubtful, key=self._merit)

    def _verdict(self, decoded: DecodedWindow) -> Verdict:
        text = self.vocabulary.text(decoded.tokens)
        return self.guards.verdict(
            text, decoded.mean_log_probability, decoded.no_speech_probability
        )

    def _merit(self, decoded: DecodedWindow) -> tuple[bool, float]:
        return not self._repeats(decoded), decoded.mean_log_probability

    def _repeats(self, decoded: DecodedWindow) -> bool:
        return self.guards.repeats(self.vocabulary.text(decoded.tokens))

    def _words(self, decoded: DecodedWindow) -> list[Token]:
        """The words with their times in the window."""
        pieces = self.vocabulary.pieces(decoded, self._written(decoded))
        words = list(words_of(pieces, self._written(decoded)))
        if self._repeats(decoded):
            return without_loops(words, lambda word: word.text)
        return words

    def _written(self, decoded: DecodedWindow) -> str:
        """The language of the text: translations are English."""
        return ENGLISH if self.asker.task == "translate" else decoded.language

    def _segments(
        self, window: Window, words: Sequence[Token], decoded: DecodedWindow
    ) -> Iterator[Segment]:
        """Segments at their place in the recording, none across two spans of speech.

        A stretched word is one by itself, as another may take its place.
        """
        for (index, _), said in groupby(_placed(window, words), key=itemgetter(0, 1)):
            span = window.spans[index]
            start, end = span.start / SAMPLE_RATE, span.end / SAMPLE_RATE
            yield from segments_of(
                list(in_order((word for _, _, word in said), start, end)),
                self._written(decoded),
                mean_log_probability=decoded.mean_log_probability,
                no_speech_probability=min(max(decoded.no_speech_probability, 0.0), 1.0),
            )


def _placed(window: Window, words: Sequence[Token]) -> Iterator[tuple[int, bool, Token]]:
    """For each word the span it lies in, whether it is stretched, and the word at its place in the
    recording; never backwards.

    A stretched word is shortened: the first of a window, which gets what is before it, ends then.
    """
    last = 0
    for number, word in enumerate(words):
        placed = window.place(word.start, word.end, since=last)
        last, start, end = placed.span, placed.start, placed.end
        if number == 0:
            start = max(start, end - longest_duration(word.text))
        end = min(end, start + longest_duration(word.text))
        yield last, is_stretched(word), word._replace(start=start, end=end)
