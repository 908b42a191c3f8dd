"""The words of a Whisper model and its tokens, by faster-whisper's own tokenizer."""

from collections.abc import Sequence
from functools import cache, cached_property
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from functions.transcribe.whisper.decoding import DecodedWindow, Task
from functions.transcribe.whisper.mel import MEL_FRAME_RATE
from functions.transcribe.whisper.words import Token

if TYPE_CHECKING:
    from faster_whisper.tokenizer import Tokenizer

HINTS = 223
"""Most tokens of prompt and hotwords together: half of Whisper's text context."""
ENGLISH = "en"


class Vocabulary:
    """Text to tokens and back. `tokenizer` is a `tokenizers.Tokenizer` with Whisper's tokens.

    Of Whisper's `languages` the vocabulary keeps those that the model has a token for, or English
    alone if the model is not `multilingual`.
    """

    def __init__(self, tokenizer: Any, languages: Sequence[str], *, multilingual: bool) -> None:  # noqa: ANN401 - untyped
        has_token = [code for code in languages if tokenizer.token_to_id(f"<|{code}|>") is not None]
        self.languages = tuple(has_token) if multilingual else (ENGLISH,)
        self.multilingual = multilingual
        self._tokenizer = tokenizer
        self._of = cache(self._tokenizer_of)

    @cached_property
    def unspoken(self) -> list[int]:
        """Tokens that the model must not write: symbols of sounds, and control tokens."""
        from faster_whisper.transcribe import get_suppressed_tokens  # noqa: PLC0415

        return list(get_suppressed_tokens(self._of(ENGLISH, "transcribe"), [-1]))

    @property
    def end(self) -> int:
        """`<|endoftext|>`: text tokens have lower numbers, control tokens higher ones."""
        return int(self._of(ENGLISH, "transcribe").eot)

    def start(self, language: str, task: Task) -> list[int]:
        """Return `<|startoftranscript|>` with the tokens of language and task."""
        return list(self._of(language, task).sot_sequence)

    def prompt(
        self, language: str, task: Task, hints: Sequence[int], *, timestamps: bool
    ) -> list[int]:
        """Return all tokens that precede the text."""
        words = self._of(language, task)
        before = [words.sot_prev, *hints] if hints else []
        return [*before, *words.sot_sequence, *([] if timestamps else [words.no_timestamps])]

    def language_of(self, token: str) -> str:
        """Return the language that a token such as `<|en|>` stands for."""
        return token[2:-2]

    def hints(self, prompt: str, hotwords: Sequence[str]) -> tuple[int, ...]:
        """Return both as at most `HINTS` tokens.

        Of longer ones the prompt's end and the first hotwords are kept.
        """
        likely = self._tokens(", ".join(hotwords))
        before = self._tokens(prompt)
        likely = likely[: HINTS // 2 if before else HINTS]
        return (*likely, *before[-(HINTS - len(likely)) :])

    def text(self, tokens: Sequence[int]) -> str:
        return str(self._of(ENGLISH, "transcribe").decode(list(tokens)))

    def timed_tokens(self, decoded: DecodedWindow, language: str) -> list[Token]:
        """Return the text in word-like parts of its `language`, with their times in the window.

        A part begins where its first token does and ends where the next one's begins, on the best
        path through the attention (dynamic time warping). Its probability is the mean of its
        tokens'.
        """
        if not decoded.tokens or not decoded.alignment.alignments:
            return []
        words = self._of(language, "transcribe")
        texts, tokens = words.split_to_word_tokens([*decoded.tokens, words.eot])
        token, frame = np.array(decoded.alignment.alignments).T
        times = frame[np.diff(token, prepend=-1).astype(bool)] * 2 / MEL_FRAME_RATE
        edges = pairwise((0, *accumulate(len(one) for one in tokens[:-1])))
        likely = np.array(decoded.alignment.text_token_probs)
        return [
            Token(text, float(times[first]), float(times[last]), float(likely[first:last].mean()))
            for text, (first, last) in zip(texts[:-1], edges, strict=True)
        ]

    def _tokens(self, text: str) -> list[int]:
        """Return the text's tokens without control tokens such as `<|endoftext|>`."""
        if not text.strip():
            return []
        tokens = self._of(ENGLISH, "transcribe").encode(f" {text.strip()}")
        return [token for token in tokens if token < self.end]

    def _tokenizer_of(self, language: str, task: Task) -> "Tokenizer":
        from faster_whisper.tokenizer import Tokenizer  # noqa: PLC0415 - only this engine pays

        return Tokenizer(self._tokenizer, self.multilingual, task=task, language=language)
