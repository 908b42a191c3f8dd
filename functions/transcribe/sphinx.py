"""`Recognizer` done with pocketsphinx and the English model that its wheel carries.

pocketsphinx holds the GIL while it decodes, so it runs in a child process and the event loop
stays free. Every utterance is decoded from its own samples alone: equal samples give equal words,
whatever was decoded before them and wherever.
"""

import asyncio
import hashlib
import multiprocessing
import signal
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
from typing import TYPE_CHECKING, NamedTuple

from events.documents import Engine, Request, Segment, Word
from functions.transcribe.recognizer import SAMPLE_RATE, Samples
from functions.transcribe.utterances import Cutter, Cutting, Utterance
from shared.errors import Permanent, Transient
from shared.languages import language_code

if TYPE_CHECKING:
    from pocketsphinx import Decoder

FRAME_RATE = 100
"""Frames a second in the decoder's word times."""
SEARCH = {"maxhmmpf": 5_000}
"""Where the search differs from the engine's own settings: faster in noise, hardly a word worse."""
AHEAD = 1
"""Utterances cut while another is decoded."""


def _check_language(language: str | None) -> None:
    if language is not None and language_code(language) != "en":
        raise Permanent(
            "unsupported_language", f"The embedded recogniser knows English only, not {language}."
        )


class Heard(NamedTuple):
    """A word of one utterance: frames from the utterance's start, `end` exclusive."""

    word: str
    start: int
    end: int
    posterior: float


class SphinxRecognizer:
    """Recognises US English. Of a request's hints only the language matters: another is refused.

    The child starts with the first utterance, or with `warm`. If it dies, `errors.Transient` is
    raised and the next utterance gets a new one; it ends with its parent, however that ends.
    A word's confidence is its posterior in the decoder's lattice, a segment's the mean of its
    words' (the posterior of a whole utterance shrinks with its length).
    """

    def __init__(self, cutting: Cutting | None = None) -> None:
        self._cutting = cutting or Cutting()
        self._child = _Child()

    @property
    def engine(self) -> Engine:
        """Reads the model's files (36 MB) the first time, or in `warm`."""
        return _engine()

    async def warm(self) -> None:
        """Load the model, so that the first utterance need not wait for it."""
        await asyncio.gather(asyncio.to_thread(_engine), self._child.decode(b""))

    async def close(self) -> None:
        """End the child, after the utterance it is decoding."""
        await self._child.close()

    async def recognize(
        self,
        blocks: AsyncIterator[Samples],
        request: Request,
    ) -> AsyncGenerator[Segment, None]:
        _check_language(request.language)
        decoding: deque[asyncio.Task[Segment | None]] = deque()
        try:
            async for utterance in _utterances(blocks, self._cutting):
                decoding.append(asyncio.create_task(self._segment(utterance)))
                if len(decoding) > AHEAD and (segment := await decoding.popleft()):
                    yield segment
            while decoding:
                if segment := await decoding.popleft():
                    yield segment
        finally:
            for task in decoding:
                task.cancel()
            await asyncio.gather(*decoding, return_exceptions=True)

    async def _segment(self, utterance: Utterance) -> Segment | None:
        return segment_of(utterance, await self._child.decode(utterance.samples.tobytes()))


async def _utterances(blocks: AsyncIterator[Samples], cutting: Cutting) -> AsyncIterator[Utterance]:
    cutter = Cutter(cutting)
    async for block in blocks:
        for utterance in cutter.push(block):
            yield utterance
    for utterance in cutter.flush():
        yield utterance


def segment_of(utterance: Utterance, heard: list[Heard]) -> Segment | None:
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


def _word(utterance: Utterance, heard: Heard) -> Word:
    length = len(utterance.samples) / SAMPLE_RATE
    start, end = (
        round(utterance.start / SAMPLE_RATE + min(frame / FRAME_RATE, length), 3)
        for frame in (heard.start, heard.end)
    )
    return Word(word=heard.word, start_time=start, end_time=end, confidence=heard.posterior)


class _Child:
    """The decoding process, asked from one thread: one utterance after the other.

    Not a `ProcessPoolExecutor`: before Python 3.11.5 that hangs if its process dies while an
    utterance is on its way to it, and its processes outlive a killed parent.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sphinx")
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None

    async def decode(self, samples: bytes) -> list[Heard]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._ask, samples)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._stop)
        self._thread.shutdown()

    def _ask(self, samples: bytes) -> list[Heard]:
        try:
            connection = self._connected()
            connection.send_bytes(samples)
            heard: list[Heard] = connection.recv()
        except (EOFError, OSError) as death:
            self._stop()
            raise Transient("the sphinx process died") from death
        return heard

    def _connected(self) -> Connection:
        if self._connection and self._process and self._process.is_alive():
            return self._connection
        self._stop()
        spawn = multiprocessing.get_context("spawn")
        self._connection, its_end = spawn.Pipe()
        self._process = spawn.Process(target=_serve, args=(its_end,), daemon=True)
        self._process.start()
        its_end.close()
        return self._connection

    def _stop(self) -> None:
        if self._connection:
            self._connection.close()
        if self._process:
            self._process.join()
            self._process.close()
        self._connection = self._process = None


def _serve(connection: Connection) -> None:
    """The child's life: it ends when the other end closes, by its owner or its owner's death."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    decoder = _decoder()
    with suppress(EOFError, ConnectionError):
        while True:
            samples = connection.recv_bytes()
            connection.send(_decode(decoder, samples) if samples else [])


def _decoder() -> "Decoder":
    from pocketsphinx import Decoder  # noqa: PLC0415 - only the child pays for it

    return Decoder(
        **{kind: str(path) for kind, path in _model().items()}, **SEARCH, loglevel="FATAL"
    )


def _decode(decoder: "Decoder", samples: bytes) -> list[Heard]:
    """Forget the line's noise, then take the utterance as a whole (its own cepstral mean)."""
    decoder.start_stream()
    decoder.start_utt()
    decoder.process_raw(samples, full_utt=True)
    decoder.end_utt()
    return [
        Heard(word.word.split("(")[0], word.start_frame, word.end_frame + 1, min(word.prob, 1.0))
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
    digest = hashlib.sha256()
    for path in _model().values():
        for file in sorted(path.iterdir()) if path.is_dir() else (path,):
            digest.update(file.read_bytes())
    return Engine(
        name="sphinx", revision=f"{version('pocketsphinx')} en-us", digest=digest.hexdigest()
    )
