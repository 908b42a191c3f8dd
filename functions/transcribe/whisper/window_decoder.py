"""Decode single windows of one channel through the batches that all channels share."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from functions.transcribe.recognizer import Samples
from functions.transcribe.whisper.decoding import BatchOptions, DecodedWindow, DecodeRequest, Task
from functions.transcribe.whisper.mel import FRAMES, HOP, Mel
from functions.transcribe.whisper.speech.windows import Window

Submit = Callable[[BatchOptions, DecodeRequest], Awaitable[asyncio.Future[DecodedWindow]]]
"""Hands a window to the batches once there is room; returns the future of the decoded window."""


@dataclass(frozen=True, kw_only=True)
class WindowDecoder:
    """Decodes a channel's windows with its task and its `hints`: tokens likely to be spoken."""

    submit: Submit
    spectrogram: Callable[[Samples], Mel]
    task: Task = "transcribe"
    hints: tuple[int, ...] = ()

    async def prepare(self, window: Window) -> DecodeRequest:
        """Compute the window's spectrogram, in a thread."""
        mel = await asyncio.to_thread(self.spectrogram, window.samples)
        return DecodeRequest(mel, min(len(window.samples) // HOP, FRAMES), self.hints)

    async def decode(
        self, request: DecodeRequest, language: str | None, temperature: float
    ) -> DecodedWindow:
        """Decode a window; with `language` None the model detects it."""
        options = BatchOptions(language, self.task, len(self.hints), temperature)
        return await (await self.submit(options, request))
