"""Decode one file in a process of its own, with limits on CPU time, memory and files.

`decoder_av.py` runs this file as a script: standard input is the file, the argument is one JSON
object (`DecodeTask`), standard output is messages of a byte (their kind), a length (32 bits,
little-endian) and a body. With `samples` off all samples are decoded and counted only.

FFmpeg is told to open no other file, format or codec. The limits keep a broken file from harming
the machine; they are no sandbox against code that an attacker might run through a fault in FFmpeg.
"""

import json
import os
import resource
import signal
import struct
import sys
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from av import AudioFrame, AudioResampler, AudioStream, Packet
    from av.container import InputContainer

FORMAT = b"F"
"""JSON: `codec`, `channels`, `sample_rate`."""
SAMPLES = b"S"
"""Interleaved 32-bit floats, little-endian."""
END = b"E"
"""JSON: `frames`; `errors`, damaged packets left out; `declared`, seconds that the file claims."""
REFUSED = b"R"
"""UTF-8: the reason why nothing can be decoded."""
FRAME_HEADER = struct.Struct("<cI")

FORMATS = {
    "flac": ("flac", "flac"),
    "mp3": ("mp3", "mp3float,mp3"),
    "ogg": ("ogg", "opus,libopus,vorbis"),
    "m4a": ("mov", "aac,alac"),
    "wav49": ("wav", "gsm_ms"),
}
"""FFmpeg's demuxer and decoders by `AudioProperties.container`. No other is ever opened."""
DECLARE_DURATION = {"flac", "m4a", "ogg"}
"""Containers that declare their duration; of the others FFmpeg guesses it."""
OUTPUT_BYTES = 1 << 18
MOST_OPEN_FILES = 32
DECODER_OPTIONS = {"flac": {"err_detect": "crccheck+explode"}}
"""Formats whose packets have a checksum that FFmpeg checks only on request."""
LEAST_PACKET = {"wav49": 65}
"""Bytes of a whole packet, where a shorter rest is padding and no damage."""


class DecodeTask(TypedDict):
    """What to decode and with which limits: CPU time in seconds, memory in bytes."""

    container: str
    samples: bool
    max_seconds: float
    max_cpu: int
    max_memory: int


class File:
    """Standard input, with a position of its own: the descriptor's is shared between children."""

    def __init__(self) -> None:
        self._size = os.fstat(0).st_size
        self._position = 0

    def read(self, count: int) -> bytes:
        found = os.pread(0, count, self._position)
        self._position += len(found)
        return found

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        return self._position


