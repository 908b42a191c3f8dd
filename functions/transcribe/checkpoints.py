"""What is known of a channel while the rest is still being recognised.

A recognition that is broken off, by a crash or by the platform's ceiling, goes on behind the last
passage that was kept.
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
"""Of so many pieces is a passage."""


@dataclass
class Checkpoints:
    """The passages of one channel, of work with this digest; others are not read."""

    blobs: Blobs
    split: RecordingSplit
    channel: Channel
    digest: str
    segments: list[Segment] = field(default_factory=list)
    known: ResumePoint = field(default_factory=ResumePoint)
    _fresh: list[Segment] = field(default_factory=list)

    async def read(self) -> ResumePoint:
        """Take up what was kept; how much that is."""
        async for passage in self._kept():
            self.segments += passage.segments
            self.known = ResumePoint(passage.until, passage.language)
        return self.known

    async def add(self, heard: Hypothesis) -> None:
        """One more piece is known; each full passage is kept."""
        self.known = ResumePoint(self.known.pieces + 1, heard.language or self.known.language)
        self.segments += heard.segments
        self._fresh += heard.segments
        if self.known.pieces % CHECKPOINT_EVERY == 0:
            await self._keep()

    async def remove(self) -> None:
        """They are of no use once the transcript is there. The last goes first: if this is broken
        off, the next time finds what is left.
        """
        keys = [key async for key in self._keys()]
        for key in reversed(keys):
            await self.blobs.delete(key)

    async def _keep(self) -> None:
        passage = Checkpoint(
            recording=self.split.recording,
            run=self.split.run,
            channel=self.channel,
            digest=self.digest,
            until=self.known.pieces,
            segments=tuple(self._fresh),
            language=self.known.language,
        )
        await self.blobs.put_json(self._key(self.known.pieces // CHECKPOINT_EVERY), passage)
        self._fresh = []

    async def _kept(self) -> AsyncIterator[Checkpoint]:
        for number in count(1):
            passage = await self.blobs.get_json(self._key(number), Checkpoint)
            if passage is None or passage.digest != self.digest:
                return
            yield passage

    async def _keys(self) -> AsyncIterator[str]:
        """Of those that are there, whatever work they belong to.

        Another delivery may have removed the first ones while this one still kept more.
        """
        for number in count(1):
            key = self._key(number)
            if await self.blobs.size(key) is not None:
                yield key
            elif number > self.known.pieces // CHECKPOINT_EVERY:
                return

    def _key(self, number: int) -> str:
        return self.split.run_key.passage(self.channel, number)
