"""`Recognizer` done with pocketsphinx and the English model that its wheel carries.

pocketsphinx holds the GIL while it decodes, so it runs in child processes and the event loop
stays free. Every utterance is decoded from its own samples alone: equal samples give equal words,
whatever was decoded before them and wherever, so any child will do. An utterance of nothing but
tones is not decoded: the decoder knows words only, and would find some.
"""

import asyncio
import hashlib
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import structlog

from events.documents import Engine, Language, Request, Segment, Word
from functions.transcribe.recognizer import NOTHING, SAMPLE_RATE, Heard, Known, Samples
from functions.transcribe.tones import is_tone
from functions.transcribe.utterances import Cutter, Cutting, Utterance
from shared.errors import Permanent, Transient
from shared.languages import language_code
from shared.telemetry import configure_logging

if TYPE_CHECKING:
    from pocketsphinx import Decoder

logger = structlog.get_logger()
FRAME_RATE = 100
"""Frames a second in the decoder's word times."""
SEARCH = {"maxhmmpf": 5_000}
"""Where the search differs from the engine's own settings: faster in noise, hardly a word worse."""
HEARING = 2
"""Raised when equal samples and an equal model come to other words than before: 2 refuses tones."""
AHEAD = 1
"""Utterances of a channel that are cut, and decoded if a child is free, behind the first one."""
MOST_PROCESSES = 2
"""Children if nobody says how many: each takes about 150 MB."""
ENGLISH = Language(code="en")


def _check(request: Request) -> None:
    language = request.language
    if language is not None and language_code(language) != ENGLISH.code:
        raise Permanent(
            "unsupported_language", f"The embedded recogniser knows English only, not {language}."
        )
    if request.task == "translate":
        raise Permanent("unsupported_task", "The embedded recogniser cannot translate.")


class Said(NamedTuple):
    """A word of one utterance: frames from the utterance's start, `end` exclusive."""

    word: str
    start: int
    end: int
    posterior: float


class SphinxRecognizer:
    """Recognises US English. Another language is refused, and translation; other hints are ignored.

    The utterances of all calls go to `processes` children (unset: one for each CPU core this
    process may use, two at most), first come, first served. A child starts with its first
    utterance, or with `warm`. If one dies, `errors.Transient` is raised for its utterance and
    the next gets a new one; all end with their parent, however that ends.
    A word's confidence is its posterior in the decoder's lattice, a segment's the mean of its
    words' (the posterior of a whole utterance shrinks with its length).
    """

    def __init__(self, cutting: Cutting | None = None, processes: int | None = None) -> None:
        self._cutting = cutting or Cutting()
        self._children = _Children(processes or min(len(os.sched_getaffinity(0)), MOST_PROCESSES))

    @property
    def engine(self) -> Engine:
        """Reads the model's files (36 MB) the first time, or in `warm`."""
        return _engine()

    @property
    def figures(self) -> None:
        """There are no batches: utterances are decoded one by one."""

    async def warm(self) -> None:
        """Start all children, so that no utterance need wait for the model."""
        await asyncio.gather(asyncio.to_thread(_engine), self._children.warm())

    async def check(self) -> None:
        """A child that died is replaced with the next utterance."""

    async def close(self) -> None:
        """End the children, after the utterances they are decoding."""
        await self._children.close()

    async def recognize(
        self,
        blocks: AsyncIterator[Samples],
        request: Request,
        known: Known = NOTHING,
    ) -> AsyncGenerator[Heard, None]:
        _check(request)
        decoding: deque[asyncio.Task[Heard]] = deque()
        cut = 0
        try:
            async for utterance in _utterances(blocks, self._cutting):
                cut += 1
                if cut > known.pieces:
                    decoding.append(asyncio.create_task(self._heard(utterance)))
                if len(decoding) > AHEAD:
                    yield await decoding.popleft()
            while decoding:
                yield await decoding.popleft()
        finally:
            for task in decoding:
                task.cancel()
            await asyncio.gather(*decoding, return_exceptions=True)

    async def _heard(self, utterance: Utterance) -> Heard:
        said = await self._children.decode(utterance.samples.tobytes())
        segment = segment_of(utterance, said)
        return Heard((segment,) if segment else (), ENGLISH)


async def _utterances(blocks: AsyncIterator[Samples], cutting: Cutting) -> AsyncIterator[Utterance]:
    cutter = Cutter(cutting)
    async for block in blocks:
        for utterance in cutter.push(block):
            yield utterance
    for utterance in cutter.flush():
        yield utterance


def segment_of(utterance: Utterance, heard: list[Said]) -> Segment | None:
    """The words placed in the recording; None if there are none."""
    if not heard:
        return None
    words = tuple(_word(utterance, word) for word in heard)
    return Segment(
        start_time=words[0].start_time,
        end_time=words[-1].end_time,
        text=" ".join(word.word for word in words),
        confidence=sum(word.confidence for word in words) / len(words),
        words=words,
    )


