"""Windows of several calls, languages and tasks in the same batches of the real CTranslate2."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ctranslate2.models import Whisper
from faster_whisper import WhisperModel

from events.documents import Language, Request, Segment
from functions.transcribe.recognizer import Hypothesis, ResumePoint, Samples
from functions.transcribe.whisper.batch_device import TooLarge
from functions.transcribe.whisper.decoding import BatchOptions, DecodedWindow, DecodeRequest, Search
from functions.transcribe.whisper.device import WhisperDevice
from functions.transcribe.whisper.guards import Guards
from functions.transcribe.whisper.mel import HOP, Spectrogram
from functions.transcribe.whisper.models import find_model
from functions.transcribe.whisper.recognizer import WhisperRecognizer, WhisperSetup
from functions.transcribe.whisper.speech.spans import SpeechSettings
from functions.transcribe.whisper.vocabulary import Vocabulary
from infra.evaluation.truth import load_truth
from infra.evaluation.word_errors import normalised_words
from shared.audio.pcm import SAMPLE_RATE
from shared.errors import Permanent
from tests.support.models import FEW_LANGUAGES, random_model
from tests.support.recognizers import (
    NANO,
    NANO_CALL,
    NOWHERE,
    channel,
    hear,
    hypotheses,
    recognized,
    run,
    said,
    two_questions,
)

CREDULOUS = Guards(temperatures=(0.0,), repetitive=1e9, unlikely=-1e9, gap=1e9)
"""Random words are believed."""
SHORT = SpeechSettings(longest=6)
HALF = 31
"""Seconds of the call; both are silent then."""
TEXT = 8
"""Tokens that the random model writes."""
TRUTH = load_truth(NANO_CALL.with_suffix(".truth.json"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_model(tmp_path_factory.mktemp("models") / "random")


@pytest.fixture(scope="module")
def polyglot(folder: Path) -> Iterator[WhisperRecognizer]:
    """Knows three languages and says nonsense in each."""
    search = Search(tokens=TEXT)
    setup = WhisperSetup(threads=1, search=search, guards=CREDULOUS, speech=SHORT)
    recognizer = WhisperRecognizer(find_model(str(folder), NOWHERE), setup)
    run(recognizer.warm())
    yield recognizer
    run(recognizer.close())


@pytest.fixture(scope="module")
def nano() -> Iterator[WhisperRecognizer]:
    """Hears a call in many short windows, and never by chance."""
    setup = WhisperSetup(threads=1, speech=SHORT, guards=Guards(temperatures=(0.0,)))
    recognizer = WhisperRecognizer(find_model(str(NANO), NOWHERE), setup)
    run(recognizer.warm())
    yield recognizer
    run(recognizer.close())


@pytest.fixture(scope="module")
def sides() -> tuple[Samples, Samples]:
    """The first half minute of the call."""
    left, right = (channel(NANO_CALL, number)[: HALF * SAMPLE_RATE] for number in (0, 1))
    return left, right


@pytest.fixture(scope="module")
def alone(nano: WhisperRecognizer, sides: tuple[Samples, Samples]) -> list[list[Hypothesis]]:
    """Each channel of the call by itself."""
    return [run(hypotheses(nano, side)) for side in sides]


def texts(heard: list[Hypothesis]) -> list[str]:
    """What is said; its probabilities depend a little on the size of the batch."""
    return [segment.text for piece in heard for segment in piece.segments]


def new_batches(recognizer: WhisperRecognizer, batches: int, items: int) -> tuple[int, int]:
    """How many batches and windows there were besides those."""
    assert recognizer.totals is not None
    return recognizer.totals.batches - batches, recognizer.totals.items - items


def words_of(segments: list[Segment]) -> list[str]:
    return [word.word for segment in segments for word in segment.words]


def test_two_calls_at_once_meet_in_batches_and_say_the_same_as_alone(
    nano: WhisperRecognizer, sides: tuple[Samples, Samples], alone: list[list[Hypothesis]]
) -> None:
    before = nano.totals
    assert before is not None

    async def both_calls() -> list[list[Hypothesis]]:
        return await asyncio.gather(*(hypotheses(nano, side) for side in (*sides, *sides)))

    assert run(both_calls()) == alone * 2
    batches, items = new_batches(nano, before.batches, before.items)
    assert items >= 2 * sum(map(len, alone))
    assert batches < items


def test_calls_with_other_hints_share_the_engine_and_keep_their_own_words(
    nano: WhisperRecognizer, sides: tuple[Samples, Samples]
) -> None:
    samples = sides[0][: 12 * SAMPLE_RATE]
    requests = [Request(), Request(prompt="The invoice is wrong."), Request(hotwords=("refund",))]
    one_by_one = [hear(nano, samples, request) for request in requests]

    async def at_once() -> list[list[Segment]]:
        calls = (recognized(nano, samples, request=request) for request in requests)
        return await asyncio.gather(*calls)

    assert run(at_once()) == one_by_one


def test_what_is_known_is_not_decoded_again_and_the_rest_is_the_same(
    nano: WhisperRecognizer, sides: tuple[Samples, Samples], alone: list[list[Hypothesis]]
) -> None:
    before, whole = nano.totals, alone[0]
    assert before is not None
    assert len(whole) > 2
    rest = run(hypotheses(nano, sides[0], resume=ResumePoint(len(whole) - 2, whole[0].language)))
    assert rest == whole[-2:]
    assert new_batches(nano, before.batches, before.items)[1] == len(rest)


def test_words_lie_within_0_3_s_of_when_they_were_said(alone: list[list[Hypothesis]]) -> None:
    """Shown at both ends of the turns whose words are all heard right."""
    off = []
    for side, channel_pieces in zip(("left", "right"), alone, strict=True):
        words = [word for segment in said(channel_pieces) for word in segment.words]
        for turn in TRUTH.turns:
            own = [
                word for word in words if turn.start_time - 1 < word.end_time < turn.end_time + 1
            ]
            text = " ".join(word.word for word in own)
            if turn.speaker == side and normalised_words(text) == normalised_words(turn.text):
                off.append(abs(own[0].start_time - turn.start_time))
                off.append(abs(own[-1].end_time - turn.end_time))
    assert len(off) >= 4
    assert np.quantile(off, 0.8) <= 0.3


def test_the_language_is_found_with_its_probability(
    polyglot: WhisperRecognizer, sides: tuple[Samples, Samples]
) -> None:
    found = {piece.language for piece in run(hypotheses(polyglot, sides[0]))}
    (language,) = found
    assert language is not None
    assert language.code in FEW_LANGUAGES
    assert language.probability is not None
    assert 1 / len(FEW_LANGUAGES) <= language.probability <= 1


def test_the_language_that_was_found_stays_after_a_break(
    polyglot: WhisperRecognizer, sides: tuple[Samples, Samples]
) -> None:
    whole = run(hypotheses(polyglot, sides[0]))
    assert len(whole) > 2
    known = ResumePoint(2, whole[0].language)
    assert run(hypotheses(polyglot, sides[0], resume=known)) == whole[2:]


def test_a_language_that_is_asked_for_is_not_in_question(
    polyglot: WhisperRecognizer, sides: tuple[Samples, Samples]
) -> None:
    spoken = {}
    for code in FEW_LANGUAGES:
        heard = run(hypotheses(polyglot, sides[0], request=Request(language=code)))
        assert {piece.language for piece in heard} == {Language(code=code)}
        spoken[code] = tuple(words_of(said(heard)))
    assert len(set(spoken.values())) == len(FEW_LANGUAGES)


def test_a_translation_is_asked_for_and_written_in_english(
    polyglot: WhisperRecognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[list[int]] = []
    generate = Whisper.generate

    def note(model: Whisper, encoded: object, prompts: list[list[int]], **how: object) -> object:
        given.extend(prompts)
        return generate(model, encoded, prompts, **how)

    monkeypatch.setattr(Whisper, "generate", note)
    samples = two_questions().samples
    heard = hear(polyglot, samples, Request(language="ja", task="translate"))
    assert max(len(segment.words) for segment in heard) > 1
    assert all(segment.text.split() == words_of([segment]) for segment in heard)
    assert hear(polyglot, samples, Request(language="ja"))
    assert len(given[0]) == len(given[1]) == 4
    assert given[0][:2] == given[1][:2]
    assert given[0][2] == given[1][2] - 1  # <|translate|> comes before <|transcribe|>


def test_calls_in_several_languages_at_once_say_the_same_as_alone(
    polyglot: WhisperRecognizer, sides: tuple[Samples, Samples]
) -> None:
    requests = [
        *(Request(language=code) for code in FEW_LANGUAGES),
        Request(),
        Request(task="translate"),
    ]
    one_by_one = [run(hypotheses(polyglot, side, request=r)) for side in sides for r in requests]

    async def at_once() -> list[list[Hypothesis]]:
        calls = (hypotheses(polyglot, side, request=r) for side in sides for r in requests)
        return await asyncio.gather(*calls)

    assert [plain(heard) for heard in run(at_once())] == [plain(heard) for heard in one_by_one]


def plain(heard: list[Hypothesis]) -> list[tuple[list[str], str | None]]:
    """Words and language; sums over a batch may differ in the last digit."""
    return [
        (words_of([*piece.segments]), piece.language.code if piece.language else None)
        for piece in heard
    ]


def test_a_language_that_whisper_knows_and_this_model_does_not_is_refused(
    polyglot: WhisperRecognizer,
) -> None:
    with pytest.raises(Permanent, match="does not know fr, only de, en, ja") as refusal:
        hear(polyglot, two_questions().samples, Request(language="fr"))
    assert refusal.value.code == "unsupported_language"


@pytest.fixture(scope="module")
def whisper(folder: Path) -> WhisperModel:
    return WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1)


def device_of(whisper: WhisperModel, search: Search | None = None) -> WhisperDevice:
    vocabulary = Vocabulary(whisper.hf_tokenizer, whisper.supported_languages, multilingual=True)
    return WhisperDevice(whisper, vocabulary, search or Search(tokens=TEXT))


def windows(whisper: WhisperModel, sides: tuple[Samples, Samples]) -> list[DecodeRequest]:
    """Eight of different lengths."""
    spectrogram = Spectrogram(whisper.feature_extractor.mel_filters)
    parts = [side[at * 80_000 :][: (at + 1) * 20_000] for side in sides for at in range(1, 5)]
    return [DecodeRequest(spectrogram(part), len(part) // HOP) for part in parts]


def test_windows_taken_for_different_languages_share_a_batch(
    whisper: WhisperModel, sides: tuple[Samples, Samples]
) -> None:
    device, asked = device_of(whisper), windows(whisper, sides)
    together = device(BatchOptions(None), asked)
    single = [device(BatchOptions(None), [one])[0] for one in asked]
    assert [one.tokens for one in together] == [one.tokens for one in single]
    assert [one.language for one in together] == [one.language for one in single]
    for one in together:
        assert one.languages[one.language] == max(one.languages.values())
        assert sum(one.languages.values()) == pytest.approx(1, abs=1e-3)
        own = device(BatchOptions(one.language), asked)[together.index(one)]
        assert own.tokens == one.tokens
        assert own.languages == {}


@pytest.mark.parametrize("tokens", [1, 8, 100])
@pytest.mark.parametrize("hints", [0, 20])
def test_exactly_so_many_tokens_are_written_for_measuring(
    whisper: WhisperModel, sides: tuple[Samples, Samples], tokens: int, hints: int
) -> None:
    device = device_of(whisper, Search(beam=1, tokens=tokens))
    asked = [DecodeRequest(one.mel, one.frames, (5,) * hints) for one in windows(whisper, sides)]
    decoded = device(BatchOptions("de", hints=hints), asked)
    assert [len(one.tokens) for one in decoded] == [tokens] * len(asked)
    for window, one in zip(asked, decoded, strict=True):
        assert times(one)[-1] <= window.frames // 2


def times(decoded: DecodedWindow) -> list[int]:
    """When the tokens begin, in frames of 20 ms."""
    return [frame for _, frame in decoded.alignment.alignments]


def test_chance_decides_at_a_temperature_only(
    whisper: WhisperModel, sides: tuple[Samples, Samples]
) -> None:
    device, asked = device_of(whisper, Search(tokens=40)), windows(whisper, sides)
    first, again = (device(BatchOptions("en"), asked) for _ in range(2))
    assert [one.tokens for one in first] == [one.tokens for one in again]
    drawn = device(BatchOptions("en", temperature=1.0), asked)
    assert [one.tokens for one in drawn] != [one.tokens for one in first]


def test_times_that_a_model_writes_are_not_in_its_text() -> None:
    setup = WhisperSetup(
        threads=1, search=Search(timestamps=True), guards=Guards(temperatures=(0.0,))
    )
    recognizer = WhisperRecognizer(find_model(str(NANO), NOWHERE), setup)
    first, second = hear(recognizer, two_questions().samples)
    run(recognizer.close())
    assert "customer number" in first.text
    assert second.text.endswith("last name?")


@pytest.mark.parametrize("timestamps", [False, True])
def test_no_sound_and_no_text_break_nothing(whisper: WhisperModel, timestamps: bool) -> None:  # noqa: FBT001
    spectrogram = Spectrogram(whisper.feature_extractor.mel_filters)
    shortest = np.zeros(2 * HOP, np.int16)
    device = device_of(whisper, Search(tokens=1, timestamps=timestamps))
    (decoded,) = device(BatchOptions("en"), [DecodeRequest(spectrogram(shortest), 2)])
    assert decoded.mean_log_probability <= 0


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA failed: out of memory")])
def test_a_device_without_memory_for_a_batch_says_so(
    whisper: WhisperModel,
    sides: tuple[Samples, Samples],
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Whisper, "generate", fail)
    with pytest.raises(TooLarge):
        device_of(whisper)(BatchOptions("en"), windows(whisper, sides))


def test_a_batch_that_does_not_fit_into_memory_is_halved_until_it_does(
    nano: WhisperRecognizer,
    sides: tuple[Samples, Samples],
    alone: list[list[Hypothesis]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []
    generate = Whisper.generate

    def small(model: Whisper, encoded: object, prompts: list[list[int]], **how: object) -> object:
        sizes.append(len(prompts))
        if len(prompts) > 2:
            raise RuntimeError("CUDA failed with error out of memory")
        return generate(model, encoded, prompts, **how)

    monkeypatch.setattr(Whisper, "generate", small)

    async def both() -> list[list[Hypothesis]]:
        return await asyncio.gather(*(hypotheses(nano, side) for side in sides))

    assert [texts(side) for side in run(both())] == [texts(side) for side in alone]
    assert max(sizes) > 2
    assert all(size <= 2 for size in sizes[-3:])
