import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.training.data.batches import Batches, draw, full_late, stacked
from infra.training.data.degrading import degraded
from infra.training.data.examples import IGNORE, LAST, Composer, Example, Sounds, frame_labels
from infra.training.data.mel import FLOOR, centres
from infra.training.data.placing import FULL, Placed, Style, Window, place, shifted_bands, stretched
from infra.training.data.utterances import Phone, Pool, Utterance, Word
from infra.training.speech.vocabulary import Vocabulary
from tests.support.recognizers import NANO

VOCABULARY = Vocabulary.load(NANO / "tokenizer.json")
MINE = "My invoice is wrong."
TIMED = Utterance(
    MINE,
    np.full((150, 80), -2.0, np.float32),
    (Word("My", 0.0, 0.3), Word("invoice", 0.3, 0.8), Word("is", 0.8, 1.0), Word("wrong.", 1, 1.4)),
    (Phone("m", 0.0), Phone("aI2", 0.1), Phone("_:", 1.4)),
)
UNTIMED = Utterance("The bank is slow.", np.full((250, 80), -2.0, np.float32))
POOL = Pool([(1.0, [TIMED]), (1.0, [UNTIMED])])
COMPOSER = Composer(VOCABULARY, Sounds.of([TIMED]), [TIMED.text, UNTIMED.text])

"""A window is large."""
randoms = st.randoms(use_true_random=False)
styles = st.builds(
    Style,
    full=st.booleans(),
    utterances=st.one_of(st.none(), st.integers(0, 4)),
    timestamps=st.booleans(),
    prompt=st.booleans(),
    packed=st.booleans(),
)


def text_of(example: Example) -> str:
    """What shall be written, with timestamps."""
    tokens = VOCABULARY.tokens()
    written = [tokens[target] for target in example.targets if target != IGNORE]
    return "".join(written).replace("Ġ", " ")


def stamps_of(targets: list[int]) -> list[int]:
    return [target - VOCABULARY.zero for target in targets if target >= VOCABULARY.zero]


@given(randoms, styles)
def test_utterances_stand_one_after_the_other_in_their_window(
    rng: random.Random, style: Style
) -> None:
    window = place(rng, POOL, style)
    assert window.frames % 2 == 0
    assert 0 < window.frames <= FULL
    assert all(one.stop < then.start for one, then in pairwise(window.placed))
    assert all(part.stop <= window.frames for part in window.placed if not part.is_cut)
    assert not any(part.is_cut for part in window.placed[:-1])


@given(randoms)
def test_packed_speech_has_only_short_gaps(rng: random.Random) -> None:
    window = place(rng, POOL, Style(full=True, timestamps=False, packed=True))
    gaps = [then.start - one.stop for one, then in pairwise(window.placed)]
    assert all(10 <= gap <= 30 for gap in gaps)


@given(randoms, styles)
def test_a_transcript_tells_its_window_in_order(rng: random.Random, style: Style) -> None:
    example = COMPOSER.example(rng, POOL, style, augment=False)
    stamps = stamps_of(example.targets)
    assert stamps == sorted(stamps)
    assert all(example.offset <= stamp <= LAST for stamp in stamps)
    assert (stamps == []) >= (not style.timestamps)
    assert example.targets[-1] == VOCABULARY.end
    assert len(example.tokens) == len(example.targets) == len(example.now) == len(example.ahead)
    assert len(example.phones) == len(example.words) == len(example.mel) // 2


@given(randoms, styles)
def test_every_target_is_the_next_token_unless_unscored(rng: random.Random, style: Style) -> None:
    example = COMPOSER.example(rng, POOL, style, augment=False)
    for target, then in zip(example.targets, example.tokens[1:], strict=False):
        assert target in (IGNORE, then, VOCABULARY.no_speech)


@given(randoms)
def test_what_is_seen_is_spoken_where_its_guides_say(rng: random.Random) -> None:
    pool = Pool([(1.0, [TIMED])])
    example = COMPOSER.example(rng, pool, Style(utterances=1), augment=False)
    assert text_of(example).count(MINE) == 1
    start, end = (stamp - example.offset for stamp in stamps_of(example.targets))
    assert end - start == pytest.approx(70, abs=1)  # 1.4 s
    spoken = [guide for guide in example.ahead if guide]
    assert all(start - 3 <= guide.first < guide.last <= len(example.words) + 6 for guide in spoken)


