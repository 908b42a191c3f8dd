"""Results as files, one for each format."""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from infra.client.audio_files import AudioFile
from infra.client.client import RecordingBody
from infra.client.file_version import FileVersion, version_of
from shared.text import subtitles
from shared.text.plain import plain_lines, session_segments, speaker_names

BEGINNING = 4096
"""Characters of a text file that tell whether it may be a result."""


def _json(session: RecordingBody) -> str:
    return json.dumps(session, indent=2, ensure_ascii=False) + "\n"


def _txt(session: RecordingBody) -> str:
    return "".join(f"{line}\n" for line in plain_lines(session))


def _srt(session: RecordingBody) -> str:
    return subtitles.srt(session_segments(session), speaker_names(session))


def _vtt(session: RecordingBody) -> str:
    return subtitles.vtt(session_segments(session), speaker_names(session))


WRITERS: Mapping[str, Callable[[RecordingBody], str]] = {
    "json": _json,
    "txt": _txt,
    "srt": _srt,
    "vtt": _vtt,
}
"""Writers of a result's text by the ending of the file."""

TEXT_FORMS = {
    "txt": re.compile(r"\[\d+:\d\d\.\d\] [^\n]*:|\Z"),
    "srt": re.compile(r"\d+\r?\n\d+:\d\d:\d\d,\d+ --> |\Z"),
    "vtt": re.compile(r"WEBVTT"),
}
"""How our text files begin; that of a silent call may be empty."""


class NotReplaced(OSError):
    """A file in the place of a result is none of ours. The message is for the user."""


def result_text(session: RecordingBody, ending: str) -> str:
    """Return the result's text in the format of the ending."""
    return WRITERS[ending](session)


class ResultFiles:
    """The results of recordings, below the folder `out`, one file for each of the `endings`.

    A file that is no result is replaced only with `force`.
    """

    def __init__(self, out: Path, endings: Sequence[str], *, force: bool = False) -> None:
        self._out = out
        self._endings = endings
        self._force = force
        self._checked: dict[Path, tuple[FileVersion, bool]] = {}

    def check(self, recording: AudioFile) -> None:
        """Raise `NotReplaced` if a file in the place of a result is none."""
        for path in () if self._force else self.paths(recording):
            if os.path.lexists(path) and not self._is_result(path):
                raise NotReplaced(
                    f"{path} is no result of PocWhisp; it is replaced only with --force."
                )

    def save(self, recording: AudioFile, session: RecordingBody) -> None:
        """Write the files; each appears whole or not at all. Raises `OSError`."""
        self.check(recording)
        for path in self.paths(recording):
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_whole(path, result_text(session, _ending(path)))

    def has_results(self, recording: AudioFile) -> bool:
        """Whether all files exist and are newer than the recording."""
        try:
            changed = _changed(recording.path)
            return all(
                path.stat().st_mtime_ns >= changed and self._is_result(path)
                for path in self.paths(recording)
            )
        except OSError:
            return False

    def paths(self, recording: AudioFile) -> list[Path]:
        """Return the paths of a recording's results."""
        stem = self._out / recording.result_stem
        return [stem.with_name(f"{stem.name}.{ending}") for ending in self._endings]

    def _is_result(self, path: Path) -> bool:
        """Whether the file is a result; read again only when it has changed."""
        version = version_of(path)
        checked = self._checked.get(path)
        if checked is None or checked[0] != version:
            checked = self._checked[path] = (version, is_result(path))
        return checked[1]


def is_result(path: Path) -> bool:
    """Whether a file looks like a result: JSON with a `session_id`, or text in our format."""
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
    """Return the time (ns) of a file's content; a recorder's clock may be ahead of ours."""
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
