"""Checkpoints on real blobs: what is kept of a recognition that is broken off."""

from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obstore.store import MemoryStore

from events.documents import Checkpoint, Language
from functions.transcribe.checkpoints import CHECKPOINT_EVERY, Checkpoints
from functions.transcribe.recognizer import FROM_START, Hypothesis, ResumePoint
from shared.blobs import ObjectBlobs
from tests.support.examples import segment, was_split
from tests.support.handlers import KEY, run

ENGLISH = Language(code="en", probability=0.9)


def passages(blobs: ObjectBlobs, digest: str = "d") -> Checkpoints:
    return Checkpoints(blobs, was_split(), "left", digest)


def pieces(count: int, language: Language | None = ENGLISH) -> list[Hypothesis]:
    """One segment in each but every third, in which nothing is said."""
    return [
        Hypothesis((segment(n, n + 1, f"word {n}"),) if n % 3 else (), language)
        for n in range(count)
    ]


async def kept_after(blobs: ObjectBlobs, heard: list[Hypothesis], digest: str = "d") -> Checkpoints:
    """What one try keeps that is broken off behind these pieces, as the next one finds it."""
    broken_off = passages(blobs, digest)
    known = await broken_off.read()
    for piece in islice(heard, known.pieces, None):
        await broken_off.add(piece)
    again = passages(blobs, digest)
    await again.read()
    return again


@settings(max_examples=50)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=4), st.integers(0, 60))
def test_however_often_it_is_broken_off_the_end_is_the_same(breaks: list[int], end: int) -> None:
    async def work() -> None:
        blobs = ObjectBlobs(MemoryStore())
        heard = pieces(end)
        for at in breaks:
            await kept_after(blobs, heard[: min(at, end)])
        last = passages(blobs)
        known = await last.read()
        assert known.pieces <= end
        for piece in heard[known.pieces :]:
            await last.add(piece)
        assert last.segments == [said for piece in heard for said in piece.segments]
        assert last.known.pieces == end

    run(work())


def test_every_full_passage_is_kept_with_the_language(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        again = await kept_after(blobs, pieces(2 * CHECKPOINT_EVERY + 3))
        assert again.known == ResumePoint(2 * CHECKPOINT_EVERY, ENGLISH)
        assert again.segments[-1].text == f"word {2 * CHECKPOINT_EVERY - 2}"
        second = await blobs.get_json(KEY.passage("left", 2), Checkpoint)
        assert second is not None
        assert second.until == 2 * CHECKPOINT_EVERY
        assert second.segments[0].text == f"word {CHECKPOINT_EVERY}"

    run(work())


def test_a_language_once_known_stays(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        heard = pieces(1) + pieces(CHECKPOINT_EVERY, None)
        assert (await kept_after(blobs, heard)).known.language == ENGLISH

    run(work())


def test_nothing_is_kept_at_first_and_the_other_channel_is_another(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        assert (await kept_after(blobs, pieces(CHECKPOINT_EVERY - 1))).known == FROM_START
        await kept_after(blobs, pieces(CHECKPOINT_EVERY))
        assert await Checkpoints(blobs, was_split(), "right", "d").read() == FROM_START

    run(work())


def test_passages_of_other_work_are_not_read_and_give_way(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await kept_after(blobs, pieces(3 * CHECKPOINT_EVERY, None), "theirs")
        assert await passages(blobs).read() == FROM_START
        assert (await kept_after(blobs, pieces(CHECKPOINT_EVERY))).known == ResumePoint(
            CHECKPOINT_EVERY, ENGLISH
        )
        assert await passages(blobs, "theirs").read() == FROM_START

    run(work())


class Died(Exception):
    """The process, in the middle."""


class FailingBlobs(ObjectBlobs):
    """Dies at a delete."""

    def __init__(self, deletes: int) -> None:
        super().__init__(MemoryStore())
        self.deletes = deletes

    async def delete(self, key: str) -> None:
        if not self.deletes:
            raise Died
        self.deletes -= 1
        await super().delete(key)


@pytest.mark.parametrize("deletes", [0, 1, 2])
def test_none_stays_behind_even_if_removing_them_is_broken_off(deletes: int) -> None:
    async def work() -> None:
        blobs = FailingBlobs(deletes)
        await kept_after(blobs, pieces(3 * CHECKPOINT_EVERY))
        with pytest.raises(Died):
            await passages(blobs).remove()
        blobs.deletes = 9
        await passages(blobs).remove()
        assert [await blobs.size(KEY.passage("left", n)) for n in range(1, 4)] == [None] * 3

    run(work())


def test_what_another_delivery_removed_hides_nothing_of_our_own() -> None:
    async def work() -> None:
        blobs = FailingBlobs(9)
        ours = await kept_after(blobs, pieces(3 * CHECKPOINT_EVERY))
        await blobs.delete(KEY.passage("left", 1))
        await ours.remove()
        assert [await blobs.size(KEY.passage("left", n)) for n in range(1, 4)] == [None] * 3

    run(work())
