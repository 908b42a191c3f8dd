"""Small examples for tests: events, documents, WAV files and form bodies."""

import struct
from collections.abc import AsyncIterator, Iterable
from itertools import pairwise
from typing import Any, Literal
from uuid import UUID

from events import (
    ChannelTranscribed,
    DeliveryParked,
    RecordingReceived,
    RecordingSplit,
    TranscriptMerged,
    TranscriptSummarized,
)
from events.base import Channel
from events.documents import (
    AudioWarning,
    ChannelTranscript,
    Engine,
    Level,
    Levels,
    Segment,
    SpokenSegment,
    Summary,
    Transcript,
    Word,
)
from events.keys import RecordingKey

RECORDING = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
ENGINE = Engine(name="test", revision="1", digest="")
SHA256 = "ab" * 32
BOTH: tuple[Channel, ...] = ("left", "right")
BOUNDARY = "----boundary"
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"


def received(recording: UUID = RECORDING) -> RecordingReceived:
    key = RecordingKey("default", recording)
    return RecordingReceived(
        **_run_of(recording), duration=2.0, audio=key.audio, request=key.request, sha256=SHA256
    )


def was_split(recording: UUID = RECORDING, channels: tuple[Channel, ...] = BOTH) -> RecordingSplit:
    key = RecordingKey("default", recording).run(1)
    return RecordingSplit(**_run_of(recording), duration=2.0, channels=channels, levels=key.levels)


def transcribed(
    channel: Channel, recording: UUID = RECORDING, channels: tuple[Channel, ...] = BOTH
) -> ChannelTranscribed:
    return ChannelTranscribed(
        **_run_of(recording),
        duration=2.0,
        channel=channel,
        channels=channels,
        transcript=RecordingKey("default", recording).run(1).channel_transcript(channel),
    )


def merged(recording: UUID = RECORDING) -> TranscriptMerged:
    key = RecordingKey("default", recording).run(1)
    return TranscriptMerged(
        **_run_of(recording), duration=2.0, segments=2, transcript=key.transcript
    )


def summarized(recording: UUID = RECORDING) -> TranscriptSummarized:
    key = RecordingKey("default", recording).run(1)
    return TranscriptSummarized(
        **_run_of(recording),
        duration=2.0,
        segments=2,
        transcript=key.transcript,
        summary=key.summary,
    )


def parked(
    recording: UUID = RECORDING, error_class: Literal["permanent", "exhausted"] = "permanent"
) -> DeliveryParked:
    original = was_split(recording)
    return DeliveryParked(
        **_run_of(recording),
        function="transcribe",
        original_id=original.event_id,
        original_type=original.type,
        error_class=error_class,
        error_code="invalid_audio",
    )


def segment(start: float = 0.0, end: float = 1.0, text: str = "hello there") -> Segment:
    words = text.split()
    length = (end - start) / max(1, len(words))
    return Segment(
        start_time=start,
        end_time=end,
        text=text,
        confidence=0.5,
        words=tuple(
            Word(
                word=word,
                start_time=start + number * length,
                end_time=start + (number + 1) * length,
                confidence=0.5,
            )
            for number, word in enumerate(words)
        ),
    )


def heard(
    channel: Channel, *segments: Segment, digest: str = "d", degraded: tuple[str, ...] = ()
) -> ChannelTranscript:
    return ChannelTranscript(
        recording=RECORDING,
        run=1,
        channel=channel,
        digest=digest,
        engine=ENGINE,
        degraded=degraded,
        segments=segments,
    )


def transcript(
    *ids: str, recording: UUID = RECORDING, degraded: tuple[str, ...] = ()
) -> Transcript:
    """One segment a second, alternately left and right, with the ids (s1 and s2 if none)."""
    return Transcript(
        recording=recording,
        run=1,
        digest="t",
        engine=ENGINE,
        degraded=degraded,
        segments=tuple(
            SpokenSegment(id=name, speaker=BOTH[number % 2], **dict(segment(number, number + 1.0)))
            for number, name in enumerate(ids or ("s1", "s2"))
        ),
    )


def levels(recording: UUID = RECORDING, *warnings: AudioWarning) -> Levels:
    return Levels(
        recording=recording,
        run=1,
        digest="l",
        container="flac",
        encoding="flac",
        sample_rate=44_100,
        channels=2,
        duration=2.5,
        levels=(Level(channel="left", peak=-3.0, rms=-20.0),),
        warnings=warnings,
    )


def summary(recording: UUID = RECORDING, degraded: tuple[str, ...] = ()) -> Summary:
    return Summary(
        recording=recording,
        run=1,
        digest="s",
        engine=ENGINE,
        degraded=degraded,
        text="They greet.",
        key_points=("hello there",),
        sentiment="neutral",
        sentiment_score=0.0,
    )


def _run_of(recording: UUID) -> dict[str, Any]:
    return {"tenant": "default", "recording": recording, "run": 1}


def chunk(name: bytes, content: bytes, size: int | None = None) -> bytes:
    """A RIFF chunk, padded to an even length; `size` is what it says of itself."""
    declared = len(content) if size is None else size
    return struct.pack("<4sI", name, declared) + content + bytes(len(content) % 2)


def fmt(channels: int = 2, rate: int = 8_000, bits: int = 16, tag: int = 1) -> bytes:
    frame = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, rate * frame, frame, bits))


def riff(*chunks: bytes) -> bytes:
    body = b"".join(chunks)
    return struct.pack("<4sI4s", b"RIFF", (4 + len(body)) & 0xFFFFFFFF, b"WAVE") + body


def wav_file(samples: bytes = bytes(64_000), channels: int = 2, rate: int = 8_000) -> bytes:
    """A 16-bit PCM WAV; two silent seconds in stereo unless told otherwise."""
    return riff(fmt(channels, rate), chunk(b"data", samples))


def part(field: str, content: bytes, file_name: str | None = None) -> bytes:
    """One part of a form, with its boundary before it."""
    name = f'; filename="{file_name}"' if file_name is not None else ""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"{name}\r\n\r\n'
    return head.encode() + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


async def stream(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


def cut(content: bytes, places: Iterable[int]) -> list[bytes]:
    """The content in pieces that begin at the places (any order, any size)."""
    edges = sorted({0, len(content), *(place % (len(content) + 1) for place in places)})
    return [content[start:end] for start, end in pairwise(edges)]
