"""The calls of an evaluation: recordings, each with its truth."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.client.audio_files import AudioFile, audio_files_in
from infra.evaluation.truth import ENDING, BrokenTruth, Truth, load_truth, may_be_truth, truth_file

MOST_PROBLEMS = 10


class CannotEvaluate(ValueError):
    """A folder that does not hold recordings with their truths; `problems` are sentences."""

    def __init__(self, problems: Sequence[str]) -> None:
        more = len(problems) - MOST_PROBLEMS
        shown = (*problems[:MOST_PROBLEMS], *([f"… and {more} more."] if more > 0 else ()))
        super().__init__("\n".join(shown))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Call:
    """A recording and its truth."""

    recording: AudioFile
    truth: Truth

    @property
    def name(self) -> str:
        """Its path within the evaluated folder."""
        return str(self.recording.result_stem.with_name(self.recording.path.name))


def calls_in(folder: Path, *, skip_without_truth: bool = False) -> list[Call]:
    """Return the recordings in a folder and below it, each with the truth that lies beside it.

    With `skip_without_truth`, recordings without a truth are left out. Raises `CannotEvaluate`,
    naming all problems, if a recording or a truth is missing or broken.
    """
    found = list(audio_files_in(folder))
    if not found:
        needed = f"needed: NAME.wav (or another audio file) with its truth NAME{ENDING}."
        raise CannotEvaluate([f"There is no recording in {folder}; {needed}"])
    calls, problems = [], [*_without_recording(folder, found)]
    for recording in found:
        try:
            calls.append(Call(recording, load_truth(truth_file(recording.path))))
        except FileNotFoundError:
            if not skip_without_truth:
                beside = truth_file(recording.path).name
                problems.append(f"{recording.name} has no truth; needed: {beside} beside it.")
        except (BrokenTruth, OSError) as error:
            problems.append(str(error))
    if problems or not calls:
        raise CannotEvaluate(problems or [f"No recording in {folder} has a truth NAME{ENDING}."])
    return calls


def _without_recording(folder: Path, found: Iterable[AudioFile]) -> Iterator[str]:
    endings = (ENDING, ".json")
    recorded = {recording.path.with_suffix(ending) for recording in found for ending in endings}
    for path in sorted(folder.rglob("*.json")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path not in recorded and not hidden and may_be_truth(path):
            name = path.name.removesuffix(ENDING).removesuffix(".json")
            yield f"{path} has no recording; needed: {name}.wav (or another) beside it."