@given(randoms, st.booleans())
def test_unknown_times_guide_nothing_and_label_nothing(rng: random.Random, full: bool) -> None:  # noqa: FBT001
    pool = Pool([(1.0, [UNTIMED])])
    style = Style(full=full, utterances=1)
    example = COMPOSER.example(rng, pool, style, augment=False)
    assert not any(example.now)
    assert not any(example.ahead)
    assert "The bank is slow." in text_of(example)
    assert IGNORE in example.phones
    assert set(example.words) <= {0, IGNORE}


def test_without_speech_the_answer_is_that_there_is_none() -> None:
    rng = random.Random(1)  # noqa: S311
    example = COMPOSER.example(rng, POOL, Style(full=True, utterances=0))
    assert example.targets[0] == VOCABULARY.no_speech
    assert example.targets[-1] == VOCABULARY.end


def test_silence_has_as_many_bands_as_speech() -> None:
    wide = Pool([(1.0, [replace(UNTIMED, mel=np.zeros((50, 128), np.float32))])])
    rng = random.Random(1)  # noqa: S311
    assert COMPOSER.example(rng, wide, Style(utterances=0)).mel.shape[1] == 128


def test_frames_are_labelled_with_the_sounds_in_them() -> None:
    sounds = Sounds.of([TIMED])
    assert sounds.phones == {"_": 0, "aI": 1, "m": 2}
    phones, words = frame_labels(Window((Placed(100, TIMED, TIMED.mel),), 400), sounds)
    assert phones[49:56].tolist() == [0, 2, 2, 2, 2, 2, 1]
    assert words[50] == words[64] == sounds.words["my"]
    assert words[66] == sounds.words["invoice"]
    assert set(words[:50]) == set(words[121:]) == {0}


@given(randoms, st.integers(0, LAST))
def test_a_window_that_moves_takes_its_timestamps_along(rng: random.Random, offset: int) -> None:
    made = COMPOSER.example(rng, Pool([(1.0, [TIMED])]), Style(utterances=1, prompt=True))
    batch = stacked([replace(made, offset=0)], VOCABULARY, FULL)
    assert batch.offset.tolist() == [0]
    late = replace(made, offset=offset)
    moved = stacked([late], VOCABULARY)
    by = int(moved.offset[0]) - offset
    assert int(moved.offset[0]) + len(made.phones) <= LAST
    before, after = stamps_of(made.targets), stamps_of(moved.targets[0].tolist())
    assert after == [min(max(stamp + by, 0), LAST) for stamp in before]


@given(randoms, st.booleans())
def test_a_batch_is_padded_with_either_silence(rng: random.Random, full: bool) -> None:  # noqa: FBT001
    examples = [draw(rng, COMPOSER, POOL, full=full) for _ in range(3)]
    batch = stacked(examples, VOCABULARY, FULL if full else None)
    assert batch.mel.shape[:2] == (3, 80)
    for row, example in enumerate(examples):
        behind = batch.mel[row, :, len(example.mel) :]
        assert np.all(behind == np.float32(example.padding))
        assert example.padding == 0 or example.padding >= -1.5
    for spans in (batch.now, batch.ahead, batch.even):
        assert np.all(spans[:, 2] < spans[:, 3])
        assert np.all(spans[:, 3] <= batch.mel.shape[2] // 2)


def test_full_windows_come_late() -> None:
    batches = Batches(COMPOSER, POOL, full_share=full_late)
    assert batches.next(0.1).mel.shape[2] < FULL
    assert {batches.next(0.9).mel.shape[2] == FULL for _ in range(12)} == {True, False}


def test_the_telephone_lets_nothing_through_above_its_band() -> None:
    rng, power = random.Random(1), np.full((40, 80), 1.0, np.float32)  # noqa: S311
    quiet = sum(bool(degraded(rng, power)[:, centres(80) > 4000].max() < 0.01) for _ in range(60))
    assert 10 < quiet < 50


def test_stretching_and_shifting_keep_the_edges() -> None:
    mel = np.arange(80, dtype=np.float32)[None] + np.arange(50, dtype=np.float32)[:, None]
    longer = stretched(mel, 70)
    assert longer.shape == (70, 80)
    np.testing.assert_allclose(longer[[0, -1]], mel[[0, -1]], atol=1e-3)
    other = shifted_bands(mel, 3)
    np.testing.assert_allclose(other[:, [0, -1]], mel[:, [0, -1]], atol=0.01)
    assert other[0, 40] == pytest.approx(43, abs=0.1)


def test_an_empty_pool_is_refused() -> None:
    with pytest.raises(ValueError, match="no utterance"):
        Pool([(1.0, [])])


def test_power_below_the_floor_is_none() -> None:
    assert degraded(random.Random(1), np.full((40, 80), FLOOR, np.float32)).min() >= 0  # noqa: S311
