"""A `Summarizer` of two engines: the second stands in where the first fails."""

import structlog

from events.documents import Engine, Request, Transcript
from functions.summarize.summarizer import Summarizer, SummaryResult
from shared.errors import Unavailable

logger = structlog.get_logger()


class FallbackSummarizer:
    """Asks `preferred` up to `attempts` times, then `substitute`, whose result says `degraded`.

    Without a `preferred` engine on the machine the substitute makes every summary. `Unavailable`
    passes: an outage is waited out. Whatever else `preferred` raises counts as a failed attempt,
    so a summary never fails a recording as long as the substitute works.
    """

    def __init__(
        self, preferred: Summarizer | None, substitute: Summarizer, *, attempts: int = 2
    ) -> None:
        self._preferred = preferred
        self._substitute = substitute
        self._attempts = attempts

    @property
    def engine(self) -> Engine:
        return (self._preferred or self._substitute).engine

    async def summarize(self, transcript: Transcript, request: Request) -> SummaryResult:
        if self._preferred is not None:
            result = await self._try(self._preferred, transcript, request)
            if result is not None:
                return result
        made = await self._substitute.summarize(transcript, request)
        return SummaryResult(made.content, made.engine, (f"summarizer:{made.engine.name}",))

    async def _try(
        self, preferred: Summarizer, transcript: Transcript, request: Request
    ) -> SummaryResult | None:
        for _ in range(self._attempts):
            try:
                return await preferred.summarize(transcript, request)
            except Unavailable:
                raise
            except Exception as error:  # noqa: BLE001 - an engine's own errors are of any kind
                logger.warning(
                    "summarizer failed", engine=str(preferred.engine), reason=type(error).__name__
                )
        return None
