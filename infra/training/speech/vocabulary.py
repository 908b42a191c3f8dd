"""The tokens of a Whisper model, its own or those of a tokenizer.json from elsewhere.

Order matters to CTranslate2: text, `<|endoftext|>`, `<|startoftranscript|>`, languages, task
tokens, `<|nospeech|>`, `<|notimestamps|>`, timestamps last.
"""

from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from infra.training.speech import grammar

FILE = "tokenizer.json"
SPECIAL = (
    "<|endoftext|>",
    "<|startoftranscript|>",
    "<|en|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|nospeech|>",
    "<|notimestamps|>",
)
TIMESTAMPS = 1_501
"""From 0.00 to 30.00 s in steps of 20 ms."""


def build(path: Path) -> None:
    """Write whisper-nano's tokenizer: one token per word of the grammar with the space before it.

    Byte-level BPE takes the rest. As it has no empty token, the model is an English-only one.
    """
    words = sorted({f" {f}" for word in grammar.WORDS for f in (word, grammar.capitalised(word))})
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=6000,
        min_frequency=1,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*words, ".", ",", "?"], trainer)
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    tokenizer.save(str(path))


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer with the ids of the tokens that steer the model.

    `head` is what every transcript begins with: with languages, also which one it is.
    """

    tokenizer: Tokenizer
    end: int
    head: tuple[int, ...]
    previous: int
    no_speech: int
    no_timestamps: int

    @classmethod
    def load(cls, path: Path, language: str = "en") -> "Vocabulary":
        """Read a tokenizer.json. Raises `ValueError` if it lacks a token of Whisper's."""
        tokenizer = Tokenizer.from_file(str(path))
        head = [_number(tokenizer, "<|startoftranscript|>")]
        if "" in tokenizer.get_vocab():  # Whisper's mark of a model with languages
            head += [_number(tokenizer, f"<|{language}|>"), _number(tokenizer, "<|transcribe|>")]
        return cls(
            tokenizer,
            end=_number(tokenizer, "<|endoftext|>"),
            head=tuple(head),
            previous=_number(tokenizer, "<|startofprev|>"),
            no_speech=_number(tokenizer, "<|nospeech|>", "<|nocaptions|>"),
            no_timestamps=_number(tokenizer, "<|notimestamps|>"),
        )

    @property
    def zero(self) -> int:
        """The id of `<|0.00|>`, and the number of tokens that are no timestamps."""
        return self.no_timestamps + 1

    @property
    def size(self) -> int:
        return self.zero + TIMESTAMPS

    @property
    def languages(self) -> list[int]:
        """The ids of the languages, which lie between the transcript's start and the tasks."""
        return list(range(self.head[0] + 1, self.number("<|translate|>")))

    def number(self, token: str) -> int:
        """The id of a token. Raises `ValueError` if there is none."""
        return _number(self.tokenizer, token)

    def encode(self, text: str) -> list[int]:
        """The tokens of a text that follows another: with a space before it."""
        tokens: list[int] = self.tokenizer.encode(f" {text}", add_special_tokens=False).ids
        return tokens

    def tokens(self) -> list[str]:
        """All tokens in the order of their ids, timestamps included."""
        ids = {i: t for t, i in self.tokenizer.get_vocab(with_added_tokens=True).items()}
        stamps = [f"<|{number * 0.02:.2f}|>" for number in range(TIMESTAMPS)]
        return [ids[number] for number in range(self.zero)] + stamps

    def is_mark(self, token: int) -> bool:
        """Whether a token of text holds no letter and no digit."""
        text = self.tokenizer.id_to_token(token) or ""
        return not any(letter.isalnum() for letter in text.replace("Ġ", ""))


def _number(tokenizer: Tokenizer, *names: str) -> int:
    """The id of a token that may have more than one name."""
    found = [number for name in names if (number := tokenizer.token_to_id(name)) is not None]
    if not found:
        raise ValueError(f"the tokenizer has no token {names[0]}")
    return int(found[0])
