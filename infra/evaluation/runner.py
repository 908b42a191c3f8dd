"""Recordings whose words are known, transcribed to see how many errors there are."""

import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from pydantic import AliasChoices
from pydantic_settings import BaseSettings

import shared.settings
from infra.cli import progress_display
from infra.cli.exit_codes import error_screen, print_error
from infra.cli.server_choice import server_for
from infra.client.batch import Outcome, Transcriber
from infra.client.client import Client, UploadOptions
from infra.client.recordings import Recording, recordings_in
from infra.deployments import DEPLOYMENTS
from infra.dispatcher import settings
from infra.evaluation.truth import BrokenTruth, Truth, load_truth
from infra.local import postgres
from infra.local.stack import Stack, running_stack
from infra.local.supervisor.log import log_file

Truths = Annotated[
    Path,
    typer.Argument(
        help="Recordings NAME.wav, each with what is said in it, NAME.json.",
        exists=True,
        file_okay=False,
    ),
]
With = Annotated[
    list[str] | None,
    typer.Option("--with", help="A setting of the functions, NAME=VALUE; repeatable."),
]
Against = Annotated[
    list[str] | None,
    typer.Option("--against", help="A setting of the second side, NAME=VALUE; repeatable."),
]
Figures = Annotated[bool, typer.Option("--json", help="All figures, for scripts.")]

LOG = "evaluate.log"
GIVEN_SERVERS = ("NATS_URL", "DATABASE_URL", "BLOBS_URL")
SET_BY_THE_STACK = {*GIVEN_SERVERS, "CHANNEL", "CONCURRENCY", "FUNCTION_TARGET", "HOST", "PORT"}
MOST_TROUBLES = 10


class CannotEvaluate(ValueError):
    """A folder that does not hold recordings with their truths; `troubles` are sentences."""

    def __init__(self, troubles: Sequence[str]) -> None:
        more = len(troubles) - MOST_TROUBLES
        shown = (*troubles[:MOST_TROUBLES], *([f"… and {more} more."] if more > 0 else ()))
        super().__init__("\n".join(shown))
        self.troubles = tuple(troubles)


@dataclass(frozen=True, slots=True)
class Call:
    """A recording and what is really said in it."""

    recording: Recording
    truth: Truth

    @property
    def name(self) -> str:
        """Its path within the folder that is evaluated."""
        return str(self.recording.result_stem.with_name(self.recording.path.name))


@dataclass(frozen=True, slots=True)
class Configuration:
    """Settings to evaluate; with `own_stack`, on a stack of their own even if there are none."""

    settings: Mapping[str, str] = field(default_factory=dict)
    own_stack: bool = False

    def __str__(self) -> str:
        return " ".join(f"{name}={text}" for name, text in self.settings.items()) or "as it is"


def calls_in(folder: Path) -> list[Call]:
    """The recordings of a folder and its folders, each with the truth that lies beside it.

    Raise `CannotEvaluate` where one is missing or broken, with all that is wrong.
    """
    found = list(recordings_in(folder))
    if not found:
        needed = "needed: NAME.wav (or another audio file) with its truth NAME.json."
        raise CannotEvaluate([f"There is no recording in {folder}; {needed}"])
    troubles = [*_without_recording(folder, found)]
    calls = []
    for recording in found:
        try:
            calls.append(Call(recording, load_truth(_truth_of(recording))))
        except FileNotFoundError:
            beside = _truth_of(recording).name
            troubles.append(f"{recording.name} has no truth; needed: {beside} beside it.")
        except (BrokenTruth, OSError) as error:
            troubles.append(str(error))
    if troubles:
        raise CannotEvaluate(troubles)
    return calls


def _truth_of(recording: Recording) -> Path:
    return recording.path.with_suffix(".json")


