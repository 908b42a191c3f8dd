"""Checkpoints of one channel, kept while the rest of it is still being recognised.

A recognition that is broken off, by a crash or by the platform's time limit, goes on after the
last checkpoint.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from itertools import count

from events import RecordingSplit
from events.base import Channel
from events.documents import Checkpoint, Segment
from functions.transcribe.recognizer import Hypothesis, ResumePoint
from shared.ports import Blobs

CHECKPOINT_EVERY = 8
"""Hypotheses from one checkpoint to the next."""


@dataclass
class Checkpoints:
    """The checkpoints of one channel that were made by work with this `digest`.

    `segments` and `resume` hold what was recognised of the channel so far.
    """

    blobs: Blobs
    split: RecordingSplit
    channel: Channel
    digest: str
    segments: list[Segment] = field(default_factory=list)
    resume: ResumePoint = field(default_factory=ResumePoint)
    _unsaved: list[Segment] = field(default_factory=list)

    async def load(self) -> ResumePoint:
        """Read the checkpoints of an earlier attempt. Return where to go on."""
        async for checkpoint in self._saved():
            self.segments += checkpoint.segments
            self.resume = ResumePoint(checkpoint.until, checkpoint.language)
        return self.resume

    async def add(self, hypothesis: Hypothesis) -> None:
        """Take in the next hypothesis, and save a checkpoint when one is due."""
        language = hypothesis.language or self.resume.language
        self.resume = ResumePoint(self.resume.hypotheses + 1, language)
        self.segments += hypothesis.segments
        self._unsaved += hypothesis.segments
        if self.resume.hypotheses % CHECKPOINT_EVERY == 0:
            await self._save()

    async def remove(self) -> None:
        """Delete the checkpoints, which are of no use once the transcript is written.

        The last is deleted first, so that the next call finds what an interrupted one left.
        """
        keys = [key async for key in self._keys()]
        for key in reversed(keys):
            await self.blobs.delete(key)

    async def _save(self) -> None:
        checkpoint = Checkpoint(
            recording=self.split.recording,
            run=self.split.run,
            channel=self.channel,
            digest=self.digest,
            until=self.resume.hypotheses,
            segments=tuple(self._unsaved),
            language=self.resume.language,
        )
        await self.blobs.put_json(self._key(self._number), checkpoint)
        self._unsaved = []

    async def _saved(self) -> AsyncIterator[Checkpoint]:
        for number in count(1):
            checkpoint = await self.blobs.get_json(self._key(number), Checkpoint)
            if checkpoint is None or checkpoint.digest != self.digest:
                return
            yield checkpoint

    async def _keys(self) -> AsyncIterator[str]:
        """Yield the keys of all checkpoints in the store, whatever work made them.

        Another delivery may have deleted the first ones while this one still saved more.
        """
        for number in count(1):
            key = self._key(number)
            if await self.blobs.size(key) is not None:
                yield key
            elif number > self._number:
                return

    @property
    def _number(self) -> int:
        return self.resume.hypotheses // CHECKPOINT_EVERY

    def _key(self, number: int) -> str:
        return self.split.run_key.checkpoint(self.channel, number)
