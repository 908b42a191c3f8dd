"""A result as files, one for each format that is wanted."""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from infra.client.client import Session
from infra.client.recordings import Recording
from shared.text import subtitles
from shared.text.plain import plain_lines, session_segments, speaker_names

FileVersion: TypeAlias = tuple[int, int, int]
"""Inode, size in bytes and time of change in ns."""

BEGINNING = 4096
"""Characters of a text file that tell whether it may be a result."""


def _json(session: Session) -> str:
    return json.dumps(session, indent=2, ensure_ascii=False) + "\n"


def _txt(session: Session) -> str:
    return "".join(f"{line}\n" for line in plain_lines(session))


def _srt(session: Session) -> str:
    return subtitles.srt(session_segments(session), speaker_names(session))


def _vtt(session: Session) -> str:
    return subtitles.vtt(session_segments(session), speaker_names(session))


FORMATS: Mapping[str, Callable[[Session], str]] = {
    "json": _json,
    "txt": _txt,
    "srt": _srt,
    "vtt": _vtt,
}
"""By the ending of the file."""

TEXT_FORMS = {
    "txt": re.compile(r"\[\d+:\d\d\.\d\] [^\n]*:|\Z"),
    "srt": re.compile(r"\d+\r?\n\d+:\d\d:\d\d,\d+ --> |\Z"),
    "vtt": re.compile(r"WEBVTT"),
}
"""How the text files that we write begin; one of nothing but silence may be empty."""


class NotReplaced(OSError):
    """A file that lies where a result should go, and is none. The message is for a person."""


def written(session: Session, ending: str) -> str:
    """The result in the format of this ending."""
    return FORMATS[ending](session)


class ResultFiles:
    """The results of recordings, below the folder `out`, one file for each of the `endings`.

    A file that is no result is not replaced, unless `force` says so.
    """

    def __init__(self, out: Path, endings: Sequence[str], *, force: bool = False) -> None:
        self._out = out
        self._endings = endings
        self._force = force
        self._judged: dict[Path, tuple[FileVersion, bool]] = {}

    def check(self, recording: Recording) -> None:
        """Raise `NotReplaced` if a file that is no result lies where one should go."""
        for path in () if self._force else self.paths(recording):
            if os.path.lexists(path) and not self._is_result(path):
                raise NotReplaced(
                    f"{path} is no result of PocWhisp; it is replaced only with --force."
                )

    def save(self, recording: Recording, session: Session) -> None:
        """Write the files; each appears whole or not at all. Raises `OSError`."""
        self.check(recording)
        for path in self.paths(recording):
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_whole(path, written(session, _ending(path)))

    def are_there(self, recording: Recording) -> bool:
        """Whether all its files are there, and are results of the recording as it is now."""
        try:
            changed = _changed(recording.path)
            return all(
                path.stat().st_mtime_ns >= changed and self._is_result(path)
                for path in self.paths(recording)
            )
        except OSError:
            return False

    def paths(self, recording: Recording) -> list[Path]:
        """Where the results of a recording go."""
        stem = self._out / recording.result_stem
        return [stem.with_name(f"{stem.name}.{ending}") for ending in self._endings]

    def _is_result(self, path: Path) -> bool:
        """Whether we may have written the file; read again only when it has changed."""
        found = path.stat()
        version = (found.st_ino, found.st_size, found.st_mtime_ns)
        judged = self._judged.get(path)
        if judged is None or judged[0] != version:
            judged = self._judged[path] = (version, is_result(path))
        return judged[1]


def is_result(path: Path) -> bool:
    """Whether a file may be one of ours: JSON with a `session_id`, or text as we write it."""
    form = TEXT_FORMS.get(_ending(path))
    try:
        if form is None:
            return "session_id" in dict(json.loads(path.read_bytes()))
        with path.open(encoding="utf-8") as text:
            return form.match(text.read(BEGINNING)) is not None
    except (OSError, ValueError, TypeError, RecursionError):
        return False


def _ending(path: Path) -> str:
    return path.suffix.removeprefix(".")


def _changed(path: Path) -> int:
    """When a file got its content, in ns; a recorder's clock that is ahead does not count."""
    found = path.stat()
    return min(found.st_mtime_ns, found.st_ctime_ns)


def _write_whole(path: Path, text: str) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    except BaseException:
        with suppress(OSError):
            unfinished.unlink()
        raise
