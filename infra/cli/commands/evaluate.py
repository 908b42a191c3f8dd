"""`pocwhisp evaluate`: how many errors there are in recordings whose words are known."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.exit_codes import Exit, exit_code
from infra.cli.options import Data, Hotwords, Jobs, Language, Prompt, Server
from infra.cli.output import error_screen, print_error, screen
from infra.cli.run import run
from infra.client.upload_options import UploadOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.client.batch import Outcome
    from infra.evaluation.calls import Call
    from infra.evaluation.configuration import Configuration
    from infra.evaluation.report import ConfigurationResult

Truths = Annotated[
    Path,
    typer.Argument(
        help="Recordings NAME.wav, each with what is said in it, NAME.truth.json.",
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
Skip = Annotated[
    bool, typer.Option("--skip-untold", help="Leave out recordings that have no truth.")
]
Figures = Annotated[bool, typer.Option("--json", help="All figures, for scripts.")]


def evaluate(  # noqa: PLR0913 - one parameter for each option
    folder: Truths,
    *,
    of_a: With = None,
    of_b: Against = None,
    as_json: Figures = False,
    jobs: Jobs = 1,
    language: Language = None,
    prompt: Prompt = None,
    hotwords: Hotwords = None,
    skip_untold: Skip = False,
    server: Server = None,
    data: Data,
) -> None:
    """Count the errors in recordings whose words are known, of one set-up or of two.

    Uses the server, the running stack, or one started for it; each side of --with and --against
    has a stack of its own. Figures: words, word error rate, words heard on the wrong channel,
    turns lost or out of order, and seconds of work per second of the recording.
    """
    from infra.cli.progress_display import shown_on
    from infra.client.batch import summary
    from infra.evaluation.configuration import unknown_settings
    from infra.evaluation.report import ConfigurationResult
    from infra.evaluation.runner import Evaluator

    calls, chosen = _calls(folder, skip_untold=skip_untold), _configurations(of_a, of_b, server)
    for name in unknown_settings(chosen):
        print_error(f"{name} is no setting of a function; it is passed on all the same.")
    options = UploadOptions(language, prompt=prompt, hotwords=hotwords)
    outcomes: list[Outcome] = []
    results: list[ConfigurationResult] = []

    async def work() -> None:
        with shown_on(error_screen) as display:
            evaluator = Evaluator(
                calls, options, jobs, lambda it: _server_of(it, server, data), display
            )
            for configuration in chosen:
                ended = await evaluator.run(configuration)
                print_error(summary(ended))
                outcomes.extend(ended)
                results.append(_result(configuration, calls, ended))

    try:
        run(work())
    finally:  # a second side that cannot start does not take the first one's figures away
        _print_evaluation(results, calls, as_json=as_json)
    raise typer.Exit(exit_code(outcomes))


def _calls(folder: Path, *, skip_untold: bool) -> "list[Call]":
    """The recordings and truths of a folder; what is wrong with it ends the command."""
    from infra.evaluation.calls import CannotEvaluate, calls_in

    try:
        return calls_in(folder, skip_untold=skip_untold)
    except CannotEvaluate as error:
        print_error(f"pocwhisp: {error}")
        raise typer.Exit(Exit.USAGE) from error


def _configurations(
    of_a: list[str] | None, of_b: list[str] | None, server: str | None
) -> "list[Configuration]":
    from infra.evaluation.configuration import UnusableSettings, configurations

    try:
        return configurations(of_a, of_b, server)
    except UnusableSettings as error:
        raise typer.BadParameter(str(error)) from error


def _server_of(
    configuration: "Configuration", server: str | None, data: Path
) -> "AbstractAsyncContextManager[str | Callable[[], str]]":
    """The server or the running stack; a stack of its own for other settings, or if none runs."""
    from infra.cli.server_choice import server_for
    from infra.evaluation.configuration import UnusableSettings, check_environment
    from infra.evaluation.runner import own_stack
    from infra.local.state import running_stack

    if not configuration.own_stack and (server is not None or running_stack(data) is not None):
        return server_for(server, data)
    try:
        check_environment()
    except UnusableSettings as error:
        raise typer.BadParameter(str(error)) from error
    print_error(f"{configuration}: starting a stack for this …")
    from infra.local.stack import delete_stack

    return own_stack(configuration, data, delete_stack)


def _result(
    configuration: "Configuration", calls: "Sequence[Call]", outcomes: "Sequence[Outcome]"
) -> "ConfigurationResult":
    """Hold what was heard of each call against what is said in it."""
    from infra.evaluation.report import result_of, scored

    pairs = zip(outcomes, calls, strict=True)
    scores = [scored(outcome, call.truth) for outcome, call in pairs]
    return result_of(configuration.settings, scores)


def _print_evaluation(
    results: "Sequence[ConfigurationResult]", calls: "Sequence[Call]", *, as_json: bool
) -> None:
    """Print what there is: as JSON, else for people."""
    from infra.evaluation.report import Evaluation, table

    evaluation = Evaluation(sides=tuple(results))
    if results and as_json:
        typer.echo(evaluation.model_dump_json(indent=2))
    elif results:
        truths, names = [call.truth for call in calls], [call.name for call in calls]
        screen.print(table(evaluation, truths, names))
