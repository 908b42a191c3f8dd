import pytest

from shared.languages import ALIASES, LANGUAGES, language_code


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("en", "en"), ("EN", "en"), ("en-GB", "en"), ("pt_BR", "pt"), ("zh-Hans-CN", "zh"),
        ("nb", "no"), ("jv", "jw"), ("yue", "yue"), (" de ", "de"),
    ],
)  # fmt: skip
def test_a_tag_leads_to_the_code_of_its_language(tag: str, code: str) -> None:
    assert language_code(tag) == code


@pytest.mark.parametrize(
    "tag", ["", "-", "xx", "tlh", "english", "e n", "en;drop", "\uff45\uff4e", "\0"]
)
def test_what_is_no_language_has_no_code(tag: str) -> None:
    assert language_code(tag) is None


def test_aliases_lead_to_codes_and_hide_none() -> None:
    assert set(ALIASES.values()) <= LANGUAGES
    assert not ALIASES.keys() & LANGUAGES
