"""The contracts: one frozen model per CloudEvent, and the documents kept as blobs."""

from events.base import Event
from events.channel import ChannelTranscribed
from events.delivery import DeliveryParked
from events.envelope import Envelope
from events.recording import (
    RecordingCompleted,
    RecordingFailed,
    RecordingReceived,
    RecordingSplit,
)
from events.transcript import TranscriptMerged, TranscriptSummarized

EVENTS: dict[str, type[Event]] = {
    model.type: model
    for model in (
        RecordingReceived,
        RecordingSplit,
        ChannelTranscribed,
        TranscriptMerged,
        TranscriptSummarized,
        RecordingCompleted,
        RecordingFailed,
        DeliveryParked,
    )
}

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
