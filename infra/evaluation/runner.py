"""Transcribes the calls of an evaluation, on a stack of its own where needed."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from infra.client.batch import DiscardResults, Transcriber, TranscriptionOutcome
from infra.client.client import Client
from infra.client.progress import ProgressDisplay
from infra.client.upload_options import UploadOptions
from infra.evaluation.calls import Call
from infra.evaluation.configuration import Configuration
from infra.local.stack import Stack
from infra.local.supervisor.log import log_file

STACK_FOLDER = "evaluate"
LOG = "evaluate.log"
ServerContext: TypeAlias = AbstractAsyncContextManager[str | Callable[[], str]]
"""A context that gives the URL of an API, or a function that returns it for each request."""


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Transcribes calls, `jobs` at a time, on the server that `server_of` gives a configuration.

    The time that several calls at once wait for each other counts as their processing time.
    """

    calls: Sequence[Call]
    options: UploadOptions
    jobs: int
    server_of: Callable[[Configuration], ServerContext]
    display: ProgressDisplay

    async def run(self, configuration: Configuration) -> list[TranscriptionOutcome]:
        """Transcribe all calls. Returns the outcomes in the order of the calls.

        Raises `ServerAway` or `CannotStart`.
        """
        async with self.server_of(configuration) as url, Client(url) as client:
            await client.live()
            transcriber = Transcriber(client, self.options, self.display, DiscardResults())
            return await transcriber.transcribe_all(
                [call.recording for call in self.calls], self.jobs
            )


@asynccontextmanager
async def own_stack(
    configuration: Configuration, data: Path, delete: Callable[[Path], None]
) -> AsyncIterator[str]:
    """Start a stack with the configuration's settings; gives the URL of its API.

    Its state lies in the folder `data/evaluate`, which is deleted before and afterwards; its log
    in `data/evaluate.log`. Raises `CannotStart` if it cannot start, or if another one runs there.
    """
    folder = data / STACK_FOLDER
    delete(folder)
    with log_file(data / LOG) as sink:
        try:
            async with Stack(folder, port=0, sink=sink, env=configuration.settings) as stack:
                yield stack.url
        finally:
            delete(folder)
