"""The contracts: one frozen model per CloudEvent, and the documents kept as blobs."""

from events.base import Event
from events.catalogue import (
    EVENTS,
    ChannelTranscribed,
    DeliveryParked,
    RecordingCompleted,
    RecordingFailed,
    RecordingReceived,
    RecordingSplit,
    TranscriptMerged,
    TranscriptSummarized,
)
from events.envelope import Envelope

__all__ = [
    "EVENTS",
    "ChannelTranscribed",
    "DeliveryParked",
    "Envelope",
    "Event",
    "RecordingCompleted",
    "RecordingFailed",
    "RecordingReceived",
    "RecordingSplit",
    "TranscriptMerged",
    "TranscriptSummarized",
]
