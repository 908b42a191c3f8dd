"""The port to a decoder of compressed audio, and the audio source that every upload becomes."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from events.documents import AudioWarning
from shared.audio.formats import AudioFormat, Limits


@dataclass(frozen=True, slots=True)
class AudioSource:
    """The samples of one uploaded file.

    `chunks` reads them from the start, `frames` interleaved frames in all, as often as wanted and
    several times at once. `encoding` is the file's encoding, `audio` the format of the chunks.
    """

    container: str
    encoding: str
    audio: AudioFormat
    frames: int
    warnings: tuple[AudioWarning, ...]
    chunks: Callable[[], AsyncIterator[bytes]]

    @property
    def seconds(self) -> float:
        return self.frames / self.audio.sample_rate


class Decoder(Protocol):
    """Decodes compressed audio, hostile files included."""

    @property
    def engine(self) -> str:
        """Name and version of the decoder."""
        ...

    def decoded(
        self, file: AsyncIterator[bytes], container: str, limits: Limits
    ) -> AbstractAsyncContextManager[AudioSource]:
        """Decode the file, whose kind is one of `compressed.AudioProperties.container`.

        Damaged parts are left out, with a warning. Raises `errors.Permanent`: `invalid_audio` if
        nothing can be decoded, `audio_constraints` if the audio is longer than the limit. Raises
        `errors.Transient` if decoding was broken off from outside.
        """
        ...