def confine(task: DecodeTask) -> None:
    """Limit this process to what decoding needs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for kind, most in (
        (resource.RLIMIT_CPU, task["max_cpu"]),
        (resource.RLIMIT_AS, 2 * task["max_memory"]),
        (resource.RLIMIT_DATA, task["max_memory"]),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, MOST_OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, _both(kind, most))


def _both(kind: int, most: int) -> tuple[int, int]:
    """Return the soft and the hard limit, not above those that the process already has.

    CPU time has a second in between: at the hard limit the kernel kills without giving a reason.
    """
    hard = most + 1 if kind == resource.RLIMIT_CPU else most
    before = resource.getrlimit(kind)[1]
    hard = hard if before == resource.RLIM_INFINITY else min(hard, before)
    return min(most, hard), hard


def send(kind: bytes, body: bytes) -> None:
    """Write one message; wait until there is room for it."""
    sys.stdout.buffer.write(FRAME_HEADER.pack(kind, len(body)) + body)
    sys.stdout.buffer.flush()


def send_json(kind: bytes, **values: object) -> None:
    """Write one message whose body is a JSON object."""
    send(kind, json.dumps(values).encode())


class OtherFile(Exception):
    """The file names another one, which is not opened."""


def no_other_file(*_: object) -> object:
    """Refuse to open a file that the decoded file refers to; FFmpeg calls it."""
    raise OtherFile


def decode(task: DecodeTask) -> None:
    """Open the file as the format it was recognised as, and send its samples."""
    import av  # noqa: PLC0415 - not before the process is confined

    name, codecs = FORMATS[task["container"]]
    with av.open(
        File(),
        "r",
        format=name,
        options={"codec_whitelist": codecs, "format_whitelist": name},
        metadata_errors="ignore",
        io_open=no_other_file,
    ) as container:
        if not container.streams.audio:
            send(REFUSED, b"The file holds no audio.")
            return
        Decoding(task, container, container.streams.audio[0]).run()


class Decoding:
    """The samples of one stream, as they come out of the decoder."""

    def __init__(
        self, task: DecodeTask, container: "InputContainer", stream: "AudioStream"
    ) -> None:
        self._task = task
        self._container = container
        self._stream = stream
        self._resampler: AudioResampler | None = None
        self._layout = (0, 0)
        self._pending = bytearray()
        self._frames = 0
        self._errors = 0
        self._first: float | None = None
        self._last = 0.0

    def run(self) -> None:
        """Send everything up to a little past the longest duration."""
        codec = self._stream.codec_context
        codec.thread_count = 1
        codec.options = DECODER_OPTIONS.get(self._task["container"], {})
        for packet in self._packets():
            for frame in self._decoded(packet):
                self._take(frame)
            if self._frames > self._task["max_seconds"] * max(1, self._layout[1]):
                break
        if not self._frames:
            send(REFUSED, b"Nothing in the file can be decoded.")
            return
        self._send_pending()
        send_json(END, frames=self._frames, errors=self._errors, declared=self._declared())

    def _packets(self) -> Iterator["Packet[AudioStream]"]:
        """Yield the container's packets up to the first broken one."""
        from av.error import FFmpegError  # noqa: PLC0415

        try:
            yield from self._container.demux(self._stream)
        except FFmpegError:
            self._errors += 1

    def _decoded(self, packet: "Packet[AudioStream]") -> list["AudioFrame"]:
        from av.error import FFmpegError  # noqa: PLC0415

        if 0 < packet.size < LEAST_PACKET.get(self._task["container"], 0):
            return []
        try:
            return self._stream.codec_context.decode(packet)
        except MemoryError:
            raise
        except FFmpegError:
            self._errors += 1
            return []

    def _take(self, frame: "AudioFrame") -> None:
        """Count the frame, and send it if `samples` is on. Leave out one with another layout."""
        layout = (frame.layout.nb_channels, frame.sample_rate)
        resampler = self._resampler or self._begin(frame, *layout)
        if layout != self._layout:
            self._errors += 1
            return
        self._frames += frame.samples
        self._span(frame)
        if self._task["samples"]:
            self._send(resampler.resample(frame))

    def _begin(self, frame: "AudioFrame", channels: int, rate: int) -> "AudioResampler":
        from av import AudioResampler  # noqa: PLC0415

        self._layout = (channels, rate)
        self._resampler = AudioResampler(format="flt", layout=frame.layout, rate=rate)
        codec = self._stream.codec_context.name
        send_json(FORMAT, codec=codec, channels=channels, sample_rate=rate)
        return self._resampler

    def _send(self, frames: list["AudioFrame"]) -> None:
        for packed in frames:
            size = packed.samples * self._layout[0] * 4
            self._pending += memoryview(packed.planes[0])[:size]
        if len(self._pending) >= OUTPUT_BYTES:
            self._send_pending()

    def _send_pending(self) -> None:
        if self._pending:
            send(SAMPLES, bytes(self._pending))
            self._pending.clear()

    def _span(self, frame: "AudioFrame") -> None:
        """Note the first and last time in the file: lost packets leave a gap in them."""
        if frame.time is not None:
            self._first = frame.time if self._first is None else self._first
            self._last = frame.time + frame.samples / frame.sample_rate

    def _declared(self) -> float:
        declared, duration, base = 0.0, self._stream.duration, self._stream.time_base
        if (
            self._task["container"] in DECLARE_DURATION
            and duration is not None
            and base is not None
        ):
            declared = float(duration * base)
        return max(declared, self._last - (self._first or 0.0))


def main(task: DecodeTask) -> None:
    """Decode, or send the reason why not; any other error ends the process and is logged."""
    confine(task)
    from av.error import FFmpegError  # noqa: PLC0415

    try:
        decode(task)
    except MemoryError:
        send(REFUSED, b"Decoding takes more memory than is allowed.")
    except OtherFile:
        send(REFUSED, b"The file names another file.")
    except FFmpegError as error:
        send(REFUSED, f"The file cannot be decoded: {error.strerror}.".encode())


def log_uncaught(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Write one JSON object to standard error, as the process that runs this one logs its lines."""
    lines = traceback.format_exception(kind, error, trace)
    line = {"event": "decoding_crashed", "level": "critical", "exception": "".join(lines)}
    sys.stderr.write(f"{json.dumps(line)}\n")


if __name__ == "__main__":
    sys.excepthook = log_uncaught
    main(json.loads(sys.argv[1]))
