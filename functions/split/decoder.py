"""The port for what is no plain WAV, and what every opened upload looks like."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from events.documents import AudioWarning
from shared.audio.formats import AudioFormat, Limits


@dataclass(frozen=True, slots=True)
class AudioSource:
    """The samples of one uploaded file.

    `pieces` reads them from the start, `frames` interleaved frames in all, as often as wanted
    and several times at once. `encoding` is what the file holds, `audio` what the pieces hold.
    """

    container: str
    encoding: str
    audio: AudioFormat
    frames: int
    warnings: tuple[AudioWarning, ...]
    pieces: Callable[[], AsyncIterator[bytes]]

    @property
    def seconds(self) -> float:
        return self.frames / self.audio.sample_rate


class Decoder(Protocol):
    """Decodes compressed audio, whatever harm its maker meant."""

    @property
    def engine(self) -> str:
        """Name and version of what decodes."""
        ...

    def decoded(
        self, file: AsyncIterator[bytes], container: str, limits: Limits
    ) -> AbstractAsyncContextManager[AudioSource]:
        """Decode the file, of the kind that `containers.AudioFacts.container` names.

        What is damaged is left out, with a warning. Raise `errors.Permanent`: `invalid_audio` if
        nothing can be decoded, `audio_constraints` as soon as it goes on past the longest
        duration; `errors.Transient` if decoding was broken off from outside.
        """
        ...
