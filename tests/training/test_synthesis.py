"""The synthesisers themselves, and what is made of them."""

import json
from ctypes.util import find_library
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from infra.training.data.mel import RATE
from infra.training.data.shards import read_shards
from infra.training.exam.held_out_sets import INDEX, held_out_sets
from infra.training.speech.spoken import Spoken
from infra.training.speech.synthesise import PLAN, synthesise
from infra.training.speech.vocabulary import FILE
from infra.training.speech.voices import espeak, flite

needs_espeak = pytest.mark.skipif(
    find_library("espeak-ng") is None, reason="no espeak-ng here: apt-get install espeak-ng"
)
needs_flite = pytest.mark.skipif(
    find_library("flite") is None, reason="no flite here: apt-get install flite"
)
TEXT = "Yes, that is correct."


def tells_when(spoken: Spoken) -> None:
    """Whether times run forward within the sound, and sound is where words are."""
    assert [word.text for word in spoken.words] == TEXT.split()
    edges = [edge for word in spoken.words for edge in (word.start, word.end)]
    assert edges == sorted(edges)
    assert 0 <= edges[0] < edges[-1] <= spoken.seconds + 0.01
    starts = [phone.start for phone in spoken.phones]
    assert starts == sorted(starts)
    for _, start, end in spoken.words:
        said = spoken.audio[int(start * RATE) : int(end * RATE)]
        assert np.abs(said).max() > 0.05


@needs_espeak
def test_espeak_tells_when_it_says_each_word() -> None:
    tells_when(espeak().say(TEXT, "en-us+f1", speed=160, pitch=50, span=50))


@needs_espeak
def test_a_voice_that_espeak_has_not_is_told() -> None:
    with pytest.raises(ValueError, match="no voice"):
        espeak().say(TEXT, "nobody+nothing", speed=160, pitch=50, span=50)


@needs_flite
@pytest.mark.parametrize("name", ["slt", "rms", "awb", "kal16"])
def test_flite_tells_when_it_says_each_word(name: str) -> None:
    spoken = flite().say(TEXT, name, stretch=1.0, pitch=120)
    assert spoken
    tells_when(spoken)


@needs_flite
def test_a_text_that_flite_reads_in_other_words_is_left_out() -> None:
    assert flite().say("It costs 20 dollars.", "slt", stretch=1.0, pitch=170) is None


@needs_espeak
@needs_flite
def test_a_little_speech_is_made_for_every_group(tmp_path: Path) -> None:
    names = list(synthesise(tmp_path, scale=0.0, workers=2))
    assert {name.rpartition("_")[0] for name in names} == {group.name for group in PLAN}
    assert (tmp_path / FILE).exists()
    made = read_shards(tmp_path, "espeak")
    assert all(0 < one.words[-1].end <= one.seconds + 0.02 for one in made)


@needs_espeak
@needs_flite
def test_held_out_sets_are_made_once(tmp_path: Path) -> None:
    made = held_out_sets(tmp_path, 1)
    assert len(made["silence and noise"]) == 15
    (call,) = made["flite calls"]
    assert len(call.channels) == 2
    assert all(one.start < then.start for said in call.channels for one, then in pairwise(said))
    written = (tmp_path / INDEX).stat().st_mtime_ns
    assert held_out_sets(tmp_path, 1) == made
    assert (tmp_path / INDEX).stat().st_mtime_ns == written
    assert json.loads((tmp_path / INDEX).read_bytes()).keys() == made.keys()
