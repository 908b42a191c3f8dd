"""The English names of languages, for error messages that give the code."""

from shared.languages import language_code

_NAMES = """
afrikaans af, albanian sq, amharic am, arabic ar, armenian hy, assamese as, azerbaijani az,
bashkir ba, basque eu, belarusian be, bengali bn, bosnian bs, breton br, bulgarian bg, burmese my,
cantonese yue, castilian es, catalan ca, chinese zh, croatian hr, czech cs, danish da, dutch nl,
english en, estonian et, faroese fo, finnish fi, flemish nl, french fr, galician gl, georgian ka,
german de, greek el, gujarati gu, haitian ht, hausa ha, hawaiian haw, hebrew he, hindi hi,
hungarian hu, icelandic is, indonesian id, italian it, japanese ja, javanese jw, kannada kn,
kazakh kk, khmer km, korean ko, lao lo, latin la, latvian lv, lingala ln, lithuanian lt,
luxembourgish lb, macedonian mk, malagasy mg, malay ms, malayalam ml, maltese mt, mandarin zh,
maori mi, marathi mr, moldavian ro, mongolian mn, myanmar my, nepali ne, norwegian no, nynorsk nn,
occitan oc, panjabi pa, pashto ps, persian fa, polish pl, portuguese pt, punjabi pa, romanian ro,
russian ru, sanskrit sa, serbian sr, shona sn, sindhi sd, sinhala si, slovak sk, slovenian sl,
somali so, spanish es, sundanese su, swahili sw, swedish sv, tagalog tl, tajik tg, tamil ta,
tatar tt, telugu te, thai th, tibetan bo, turkish tr, turkmen tk, ukrainian uk, urdu ur, uzbek uz,
valencian ca, vietnamese vi, welsh cy, yiddish yi, yoruba yo
"""
CODES = dict(pair.split() for pair in _NAMES.replace("\n", " ").split(","))
"""Codes by name, in lower case."""


def language_problem(language: str) -> str | None:
    """Return why this is no language code, and what is needed. Returns None if it is one."""
    if language_code(language) is not None:
        return None
    if code := CODES.get(language.strip().lower()):
        return f"{language} is the name of a language; needed: its code, {code}."
    return f"{language} is no language that PocWhisp knows; needed: a code such as en, de or pt-BR."
