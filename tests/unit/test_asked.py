from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest

from functions.ingest.upload.fields import request_of
from shared.errors import Permanent


def test_nothing_asked_is_the_default_request() -> None:
    request = request_of({})
    assert (request.language, request.enable_summarization, request.roles) == (None, True, {})
    assert request.task == "transcribe"


def test_every_field_finds_its_place() -> None:
    request = request_of(
        {
            "language": ["EN"],
            "task": ["Translate"],
            "enable_summarization": ["false"],
            "channels": ["left:agent, right:customer"],
            "external_id": ["call-4711"],
            "started_at": ["2026-03-01T09:30:00Z"],
            "labels": ["team=north", '{"queue": "billing"}'],
            "prompt": ["A call about routers."],
            "hotwords": ["router, fibre"],
        }
    )
    assert (request.language, request.task) == ("en", "translate")
    assert request.enable_summarization is False
    assert request.roles == {"left": "agent", "right": "customer"}
    assert request.external_id == "call-4711"
    assert request.started_at == datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
    assert request.labels == {"team": "north", "queue": "billing"}
    assert request.prompt == "A call about routers."
    assert request.hotwords == ("router", "fibre")


def test_an_empty_field_is_as_if_it_were_not_there() -> None:
    assert request_of({"language": [""], "labels": [""]}) == request_of({})


def test_a_time_without_a_zone_is_taken_as_utc() -> None:
    request = request_of({"started_at": ["2026-03-01T09:30:00"]})
    assert request.started_at == datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"langauge": ["en"]}, ("langauge", "not known", "`language`")),
        ({"language": ["klingon"]}, ("klingon", "one of", "en")),
        ({"task": ["sing"]}, ("`task`", "sing", "transcribe", "translate (into English)")),
        ({"enable_summarization": ["maybe"]}, ("maybe", "true or false")),
        ({"channels": ["left=agent"]}, ("left=agent", "left:agent,right:customer")),
        ({"channels": ["middle:agent"]}, ("middle:agent",)),
        ({"channels": ["topleft:agent"]}, ("topleft:agent",)),
        ({"channels": ["left:agent right:customer"]}, ("left:agent right:customer",)),
        ({"channels": ["left:agent,right"]}, ("left:agent,right",)),
        ({"external_id": ["x" * 201]}, ("201", "up to 200")),
        ({"started_at": ["yesterday"]}, ("yesterday", "ISO 8601")),
        ({"labels": ["north"]}, ("north", "key=value")),
        ({"labels": ['{"a": 1}']}, ("no string", "object of strings")),
        ({"labels": ['{"a": ']}, ("no JSON", "object of strings")),
        ({"labels": [f"k{n}=v" for n in range(51)]}, ("51 labels", "50")),
        ({"labels": ['{"a": "\\ud800"}']}, ("labels",)),
        ({"labels": ["{" * 9_000]}, ("labels",)),
        ({"hotwords": ["word," * 201]}, ("201 words", "up to 200")),
        ({"hotwords": ["word," * 20_000]}, ("20000 words", "up to 200")),
        ({"hotwords": ["x" * 100_000]}, ("a long one", "200 characters")),
        ({"prompt": ["x" * 2001]}, ("2001", "up to 2000")),
        ({"external_id": ["a\0b"]}, ("NUL",)),
    ],
)
def test_what_cannot_be_read_is_told_with_what_is_allowed(
    fields: Mapping[str, Sequence[str]], words: tuple[str, ...]
) -> None:
    with pytest.raises(Permanent) as refused:
        request_of(fields)
    assert refused.value.code == "invalid_request"
    assert all(word in str(refused.value) for word in words), str(refused.value)
