"""What becomes of the windows of a channel, with a model that says what the test tells it to.

`in_loop` sees to it that no test leaves a task behind.
"""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from events.documents import Language, Segment
from functions.transcribe.recognizer import Hypothesis
from functions.transcribe.whisper.channel import GAP_RETRIES, ChannelDecoder
from functions.transcribe.whisper.decoding import (
    Alignment,
    BatchOptions,
    DecodedWindow,
    DecodeRequest,
    Task,
)
from functions.transcribe.whisper.guards import Guards
from functions.transcribe.whisper.language import LanguageVote, elect_language
from functions.transcribe.whisper.mel import MEL_FRAME_RATE
from functions.transcribe.whisper.speech.spans import Span
from functions.transcribe.whisper.speech.windows import Window
from functions.transcribe.whisper.vocabulary import Vocabulary
from functions.transcribe.whisper.window_decoder import WindowDecoder
from shared.audio.pcm import SAMPLE_RATE
from shared.errors import Transient
from tests.support.batching import in_loop, turn_the_loop
from tests.support.models import Words

SENTENCE = "can you give me your number"
LANGUAGES = ("en", "de", "ja")
WORDS = Words(LANGUAGES, 1_900, own=tuple(sorted({*SENTENCE.split(), "no", "thanks", "bye"})))
VOCABULARY = Vocabulary(WORDS.tokenizer(), LANGUAGES, multilingual=True)
ENGLISH = Language(code="en")
EVERY = 0.5
"""Seconds of a word."""
GAP = 1.0
"""Seconds of speech without a word that are heard again, where a test is about that."""
OVERLONG = (0.0, 0.5, 1.0, 1.5, *(4 + n * EVERY for n in range(8)))
"""When twelve words begin, the fourth of which gets two seconds more than it needs."""


def window(number: int, seconds: float = 3.0) -> Window:
    """One span, from `number` times 100 s on; its samples tell the number."""
    start, length = number * 100 * SAMPLE_RATE, round(seconds * SAMPLE_RATE)
    return Window((Span(start, start + length),), np.full(length, number, np.int16))


def of_spans(*spans: tuple[float, float]) -> Window:
    """Spans of these seconds of the recording."""
    places = [Span(round(a * SAMPLE_RATE), round(b * SAMPLE_RATE)) for a, b in spans]
    return Window(tuple(places), np.zeros(sum(map(len, places)), np.int16))


def decoded(  # noqa: PLR0913 - all that a model tells
    text: str,
    *,
    likely: float = -0.2,
    no_speech: float = 0.0,
    language: str = "en",
    languages: dict[str, float] | None = None,
    at: Sequence[float] = (),
) -> DecodedWindow:
    """Words of half a second each, from the window's start on; or that begin at these seconds."""
    tokens = tuple(WORDS.text.index(f"Ġ{word}") for word in text.split())
    starts = [*at, at[-1] + EVERY] if at else [n * EVERY for n in range(len(tokens) + 1)]
    return DecodedWindow(
        language=language,
        tokens=tokens,
        alignment=aligned([round(start * 50) for start in starts]),
        mean_log_probability=likely,
        no_speech_probability=no_speech,
        languages=languages or {},
    )


def aligned(frames: list[int]) -> Alignment:
    """Tokens that begin at these frames of 20 ms; the last is the end of the text."""
    found: Alignment = SimpleNamespace(
        alignments=list(enumerate(frames)), text_token_probs=[0.9] * (len(frames) - 1)
    )
    return found


Answer = Callable[[int, BatchOptions], DecodedWindow]
"""What the model says of the window of this number."""


@dataclass
class Model:
    """Answers at once, or when told to; keeps what it was asked."""

    answer: Answer
    by_hand: bool = False
    asked: list[tuple[int, BatchOptions]] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    waiting: dict[int, Callable[[], None]] = field(default_factory=dict)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def submit(
        self, options: BatchOptions, asked: DecodeRequest
    ) -> asyncio.Future[DecodedWindow]:
        number = int(asked.mel.flat[0])
        self.asked.append((number, options))
        self.frames.append(asked.frames)
        self.news.set()
        future = asyncio.get_running_loop().create_future()
        self.waiting[number] = lambda: future.set_result(self.answer(number, options))
        if not self.by_hand:
            self.waiting.pop(number)()
        return future

    async def has_asked(self, count: int) -> None:
        while len(self.asked) < count:
            self.news.clear()
            await self.news.wait()

    @property
    def temperatures(self) -> list[tuple[int, float]]:
        return sorted((number, options.temperature) for number, options in self.asked)

    def decoder(self, task: Task = "transcribe") -> WindowDecoder:
        return WindowDecoder(
            submit=self.submit, spectrogram=lambda s: s.astype(np.float32), task=task
        )

    def channel(
        self,
        language: Language = ENGLISH,
        *,
        ahead: int = 8,
        votes: list[DecodedWindow] | None = None,
        task: Task = "transcribe",
        gap: float = math.inf,
    ) -> ChannelDecoder:
        return ChannelDecoder(
            decoder=self.decoder(task),
            vocabulary=VOCABULARY,
            guards=Guards(gap=gap),
            language=language,
            ahead=lambda: ahead,
            votes=deque(
                LanguageVote(DecodeRequest(window(n, 0.6).samples.astype(np.float32), 60), vote)
                for n, vote in enumerate(votes or ())
            ),
        )


