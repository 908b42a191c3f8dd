"""A result as files, one for each format that was asked for."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from infra.client.client import Session
from infra.client.recordings import Recording
from shared.text import subtitles
from shared.text.plain import names_of, plain_lines, segments_of


def _json(session: Session) -> str:
    return json.dumps(session, indent=2, ensure_ascii=False) + "\n"


def _txt(session: Session) -> str:
    return "".join(f"{line}\n" for line in plain_lines(session))


def _srt(session: Session) -> str:
    return subtitles.srt(segments_of(session), names_of(session))


def _vtt(session: Session) -> str:
    return subtitles.vtt(segments_of(session), names_of(session))


FORMATS: Mapping[str, Callable[[Session], str]] = {
    "json": _json,
    "txt": _txt,
    "srt": _srt,
    "vtt": _vtt,
}
"""By the ending of the file."""


def written(session: Session, ending: str) -> str:
    """The result in the format of this ending."""
    return FORMATS[ending](session)


def save(session: Session, recording: Recording, out: Path, endings: Sequence[str]) -> None:
    """Write the files; each appears whole or not at all. Raise `OSError` if that fails."""
    for path, ending in zip(files(recording, out, endings), endings, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        unfinished.write_text(written(session, ending), encoding="utf-8")
        unfinished.replace(path)


def is_saved(recording: Recording, out: Path, endings: Sequence[str]) -> bool:
    """Whether all its files are there."""
    return all(path.exists() for path in files(recording, out, endings))


def files(recording: Recording, out: Path, endings: Sequence[str]) -> list[Path]:
    """Where the results of a recording go."""
    place = out / recording.result_stem
    return [place.with_name(f"{place.name}.{ending}") for ending in endings]
