"""flite in this process, through its C interface, which tells where words and phones are.

Needs Debian's `libflite1`. See cst_utterance.h and cst_item.h of flite 2.2.
"""

import ctypes
import re
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

from infra.training.data.utterances import Phone, Word
from infra.training.speech.spoken import Spoken, trimmed

Pointer: TypeAlias = Any
"""A pointer that C hands over."""
PITCH = {"slt": (140, 215), "rms": (75, 130), "awb": (90, 150), "kal16": (80, 135)}
"""The voices of 16 kHz, and from what to what mean pitch in hertz each sounds natural."""
TO_ESPEAK = dict(
    zip(
        "aa ae ah ao aw ax ay b ch d dh eh er ey f g hh ih iy jh k l m n ng ow oy p r s sh t th "
        "uh uw v w y z pau".split(),
        "A: a V O: aU @ aI b tS d D E 3: eI f g h I i: dZ k l m n N oU OI p r s S t T "
        "U u: v w j z _".split(),
        strict=True,
    )
)
PAUSE = "_"
FIRST_PHONE = b"R:SylStructure.daughter1.daughter1.R:Segment.p.end"
LAST_PHONE = b"R:SylStructure.daughtern.daughtern.R:Segment.end"
FULL_SCALE = 32_768


class _Wave(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_char_p),
        ("rate", ctypes.c_int),
        ("count", ctypes.c_int),
        ("channels", ctypes.c_int),
        ("samples", ctypes.POINTER(ctypes.c_short)),
    )


class _Voice(ctypes.Structure):
    _fields_ = (("name", ctypes.c_char_p), ("features", ctypes.c_void_p))


_POINTER, _TEXT, _FLOAT = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_float
_SIGNATURES: tuple[tuple[Any, ...], ...] = (
    ("flite_synth_text", _POINTER, _TEXT, _POINTER),
    ("utt_relation", _POINTER, _POINTER, _TEXT),
    ("relation_head", _POINTER, _POINTER),
    ("item_next", _POINTER, _POINTER),
    ("ffeature_float", _FLOAT, _POINTER, _TEXT),
    ("ffeature_string", _TEXT, _POINTER, _TEXT),
    ("utt_wave", ctypes.POINTER(_Wave), _POINTER),
    ("delete_utterance", None, _POINTER),
    ("feat_set", None, _POINTER, _TEXT, _POINTER),
    ("float_val", _POINTER, _FLOAT),
)


class Flite:
    """The library with its voices. Raises `OSError` where it is not installed."""

    def __init__(self) -> None:
        self._library = _shared("libflite.so.1")
        for name in ("cmulex", "usenglish"):
            _shared(f"libflite_{name}.so.1")
        for name, result, *arguments in _SIGNATURES:
            function = getattr(self._library, name)
            function.restype, function.argtypes = result, arguments
        self._library.flite_init()
        self._voices: dict[str, Pointer] = {}

    def say(self, text: str, name: str, *, stretch: float, pitch: float) -> Spoken | None:
        """Speak, slower by `stretch`, at this mean pitch in hertz.

        None when flite's words are not the text's words one to one.
        """
        voice = self._voice(name)
        library, features = self._library, voice.contents.features
        library.feat_set(features, b"duration_stretch", library.float_val(stretch))
        library.feat_set(features, b"int_f0_target_mean", library.float_val(pitch))
        made = library.flite_synth_text(text.encode(), ctypes.cast(voice, ctypes.c_void_p))
        try:
            return self._heard(made, text, name)
        finally:
            library.delete_utterance(made)

    def _heard(self, made: Pointer, text: str, name: str) -> Spoken | None:
        found = list(self._words(made))
        written = text.split()
        if [word.text for word in found] != [re.sub("[^a-z]", "", w.lower()) for w in written]:
            return None
        words = (word._replace(text=own) for own, word in zip(written, found, strict=True))
        wave = self._library.utt_wave(made).contents
        samples = np.ctypeslib.as_array(wave.samples, (wave.count,))
        audio = np.asarray(samples / FULL_SCALE, dtype=np.float32)
        return trimmed(
            Spoken(text, f"flite-{name}", audio, tuple(words), tuple(self._phones(made)))
        )

    def _words(self, made: Pointer) -> Iterator[Word]:
        tell = self._library.ffeature_float
        for item in self._items(made, b"Word"):
            name = self._library.ffeature_string(item, b"name").decode()
            yield Word(name, tell(item, FIRST_PHONE), tell(item, LAST_PHONE))

    def _phones(self, made: Pointer) -> Iterator[Phone]:
        start = 0.0
        for item in self._items(made, b"Segment"):
            name = self._library.ffeature_string(item, b"name").decode()
            yield Phone(TO_ESPEAK.get(name, PAUSE), start)
            start = self._library.ffeature_float(item, b"end")

    def _items(self, made: Pointer, relation: bytes) -> Iterator[Pointer]:
        item = self._library.relation_head(self._library.utt_relation(made, relation))
        while item:
            yield item
            item = self._library.item_next(item)

    def _voice(self, name: str) -> Pointer:
        if name not in self._voices:
            register = getattr(_shared(f"libflite_cmu_us_{name}.so.1"), f"register_cmu_us_{name}")
            register.restype, register.argtypes = ctypes.POINTER(_Voice), [ctypes.c_char_p]
            self._voices[name] = register(None)
        return self._voices[name]


def _shared(name: str) -> ctypes.CDLL:
    """A library whose symbols the others may use."""
    return ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