async def stream(*windows: Window) -> AsyncIterator[Window]:
    for one in windows:
        yield one


async def heard(listener: ChannelDecoder, *windows: Window) -> list[Hypothesis]:
    return [piece async for piece in listener.decode(stream(*windows))]


async def segments(listener: ChannelDecoder, *windows: Window) -> list[Segment]:
    return [segment for piece in await heard(listener, *windows) for segment in piece.segments]


async def texts(listener: ChannelDecoder, *windows: Window) -> list[str]:
    return [segment.text for segment in await segments(listener, *windows)]


def by_temperature(**answers: list[DecodedWindow]) -> Answer:
    """The window's answers in turn of the temperatures; the last one for all that are higher."""
    steps = Guards().temperatures

    def answer(number: int, options: BatchOptions) -> DecodedWindow:
        own = answers.get(f"w{number}", [decoded(SENTENCE)])
        return own[min(steps.index(options.temperature), len(own) - 1)]

    return answer


@in_loop
async def test_only_a_doubtful_window_is_asked_again() -> None:
    model = Model(by_temperature(w1=[decoded("no", likely=-2), decoded("thanks")]))
    spoken = await texts(model.channel(), window(0), window(1), window(2))
    assert spoken == [SENTENCE, "thanks", SENTENCE]
    assert model.temperatures == [(0, 0), (1, 0), (1, 0.2), (2, 0)]


@in_loop
async def test_a_text_that_repeats_itself_is_asked_again() -> None:
    model = Model(by_temperature(w0=[decoded("no " * 60), decoded("no thanks")]))
    assert await texts(model.channel(), window(0)) == ["no thanks"]
    assert model.temperatures == [(0, 0), (0, 0.2)]


@in_loop
async def test_of_doubtful_texts_the_likeliest_is_taken() -> None:
    doubtful = [decoded("no", likely=-3), decoded("thanks", likely=-1.5), decoded("bye", likely=-2)]
    model = Model(by_temperature(w0=doubtful))
    assert await texts(model.channel(), window(0, 1)) == ["thanks"]
    assert [temperature for _, temperature in model.temperatures] == list(Guards().temperatures)


@in_loop
async def test_an_unlikely_text_is_better_than_a_loop() -> None:
    loop, guess = decoded("no " * 60, likely=-0.1), decoded("bye", likely=-4)
    model = Model(by_temperature(w0=[loop, guess, loop]))
    assert await texts(model.channel(), window(0, 1)) == ["bye"]


@in_loop
async def test_what_remains_a_loop_is_told_once() -> None:
    model = Model(by_temperature(w0=[decoded("thanks " + "no " * 60)]))
    assert await texts(model.channel(), window(0)) == ["thanks no"]


@in_loop
async def test_a_guess_at_what_may_be_no_speech_is_silence() -> None:
    model = Model(by_temperature(w0=[decoded("no", likely=-2, no_speech=0.9)]))
    assert await heard(model.channel(), window(0)) == [Hypothesis((), ENGLISH)]
    assert model.temperatures == [(0, 0)]


@in_loop
async def test_an_empty_text_is_believed() -> None:
    model = Model(by_temperature(w0=[decoded("")]))
    assert await heard(model.channel(), window(0, 30)) == [Hypothesis((), ENGLISH)]
    assert model.temperatures == [(0, 0)]


@in_loop
async def test_a_segment_keeps_what_the_model_thought_of_its_window() -> None:
    model = Model(lambda *_: decoded("no", likely=-0.4, no_speech=0.3))
    (segment,) = await segments(model.channel(), window(1, 0.6))
    assert (segment.mean_log_probability, segment.no_speech_probability) == (-0.4, 0.3)
    assert (segment.start_time, segment.end_time) == (100, 100.5)
    assert segment.confidence == pytest.approx(0.9)


@in_loop
async def test_windows_come_in_their_order_although_later_ones_finish_earlier() -> None:
    model = Model(lambda number, _: decoded(SENTENCE.split()[number]), by_hand=True)
    listening = asyncio.create_task(texts(model.channel(), *(window(n, 0.6) for n in range(5))))
    await model.has_asked(5)
    for number in reversed(range(5)):
        model.waiting[number]()
        await turn_the_loop()
    assert await listening == SENTENCE.split()[:5]


