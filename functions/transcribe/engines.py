"""Which recogniser runs: the one asked for, or the best that is on this machine."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Protocol

from functions.transcribe.recognizer import Recognizer
from functions.transcribe.settings import Settings
from functions.transcribe.sphinx.recognizer import SphinxRecognizer
from functions.transcribe.whisper.batcher import BatchTotals
from functions.transcribe.whisper.decoding import Search
from functions.transcribe.whisper.gpu import has_gpu
from functions.transcribe.whisper.models import Model, NoEngine, find
from functions.transcribe.whisper.recognizer import WhisperRecognizer, WhisperSetup

BEST_ON_GPU = ("large-v3", "large-v3-turbo", "medium", "small", "base", "tiny")
BEST_ON_CPU = ("small", "base", "tiny")
"""What is taken from the cache where no model is named, best first. On a CPU, larger ones would
take longer than the call."""

Probe = Callable[[], bool]


class LocalRecognizer(Recognizer, Protocol):
    """A recogniser with a model in this process or its child."""

    async def warm(self) -> None:
        """Load the model. Raises `NoEngine` if that fails."""
        ...

    async def check(self) -> None:
        """Raise `Unavailable` if it cannot recognise any more."""
        ...

    async def close(self) -> None: ...

    @property
    def figures(self) -> BatchTotals | None:
        """What its batches did, if it has any."""
        ...


@dataclass(frozen=True)
class RecognizerChoice:
    """The recogniser, what it stands in for, and why it does (empty if it does not)."""

    recognizer: LocalRecognizer
    degraded: tuple[str, ...] = ()
    because: str = ""


def whisper_is_installed() -> bool:
    """Whether faster-whisper can be imported, which this does not do."""
    return find_spec("faster_whisper") is not None


def choose_recognizer(
    settings: Settings, *, installed: Probe = whisper_is_installed, has_gpu: Probe = has_gpu
) -> RecognizerChoice:
    """The recogniser that the settings ask for; no model is loaded yet.

    `auto` is Whisper where a whole model is on the machine, and pocketsphinx elsewhere. It never
    takes a model that is made for tests. Raises `NoEngine` where Whisper is asked for by name and
    is not there.
    """
    if settings.recognizer == "sphinx":
        return RecognizerChoice(sphinx_of(settings))
    try:
        model = model_for(settings, installed=installed, has_gpu=has_gpu)
    except NoEngine as missing:
        if settings.recognizer == "whisper":
            raise
        return RecognizerChoice(sphinx_of(settings), ("recognizer:sphinx",), str(missing))
    return RecognizerChoice(WhisperRecognizer(model, setup_of(settings)))


def sphinx_of(settings: Settings) -> SphinxRecognizer:
    """The embedded recogniser; no process is started yet."""
    return SphinxRecognizer(processes=settings.sphinx_processes)


def setup_of(settings: Settings) -> WhisperSetup:
    """How a Whisper model is run."""
    return WhisperSetup(
        compute_type=settings.whisper_compute_type,
        threads=settings.whisper_threads,
        device=settings.whisper_device,
        indices=settings.gpu_indices,
        fraction=settings.gpu_memory_fraction,
        batch=settings.whisper_batch,
        lanes=2 * settings.concurrency,
        padding=settings.whisper_padding,
        search=Search(beam=settings.whisper_beam, timestamps=settings.whisper_timestamps),
    )


def model_for(
    settings: Settings, *, installed: Probe = whisper_is_installed, has_gpu: Probe = has_gpu
) -> Model:
    """The Whisper model that the settings lead to. Raises `NoEngine` if there is none."""
    if not installed():
        raise NoEngine("faster-whisper is not installed: pip install 'pocwhisp[whisper]'")
    if settings.whisper_model is None:
        return _best(settings, has_gpu)
    model = find(settings.whisper_model, settings.model_cache)
    if model.is_fixture and settings.recognizer == "auto":
        raise NoEngine(f"{model.folder} is made for tests: only RECOGNIZER=whisper takes it")
    return model


def _best(settings: Settings, has_gpu: Probe) -> Model:
    """The first of the best that is in the cache; the GPU is asked for only if any is."""
    there = {name: model for name in BEST_ON_GPU if (model := _whole(name, settings))}
    on_gpu = bool(there) and settings.whisper_device != "cpu" and has_gpu()
    best = BEST_ON_GPU if on_gpu else BEST_ON_CPU
    for name in best:
        if name in there:
            return there[name]
    raise NoEngine(
        f"No Whisper model in {settings.model_cache}: looked for {', '.join(best)}. "
        f"Get one with: pocwhisp models pull {best[0]}, or name a folder in WHISPER_MODEL"
    )


def _whole(name: str, settings: Settings) -> Model | None:
    try:
        return find(name, settings.model_cache)
    except NoEngine:
        return None
