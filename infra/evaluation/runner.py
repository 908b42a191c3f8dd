"""Recordings whose words are known, transcribed to see how many errors there are."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

from infra.client.batch import Outcome, Transcriber
from infra.client.client import Client
from infra.client.progress import ProgressDisplay
from infra.client.upload_options import UploadOptions
from infra.evaluation.calls import Call
from infra.evaluation.configuration import Configuration
from infra.local import postgres
from infra.local.stack import Stack
from infra.local.supervisor.log import log_file

LOG = "evaluate.log"
Server: TypeAlias = AbstractAsyncContextManager[str | Callable[[], str]]
"""Gives the URL of an API, or what tells it anew for each request."""


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Transcribes calls, `jobs` at a time, on the server that `server_of` gives a configuration.

    Several at once wait for each other, which counts as their processing time.
    """

    calls: Sequence[Call]
    options: UploadOptions
    jobs: int
    server_of: Callable[[Configuration], Server]
    display: ProgressDisplay

    async def run(self, configuration: Configuration) -> list[Outcome]:
        """The outcomes in the order of the calls. Raises `ServerAway` or `CannotStart`."""
        async with self.server_of(configuration) as url, Client(url) as client:
            await client.live()
            transcriber = Transcriber(client, self.options, self.display, lambda *_: None)
            return await transcriber.all([call.recording for call in self.calls], self.jobs)


@asynccontextmanager
async def own_stack(configuration: Configuration, data: Path) -> AsyncIterator[str]:
    """The API's URL of a stack with these settings that is gone afterwards; its log is in `data`.

    Raises `CannotStart` if it cannot.
    """
    with TemporaryDirectory(prefix="pocwhisp-") as folder, log_file(data / LOG) as sink:
        try:
            async with Stack(Path(folder), port=0, sink=sink, env=configuration.settings) as stack:
                yield stack.url
        finally:
            postgres.remove(Path(folder, "postgres"))