@in_loop
async def test_no_more_windows_are_on_their_way_than_allowed() -> None:
    model = Model(lambda *_: decoded("no"), by_hand=True)
    listening = asyncio.create_task(
        texts(model.channel(ahead=2), *(window(n, 0.6) for n in range(5)))
    )
    for number in range(5):
        await model.has_asked(min(number + 2, 5))
        await turn_the_loop()
        assert len(model.asked) == min(number + 2, 5)
        model.waiting[number]()
    assert await listening == ["no"] * 5


@in_loop
async def test_the_language_is_the_likeliest_on_the_mean() -> None:
    likely = [{"en": 0.6, "de": 0.4}, {"en": 0.1, "de": 0.9}, {"en": 0.55, "de": 0.45}]

    def answer(number: int, _: BatchOptions) -> DecodedWindow:
        own = likely[number]
        return decoded("no", language=max(own, key=lambda code: own[code]), languages=own)

    model = Model(answer)
    language, votes = await elect_language(model.decoder(), [window(n) for n in range(3)])
    assert language == Language(code="de", probability=0.5833)
    assert [vote.decoded.language for vote in votes] == ["en", "de", "en"]
    assert [options.language for _, options in model.asked] == [None] * 3


@in_loop
async def test_a_vote_for_the_channels_language_need_not_be_asked_again() -> None:
    votes = [decoded("thanks"), decoded("no", language="de")]
    model = Model(lambda *_: decoded("bye"))
    spoken = await texts(model.channel(votes=votes), *(window(n, 0.6) for n in range(3)))
    assert spoken == ["thanks", "bye", "bye"]
    assert {(number, options.language) for number, options in model.asked} == {(1, "en"), (2, "en")}


@in_loop
async def test_a_doubtful_vote_is_asked_again_at_the_next_temperature() -> None:
    model = Model(lambda *_: decoded("bye"))
    listener = model.channel(votes=[decoded("no", likely=-2)])
    assert await texts(listener, window(0, 0.6)) == ["bye"]
    assert model.temperatures == [(0, 0.2)]


@in_loop
async def test_every_piece_tells_the_language() -> None:
    german = Language(code="de", probability=0.8)
    model = Model(lambda *_: decoded("no", language="de"))
    pieces = await heard(model.channel(german), window(0, 0.6), window(1, 0.6))
    assert [piece.language for piece in pieces] == [german] * 2


def in_parts(*answers: DecodedWindow) -> Answer:
    """One answer after the other."""
    left = iter(answers)
    return lambda *_: next(left)


@in_loop
async def test_the_end_of_a_window_without_a_word_is_heard_again() -> None:
    model = Model(in_parts(decoded(SENTENCE), decoded("no thanks")))
    first, second = await segments(model.channel(gap=GAP), window(1, 4))
    assert (first.text, first.start_time, first.end_time) == (SENTENCE, 100, 103)
    assert (second.text, second.start_time, second.end_time) == ("no thanks", 103, 104)
    assert model.frames == [4 * MEL_FRAME_RATE, MEL_FRAME_RATE]


@in_loop
async def test_a_span_without_a_word_is_heard_again_and_comes_at_its_place() -> None:
    said = decoded("can you give me no thanks no thanks bye bye bye bye", at=OVERLONG)
    model = Model(in_parts(said, decoded("can you give me no thanks no thanks")))
    spoken = await segments(model.channel(gap=GAP), of_spans((10, 12), (20, 22), (30, 34)))
    assert [(one.text, one.start_time) for one in spoken] == [
        ("can you give me", 10),
        ("no thanks no thanks", 20),
        ("no thanks no thanks bye bye bye bye", 30),
    ]
    assert model.frames == [8 * MEL_FRAME_RATE, 4 * MEL_FRAME_RATE]


@in_loop
async def test_a_word_that_got_the_time_of_others_gives_way_to_what_is_heard_there() -> None:
    said = decoded("bye can you give me", at=(0.0, 4.0, 4.5, 5.0, 5.5))
    model = Model(in_parts(said, decoded("no thanks can you give me your bye")))
    first, second = await segments(model.channel(gap=GAP), window(1, 6))
    assert (first.text, first.start_time) == ("no thanks can you give me your bye", 100)
    assert (second.text, second.start_time) == ("can you give me", 104)


@in_loop
async def test_the_first_word_gets_the_time_before_it_and_the_others_that_behind() -> None:
    said = decoded("no thanks bye", at=(0.0, 2.0, 4.0))
    spoken = await segments(Model(in_parts(said)).channel(), window(1, 4.5))
    words = [word for one in spoken for word in one.words]
    assert [(word.start_time, word.end_time) for word in words] == [
        (pytest.approx(101.4), 102),
        (102, 103),
        (104, 104.5),
    ]


