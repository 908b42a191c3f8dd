import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.evaluation.truth import load_truth
from infra.training.speech import grammar
from infra.training.speech.vocabulary import FILE, SPECIAL, TIMESTAMPS, Vocabulary, build

ROOT = Path(__file__).parent.parent
SENTENCE = re.compile(r"[^.?]+[.?]")


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Vocabulary:
    path = tmp_path_factory.mktemp("tokens") / FILE
    build(path)
    return Vocabulary.load(path)


@given(st.randoms(use_true_random=False), st.booleans())
def test_a_drawn_text_is_held_out_or_not_as_asked(rng: random.Random, held_out: bool) -> None:  # noqa: FBT001
    text = grammar.draw(rng, 0.5, held_out=held_out)
    assert grammar.is_held_out(text) == held_out


@given(st.randoms(use_true_random=False))
def test_the_grammar_knows_its_own_sentences(rng: random.Random) -> None:
    assert grammar.is_sentence(grammar.sentence(rng))


@given(st.randoms(use_true_random=False))
def test_every_word_of_a_text_is_in_the_list(rng: random.Random) -> None:
    known = {word.lower() for word in grammar.WORDS}
    assert {grammar.bare(word) for word in grammar.draw(rng, 0.5, held_out=False).split()} <= known


def test_about_one_text_in_ten_is_held_out() -> None:
    rng = random.Random(1)  # noqa: S311
    texts = {grammar.salad(rng) for _ in range(4000)}
    assert 0.08 < sum(map(grammar.is_held_out, texts)) / len(texts) < 0.12


def test_the_nano_call_was_never_trained_on() -> None:
    turns = load_truth(ROOT / "calls" / "nano.truth.json").turns
    said = [found.strip() for turn in turns for found in SENTENCE.findall(turn.text)]
    assert len(said) > len(turns)
    assert all(grammar.is_sentence(text) and grammar.is_held_out(text) for text in said)


def test_every_word_is_one_token(vocabulary: Vocabulary) -> None:
    forms = [form for word in grammar.WORDS for form in (word, grammar.capitalised(word))]
    assert [form for form in forms if len(vocabulary.encode(form)) != 1] == []


def test_tokens_lie_in_the_order_that_ctranslate2_needs(vocabulary: Vocabulary) -> None:
    tokens = vocabulary.tokens()
    assert len(tokens) == vocabulary.size
    assert tuple(tokens[vocabulary.end : vocabulary.zero]) == SPECIAL
    assert (tokens[vocabulary.zero], tokens[-1]) == ("<|0.00|>", "<|30.00|>")
    assert len(tokens) - vocabulary.zero == TIMESTAMPS


def test_an_english_only_model_is_told_no_language(vocabulary: Vocabulary) -> None:
    assert vocabulary.head == (vocabulary.number("<|startoftranscript|>"),)
    assert vocabulary.languages == [vocabulary.number("<|en|>")]
    assert "" not in vocabulary.tokens()


def test_a_mark_is_a_token_without_letter_or_digit(vocabulary: Vocabulary) -> None:
    word, mark = vocabulary.encode("Goodbye.")
    assert not vocabulary.is_mark(word)
    assert vocabulary.is_mark(mark)


def test_the_tokenizer_of_the_test_model_is_made_by_the_grammar(tmp_path: Path) -> None:
    build(tmp_path / FILE)
    assert (tmp_path / FILE).read_bytes() == (ROOT / "data" / "nano" / FILE).read_bytes()
