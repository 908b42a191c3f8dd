"""The languages that a client may declare for a recording."""

_CODES = """
af am ar as az ba be bg bn bo br bs ca cs cy da de el en es et eu fa fi fo fr gl gu ha haw he hi hr
ht hu hy id is it ja jw ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr ms mt my ne nl nn no oc
pa pl ps pt ro ru sa sd si sk sl sn so sq sr su sv sw ta te tg th tk tl tr tt uk ur uz vi yi yo yue
zh
"""
LANGUAGES = frozenset(_CODES.split())
"""Whisper's language codes: ISO 639-1, and `haw`, `jw` (Javanese), `yue` (Cantonese)."""

ALIASES = {"cmn": "zh", "fil": "tl", "in": "id", "iw": "he", "jv": "jw", "nb": "no"}
"""Other codes of these languages."""


def language_code(tag: str) -> str | None:
    """Return Whisper's code for the language of a BCP 47 tag. Returns None if it has none.

    `en-GB` and `EN` are `en`, `nb` is `no`; names such as `english` are no tags.
    """
    primary = tag.replace("_", "-").partition("-")[0].strip().lower()
    code = ALIASES.get(primary, primary)
    return code if code in LANGUAGES else None
