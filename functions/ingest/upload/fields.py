"""The fields of an upload besides its audio, from the form or the query."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from events.documents import Request
from shared.errors import Permanent
from shared.languages import LANGUAGES, language_code

Fields = Mapping[str, Sequence[str]]
LONGEST_TEXT = 2_000
LONGEST_NAME = 200
MOST_LABELS = 50
MOST_HOTWORDS = 200
YES = {"true", "1", "yes", "on"}
NO = {"false", "0", "no", "off"}
TASKS = {"transcribe", "translate"}
NUL = "\0"
ROLE = re.compile(r"(left|right)\s*:\s*([^,:]{1,40})")


def request_of(fields: Fields) -> Request:
    """Return the request in the fields. Raises `Permanent` for an unknown or faulty field."""
    unknown = sorted(set(fields) - set(FIELD_READERS))
    if unknown:
        raise _refused(unknown[0], "is not known", ", ".join(f"`{name}`" for name in FIELD_READERS))
    found: dict[str, Any] = {}
    for name, values in fields.items():
        if any(values):
            field, read = FIELD_READERS[name]
            found[field] = read(name, values)
    return Request(**found)


def _refused(field: str, found: str, allowed: str) -> Permanent:
    return Permanent("invalid_request", f"The field `{field}` {found}; allowed: {allowed}.")


def _single(name: str, values: Sequence[str], longest: int = LONGEST_NAME) -> str:
    text = values[-1].strip()
    if len(text) > longest or NUL in text:
        raise _refused(name, f"has {len(text)} characters", f"up to {longest}, without NUL")
    return text


def _language(name: str, values: Sequence[str]) -> str:
    tag = _single(name, values)
    code = language_code(tag)
    if code is None:
        raise _refused(name, f"is {tag!r}", f"one of {', '.join(sorted(LANGUAGES))}")
    return code


def _task(name: str, values: Sequence[str]) -> str:
    task = _single(name, values).lower()
    if task not in TASKS:
        raise _refused(name, f"is {task!r}", "transcribe, or translate (into English)")
    return task


def _flag(name: str, values: Sequence[str]) -> bool:
    text = _single(name, values).lower()
    if text not in YES | NO:
        raise _refused(name, f"is {text!r}", "true or false")
    return text in YES


def _moment(name: str, values: Sequence[str]) -> datetime:
    text = _single(name, values)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise _refused(name, f"is {text!r}", "ISO 8601, such as 2026-03-01T09:30:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _roles(name: str, values: Sequence[str]) -> dict[str, str]:
    text = _single(name, values)
    parts = [part.strip() for part in text.split(",") if part.strip()]
    found = [match for part in parts if (match := ROLE.fullmatch(part))]
    roles = {match[1]: match[2] for match in found}
    if len(roles) != len(parts):
        raise _refused(name, f"is {text!r}", "such as left:agent,right:customer")
    return roles


def _labels(name: str, values: Sequence[str]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for value in filter(None, values):
        labels |= _labels_in(name, value)
    if len(labels) > MOST_LABELS or any(
        len(part) > LONGEST_NAME or NUL in part for pair in labels.items() for part in pair
    ):
        raise _refused(
            name,
            f"has {len(labels)} labels or a long one",
            f"{MOST_LABELS}, each of up to {LONGEST_NAME} characters",
        )
    return labels


def _labels_in(name: str, value: str) -> dict[str, str]:
    if not value.lstrip().startswith("{"):
        key, equals, text = value.partition("=")
        if not equals or not key.strip():
            raise _refused(name, f"is {value!r}", 'key=value, or JSON such as {"team": "north"}')
        return {key.strip(): text.strip()}
    try:
        labels = json.loads(value)
        json.dumps(labels, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:  # a lone surrogate can be escaped, not stored
        raise _refused(name, f"is no JSON ({error})", "an object of strings") from None
    if not all(isinstance(text, str) for text in labels.values()):
        raise _refused(name, "has a value that is no string", "an object of strings")
    return dict(labels)


def _hotwords(name: str, values: Sequence[str]) -> tuple[str, ...]:
    words = tuple(word.strip() for value in values for word in value.split(",") if word.strip())
    if len(words) > MOST_HOTWORDS or any(len(word) > LONGEST_NAME or NUL in word for word in words):
        raise _refused(
            name,
            f"has {len(words)} words or a long one",
            f"up to {MOST_HOTWORDS} words of {LONGEST_NAME} characters, separated by commas",
        )
    return words


def _text(name: str, values: Sequence[str]) -> str:
    return _single(name, values, LONGEST_TEXT)


FIELD_READERS: Mapping[str, tuple[str, Callable[[str, Sequence[str]], object]]] = {
    "language": ("language", _language),
    "task": ("task", _task),
    "enable_summarization": ("enable_summarization", _flag),
    "channels": ("roles", _roles),
    "external_id": ("external_id", _single),
    "started_at": ("started_at", _moment),
    "labels": ("labels", _labels),
    "prompt": ("prompt", _text),
    "hotwords": ("hotwords", _hotwords),
}
"""By the field's name: the member of `Request` it fills, and how it is read."""
