"""Decode utterances with pocketsphinx's English model: the work of a child process."""

import hashlib
import signal
import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import structlog

from events.documents import Engine
from functions.transcribe.sphinx.tones import is_tone
from shared.telemetry import configure_logging

if TYPE_CHECKING:
    from pocketsphinx import Decoder

logger = structlog.get_logger()
SPHINX_FRAME_RATE = 100
"""Frames a second in the decoder's word times."""
SEARCH = {"maxhmmpf": 5_000}
"""Settings other than the engine's own: the search is faster in noise, hardly a word worse."""
DECODING_REVISION = 2
"""Raised when equal samples and an equal model come to other words than before: 2 refuses tones."""


class TimedWord(NamedTuple):
    """A word of one utterance: frames from the utterance's start, `end` exclusive."""

    word: str
    start: int
    end: int
    posterior: float


def serve_utterances(connection: Connection) -> None:
    """Decode utterances until the other end closes, by its owner or its owner's death."""
    configure_logging()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _serve(connection)
    except Exception:  # multiprocessing would print it
        logger.exception("sphinx_crashed")
        sys.exit(1)


def _serve(connection: Connection) -> None:
    decoder = _decoder()
    with suppress(EOFError, ConnectionError):
        while True:
            samples = connection.recv_bytes()
            connection.send(_words(decoder, samples))


def _decoder() -> "Decoder":
    from pocketsphinx import Decoder  # noqa: PLC0415 - only the child pays for it

    return Decoder(
        **{kind: str(path) for kind, path in _model().items()}, **SEARCH, loglevel="FATAL"
    )


def _words(decoder: "Decoder", samples: bytes) -> list[TimedWord]:
    """Return the words of an utterance: none of an empty one, nor of one of tones."""
    if not samples or is_tone(np.frombuffer(samples, np.int16)):
        return []
    return _decode(decoder, samples)


def _decode(decoder: "Decoder", samples: bytes) -> list[TimedWord]:
    """Decode one utterance, with a noise estimate and a cepstral mean of its own."""
    decoder.start_stream()
    decoder.start_utt()
    decoder.process_raw(samples, full_utt=True)
    decoder.end_utt()
    return [
        TimedWord(
            word.word.split("(")[0], word.start_frame, word.end_frame + 1, min(word.prob, 1.0)
        )
        for word in decoder.seg() or ()
        if word.word[0] not in "<[+"
    ]


def _model() -> dict[str, Path]:
    """Return the acoustic model, language model and dictionary, by the decoder's names for them."""
    package = find_spec("pocketsphinx")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("pocketsphinx is not installed", name="pocketsphinx")
    model = Path(package.submodule_search_locations[0]) / "model" / "en-us"
    names = {"hmm": "en-us", "lm": "en-us.lm.bin", "dict": "cmudict-en-us.dict"}
    return {kind: model / name for kind, name in names.items()}


@cache
def engine() -> Engine:
    """Return the engine's name, version and digest; reads the model (36 MB) the first time."""
    digest = hashlib.sha256(repr((DECODING_REVISION, SEARCH)).encode())
    for path in _model().values():
        for file in sorted(path.iterdir()) if path.is_dir() else (path,):
            digest.update(file.read_bytes())
    return Engine(
        name="sphinx", revision=f"{version('pocketsphinx')} en-us", digest=digest.hexdigest()
    )
