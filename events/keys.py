"""The keys of a recording's blobs in the object store."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class RecordingKey:
    """`<tenant>/<recording>`: what was uploaded, shared by all runs."""

    tenant: str
    recording: UUID

    @property
    def audio(self) -> str:
        return f"{self}/audio.wav"

    @property
    def audio_right(self) -> str:
        """The right speaker's own file, if each speaker came in one."""
        return f"{self}/audio-right.wav"

    @property
    def request(self) -> str:
        return f"{self}/request.json"

    def run(self, number: int) -> "RunKey":
        return RunKey(self.tenant, self.recording, number)

    def __str__(self) -> str:
        return f"{self.tenant}/{self.recording}"


@dataclass(frozen=True, slots=True)
class RunKey:
    """`<tenant>/<recording>/<run>`: what one run computed."""

    tenant: str
    recording: UUID
    number: int

    @property
    def previous(self) -> "RunKey | None":
        """The run before this one; None for the first."""
        return RunKey(self.tenant, self.recording, self.number - 1) if self.number > 1 else None

    def audio(self, channel: str) -> str:
        return f"{self}/{channel}.wav"

    def channel_transcript(self, channel: str) -> str:
        return f"{self}/{channel}.json"

    def checkpoint(self, channel: str, number: int) -> str:
        """Checkpoint `number`, from 1, of a channel that is being transcribed."""
        return f"{self}/{channel}-{number:04d}.json"

    @property
    def levels(self) -> str:
        return f"{self}/levels.json"

    @property
    def transcript(self) -> str:
        return f"{self}/transcript.json"

    @property
    def summary(self) -> str:
        return f"{self}/summary.json"

    def __str__(self) -> str:
        return f"{self.tenant}/{self.recording}/{self.number}"
