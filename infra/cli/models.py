"""Lists the Whisper models on this machine, and downloads them."""

from collections.abc import Iterator
from pathlib import Path

from functions.transcribe.settings import Settings
from functions.transcribe.whisper.models import (
    MODEL_FILES,
    REPOSITORIES,
    Model,
    NoEngine,
    find_model,
    in_cache,
    repository_of,
)
from infra.cli.output import print_error


class CannotPull(Exception):
    """A model cannot be downloaded. The message is for the user."""


def on_this_machine(settings: Settings) -> Iterator[Model]:
    """Yield the model in the folder WHISPER_MODEL, if it is one, and those in the hub's cache."""
    folder = Path(settings.whisper_model).expanduser() if settings.whisper_model else None
    if folder and folder.is_dir():
        yield Model(folder.resolve().name, folder.resolve())
    yield from in_cache(settings.model_cache)


def fetch(wanted: str, cache: Path) -> Model:
    """Download a model, unless the cache has the newest revision.

    `wanted` is NAME or OWNER/NAME, with @REVISION if needed. Raises `CannotPull`, within seconds
    if the hub does not answer. A download that breaks off is continued by the next one.
    """
    name, _, revision = wanted.partition("@")
    if name not in REPOSITORIES and "/" not in name.strip("/"):
        raise CannotPull(f"No model is called {name}. There are: {', '.join(REPOSITORIES)}.")
    try:
        _download(repository_of(name), revision or None, cache)
    except ImportError as error:
        raise CannotPull(
            "faster-whisper is not installed: pip install 'pocwhisp[whisper]'"
        ) from error
    except Exception as error:  # the hub's client raises its HTTP library's errors and its own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if not _is_there(wanted, cache):
            raise CannotPull(f"Cannot get {wanted} from the Hugging Face hub: {reason}") from error
        print_error(f"The hub cannot be asked for a newer {wanted}: {reason}")
    return _found(wanted, cache)


def _download(repository: str, revision: str | None, cache: Path) -> None:
    from huggingface_hub import HfApi, constants, snapshot_download  # noqa: PLC0415 - a second to import

    # Asked first because of its time limit: the download itself may wait for minutes.
    HfApi().model_info(repository, revision=revision, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    snapshot_download(
        repository, revision=revision, cache_dir=cache, allow_patterns=list(MODEL_FILES)
    )


def _is_there(wanted: str, cache: Path) -> bool:
    try:
        find_model(wanted, cache)
    except NoEngine:
        return False
    return True


def _found(wanted: str, cache: Path) -> Model:
    try:
        return find_model(wanted, cache)
    except NoEngine as error:
        raise CannotPull(f"What was downloaded is no faster-whisper model: {error}") from error
