"""`Recognizer` done with Whisper models on CTranslate2, loaded by faster-whisper.

Speech first: only what Silero VAD takes for speech is packed into windows and decoded, so a silent
channel costs nothing and cannot become text. The windows of all channels of all calls meet in one
batch. CTranslate2, the VAD and the spectrogram work without the GIL in threads, so the next
windows are made while the present ones are decoded, and the event loop stays free.
"""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

import numpy as np

from events.documents import Engine, Language, Request
from functions.transcribe.recognizer import FROM_START, Hypothesis, ResumePoint, Samples
from functions.transcribe.whisper.batcher import Batcher, BatchTotals
from functions.transcribe.whisper.channel import ChannelDecoder
from functions.transcribe.whisper.decoding import BatchOptions, DecodedWindow, DecodeRequest, Search
from functions.transcribe.whisper.device import WhisperDevice
from functions.transcribe.whisper.gpu import gpus, smallest_memory
from functions.transcribe.whisper.guards import Guards
from functions.transcribe.whisper.language import VOTERS, LanguageVote, elect_language
from functions.transcribe.whisper.mel import FRAMES, Padding, Spectrogram
from functions.transcribe.whisper.memory import FLOAT16, Shape, Share, share
from functions.transcribe.whisper.models import Model, NoEngine
from functions.transcribe.whisper.speech.silero import SileroDetector
from functions.transcribe.whisper.speech.spans import SpeechSettings
from functions.transcribe.whisper.speech.windows import Window, Windower
from functions.transcribe.whisper.streams import chained, taken
from functions.transcribe.whisper.vocabulary import ENGLISH, Vocabulary
from functions.transcribe.whisper.window_decoder import Submit, WindowDecoder
from shared.digest import work_digest
from shared.errors import Permanent, Unavailable
from shared.languages import language_code

if TYPE_CHECKING:
    from faster_whisper import WhisperModel

WHISPER_REVISION = 3
"""Raised when equal samples and an equal model come to other words than before."""
CPU_BATCH = 8
"""Windows in a batch on a CPU."""
INSTANCES = 2
"""Most instances of the model on each GPU, which share the weights."""
GPU_BATCH = 16
"""Windows in a batch on a GPU whose memory is not known."""


@dataclass(frozen=True, kw_only=True)
class WhisperSetup:
    """The settings under which a model runs.

    `device` is `cpu`, `cuda` or `auto`; of several GPUs, those of `indices`, or all. `fraction` is
    the share of a GPU's memory that may be used. `batch` windows are decoded at a time on each
    instance, if given; else what the memory holds. `lanes` channels may be recognised at a time.
    """

    compute_type: str = "auto"
    threads: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    indices: tuple[int, ...] = ()
    fraction: float = 0.8
    batch: int | None = None
    lanes: int = 64
    padding: Padding = "silence"
    search: Search = field(default_factory=Search)
    guards: Guards = field(default_factory=Guards)
    speech: SpeechSettings = field(default_factory=SpeechSettings)

    @property
    def mark(self) -> str:
        """A short digest of what changes the words made of the same samples; empty by default."""
        chosen = (self.padding, self.search, self.guards, self.speech)
        default = ("silence", Search(), Guards(), SpeechSettings())
        return "" if chosen == default else work_digest(*map(repr, chosen))[:8]


