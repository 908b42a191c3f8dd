"""The input and the output of a Whisper model for a window."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, Protocol, TypeAlias

from functions.transcribe.whisper.mel import Mel

Task: TypeAlias = Literal["transcribe", "translate"]


@dataclass(frozen=True, slots=True)
class Search:
    """The settings of the search for the likeliest text, the same for all windows.

    `beam` is the beam's width. With a temperature above 0 the best of `samples` texts is taken.
    `tokens`, if given, is the exact length of every text; benchmarks of untrained models need it.
    """

    beam: int = 5
    samples: int = 5
    timestamps: bool = False
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """The options that all windows of a batch share, because the engine takes one set per call.

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
    """The places of the tokens in time, as CTranslate2 returns them.

    `alignments` are pairs of token and 20 ms frame along the best path, `text_token_probs` the
    tokens' probabilities.
    """

    @property
    def alignments(self) -> Sequence[tuple[int, int]]: ...

    @property
    def text_token_probs(self) -> Sequence[float]: ...


@dataclass(frozen=True, slots=True, eq=False)
class DecodedWindow:
    """The text that the model wrote for one window.

    `tokens` are those of the text alone. `mean_log_probability` is over all tokens and the end
    of the text. `languages` holds the probability of each, if the language was to be detected.
    """

    language: str
    tokens: tuple[int, ...]
    alignment: Alignment
    mean_log_probability: float
    no_speech_probability: float
    languages: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
