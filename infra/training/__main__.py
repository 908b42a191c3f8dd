"""`python -m infra.training`: speak, train, export, evaluate. README.md tells how."""

import math
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Makes whisper-nano, and is the start of fine-tuning.", no_args_is_help=True)

Written = Annotated[Path, typer.Argument(help="The folder to write.")]
Weights = Annotated[Path, typer.Argument(help="A checkpoint.pt, or a Hugging Face folder.")]


@app.command()
def synthesise(folder: Written, scale: float = 1.0, workers: int = 2) -> None:
    """Speak the training's sentences with espeak-ng and flite."""
    from infra.training.speech.synthesise import synthesise  # noqa: PLC0415 - each command its own

    for name in synthesise(folder, scale=scale, workers=workers):
        typer.echo(name)


@app.command()
def train(  # noqa: PLR0913 - an option each
    folder: Written,
    *,
    speech: Annotated[Path | None, typer.Option(help="What synthesise wrote.")] = None,
    recordings: Annotated[Path | None, typer.Option(help="NAME.wav with NAME.truth.json.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Where to start, if not at nothing.")] = None,
    steps: int = 5_000,
    minutes: Annotated[float, typer.Option(help="End after these at the latest.")] = math.inf,
    rate: float = 2e-3,
    muon: Annotated[bool, typer.Option(help="Off for fine-tuning a real model.")] = True,
    device: str = "cpu",
    every: Annotated[int, typer.Option(help="Steps between reports.")] = 200,
) -> None:
    """Train on speech or on recordings."""
    from infra.training.fit.fitting import Materials, fit  # noqa: PLC0415 - needs torch
    from infra.training.fit.train import Plan  # noqa: PLC0415

    materials = Materials(speech, recordings, weights)
    fit(folder, materials, Plan(steps, rate, muon, minutes), device=device, every=every)


@app.command()
def export(
    weights: Weights,
    folder: Written,
    *,
    quantization: str = "int8",
    fixture: Annotated[bool, typer.Option(help="Off for a model that people may use.")] = True,
) -> None:
    """Write a model that faster-whisper loads."""
    from infra.training.model.checkpoints import trained  # noqa: PLC0415 - needs torch
    from infra.training.model.export import export  # noqa: PLC0415

    export(trained(weights), folder, quantization=quantization, is_fixture=fixture)


@app.command()
def evaluate(
    models: Annotated[list[Path], typer.Argument(help="Exported folders.")],
    sets: Annotated[Path, typer.Option(help="Held-out calls, made there at first.")] = Path(
        "held-out-sets"
    ),
    size: Annotated[int, typer.Option(help="Calls per set, when they are made.")] = 4,
) -> None:
    """Print a table of what exported models hear in held-out sentences."""
    from infra.training.exam.evaluate import table  # noqa: PLC0415 - each command its own
    from infra.training.exam.held_out_sets import held_out_sets  # noqa: PLC0415

    for line in table(models, held_out_sets(sets, size)):
        typer.echo(line)


if __name__ == "__main__":
    app()
