"""The calls of an evaluation: recordings, each with what is really said in it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.client.recordings import Recording, recordings_in
from infra.evaluation.truth import ENDING, BrokenTruth, Truth, load_truth, may_be_truth, truth_file

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


def calls_in(folder: Path, *, skip_untold: bool = False) -> list[Call]:
    """The recordings of a folder and its folders, each with the truth that lies beside it.

    Raise `CannotEvaluate` where one is missing or broken, with all that is wrong. With
    `skip_untold`, a recording without a truth is left out instead.
    """
    found = list(recordings_in(folder))
    if not found:
        needed = f"needed: NAME.wav (or another audio file) with its truth NAME{ENDING}."
        raise CannotEvaluate([f"There is no recording in {folder}; {needed}"])
    calls, troubles = [], [*_without_recording(folder, found)]
    for recording in found:
        try:
            calls.append(Call(recording, load_truth(truth_file(recording.path))))
        except FileNotFoundError:
            if not skip_untold:
                beside = truth_file(recording.path).name
                troubles.append(f"{recording.name} has no truth; needed: {beside} beside it.")
        except (BrokenTruth, OSError) as error:
            troubles.append(str(error))
    if troubles or not calls:
        raise CannotEvaluate(troubles or [f"No recording in {folder} has a truth NAME{ENDING}."])
    return calls


def _without_recording(folder: Path, found: Iterable[Recording]) -> Iterator[str]:
    endings = (ENDING, ".json")
    recorded = {recording.path.with_suffix(ending) for recording in found for ending in endings}
    for path in sorted(folder.rglob("*.json")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path not in recorded and not hidden and may_be_truth(path):
            name = path.name.removesuffix(ENDING).removesuffix(".json")
            yield f"{path} has no recording; needed: {name}.wav (or another) beside it."
