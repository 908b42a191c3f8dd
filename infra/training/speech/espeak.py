"""espeak-ng in this process, through its C interface, whose events tell exact times.

Needs Debian's `libespeak-ng1`. See speak_lib.h of espeak-ng 1.51.
"""

import ctypes
from typing import Any, TypeAlias

import numpy as np

from infra.training.data.mel import RATE, Audio
from infra.training.data.utterances import Phone
from infra.training.speech.spoken import Spoken, resampled, timed_words

Pointer: TypeAlias = Any
"""A pointer that C hands over."""
ESPEAK_RATE = 22_050
SYNCHRONOUS, PHONEME_EVENTS = 2, 1
SPEED, PITCH, SPAN = 1, 3, 4
CHARACTERS, UTF8 = 1, 1
WORD_EVENT, PHONEME_EVENT = 1, 7
FULL_SCALE = 32_768
AUDIBLE = 1e-3


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("id", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("name", ctypes.c_char * 8),
    )


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class Espeak:
    """The library, which a process may start once. Raises `OSError` where it is not installed."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libespeak-ng.so.1")
        self._blocks: list[Audio] = []
        self._starts: dict[int, float] = {}
        self._phones: list[Phone] = []
        self._library.espeak_Initialize(SYNCHRONOUS, 0, None, PHONEME_EVENTS)
        self._callback = _CALLBACK(self._receive)
        self._library.espeak_SetSynthCallback(self._callback)

    def say(self, text: str, voice: str, *, speed: float, pitch: float, span: float) -> Spoken:
        """Speak: words a minute, pitch and its range from 0 to 99. Raises `ValueError`."""
        self._blocks, self._starts, self._phones = [], {}, []
        if self._library.espeak_SetVoiceByName(voice.encode()):
            raise ValueError(f"espeak-ng has no voice {voice}")
        for parameter, setting in ((SPEED, speed), (PITCH, pitch), (SPAN, span)):
            self._library.espeak_SetParameter(parameter, int(setting), 0)
        letters = text.encode()
        self._library.espeak_Synth(letters, len(letters) + 1, 0, CHARACTERS, 0, UTF8, None, None)
        audio = resampled(np.concatenate(self._blocks), ESPEAK_RATE)
        audio = audio[: np.flatnonzero(np.abs(audio) > AUDIBLE)[-1] + 1]
        words = timed_words(text, self._starts, self._phones, len(audio) / RATE)
        return Spoken(text, voice, audio, words, tuple(self._phones))

    def _receive(self, wave: Pointer, count: int, events: Pointer) -> int:
        if count > 0:
            block = np.ctypeslib.as_array(wave, (count,))
            self._blocks.append(np.asarray(block / FULL_SCALE, dtype=np.float32))
        number = 0
        while events[number].type:
            self._note(events[number])
            number += 1
        return 0

    def _note(self, event: _Event) -> None:
        seconds = event.audio_ms / 1000
        if event.type == WORD_EVENT:
            self._starts[event.text_position - 1] = seconds
        elif event.type == PHONEME_EVENT:
            name = bytes(event.name).split(b"\0")[0].decode("utf-8", "replace")
            self._phones.append(Phone(name, seconds))
