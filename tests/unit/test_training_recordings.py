import shutil
import wave
from pathlib import Path

import numpy as np
import pytest

from infra.evaluation.truth import BrokenTruth, Truth, Turn, load_truth
from infra.training.data.mel import RATE
from infra.training.data.recordings import LONGEST, channels_of, read_recordings, utterances
from infra.training.data.shards import read_shards, write_shard
from infra.training.data.sources import recorded
from infra.training.data.utterances import Phone, Utterance, Word
from tests.support.recognizers import NANO_CALL


def truth(*turns: Turn) -> Truth:
    return Truth(duration=60, turns=turns)


def turn(speaker: str, start: float, end: float, text: str = "No problem.") -> Turn:
    return Turn.model_validate(
        {"speaker": speaker, "start_time": start, "end_time": end, "text": text}
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One recording with its truth, and a recording and a truth that are alone."""
    for path in (NANO_CALL, NANO_CALL.with_suffix(".truth.json")):
        shutil.copy(path, tmp_path)
    shutil.copy(NANO_CALL, tmp_path / "alone.wav")
    shutil.copy(NANO_CALL.with_suffix(".truth.json"), tmp_path / "lonely.json")
    return tmp_path


def test_every_turn_of_a_recording_is_an_utterance(folder: Path) -> None:
    turns = load_truth(NANO_CALL.with_suffix(".truth.json")).turns
    heard = list(read_recordings(folder, 80))
    assert [one.text for one in heard] == [one.text for one in turns]
    for one, said in zip(heard, turns, strict=True):
        assert one.seconds == pytest.approx(said.end_time - said.start_time, abs=0.011)
        assert one.mel.shape[1] == 80
        assert not one.words
        assert not one.phones


def test_one_utterance_in_ten_is_kept_for_judging(folder: Path) -> None:
    source = recorded(folder, 80)
    assert len(source.texts) == 14
    assert source.full_share(0.0) == 1.0
    assert source.exams.keys() == {"recordings"}


def test_a_turn_comes_from_its_speakers_channel() -> None:
    loud, quiet = np.full(2 * RATE, 0.5, np.float32), np.zeros(2 * RATE, np.float32)
    said = truth(turn("left", 0, 1), turn("right", 0, 1))
    left, right = utterances([loud, quiet], said, 80)
    assert left.mel.max() > 0
    assert right.mel.max() == pytest.approx(-10)


def test_both_speakers_of_a_mono_recording_come_from_its_only_channel() -> None:
    said = truth(turn("left", 0, 1), turn("right", 1, 2))
    assert len(list(utterances([np.zeros(2 * RATE, np.float32)], said, 80))) == 2


def test_what_fits_no_window_or_says_nothing_is_left_out() -> None:
    said = truth(turn("left", 0, LONGEST + 1), turn("left", 30, 31, " "), turn("left", 50, 51))
    assert list(utterances([np.zeros(40 * RATE, np.float32)], said, 80)) == []


def test_a_truth_of_the_old_name_is_read_and_a_result_is_none(folder: Path) -> None:
    named = folder / NANO_CALL.with_suffix(".truth.json").name
    named.rename(folder / "nano.json")
    (folder / "alone.json").write_text('{"session_id": "1", "status": "completed"}')
    assert len(list(read_recordings(folder, 80))) == len(load_truth(folder / "nano.json").turns)


def test_a_broken_truth_is_told(folder: Path) -> None:
    (folder / "alone.json").write_text("{}")
    with pytest.raises(BrokenTruth, match=r"alone\.json"):
        list(read_recordings(folder, 80))


def test_a_recording_at_8_khz_is_heard_at_16(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "mono.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8_000)
        file.writeframes(bytes(2 * 8_000))
    (channel,) = channels_of(tmp_path / "mono.wav")
    assert len(channel) == pytest.approx(RATE, abs=RATE / 50)


def test_shards_give_back_what_was_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    written = [
        Utterance(text, rng.normal(size=(20, 80)).astype(np.float16), (Word(text, 0, 0.2),), phones)
        for text, phones in (("One.", (Phone("w", 0.0),)), ("Two.", ()))
    ]
    write_shard(tmp_path / "few_000", written[:1])
    write_shard(tmp_path / "few_001", written[1:])
    read = read_shards(tmp_path, "few")
    assert [(one.text, one.words, one.phones) for one in read] == [
        (one.text, one.words, one.phones) for one in written
    ]
    for one, same in zip(read, written, strict=True):
        np.testing.assert_array_equal(one.mel, same.mel)
