"""Find the Whisper models on this machine: in folders, and in the Hugging Face hub's cache.

Only files are looked at, so it costs nothing where there are none and never waits for a network.
A model is whole if it has each file that faster-whisper reads; a download that was broken off
leaves one missing.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shared.errors import Unavailable

REPOSITORIES = {
    "tiny": "Systran/faster-whisper-tiny",
    "tiny.en": "Systran/faster-whisper-tiny.en",
    "base": "Systran/faster-whisper-base",
    "base.en": "Systran/faster-whisper-base.en",
    "small": "Systran/faster-whisper-small",
    "small.en": "Systran/faster-whisper-small.en",
    "medium": "Systran/faster-whisper-medium",
    "medium.en": "Systran/faster-whisper-medium.en",
    "large-v1": "Systran/faster-whisper-large-v1",
    "large-v2": "Systran/faster-whisper-large-v2",
    "large-v3": "Systran/faster-whisper-large-v3",
    "large": "Systran/faster-whisper-large-v3",
    "large-v3-turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
    "turbo": "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
    "distil-small.en": "Systran/faster-distil-whisper-small.en",
    "distil-medium.en": "Systran/faster-distil-whisper-medium.en",
    "distil-large-v2": "Systran/faster-distil-whisper-large-v2",
    "distil-large-v3": "Systran/faster-distil-whisper-large-v3",
    "distil-large-v3.5": "distil-whisper/distil-large-v3.5-ct2",
}
"""The hub's repository for each of faster-whisper's names."""

NEEDED_FILES = ("model.bin", "config.json", "tokenizer.json")
"""Without a tokenizer, faster-whisper would ask the hub for one."""
VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
MODEL_FILES = (*NEEDED_FILES, *VOCABULARIES, "preprocessor_config.json")
"""All that faster-whisper reads."""
FIXTURE = "test-fixture"
"""A file of this name marks a model that is made for tests."""


class NoEngine(Unavailable):
    """The engine that was asked for cannot run here. The message says what to do about it."""

    code = "no_engine"

    def __init__(self, message: str) -> None:
        super().__init__(message, part="The recogniser's engine or model")


@dataclass(frozen=True)
class Model:
    """A model on this machine. `revision` is the hub's commit, empty for a plain folder."""

    name: str
    folder: Path
    revision: str = ""

    @property
    def missing(self) -> tuple[str, ...]:
        """The names of the files that it lacks; empty if it is whole."""
        lacking = [name for name in NEEDED_FILES if not (self.folder / name).is_file()]
        if not any((self.folder / name).is_file() for name in VOCABULARIES):
            lacking.append(VOCABULARIES[0])
        return tuple(lacking)

    @property
    def is_fixture(self) -> bool:
        return (self.folder / FIXTURE).exists()

    @property
    def size(self) -> int:
        """Bytes of the files that faster-whisper reads."""
        return sum(path.stat().st_size for path in self._files())

    @property
    def layers(self) -> int:
        """The decoder's layers, counted up to the last with a head that aligns words.

        It is 32 if the configuration names no such head.
        """
        config = json.loads((self.folder / "config.json").read_bytes())
        return 1 + max((layer for layer, _ in config.get("alignment_heads", ())), default=31)

    def digest(self) -> str:
        """SHA-256 over the model's files, the same wherever it lies.

        In the hub's cache a large file is named by its own SHA-256 and is not read again.
        """
        total = hashlib.sha256()
        for path in self._files():
            total.update(f"{path.name} {_sha256(path)}\n".encode())
        return total.hexdigest()

    def _files(self) -> Iterator[Path]:
        return (path for name in sorted(MODEL_FILES) if (path := self.folder / name).is_file())


def find_model(wanted: str, cache: Path) -> Model:
    """Return the model for a folder, a name, `owner/name` or `NAME@REVISION`.

    Raises `NoEngine`, which says what was looked for and where, if it is missing or not whole.
    """
    folder = Path(wanted).expanduser()
    if folder.is_dir():
        return _whole(Model(folder.resolve().name, folder.resolve()), wanted)
    name, _, revision = wanted.partition("@")
    if not _is_in_hub(name):
        raise NoEngine(f"No Whisper model at {wanted}: {_no_folder(wanted)}")
    model = cached(name, revision, cache)
    if model is None:
        raise NoEngine(
            f"No Whisper model {wanted} in {cache}. Get it with: pocwhisp models pull {wanted}"
        )
    return _whole(model, wanted)


def cached(name: str, revision: str, cache: Path) -> Model | None:
    """Return the cached model, a whole revision first. Returns None if there is none."""
    folder = cache / f"models--{repository_of(name).replace('/', '--')}"
    there = [
        Model(_short(name), folder / "snapshots" / commit, commit)
        for commit in _commits(folder, revision)
    ]
    return next((model for model in there if not model.missing), there[0] if there else None)


def in_cache(cache: Path) -> Iterator[Model]:
    """Yield every Whisper model in the hub's cache, each revision of it, whole or not."""
    for folder in sorted(cache.glob("models--*")):
        repository = folder.name.removeprefix("models--").replace("--", "/", 1)
        for snapshot in sorted((folder / "snapshots").glob("*")):
            model = Model(_short(repository), snapshot, snapshot.name)
            if repository in REPOSITORIES.values() or not model.missing:
                yield model


def repository_of(name: str) -> str:
    """Return the hub's repository for a name."""
    return REPOSITORIES.get(name, name)


def _is_in_hub(name: str) -> bool:
    """Return whether this can be a name in the hub, and not only a path."""
    owner, _, rest = name.partition("/")
    return name in REPOSITORIES or bool(owner.strip("./~") and rest and "/" not in rest)


def _no_folder(wanted: str) -> str:
    if "/" in wanted:
        return "there is no such folder."
    return f"it is no folder, and none of {', '.join(REPOSITORIES)}."


def _short(name: str) -> str:
    """Return faster-whisper's name for a repository, or the repository's without its owner."""
    by_repository = {repository: short for short, repository in reversed(REPOSITORIES.items())}
    return name if name in REPOSITORIES else by_repository.get(name, name.rpartition("/")[2])


def _commits(folder: Path, revision: str) -> Iterator[str]:
    """Yield the commits that a revision may mean: what it names, then by date, newest first.

    An empty revision names `main`.
    """
    reference = folder / "refs" / (revision or "main")
    if reference.is_file():
        yield reference.read_text(encoding="utf-8").strip()
    snapshots = sorted((folder / "snapshots").glob("*"), key=lambda path: -path.stat().st_mtime)
    yield from (path.name for path in snapshots if path.name.startswith(revision))


def _whole(model: Model, wanted: str) -> Model:
    if model.missing:
        raise NoEngine(
            f"The Whisper model {wanted} ({model.folder}) lacks {' and '.join(model.missing)}."
        )
    return model


def _sha256(path: Path) -> str:
    stored = path.resolve().name
    if path.is_symlink() and len(stored) == hashlib.sha256().digest_size * 2:
        return stored
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
