"""Choose the recogniser: the one that the settings name, or the best on this machine."""

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
from functions.transcribe.whisper.models import Model, NoEngine, find_model
from functions.transcribe.whisper.recognizer import WhisperRecognizer, WhisperSetup

BEST_ON_GPU = ("large-v3", "large-v3-turbo", "medium", "small", "base", "tiny")
BEST_ON_CPU = ("small", "base", "tiny")
"""Models that are looked for in the cache if none is named, best first. On a CPU, larger ones would
take longer than the call."""

Probe = Callable[[], bool]


class LocalRecognizer(Recognizer, Protocol):
    """A recogniser with a model in this process or its child."""

    async def warm(self) -> None:
        """Load the model. Raises `NoEngine` if that fails."""
        ...

    async def check(self) -> None:
        """Raise `Unavailable` if the engine is broken."""
        ...

    async def until_broken(self) -> None:
        """Wait until the engine is broken for good, so that only a new process helps."""
        ...

    async def close(self) -> None: ...

    @property
    def totals(self) -> BatchTotals | None:
        """The totals of its batches. None if it has none."""
        ...


@dataclass(frozen=True)
class RecognizerChoice:
    """The chosen recogniser.

    `degraded` marks one that stands in for a better one, and `because` gives the reason.
    """

    recognizer: LocalRecognizer
    degraded: tuple[str, ...] = ()
    because: str = ""


def whisper_is_installed() -> bool:
    """Return whether faster-whisper is installed, without importing it."""
    return find_spec("faster_whisper") is not None


def choose_recognizer(
    settings: Settings, *, installed: Probe = whisper_is_installed, has_gpu: Probe = has_gpu
) -> RecognizerChoice:
    """Return the recogniser that the settings name; no model is loaded yet.

    `auto` is Whisper where a whole model is on the machine, and pocketsphinx elsewhere. It never
    takes a model that is made for tests. Raises `NoEngine` if the settings name Whisper and it
    cannot run.
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
    """Return the embedded recogniser; no process is started yet."""
    return SphinxRecognizer(processes=settings.sphinx_processes)


def setup_of(settings: Settings) -> WhisperSetup:
    """Return how the settings run a Whisper model."""
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
    """Return the Whisper model that the settings lead to. Raises `NoEngine` if there is none."""
    if not installed():
        raise NoEngine("faster-whisper is not installed: pip install 'pocwhisp[whisper]'")
    if settings.whisper_model is None:
        return _best(settings, has_gpu)
    model = find_model(settings.whisper_model, settings.model_cache)
    if model.is_fixture and settings.recognizer == "auto":
        raise NoEngine(f"{model.folder} is made for tests: only RECOGNIZER=whisper takes it")
    return model


def _best(settings: Settings, has_gpu: Probe) -> Model:
    """Return the best model in the cache; looks for a GPU only if there is any model."""
    cached = {name: model for name in BEST_ON_GPU if (model := _whole(name, settings))}
    on_gpu = bool(cached) and settings.whisper_device != "cpu" and has_gpu()
    best = BEST_ON_GPU if on_gpu else BEST_ON_CPU
    for name in best:
        if name in cached:
            return cached[name]
    raise NoEngine(
        f"No Whisper model in {settings.model_cache}: looked for {', '.join(best)}. "
        f"Get one with: pocwhisp models pull {best[0]}, or name a folder in WHISPER_MODEL"
    )


def _whole(name: str, settings: Settings) -> Model | None:
    try:
        return find_model(name, settings.model_cache)
    except NoEngine:
        return None
