"""What a Whisper model is given for a window, and what it returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, Protocol, TypeAlias

from functions.transcribe.whisper.mel import Mel

Task: TypeAlias = Literal["transcribe", "translate"]


@dataclass(frozen=True, slots=True)
class Search:
    """How texts are searched for, the same for all windows.

    `beam` is the beam's width. With a temperature above 0 the best of `samples` texts is taken.
    `tokens`, if given, is the exact length of every text; benchmarks of untrained models need it.
    """

    beam: int = 5
    samples: int = 5
    timestamps: bool = False
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """What all windows of one batch have in common, because the engine takes it once per call.

    `language` is None if the model is to detect it. `hints` counts the tokens that precede
    `<|startoftranscript|>`, which must have the same place in every prompt.
    """

    language: str | None
    task: Task = "transcribe"
    hints: int = 0
    temperature: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class DecodeRequest:
    """One window. The first `frames` of the spectrogram are sound, the rest is padding."""

    mel: Mel
    frames: int
    hints: tuple[int, ...] = ()


class Alignment(Protocol):
    """Where the tokens lie, as CTranslate2 returns it.

    `alignments` are pairs of token and 20 ms frame along the best path, `text_token_probs` the
    tokens' probabilities.
    """

    @property
    def alignments(self) -> Sequence[tuple[int, int]]: ...

    @property
    def text_token_probs(self) -> Sequence[float]: ...


@dataclass(frozen=True, slots=True, eq=False)
class DecodedWindow:
    """What the model wrote for one window.

    `tokens` are those of the text alone. `mean_log_probability` is over all tokens and the end
    of the text. `languages` holds the probability of each, if the language was to be detected.
    """

    language: str
    tokens: tuple[int, ...]
    alignment: Alignment
    mean_log_probability: float
    no_speech_probability: float
    languages: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
