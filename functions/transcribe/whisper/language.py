"""Detect the language of a channel from its first windows."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from events.documents import Language
from functions.transcribe.whisper.decoding import DecodedWindow, DecodeRequest
from functions.transcribe.whisper.speech.windows import Window
from functions.transcribe.whisper.window_decoder import WindowDecoder
from shared.tasks import together

VOTERS = 4
"""Windows, from the first on, whose languages are averaged."""


@dataclass(frozen=True, slots=True)
class LanguageVote:
    """A window that was decoded before its channel's language was known.

    `decoded` holds the probability of each language, and the text in the likeliest of them.
    """

    request: DecodeRequest
    decoded: DecodedWindow


async def elect_language(
    decoder: WindowDecoder, windows: Iterable[Window]
) -> tuple[Language, deque[LanguageVote]]:
    """Return the language with the highest mean probability, and each window's vote.

    Each window is decoded in its own likeliest language, which most often is the channel's.
    """

    async def vote(window: Window) -> LanguageVote:
        request = await decoder.prepare(window)
        return LanguageVote(request, await decoder.decode(request, None, 0.0))

    votes = await together(*(vote(window) for window in windows))
    return _likeliest([vote.decoded.languages for vote in votes]), deque(votes)


def _likeliest(ballots: Sequence[Mapping[str, float]]) -> Language:
    means = {
        code: sum(ballot.get(code, 0.0) for ballot in ballots) / len(ballots) for code in ballots[0]
    }
    code = max(means, key=lambda one: means[one])
    return Language(code=code, probability=round(min(means[code], 1.0), 4))