@in_loop
async def test_a_loop_is_not_told_again_when_the_rest_is_heard_again() -> None:
    model = Model(lambda *_: decoded("thanks " + "no " * 60))
    assert await texts(model.channel(gap=GAP), window(0, 28)) == ["thanks no"]
    assert len(model.asked) == 2 * len(Guards().temperatures)


@in_loop
async def test_what_was_heard_first_stays_if_no_more_is_heard_again() -> None:
    said = decoded("can you give me no bye", at=(0.0, 0.5, 1.0, 1.5, 2.0, 4.0))
    model = Model(in_parts(said, decoded("")))
    spoken = await texts(model.channel(gap=GAP), of_spans((10, 12), (20, 22), (30, 30.6)))
    assert spoken == ["can you give me", "no", "bye"]
    assert len(model.asked) == 2


@in_loop
async def test_speech_without_a_word_is_not_heard_again_for_ever() -> None:
    model = Model(lambda *_: decoded("no"))
    spoken = await segments(model.channel(gap=GAP), window(0, 30))
    assert [segment.start_time for segment in spoken] == [n * EVERY for n in range(GAP_RETRIES + 1)]


@in_loop
async def test_a_translation_is_written_as_english_is() -> None:
    japanese = Language(code="ja")
    model = Model(lambda *_: decoded("no thanks", language="ja"))
    assert await texts(model.channel(japanese, task="translate"), window(0, 1)) == ["no thanks"]
    assert await texts(model.channel(japanese), window(0, 1)) == ["nothanks"]
    assert [options.task for _, options in model.asked] == ["translate", "transcribe"]


@in_loop
async def test_leaving_early_leaves_no_task_behind() -> None:
    model = Model(lambda *_: decoded("no"), by_hand=True)
    async with aclosing(model.channel().decode(stream(*map(window, range(5))))) as pieces:
        listening = asyncio.ensure_future(anext(pieces))
        await model.has_asked(5)
        model.waiting[0]()
        assert (await listening).segments[0].text == "no"


@in_loop
async def test_a_cancelled_listener_leaves_no_task_behind() -> None:
    model = Model(lambda *_: decoded("no"), by_hand=True)
    listening = asyncio.create_task(heard(model.channel(), *map(window, range(5))))
    await model.has_asked(5)
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening


@pytest.mark.parametrize("voting", [False, True])
def test_the_failure_of_one_window_is_the_channels(voting: bool) -> None:  # noqa: FBT001
    @in_loop
    async def work() -> None:
        def answer(number: int, _: BatchOptions) -> DecodedWindow:
            if number == 2:
                raise Transient("no more")
            return decoded("no")

        model = Model(answer)
        windows = [window(number, 0.6) for number in range(4)]
        with pytest.raises(Transient, match="no more"):
            await (
                elect_language(model.decoder(), windows)
                if voting
                else heard(model.channel(), *windows)
            )

    work()


SPANS = st.lists(st.tuples(st.floats(0.5, 20), st.floats(0.3, 6)), min_size=1, max_size=5)
FRAMES = st.lists(st.integers(0, 1_500), min_size=2, max_size=20).map(sorted)


@given(SPANS, FRAMES, st.sampled_from([math.inf, GAP]))
@example(gaps=[(1.7505242681553317, 5.0)], frames=[107, 140], gap=1.0)
def test_every_segment_lies_in_one_span_in_order(
    gaps: list[tuple[float, float]], frames: list[int], gap: float
) -> None:
    spans: list[Span] = []
    for pause, length in gaps:
        start = (spans[-1].end if spans else 0) + round(pause * SAMPLE_RATE)
        spans.append(Span(start, start + round(length * SAMPLE_RATE)))
    whole = Window(tuple(spans), np.zeros(sum(map(len, spans)), np.int16))
    words = (SENTENCE.split() * 4)[: len(frames) - 1]
    tokens = tuple(WORDS.text.index(f"Ġ{word}") for word in words)
    likely = DecodedWindow("en", tokens, aligned(frames), -0.1, 0.0)
    spoken = asyncio.run(segments(Model(lambda *_: likely).channel(gap=gap), whole))
    for segment in spoken:
        assert any(
            span.start / SAMPLE_RATE - 0.001 <= segment.start_time
            and segment.end_time <= span.end / SAMPLE_RATE + 0.001
            for span in spans
        )
    said = [word for segment in spoken for word in segment.words]
    if gap == math.inf:
        assert [word.word for word in said] == words
    times = [time for word in said for time in (word.start_time, word.end_time)]
    # each decoding of a gap rounds its own times to milliseconds
    assert all(later >= earlier - 0.0011 for earlier, later in pairwise(times))
