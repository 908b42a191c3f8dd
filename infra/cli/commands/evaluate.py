"""`pocwhisp evaluate`: count the errors in recordings whose truth is known."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.cli.exit_codes import Exit, exit_code
from infra.cli.option_groups import with_groups
from infra.cli.options import Hotwords, Jobs, Language, Prompt, chosen_server
from infra.cli.output import error_screen, print_error, screen
from infra.cli.run import run
from infra.cli.server_choice import ServerChoice
from infra.client.upload_options import UploadOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from infra.client.batch import TranscriptionOutcome
    from infra.evaluation.calls import Call
    from infra.evaluation.configuration import Configuration
    from infra.evaluation.figures import ConfigurationResult

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
    typer.Option(
        "--against", help="A setting of the second configuration, NAME=VALUE; repeatable."
    ),
]
Skip = Annotated[
    bool, typer.Option("--skip-without-truth", help="Leave out recordings that have no truth.")
]
FormerSkip = Annotated[bool, typer.Option("--skip-untold", hidden=True)]
Figures = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]


@with_groups(server=chosen_server)
def evaluate(  # noqa: PLR0913 - one parameter for each option
    folder: Truths,
    *,
    with_settings: With = None,
    against_settings: Against = None,
    as_json: Figures = False,
    jobs: Jobs = 1,
    language: Language = None,
    prompt: Prompt = None,
    hotwords: Hotwords = None,
    skip_without_truth: Skip = False,
    skip_untold: FormerSkip = False,
    server: ServerChoice,
) -> None:
    """Count the errors in recordings whose words are known, of one configuration or of two.

    Uses the server, the running stack, or one started for it; with --with or --against, each
    configuration has a stack of its own. Figures: words, word error rate, words recognised on
    the wrong channel, turns lost or out of order, and seconds of work per second of the recording.
    """
    from infra.evaluation.configuration import unknown_settings

    calls = _calls(folder, skip_without_truth=skip_without_truth or skip_untold)
    chosen = _configurations(with_settings, against_settings, server.url)
    for name in unknown_settings(chosen):
        print_error(f"{name} is no setting of a function; it is passed on all the same.")
    options = UploadOptions(language=language, prompt=prompt, hotwords=hotwords)
    results: list[ConfigurationResult] = []
    try:
        code = run(_evaluate(calls, chosen, options, server, jobs, results=results))
    finally:  # if the second cannot start, the first one's figures stay
        _print_evaluation(results, calls, as_json=as_json)
    raise typer.Exit(code)


async def _evaluate(  # noqa: PLR0913 - what the command's options say
    calls: "Sequence[Call]",
    chosen: "Sequence[Configuration]",
    options: UploadOptions,
    server: ServerChoice,
    jobs: int,
    *,
    results: "list[ConfigurationResult]",
) -> Exit:
    """Transcribe the calls with each configuration, and append its figures to `results`."""
    from infra.cli.progress_display import shown_on
    from infra.client.batch import count_statuses
    from infra.evaluation.runner import Evaluator

    statuses: list[str] = []
    with shown_on(error_screen) as display:
        evaluator = Evaluator(calls, options, jobs, partial(_server_of, server), display)
        for configuration in chosen:
            outcomes = await evaluator.run(configuration)
            results.append(_result(configuration, calls, outcomes))
            ended = [recording.status for recording in results[-1].recordings]
            print_error(count_statuses(ended))
            statuses.extend(ended)
    return exit_code(statuses)


def _calls(folder: Path, *, skip_without_truth: bool) -> "list[Call]":
    """Return the calls of a folder; exit with a message if there are problems."""
    from infra.evaluation.calls import CannotEvaluate, calls_in

    try:
        return calls_in(folder, skip_without_truth=skip_without_truth)
    except CannotEvaluate as error:
        print_error(f"pocwhisp: {error}")
        raise typer.Exit(Exit.USAGE) from error


def _configurations(
    with_settings: list[str] | None, against_settings: list[str] | None, server: str | None
) -> "list[Configuration]":
    from infra.evaluation.configuration import UnusableSettings, configurations

    try:
        return configurations(with_settings, against_settings, server)
    except UnusableSettings as error:
        raise typer.BadParameter(str(error)) from error


def _server_of(
    choice: ServerChoice, configuration: "Configuration"
) -> "AbstractAsyncContextManager[str | Callable[[], str]]":
    """Return the server or running stack; a new stack for other settings, or if none runs."""
    from infra.evaluation.configuration import UnusableSettings, check_environment
    from infra.evaluation.runner import own_stack

    if not configuration.own_stack and choice.is_there:
        return choice.open()
    try:
        check_environment()
    except UnusableSettings as error:
        raise typer.BadParameter(str(error)) from error
    print_error(f"{configuration}: starting a stack for this …")
    from infra.local.stack import delete_stack

    return own_stack(configuration, choice.data, delete_stack)


def _result(
    configuration: "Configuration",
    calls: "Sequence[Call]",
    outcomes: "Sequence[TranscriptionOutcome]",
) -> "ConfigurationResult":
    """Compare each outcome with the truth of its call."""
    from infra.evaluation.figures import figures_of, result_of

    pairs = zip(outcomes, calls, strict=True)
    figures = [figures_of(outcome, call.truth) for outcome, call in pairs]
    return result_of(configuration.settings, figures)


def _print_evaluation(
    results: "Sequence[ConfigurationResult]", calls: "Sequence[Call]", *, as_json: bool
) -> None:
    """Print the results: as JSON, or as a table."""
    from infra.cli.evaluation_table import evaluation_table
    from infra.evaluation.figures import Evaluation

    evaluation = Evaluation(sides=tuple(results))
    if results and as_json:
        typer.echo(evaluation.model_dump_json(indent=2))
    elif results:
        truths, names = [call.truth for call in calls], [call.name for call in calls]
        screen.print(evaluation_table(evaluation, truths, names))
