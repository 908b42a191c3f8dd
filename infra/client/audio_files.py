"""The audio files among files and folders that a user names."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ENDINGS = frozenset(
    {
        *(".wav", ".wave", ".wav49", ".rf64", ".bw64"),
        *(".flac", ".mp3", ".m4a", ".ogg", ".oga", ".opus"),
    }
)
"""Endings of recordings in a folder, in lower case; a file named by itself may have any."""


@dataclass(frozen=True, slots=True)
class AudioFile:
    """A file to be transcribed, and the stem of its results: `sub/call` for `sub/call.wav`."""

    path: Path
    result_stem: Path

    @property
    def name(self) -> str:
        """The name in messages: the path as the user wrote it."""
        return printable(str(self.path))


def printable(name: str) -> str:
    """Return a file's name as text; bytes that are not UTF-8 become U+FFFD."""
    return os.fsencode(name).decode(errors="replace")


def find_audio_files(paths: Iterable[Path]) -> list[AudioFile]:
    """Return the files among the paths and the audio files in its folders, each once."""
    found = (each for path in paths for each in _at(path))
    return list({each.path.resolve(): each for each in found}.values())


def audio_files_in(folder: Path) -> Iterator[AudioFile]:
    """Yield the audio files in a folder and below it, by name; hidden files are left out.

    A folder within that cannot be read, or vanishes meanwhile, is left out too. Raises `OSError`
    if `folder` itself cannot be read.
    """
    for path in sorted(_files_below(folder)):
        within = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in within.parts)
        if path.suffix.lower() in ENDINGS and not hidden and is_file(path):
            yield AudioFile(path, within.with_suffix(""))


def is_file(path: Path) -> bool:
    """Whether the path is a file, as far as can be seen: its folder may not be entered."""
    try:
        return path.is_file()
    except OSError:
        return False


def find_collision(found: Iterable[AudioFile]) -> tuple[AudioFile, AudioFile] | None:
    """Return two recordings whose results would have the same names. Returns None if none do."""
    seen: dict[Path, AudioFile] = {}
    for recording in found:
        if (other := seen.setdefault(recording.result_stem, recording)) is not recording:
            return other, recording
    return None


def _files_below(folder: Path) -> Iterator[Path]:
    def on_error(error: OSError) -> None:
        if error.filename == str(folder):
            raise error

    for within, _, names in os.walk(folder, onerror=on_error):
        yield from (Path(within, name) for name in names)


def _at(path: Path) -> Iterator[AudioFile]:
    if path.is_dir():
        yield from audio_files_in(path)
    else:
        yield AudioFile(path, Path(path.stem))
