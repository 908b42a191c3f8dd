"""`Decoder` done with PyAV (FFmpeg), in a confined child process per reading of the file.

Decoders of compressed audio are large, old, and fed by strangers. The child (`decoder_child.py`)
has the file as its standard input, no secrets in its environment, and bounds on CPU time, memory
and files; it opens the file as the one kind that its signature said and never guesses.
"""

import asyncio
import errno
import json
import os
import signal
import sys
import tempfile
from asyncio import StreamReader
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

from events.documents import AudioWarning
from functions.split.decoder import AudioSource
from functions.split.decoder_child import (
    END,
    FORMAT,
    FRAME_HEADER,
    OUTPUT_BYTES,
    REFUSED,
    SAMPLES,
    DecodeTask,
)
from shared.audio.formats import FLOAT_32, AudioFormat, Limits
from shared.errors import Permanent, Transient, Unavailable

CHILD = Path(__file__).with_name("decoder_child.py")
KEPT_ENVIRONMENT = ("LD_LIBRARY_PATH",)
MISSING_SECONDS = 0.05
"""Seconds by which the declared duration may exceed the decoded one: the encoder's delay."""
SHORTAGES = {errno.ENOSPC, errno.EDQUOT, errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE}
"""Errors of a machine without room for one more file or process, which is no fault of a call."""
LONGEST_MESSAGE = 1 << 24
MOST_CPU = 24 * 3_600


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of one child: memory in bytes, CPU in seconds.

    A child may use `cpu` seconds and the share `cpu_share` of the longest duration allowed. One
    that sends no message for `patience` times as long by the clock is ended.
    """

    memory: int = 256 << 20
    cpu: float = 30.0
    cpu_share: float = 0.05
    patience: float = 4.0


class ContainerDecoder:
    """Decodes the file once to count its frames, then again each time `AudioSource.chunks` is read.

    So no decoded audio is kept anywhere. The file itself lies in an unlinked temporary file,
    because an M4A is read from its end. Raises `errors.Unavailable` while the machine has no room
    for that file or for one more process.
    """

    def __init__(self, bounds: Bounds | None = None) -> None:
        self._bounds = bounds or Bounds()

    @property
    def engine(self) -> str:
        return f"av {version('av')}"

    @asynccontextmanager
    async def decoded(
        self, file: AsyncIterator[bytes], container: str, limits: Limits
    ) -> AsyncIterator[AudioSource]:
        with _shortages(), tempfile.TemporaryFile() as copy:
            async for chunk in file:
                await asyncio.to_thread(copy.write, chunk)
            await asyncio.to_thread(copy.flush)
            children = _Children(copy, container, limits, self._bounds)
            try:
                yield await children.source()
            finally:
                await children.end()


@contextmanager
def _shortages() -> Iterator[None]:
    """Turn `SHORTAGES` into `Unavailable`."""
    try:
        yield
    except OSError as error:
        if error.errno not in SHORTAGES:
            raise
        raise Unavailable("No room to decode a file.", part="The decoder's machine") from error


class _Children:
    """The child processes that decode one file."""

    def __init__(self, file: BinaryIO, container: str, limits: Limits, bounds: Bounds) -> None:
        self._file = file
        self._container = container
        self._limits = limits
        self._bounds = bounds
        self._cpu = round(min(bounds.cpu + bounds.cpu_share * limits.max_seconds, MOST_CPU))
        self._running: set[Process] = set()

    async def source(self) -> AudioSource:
        """Decode everything once and return what the file holds."""
        facts: dict[str, Any] = {}
        async with aclosing(self._messages(samples=False)) as messages:
            async for _, body in messages:
                facts |= json.loads(body)
        audio = AudioFormat(FLOAT_32, facts["channels"], facts["sample_rate"])
        seconds = facts["frames"] / audio.sample_rate
        if seconds > self._limits.max_seconds:
            raise self._limits.too_long()
        warnings = tuple(_warnings(seconds, **facts))
        return AudioSource(
            self._container, facts["codec"], audio, facts["frames"], warnings, self._chunks
        )

    async def end(self) -> None:
        """End all children."""
        for child in tuple(self._running):
            await self._end(child)

    async def _chunks(self) -> AsyncIterator[bytes]:
        async with aclosing(self._messages(samples=True)) as messages:
            async for kind, body in messages:
                if kind == SAMPLES:
                    yield body

    async def _messages(self, *, samples: bool) -> AsyncGenerator[tuple[bytes, bytes], None]:
        """Yield the messages of a new child, up to END."""
        child = await self._start(samples=samples)
        kind = FORMAT
        try:
            while kind != END:
                kind, body = await self._message(child)
                if kind == REFUSED:
                    raise Permanent("invalid_audio", body.decode())
                yield kind, body
        finally:
            await self._end(child)

    async def _start(self, *, samples: bool) -> Process:
        task = DecodeTask(
            container=self._container,
            samples=samples,
            max_seconds=self._limits.max_seconds,
            max_cpu=self._cpu,
            max_memory=self._bounds.memory,
        )
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-B", str(CHILD), json.dumps(task)),
            stdin=self._file,
            stdout=PIPE,
            limit=2 * OUTPUT_BYTES,
            env={name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ},
        )
        self._running.add(child)
        return child

    async def _message(self, child: Process) -> tuple[bytes, bytes]:
        try:
            async with asyncio.timeout(self._bounds.patience * self._cpu):
                kind, size = FRAME_HEADER.unpack(
                    await _output(child).readexactly(FRAME_HEADER.size)
                )
                if size > LONGEST_MESSAGE:
                    raise Transient("the decoding process sent a message that is too long")
                return kind, await _output(child).readexactly(size)
        except asyncio.IncompleteReadError:
            raise _death(await child.wait(), self._cpu) from None
        except TimeoutError:
            raise Transient("the decoding process sent nothing for too long") from None

    async def _end(self, child: Process) -> None:
        """Kill the child if it lives, and drain its pipe, or asyncio would keep it."""
        with suppress(ProcessLookupError):
            child.kill()
        await _output(child).read()
        await child.wait()
        self._running.discard(child)


def _output(child: Process) -> StreamReader:
    if child.stdout is None:
        raise TypeError("the child's output is not a pipe")
    return child.stdout


def _death(status: int, cpu: int) -> Exception:
    """Return the error for a child that ended without an END message.

    Only the limit on CPU time is certainly the file's own fault: it does not depend on what else
    the machine does.
    """
    if status == -signal.SIGXCPU:
        return Permanent("invalid_audio", f"Decoding takes more than the {cpu} s of CPU allowed.")
    return Transient(f"the decoding process ended with status {status}")


def _warnings(seconds: float, errors: int, declared: float, **_: object) -> list[AudioWarning]:
    warnings = []
    if errors:
        message = f"{errors} pieces could not be decoded; they were left out."
        warnings.append(AudioWarning(code="decode_errors", message=message))
    if declared > seconds + MISSING_SECONDS:
        message = f"The file declares {declared:g} s but holds {seconds:g} s; those were used."
        warnings.append(AudioWarning(code="truncated", message=message))
    return warnings
