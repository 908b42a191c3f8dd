"""Recordings whose words are known, transcribed to see how many errors there are."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from infra.client.batch import NoResults, Outcome, Transcriber
from infra.client.client import Client
from infra.client.progress import ProgressDisplay
from infra.client.upload_options import UploadOptions
from infra.evaluation.calls import Call
from infra.evaluation.configuration import Configuration
from infra.local.stack import Stack
from infra.local.supervisor.log import log_file

FOLDER = "evaluate"
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
            transcriber = Transcriber(client, self.options, self.display, NoResults())
            return await transcriber.all([call.recording for call in self.calls], self.jobs)


@asynccontextmanager
async def own_stack(
    configuration: Configuration, data: Path, delete: Callable[[Path], None]
) -> AsyncIterator[str]:
    """The API's URL of a stack with these settings that is deleted afterwards.

    It keeps its state in a folder of `data`, and its log beside that. What an earlier one left
    there, because it was killed, is deleted first. Raises `CannotStart` if it cannot start, or
    another one runs there.
    """
    folder = data / FOLDER
    delete(folder)
    with log_file(data / LOG) as sink:
        try:
            async with Stack(folder, port=0, sink=sink, env=configuration.settings) as stack:
                yield stack.url
        finally:
            delete(folder)
