"""`Recognizer` done with faster-whisper (CTranslate2), by its own API.

Voice activity detection (Silero) comes first and only speech goes to the model, so a silent
channel costs no recognition and cannot become text. CTranslate2 works without the GIL, so a
thread is enough to keep the event loop free.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from events.documents import Engine, Request, Segment
from functions.transcribe.models import Model, NoEngine
from functions.transcribe.recognizer import SAMPLE_RATE, Samples
from functions.transcribe.words import Piece, segments_of
from shared.errors import Permanent, PocWhispError, Transient
from shared.languages import language_code

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

FULL_SCALE = 32_768
HINTS = 223
"""Tokens of prompt and hotwords together: half of what the model takes in, as Whisper has it."""
PART = 300
"""Seconds of a channel, where its pauses allow, that are recognised at a time."""
WINDOW = 3_000
"""Frames of a spectrogram that the model takes at a time: 30 s."""


class WhisperRecognizer:
    """Recognises speech in the languages of its model, in a channel's own if none is asked for.

    Takes the request's language, prompt (as text before each part of the call) and hotwords; of
    longer hints, the end of the prompt and the first hotwords. The model is loaded with the first
    speech, or with `warm`, which raise `NoEngine` if that fails. `recognize` raises `Permanent`
    for a language that Whisper (`invalid_language`) or this model (`unsupported_language`) does
    not know, and `Transient` for whatever happens inside the engine, such as a full GPU.

    Repetitive or unlikely text is decoded again by chance (Whisper's temperature fallback): only
    then may equal samples give unequal words. Each 30 s are heard without the text before them,
    in which a model may get caught. A confidence is the mean probability of the tokens.
    """

    def __init__(self, model: Model, *, compute_type: str = "auto", threads: int = 0) -> None:
        self._model = model
        self._compute_type = compute_type
        self._threads = threads
        self._loading = threading.Lock()
        self._loaded: WhisperModel | None = None

    @cached_property
    def engine(self) -> Engine:
        """Reads the model's files the first time, or in `warm`."""
        arithmetic = _compute_type(self._compute_type)
        revision = f"{version('faster-whisper')} {arithmetic} {self._model.revision[:12]}".strip()
        return Engine(
            name=f"whisper-{self._model.name}", revision=revision, digest=self._model.digest()
        )

    async def warm(self) -> None:
        """Load the model, so that the first recording need not wait for it."""
        await asyncio.gather(
            asyncio.to_thread(lambda: self.engine), asyncio.to_thread(self._whisper)
        )

    async def close(self) -> None:
        """Let go of the model; its memory is free when the last recognition ends."""
        self._loaded = None

    async def recognize(
        self, blocks: AsyncIterator[Samples], request: Request
    ) -> AsyncGenerator[Segment, None]:
        language = _language(request)
        heard = self._hear([block async for block in blocks], request, language)
        while segment := await asyncio.to_thread(next, heard, None):
            yield segment

    def _hear(
        self, blocks: Sequence[Samples], request: Request, language: str | None
    ) -> Iterator[Segment]:
        samples = _joined(blocks)
        del blocks
        last, until = 0.0, len(samples) / SAMPLE_RATE
        with _transient():
            for part in _parts(_speech(samples)):
                whisper = self._whisper()
                self._check(language, whisper)
                for pieces, spoken in _decode(whisper, samples, part, request, language):
                    for segment in segments_of(pieces, spoken, last, until):
                        last = segment.end_time
                        yield segment
                    language = spoken  # the other parts are in it, too

    def _check(self, language: str | None, whisper: "WhisperModel") -> None:
        known = whisper.supported_languages
        if language is not None and language not in known:
            raise Permanent(
                "unsupported_language",
                f"The model {self._model.name} does not know {language}, only {', '.join(known)}.",
            )

    def _whisper(self) -> "WhisperModel":
        with self._loading:
            if self._loaded is None:
                self._loaded = _load(self._model, self._compute_type, self._threads)
            return self._loaded


def has_gpu() -> bool:
    """Whether there is a GPU that CTranslate2 can use."""
    import ctranslate2  # noqa: PLC0415 - only who asks pays for it

    return bool(ctranslate2.get_cuda_device_count() > 0)


def _load(model: Model, compute_type: str, threads: int) -> "WhisperModel":
    """Everything that a recognition needs, in memory. Raises `NoEngine`."""
    from faster_whisper import WhisperModel  # noqa: PLC0415 - only this engine pays for it
    from faster_whisper.vad import get_vad_model  # noqa: PLC0415

    arithmetic = _compute_type(compute_type)
    try:
        whisper = WhisperModel(
            str(model.folder),
            device="cuda" if has_gpu() else "cpu",
            compute_type=arithmetic,
            cpu_threads=threads,
            local_files_only=True,
        )
        _try_out(whisper)
        get_vad_model()
    except Exception as error:  # the bindings raise RuntimeError, ValueError and bare Exception
        raise NoEngine(
            f"The Whisper model in {model.folder} cannot be loaded as {arithmetic}: {error}"
        ) from error
    return whisper


def _try_out(whisper: "WhisperModel") -> None:
    """Find out now what would fail at the first recording."""
    bands = len(whisper.feature_extractor.mel_filters)
    if bands != whisper.model.n_mels:
        raise ValueError(
            f"it takes {whisper.model.n_mels} mel bands, its preprocessor_config.json "
            f"(or, if that is missing, faster-whisper) says {bands}"
        )
    if whisper.model.device == "cuda":  # cuBLAS and cuDNN are loaded at their first use
        whisper.encode(np.zeros((bands, WINDOW), np.float32))


def _compute_type(wanted: str) -> str:
    if wanted != "auto":
        return wanted
    return "float16" if has_gpu() else "int8"


def _language(request: Request) -> str | None:
    if request.language is None:
        return None
    code = language_code(request.language)
    if code is None:
        raise Permanent("invalid_language", f"Whisper knows no language {request.language!r}.")
    return code


def _joined(blocks: Sequence[Samples]) -> NDArray[np.float32]:
    """The samples from -1 to 1, shape (n,)."""
    samples = np.concatenate(blocks, dtype=np.float32) if blocks else np.zeros(0, np.float32)
    samples /= FULL_SCALE
    return samples


def _speech(samples: NDArray[np.float32]) -> list[dict[str, int]]:
    """Where speech is, as faster-whisper tells it: `start` and `end` in samples, padded."""
    from faster_whisper.vad import get_speech_timestamps  # noqa: PLC0415

    if not samples.any():
        return []
    speech: list[dict[str, int]] = get_speech_timestamps(samples)
    return speech


def _parts(speech: list[dict[str, int]]) -> Iterator[list[dict[str, int]]]:
    """The speech in parts: what the engine needs in memory grows with the length of one."""
    part: list[dict[str, int]] = []
    for span in speech:
        if part and span["end"] - part[0]["start"] > PART * SAMPLE_RATE:
            yield part
            part = []
        part.append(span)
    if part:
        yield part


def _decode(
    whisper: "WhisperModel",
    samples: NDArray[np.float32],
    speech: list[dict[str, int]],
    request: Request,
    language: str | None,
) -> Iterator[tuple[list[Piece], str]]:
    """What the model hears in the speech, in times of the whole channel, and in what language."""
    from faster_whisper.transcribe import restore_speech_timestamps  # noqa: PLC0415

    segments, facts = whisper.transcribe(
        np.concatenate([samples[span["start"] : span["end"]] for span in speech]),
        language=language,
        word_timestamps=True,
        condition_on_previous_text=False,
        **_hints(whisper, request),
    )
    for segment in restore_speech_timestamps(segments, speech, SAMPLE_RATE):
        pieces = [Piece(w.word, w.start, w.end, float(w.probability)) for w in segment.words or ()]
        yield pieces, facts.language


def _hints(whisper: "WhisperModel", request: Request) -> dict[str, Any]:
    """Prompt and hotwords as `transcribe` takes them, no longer than the model can take."""
    hotwords = _tokens(whisper, ", ".join(request.hotwords))
    prompt = _tokens(whisper, request.prompt or "")
    hotwords = hotwords[: HINTS // 2 if prompt else HINTS]
    prompt = prompt[-(HINTS - len(hotwords)) :]
    return {
        "initial_prompt": prompt or None,
        "hotwords": whisper.hf_tokenizer.decode(hotwords) or None,
    }


def _tokens(whisper: "WhisperModel", text: str) -> list[int]:
    """The text's tokens, without any that steers the model, such as `<|endoftext|>`."""
    end_of_text = whisper.hf_tokenizer.token_to_id("<|endoftext|>")
    tokens = whisper.hf_tokenizer.encode(f" {text.strip()}", add_special_tokens=False).ids
    return [token for token in tokens if token < end_of_text] if text.strip() else []


@contextmanager
def _transient() -> Iterator[None]:
    try:
        yield
    except PocWhispError:
        raise
    except Exception as error:
        raise Transient(f"faster-whisper failed: {error}") from error
