"""A Whisper model on one device that decodes a batch of windows at a time (CTranslate2)."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from functions.transcribe.whisper.batch_device import Broken, TooLarge
from functions.transcribe.whisper.decoding import BatchOptions, DecodedWindow, DecodeRequest, Search
from functions.transcribe.whisper.memory import TOKENS
from functions.transcribe.whisper.vocabulary import Vocabulary

if TYPE_CHECKING:
    from ctranslate2 import StorageView
    from faster_whisper import WhisperModel

NO_MEMORY_SIGNS = ("out of memory", "bad_alloc", "cudaErrorMemoryAllocation", "ALLOC_FAILED")
BROKEN_SIGNS = ("CUDA failed", "cuBLAS failed", "cuDNN failed")
"""After such an error a process can use its GPU no more."""


class WhisperDevice:
    """Encodes, decodes and aligns a batch: three calls of the engine for any mixture of windows.

    It blocks its thread without the GIL. It raises `TooLarge` if the device has no memory for the
    batch, and `Broken` once the device is broken, which is no fault of a call. Where the language
    is to be detected, each window is decoded in its likeliest.
    """

    def __init__(self, whisper: "WhisperModel", vocabulary: Vocabulary, search: Search) -> None:
        self._whisper = whisper
        self._model: Any = whisper.model
        self._vocabulary = vocabulary
        self._search = search

    def __call__(
        self, options: BatchOptions, windows: Sequence[DecodeRequest]
    ) -> list[DecodedWindow]:
        try:
            return self._decode(options, windows)
        except (MemoryError, RuntimeError) as error:
            if isinstance(error, MemoryError) or any(
                sign in str(error) for sign in NO_MEMORY_SIGNS
            ):
                raise TooLarge(str(error)) from error
            if any(sign in str(error) for sign in BROKEN_SIGNS):
                raise Broken(f"the GPU is broken: {error}") from error
            raise

    def _decode(
        self, options: BatchOptions, windows: Sequence[DecodeRequest]
    ) -> list[DecodedWindow]:
        encoded = self._whisper.encode(np.stack([window.mel for window in windows]))
        languages = self._languages(options, encoded, len(windows))
        spoken = [max(one, key=lambda code: one[code]) for one in languages]
        prompts = [
            self._vocabulary.prompt(
                language, options.task, window.hints, timestamps=self._search.timestamps
            )
            for language, window in zip(spoken, windows, strict=True)
        ]
        written = self._model.generate(encoded, prompts, **self._limits(options, prompts))
        texts = [self._text(one.sequences_ids[0]) for one in written]
        aligned = self._align(encoded, options, spoken, texts, windows)
        return [
            DecodedWindow(
                language=language,
                tokens=text,
                alignment=alignment,
                mean_log_probability=_mean(one.scores[0], len(one.sequences_ids[0])),
                no_speech_probability=float(one.no_speech_prob),
                languages=found if options.language is None else {},
            )
            for language, text, alignment, one, found in zip(
                spoken, texts, aligned, written, languages, strict=True
            )
        ]

    def _languages(
        self, options: BatchOptions, encoded: "StorageView", count: int
    ) -> list[dict[str, float]]:
        """Return the probability of each language, for each window."""
        if options.language is not None:
            return [{options.language: 1.0}] * count
        return [
            {self._vocabulary.language_of(token): float(likely) for token, likely in one}
            for one in self._model.detect_language(encoded)
        ]

    def _limits(self, options: BatchOptions, prompts: Sequence[Sequence[int]]) -> dict[str, Any]:
        search = self._search
        forbidden = self._vocabulary.unspoken
        limits: dict[str, Any] = {
            "suppress_tokens": forbidden,
            "max_length": TOKENS,
            "return_scores": True,
            "return_no_speech_prob": True,
        }
        if options.temperature:
            limits |= {
                "beam_size": 1,
                "num_hypotheses": search.samples,
                "sampling_topk": 0,
                "sampling_temperature": options.temperature,
            }
        else:
            limits["beam_size"] = search.beam
        if search.tokens is not None:
            limits["suppress_tokens"] = [*forbidden, self._vocabulary.end]
            limits["max_length"] = search.tokens + max(search.tokens, len(prompts[0]) - 1)
        return limits

    def _text(self, tokens: Iterable[int]) -> tuple[int, ...]:
        """Return the tokens of the text, without those of times."""
        return tuple(token for token in tokens if token < self._vocabulary.end)

    def _align(
        self,
        encoded: "StorageView",
        options: BatchOptions,
        languages: Sequence[str],
        texts: Sequence[Sequence[int]],
        windows: Sequence[DecodeRequest],
    ) -> list[Any]:
        """Align the tokens with the sound. The engine takes one language a call."""
        frames = [window.frames for window in windows]
        by_language = {
            language: self._model.align(
                encoded,
                self._vocabulary.start(language, options.task),
                [
                    list(text) if its == language else []
                    for text, its in zip(texts, languages, strict=True)
                ],
                frames,
            )
            for language in dict.fromkeys(languages)
        }
        return [by_language[language][place] for place, language in enumerate(languages)]


def _mean(score: float, tokens: int) -> float:
    """Turn the engine's mean over the tokens into one that counts the end of the text, too."""
    return float(score) * tokens / (tokens + 1)