def _without_recording(folder: Path, found: Iterable[Recording]) -> Iterator[str]:
    recorded = {_truth_of(recording) for recording in found}
    for path in sorted(folder.rglob("*.json")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path not in recorded and not hidden:
            yield f"{path} has no recording; needed: {path.stem}.wav (or another) beside it."


def configurations(
    of_a: Sequence[str] | None, of_b: Sequence[str] | None, server: str | None
) -> list[Configuration]:
    """The sides to evaluate: one, or two where there is something to hold it against.

    Raise `BadParameter` for settings that cannot be used.
    """
    if (of_a or of_b) and server is not None:
        raise typer.BadParameter(
            "--with and --against start stacks of their own, so --server cannot be given too."
        )
    first = Configuration(_settings("--with", of_a), own_stack=bool(of_a or of_b))
    return [first, Configuration(_settings("--against", of_b), own_stack=True)] if of_b else [first]


def _settings(option: str, pairs: Sequence[str] | None) -> dict[str, str]:
    """The settings, split at their first `=`."""
    split = [pair.partition("=") for pair in pairs or ()]
    for name, equals, text in split:
        if not (name and equals):
            raise typer.BadParameter(f"{option} {name}{text}: needed: NAME=VALUE.")
        if name.upper() in SET_BY_THE_STACK:
            raise typer.BadParameter(f"{option} {name}: the stack itself sets {name}.")
    return {name: text for name, _, text in split}


def unknown_settings(chosen: Iterable[Configuration]) -> list[str]:
    """Names of settings that nothing of ours reads; a library may, so they are passed on."""
    known = {name.upper() for settings in _all_settings() for name in _names(settings)}
    names = (name for configuration in chosen for name in configuration.settings)
    return [name for name in names if name.upper() not in known]


def _all_settings() -> Iterator[type[BaseSettings]]:
    packages = {deployment.module.rpartition(".")[0] for deployment in DEPLOYMENTS}
    functions = (import_module(f"{package}.settings") for package in packages)
    for module in (*functions, shared.settings, settings):
        for each in vars(module).values():
            if isinstance(each, type) and issubclass(each, BaseSettings):
                yield each


def _names(settings: type[BaseSettings]) -> Iterator[str]:
    prefix = settings.model_config.get("env_prefix", "")
    for name, described in settings.model_fields.items():
        alias = described.validation_alias
        if isinstance(alias, AliasChoices):
            yield from map(str, alias.choices)
        else:
            yield str(alias or f"{prefix}{name}")


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Transcribes calls as each configuration says, `jobs` at a time.

    Several at once wait for each other, which counts as their processing time.
    """

    calls: Sequence[Call]
    options: UploadOptions
    jobs: int
    server: str | None
    data: Path

    async def run(self, configuration: Configuration) -> list[Outcome]:
        """The outcomes in the order of the calls. Raise `ServerAway` or `CannotStart`."""
        async with server_of(configuration, self.server, self.data) as url, Client(url) as client:
            await client.live()
            with progress_display.board(error_screen) as board:
                transcriber = Transcriber(client, self.options, board, lambda *_: None)
                return await transcriber.all([call.recording for call in self.calls], self.jobs)


@asynccontextmanager
async def server_of(
    configuration: Configuration, server: str | None, data: Path
) -> AsyncIterator[Callable[[], str]]:
    """Tells the API's URL: the server's or the running stack's, or that of a passing one.

    The passing stack keeps its state in a temporary folder, its log in `data`. Raise
    `CannotStart` if it cannot.
    """
    if not configuration.own_stack and (server is not None or running_stack(data) is not None):
        async with server_for(server, data) as url:
            yield url
        return
    _check_environment()
    print_error(f"{configuration}: starting a stack for this …")
    with TemporaryDirectory(prefix="pocwhisp-") as folder, log_file(data / LOG) as sink:
        try:
            async with Stack(Path(folder), port=0, sink=sink, env=configuration.settings) as stack:
                yield lambda: stack.url
        finally:
            postgres.remove(Path(folder, "postgres"))


def _check_environment() -> None:
    """Another stack's functions and sweep, at the same servers, would do this one's work."""
    if given := [name for name in GIVEN_SERVERS if os.environ.get(name)]:
        raise typer.BadParameter(
            f"An evaluation's stack has servers of its own; unset {', '.join(given)}."
        )
