"""The event about one channel of a recording."""

from typing import Annotated, ClassVar

from pydantic import Field

from events.base import BlobKey, Channel, Event
from events.recording import Channels, Duration


class ChannelTranscribed(Event):
    """One channel's words are in the store. A silent channel has this event as any other."""

    type: ClassVar[str] = "io.pocwhisp.channel.transcribed.v1"

    channel: Annotated[Channel, Field(description="The channel this event is about.")]
    channels: Channels
    duration: Duration
    transcript: BlobKey

    @property
    def part(self) -> str:
        return self.channel
