"""Checkpoints on real blobs: what is kept of a recognition that is broken off."""

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import MemoryStore

from events.documents import Checkpoint, Language
from functions.transcribe.checkpoints import CHECKPOINT_EVERY, Checkpoints
from functions.transcribe.recognizer import FROM_START, Hypothesis, ResumePoint
from shared.blobs import ObjectBlobs
from tests.support.examples import segment, was_split
from tests.support.handlers import KEY
from tests.support.waiting import run

ENGLISH = Language(code="en", probability=0.9)


def checkpoints(blobs: ObjectBlobs, digest: str = "d") -> Checkpoints:
    return Checkpoints(blobs, was_split(), "left", digest)


def hypotheses(count: int, language: Language | None = ENGLISH) -> list[Hypothesis]:
    """One segment in each but every third, in which nothing is said."""
    return [
        Hypothesis((segment(n, n + 1, f"word {n}"),) if n % 3 else (), language)
        for n in range(count)
    ]


async def saved_after(blobs: ObjectBlobs, made: list[Hypothesis], digest: str = "d") -> Checkpoints:
    """What one try keeps that is broken off after these hypotheses, as the next one finds it."""
    broken_off = checkpoints(blobs, digest)
    resume = await broken_off.load()
    for hypothesis in islice(made, resume.hypotheses, None):
        await broken_off.add(hypothesis)
    again = checkpoints(blobs, digest)
    await again.load()
    return again


@given(st.lists(st.integers(0, 60), min_size=1, max_size=4), st.integers(0, 60))
def test_however_often_it_is_broken_off_the_end_is_the_same(breaks: list[int], end: int) -> None:
    async def work() -> None:
        blobs = ObjectBlobs(MemoryStore())
        made = hypotheses(end)
        for at in breaks:
            await saved_after(blobs, made[: min(at, end)])
        last = checkpoints(blobs)
        resume = await last.load()
        assert resume.hypotheses <= end
        for hypothesis in made[resume.hypotheses :]:
            await last.add(hypothesis)
        assert last.segments == [found for hypothesis in made for found in hypothesis.segments]
        assert last.resume.hypotheses == end

    run(work())


def test_every_checkpoint_is_kept_with_the_language(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        again = await saved_after(blobs, hypotheses(2 * CHECKPOINT_EVERY + 3))
        assert again.resume == ResumePoint(2 * CHECKPOINT_EVERY, ENGLISH)
        assert again.segments[-1].text == f"word {2 * CHECKPOINT_EVERY - 2}"
        second = await blobs.get_json(KEY.checkpoint("left", 2), Checkpoint)
        assert second is not None
        assert second.until == 2 * CHECKPOINT_EVERY
        assert second.segments[0].text == f"word {CHECKPOINT_EVERY}"

    run(work())


def test_a_language_once_known_stays(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        made = hypotheses(1) + hypotheses(CHECKPOINT_EVERY, None)
        assert (await saved_after(blobs, made)).resume.language == ENGLISH

    run(work())


def test_nothing_is_kept_at_first_and_the_other_channel_is_another(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        assert (await saved_after(blobs, hypotheses(CHECKPOINT_EVERY - 1))).resume == FROM_START
        await saved_after(blobs, hypotheses(CHECKPOINT_EVERY))
        assert await Checkpoints(blobs, was_split(), "right", "d").load() == FROM_START

    run(work())


def test_checkpoints_of_other_work_are_not_read_and_give_way(blobs: ObjectBlobs) -> None:
    async def work() -> None:
        await saved_after(blobs, hypotheses(3 * CHECKPOINT_EVERY, None), "theirs")
        assert await checkpoints(blobs).load() == FROM_START
        assert (await saved_after(blobs, hypotheses(CHECKPOINT_EVERY))).resume == ResumePoint(
            CHECKPOINT_EVERY, ENGLISH
        )
        assert await checkpoints(blobs, "theirs").load() == FROM_START

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
        await saved_after(blobs, hypotheses(3 * CHECKPOINT_EVERY))
        with pytest.raises(Died):
            await checkpoints(blobs).remove()
        blobs.deletes = 9
        await checkpoints(blobs).remove()
        assert [await blobs.size(KEY.checkpoint("left", n)) for n in range(1, 4)] == [None] * 3

    run(work())


def test_what_another_delivery_removed_hides_nothing_of_our_own() -> None:
    async def work() -> None:
        blobs = FailingBlobs(9)
        ours = await saved_after(blobs, hypotheses(3 * CHECKPOINT_EVERY))
        await blobs.delete(KEY.checkpoint("left", 1))
        await ours.remove()
        assert [await blobs.size(KEY.checkpoint("left", n)) for n in range(1, 4)] == [None] * 3

    run(work())
