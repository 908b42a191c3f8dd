"""Decode one channel: its windows go into the batches and come back as segments.

The guards judge the text of each window. A doubtful window is decoded again at a higher
temperature, and speech in which the model wrote no word is decoded again by itself. Nothing here
knows the engine.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter

from events.documents import Language, Segment
from functions.transcribe.recognizer import Hypothesis
from functions.transcribe.whisper.decoding import DecodedWindow, DecodeRequest
from functions.transcribe.whisper.gaps import fill_gaps, gaps_to_retry
from functions.transcribe.whisper.guards import Guards, TextQuality, without_loops
from functions.transcribe.whisper.language import LanguageVote
from functions.transcribe.whisper.speech.windows import Window
from functions.transcribe.whisper.vocabulary import ENGLISH, Vocabulary
from functions.transcribe.whisper.window_decoder import WindowDecoder
from functions.transcribe.whisper.words import (
    Token,
    in_order,
    is_overlong,
    longest_duration,
    segments_of,
    words_of,
)
from shared.audio.pcm import SAMPLE_RATE

GAP_RETRIES = 2
"""Times that speech without a word is decoded again, at most."""


@dataclass(frozen=True, kw_only=True)
class ChannelDecoder:
    """Turns the windows of one channel into hypotheses.

    `ahead` returns how many windows may be decoded at the same time at that moment. `votes` are
    the votes of the first windows, in order, if the language was elected; they are let go of as
    they are used.
    """

    decoder: WindowDecoder
    vocabulary: Vocabulary
    guards: Guards
    language: Language
    ahead: Callable[[], int]
    votes: deque[LanguageVote] = field(default_factory=deque)

    async def decode(self, windows: AsyncIterator[Window]) -> AsyncGenerator[Hypothesis, None]:
        """Yield one hypothesis per window, in order, while later windows are being decoded."""
        pending: deque[asyncio.Task[Hypothesis]] = deque()
        try:
            async for window in windows:
                vote = self.votes.popleft() if self.votes else None
                pending.append(asyncio.create_task(self._decode(window, vote)))
                while pending and (len(pending) >= self.ahead() or pending[0].done()):
                    yield await pending.popleft()
            while pending:
                yield await pending.popleft()
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)

    async def _decode(
        self, window: Window, vote: LanguageVote | None = None, retries: int = GAP_RETRIES
    ) -> Hypothesis:
        """Decode a window and fill its gaps. A loop in a retried gap is dropped."""
        request = vote.request if vote else await self.decoder.prepare(window)
        decoded = await self._accepted(request, vote.decoded if vote else None)
        if decoded is None or (retries < GAP_RETRIES and self._repeats(decoded)):
            return Hypothesis((), self.language)
        words = await asyncio.to_thread(self._words, decoded)
        segments = tuple(self._segments(window, words, decoded))
        if retries and (gaps := gaps_to_retry(window, words, self.guards.gap)):
            rest = window.within(gaps)
            retried = await self._decode(rest, retries=retries - 1)
            segments = fill_gaps(segments, retried.segments, rest.spans)
        return Hypothesis(segments, self.language)

    async def _accepted(
        self, request: DecodeRequest, vote: DecodedWindow | None
    ) -> DecodedWindow | None:
        """Return the first good text, or else the likeliest. Returns None if nobody speaks.

        A `vote` in the channel's language saves the first decoding.
        """
        doubtful: list[DecodedWindow] = []
        if vote is not None and vote.language != self.language.code:
            vote = None
        for temperature in self.guards.temperatures:
            decoded = vote or await self.decoder.decode(request, self.language.code, temperature)
            vote = None
            quality = self._quality(decoded)
            if quality is TextQuality.SILENT:
                return None
            if quality is TextQuality.GOOD:
                return decoded
            doubtful.append(decoded)
        return max(doubtful, key=self._merit)

    def _quality(self, decoded: DecodedWindow) -> TextQuality:
        text = self.vocabulary.text(decoded.tokens)
        return self.guards.assess(text, decoded.mean_log_probability, decoded.no_speech_probability)

    def _merit(self, decoded: DecodedWindow) -> tuple[bool, float]:
        return not self._repeats(decoded), decoded.mean_log_probability

    def _repeats(self, decoded: DecodedWindow) -> bool:
        return self.guards.repeats(self.vocabulary.text(decoded.tokens))

    def _words(self, decoded: DecodedWindow) -> list[Token]:
        """Return the words with their times in the window."""
        tokens = self.vocabulary.timed_tokens(decoded, self._text_language(decoded))
        words = list(words_of(tokens, self._text_language(decoded)))
        if self._repeats(decoded):
            return without_loops(words, lambda word: word.text)
        return words

    def _text_language(self, decoded: DecodedWindow) -> str:
        """Return the language of the text: translations are English."""
        return ENGLISH if self.decoder.task == "translate" else decoded.language

    def _segments(
        self, window: Window, words: Sequence[Token], decoded: DecodedWindow
    ) -> Iterator[Segment]:
        """Yield segments at their place in the recording, none across two spans of speech.

        An overlong word is a segment by itself, because a retried gap may replace it.
        """
        for (index, _), group in groupby(_in_recording(window, words), key=itemgetter(0, 1)):
            span = window.spans[index]
            start, end = span.start / SAMPLE_RATE, span.end / SAMPLE_RATE
            yield from segments_of(
                list(in_order((word for _, _, word in group), start, end)),
                self._text_language(decoded),
                mean_log_probability=decoded.mean_log_probability,
                no_speech_probability=min(max(decoded.no_speech_probability, 0.0), 1.0),
            )


def _in_recording(window: Window, words: Sequence[Token]) -> Iterator[tuple[int, bool, Token]]:
    """Yield each word's span, whether it is overlong, and the word with times in the recording.

    Spans never go backwards. An overlong word is shortened: the first of a window, which gets the
    time of what is before it, keeps its end; any other keeps its start.
    """
    last = 0
    for number, word in enumerate(words):
        placement = window.place(word.start, word.end, since=last)
        last, start, end = placement.span, placement.start, placement.end
        if number == 0:
            start = max(start, end - longest_duration(word.text))
        end = min(end, start + longest_duration(word.text))
        yield last, is_overlong(word), word._replace(start=start, end=end)