class WhisperRecognizer:
    """Recognises speech in the languages of its model, in a channel's own if none is asked for.

    Takes the request's language, task, prompt (as text before each window) and hotwords; of
    longer hints, the end of the prompt and the first hotwords. The model is loaded with the first
    speech, or with `warm`, which raise `NoEngine` if that fails. `recognize` raises `Permanent`
    for a language that Whisper (`invalid_language`) or this model (`unsupported_language`) does
    not know, or a task that the model has not learnt (`unsupported_task`); `Unavailable` if too
    many channels are being recognised; `Transient` for whatever happens inside the engine.

    Repetitive or unlikely text is decoded again with sampling (Whisper's temperature fallback):
    only then, or on a GPU, may equal samples give unequal words. No window is decoded with the
    text before it, because a model may then repeat itself. A confidence is the mean probability
    of the tokens.
    """

    def __init__(self, model: Model, setup: WhisperSetup | None = None) -> None:
        self._model = model
        self._setup = setup or WhisperSetup()
        self._loading = threading.Lock()
        self._loaded: _Loaded | None = None

    @cached_property
    def engine(self) -> Engine:
        """Reads the model's files the first time, or in `warm`."""
        own = f"{version('faster-whisper')}+{WHISPER_REVISION}"
        marks = (own, self._arithmetic, self._setup.mark, self._model.revision[:12])
        return Engine(
            name=f"whisper-{self._model.name}",
            revision=" ".join(mark for mark in marks if mark),
            digest=self._model.digest(),
        )

    @property
    def totals(self) -> BatchTotals | None:
        """The totals of the batches; None until the model is loaded."""
        return self._loaded.batcher.totals if self._loaded else None

    async def warm(self) -> None:
        """Load the model, so that the first recording need not wait for it."""
        await asyncio.gather(asyncio.to_thread(lambda: self.engine), asyncio.to_thread(self._load))

    async def check(self) -> None:
        """Raise `Unavailable` once all devices are broken."""
        if self._loaded and self._loaded.batcher.broken.is_set():
            raise Unavailable("All devices are broken.", part="The GPU")

    async def until_broken(self) -> None:
        """Load the model, then wait until all devices are broken: only a new process helps."""
        loaded = await asyncio.to_thread(self._load)
        await loaded.batcher.broken.wait()

    async def close(self) -> None:
        """Let go of the model; its memory is free when the batches in work have ended."""
        loaded, self._loaded = self._loaded, None
        if loaded is not None:
            await loaded.batcher.close()

    async def recognize(
        self, blocks: AsyncIterator[Samples], request: Request, resume: ResumePoint = FROM_START
    ) -> AsyncGenerator[Hypothesis, None]:
        requested = _language(request)
        async with aclosing(self._windows(blocks)) as windows:
            async for _ in taken(resume.hypotheses, windows):
                pass
            first = deque([window async for window in taken(1, windows)])
            if not first:
                return
            loaded = await asyncio.to_thread(self._load)
            self._check(requested, request, loaded.vocabulary)
            async with loaded.batcher.lane() as lane:
                decoder = await asyncio.to_thread(loaded.window_decoder, lane.submit, request)
                language = resume.language or _fixed_language(requested, loaded.vocabulary)
                votes: deque[LanguageVote] = deque()
                if language is None:
                    first.extend([window async for window in taken(VOTERS - 1, windows)])
                    language, votes = await elect_language(decoder, first)
                channel = self._channel_decoder(loaded, decoder, language, votes)
                async with (
                    aclosing(chained(first, windows)) as all_windows,
                    aclosing(channel.decode(all_windows)) as hypotheses,
                ):
                    async for hypothesis in hypotheses:
                        yield hypothesis

    def _channel_decoder(
        self,
        loaded: "_Loaded",
        decoder: WindowDecoder,
        language: Language,
        votes: deque[LanguageVote],
    ) -> ChannelDecoder:
        return ChannelDecoder(
            decoder=decoder,
            vocabulary=loaded.vocabulary,
            guards=self._setup.guards,
            language=language,
            ahead=lambda: max(2, 2 * loaded.at_once // max(loaded.batcher.open_lanes, 1)),
            votes=votes,
        )

    async def _windows(self, blocks: AsyncIterator[Samples]) -> AsyncGenerator[Window, None]:
        windower = Windower(SileroDetector(), self._setup.speech)
        async for block in blocks:
            for window in await asyncio.to_thread(windower.feed, block):
                yield window
        for window in await asyncio.to_thread(windower.end):
            yield window

    def _check(self, language: str | None, request: Request, vocabulary: Vocabulary) -> None:
        name, languages = self._model.name, vocabulary.languages
        if language is not None and language not in languages:
            raise Permanent(
                "unsupported_language",
                f"The model {name} does not know {language}, only {', '.join(languages)}.",
            )
        if request.task == "translate" and not vocabulary.multilingual:
            raise Permanent("unsupported_task", f"The model {name} cannot translate.")

    def _load(self) -> "_Loaded":
        with self._loading:
            if self._loaded is None:
                self._loaded = _loaded(self._model, self._setup, self._device, self._arithmetic)
            return self._loaded

    @property
    def _device(self) -> str:
        if self._setup.device == "auto":
            return "cuda" if gpus() else "cpu"
        return self._setup.device

    @property
    def _arithmetic(self) -> str:
        if self._setup.compute_type != "auto":
            return self._setup.compute_type
        return "float16" if self._device == "cuda" else "int8"


@dataclass(frozen=True)
class _Loaded:
    """A model in memory. `at_once` is how many windows all its instances decode at a time."""

    batcher: Batcher[BatchOptions, DecodeRequest, DecodedWindow]
    vocabulary: Vocabulary
    spectrogram: Spectrogram
    at_once: int

    def window_decoder(self, submit: Submit, request: Request) -> WindowDecoder:
        """Return a decoder of windows with the request's task, prompt and hotwords."""
        return WindowDecoder(
            submit=submit,
            spectrogram=self.spectrogram,
            task=request.task,
            hints=self.vocabulary.hints(request.prompt or "", request.hotwords),
        )


def _loaded(model: Model, setup: WhisperSetup, device: str, arithmetic: str) -> _Loaded:
    """Load everything that a recognition needs. Raises `NoEngine` if that fails."""
    try:
        whispers = _whispers(model, setup, device, arithmetic)
        own = _share(model, whispers[0], setup, device)
    except Exception as error:  # the bindings raise RuntimeError, ValueError and bare Exception
        raise NoEngine(
            f"The Whisper model in {model.folder} cannot be loaded as {arithmetic} on {device}: "
            f"{error}"
        ) from error
    vocabulary = _vocabulary(whispers[0])
    devices = [
        WhisperDevice(whisper, vocabulary, setup.search)
        for whisper in whispers
        for _ in range(own.instances)
    ]
    return _Loaded(
        Batcher(devices, size=own.batch, lanes=setup.lanes),
        vocabulary,
        Spectrogram(whispers[0].feature_extractor.mel_filters, setup.padding),
        own.batch * len(devices),
    )


def _whispers(
    model: Model, setup: WhisperSetup, device: str, arithmetic: str
) -> list["WhisperModel"]:
    """Load the model on each device and try it, so that nothing first fails at a recording."""
    from faster_whisper import WhisperModel  # noqa: PLC0415 - only this engine pays for it
    from faster_whisper.vad import get_vad_model  # noqa: PLC0415

    get_vad_model()
    whispers = [
        WhisperModel(
            str(model.folder),
            device=device,
            device_index=index,
            compute_type=arithmetic,
            cpu_threads=setup.threads,
            num_workers=1 if device == "cpu" else INSTANCES,
            local_files_only=True,
        )
        for index in _indices(setup, device)
    ]
    for whisper in whispers:
        _try_out(whisper)
    return whispers


def _indices(setup: WhisperSetup, device: str) -> tuple[int, ...]:
    """Return the devices to be used. Raises `ValueError` for one that does not exist."""
    if device == "cpu":
        return (0,)
    available = range(gpus())
    indices = tuple(dict.fromkeys(setup.indices)) or tuple(available)
    if not available:
        raise ValueError("there is no GPU that CTranslate2 can use")
    if missing := [str(index) for index in indices if index not in available]:
        raise ValueError(f"there is no GPU {', '.join(missing)}, only 0 to {available[-1]}")
    return indices


def _try_out(whisper: "WhisperModel") -> None:
    bands = len(whisper.feature_extractor.mel_filters)
    if bands != whisper.model.n_mels:
        raise ValueError(
            f"it takes {whisper.model.n_mels} mel bands, its preprocessor_config.json "
            f"(or, if that is missing, faster-whisper) says {bands}"
        )
    if whisper.model.device == "cuda":  # cuBLAS and cuDNN are loaded at their first use
        whisper.encode(np.zeros((bands, FRAMES), np.float32))


def _share(model: Model, whisper: "WhisperModel", setup: WhisperSetup, device: str) -> Share:
    if setup.batch is not None:
        return Share(setup.batch, 1 if device == "cpu" else INSTANCES)
    if device == "cpu":
        return Share(CPU_BATCH, 1)
    total = smallest_memory()
    if total is None:
        return Share(GPU_BATCH, 1)
    encoded = whisper.encode(np.zeros((whisper.model.n_mels, FRAMES), np.float32))
    number = FLOAT16 if "16" in whisper.model.compute_type else 2 * FLOAT16
    shape = Shape(model.size, int(encoded.shape[-1]), model.layers, number)
    return share(total, setup.fraction, shape, max(setup.search.beam, setup.search.samples))


def _vocabulary(whisper: "WhisperModel") -> Vocabulary:
    return Vocabulary(
        whisper.hf_tokenizer,
        whisper.supported_languages,
        multilingual=bool(whisper.model.is_multilingual),
    )


def _language(request: Request) -> str | None:
    if request.language is None:
        return None
    code = language_code(request.language)
    if code is None:
        raise Permanent("invalid_language", f"Whisper knows no language {request.language!r}.")
    return code


def _fixed_language(requested: str | None, vocabulary: Vocabulary) -> Language | None:
    """Return the channel's language. Returns None if it must be detected."""
    code = requested if vocabulary.multilingual else ENGLISH
    return None if code is None else Language(code=code)