def _word(utterance: Utterance, heard: Said) -> Word:
    length = len(utterance.samples) / SAMPLE_RATE
    start, end = (
        round(utterance.start / SAMPLE_RATE + min(frame / FRAME_RATE, length), 3)
        for frame in (heard.start, heard.end)
    )
    return Word(word=heard.word, start_time=start, end_time=end, confidence=heard.posterior)


class _Children:
    """So many decoding processes, each asked from as many threads: one utterance at a time.

    Not a `ProcessPoolExecutor`: before Python 3.11.5 that hangs if its process dies while an
    utterance is on its way to it, and its processes outlive a killed parent.
    """

    def __init__(self, count: int) -> None:
        lives = Lock()
        self._all = tuple(_Child(lives) for _ in range(count))
        self._free = deque(self._all)
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="sphinx")

    async def decode(self, samples: bytes) -> list[Said]:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._ask, samples)

    async def warm(self) -> None:
        await asyncio.gather(*(asyncio.to_thread(child.ask, b"") for child in self._all))

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)
        await asyncio.gather(*(asyncio.to_thread(child.stop) for child in self._all))

    def _ask(self, samples: bytes) -> list[Said]:
        """There are as many children as threads, so one is free: the last used, which runs."""
        child = self._free.pop()
        try:
            return child.ask(samples)
        finally:
            self._free.append(child)


class _Child:
    """A decoding process, started when it is asked. `lives` is held to start or end any of them.

    The standard library reaps the dead children of all threads at every start of a new one.
    """

    def __init__(self, lives: Lock) -> None:
        self._lives = lives
        self._asking = Lock()
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None

    def ask(self, samples: bytes) -> list[Said]:
        """What is said in an utterance. Raises `Transient` if the process died."""
        with self._asking:
            try:
                connection = self._connected()
                connection.send_bytes(samples)
                heard: list[Said] = connection.recv()
            except (EOFError, OSError) as death:
                self._end()
                raise Transient("the sphinx process died") from death
        return heard

    def stop(self) -> None:
        """End the process after the utterance it is decoding; it may be asked again."""
        with self._asking:
            self._end()

    def _connected(self) -> Connection:
        with self._lives:
            if self._connection and self._process and self._process.is_alive():
                return self._connection
        self._end()
        spawn = multiprocessing.get_context("spawn")
        with self._lives:
            self._connection, its_end = spawn.Pipe()
            self._process = spawn.Process(target=_serve, args=(its_end,), daemon=True)
            self._process.start()
            its_end.close()
        return self._connection

    def _end(self) -> None:
        if self._connection:
            self._connection.close()
        with self._lives:
            if self._process:
                self._process.join()
                self._process.close()
        self._connection = self._process = None


def _serve(connection: Connection) -> None:
    """The child's life: it ends when the other end closes, by its owner or its owner's death."""
    configure_logging()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _answer(connection)
    except Exception:  # multiprocessing would print it
        logger.exception("sphinx_crashed")
        sys.exit(1)


def _answer(connection: Connection) -> None:
    decoder = _decoder()
    with suppress(EOFError, ConnectionError):
        while True:
            samples = connection.recv_bytes()
            connection.send(_said(decoder, samples))


def _decoder() -> "Decoder":
    from pocketsphinx import Decoder  # noqa: PLC0415 - only the child pays for it

    return Decoder(
        **{kind: str(path) for kind, path in _model().items()}, **SEARCH, loglevel="FATAL"
    )


def _said(decoder: "Decoder", samples: bytes) -> list[Said]:
    """What is said in an utterance: nothing in an empty one, nor in one of tones."""
    if not samples or is_tone(np.frombuffer(samples, np.int16)):
        return []
    return _decode(decoder, samples)


def _decode(decoder: "Decoder", samples: bytes) -> list[Said]:
    """Forget the line's noise, then take the utterance as a whole (its own cepstral mean)."""
    decoder.start_stream()
    decoder.start_utt()
    decoder.process_raw(samples, full_utt=True)
    decoder.end_utt()
    return [
        Said(word.word.split("(")[0], word.start_frame, word.end_frame + 1, min(word.prob, 1.0))
        for word in decoder.seg() or ()
        if word.word[0] not in "<[+"
    ]


def _model() -> dict[str, Path]:
    """Acoustic model, language model and dictionary, by the decoder's names for them."""
    package = find_spec("pocketsphinx")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("pocketsphinx is not installed", name="pocketsphinx")
    model = Path(package.submodule_search_locations[0]) / "model" / "en-us"
    names = {"hmm": "en-us", "lm": "en-us.lm.bin", "dict": "cmudict-en-us.dict"}
    return {kind: model / name for kind, name in names.items()}


@cache
def _engine() -> Engine:
    digest = hashlib.sha256(repr((HEARING, SEARCH)).encode())
    for path in _model().values():
        for file in sorted(path.iterdir()) if path.is_dir() else (path,):
            digest.update(file.read_bytes())
    return Engine(
        name="sphinx", revision=f"{version('pocketsphinx')} en-us", digest=digest.hexdigest()
    )
