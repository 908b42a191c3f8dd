import json
import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from cloudevents.conversion import to_binary
from cloudevents.http import from_http
from hypothesis import assume, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import ValidationError

from events import EVENTS, ChannelTranscribed, DeliveryParked, Envelope, Event, RecordingReceived
from events.tools.additive import Schema
from events.tools.schema import schemas
from shared.cloudevent import parse_event
from shared.errors import Permanent
from tests.support import examples

SCHEMAS = schemas()
TIME = datetime(2026, 7, 1, tzinfo=UTC)
STRUCTURED = {"content-type": "application/cloudevents+json"}
TENANTS = st.from_regex(r"[a-z0-9-]{1,40}", fullmatch=True)
CODES = st.from_regex(r"[a-z_]{1,20}", fullmatch=True)
KEYS = st.from_regex(r"[a-z0-9-]{1,40}/[a-z0-9./-]{1,60}", fullmatch=True)
CHANNELS = st.sampled_from(["left", "right"])
NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)
WORDS = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)
DIGESTS = st.none() | st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "tenant": TENANTS,
    "recording": st.uuids(),
    "run": st.integers(1, 10**6),
    "audio": KEYS,
    "audio_right": st.none() | KEYS,
    "levels": KEYS,
    "request": KEYS,
    "transcript": KEYS,
    "digest": DIGESTS,
    "summary": KEYS,
    "summary_digest": DIGESTS,
    "duration": st.floats(0, 1e6, exclude_min=True),
    "sha256": st.none() | st.text("0123456789abcdef", min_size=64, max_size=64),
    "channel": CHANNELS,
    "channels": st.sampled_from([("left",), ("right",), ("left", "right")]),
    "segments": st.integers(0, 10**6),
    "degraded": st.lists(CODES, max_size=3).map(tuple),
    "function": NAMES,
    "original_id": st.uuids().map(str),
    "original_type": st.sampled_from(list(EVENTS)),
    "series": st.integers(1, 100),
    "attempts": st.integers(1, 100),
    "error_class": st.sampled_from(["permanent", "exhausted"]),
    "error_code": WORDS,
}


def data_of(model: type[Event]) -> st.SearchStrategy[Event]:
    """Any event of a type; a field of a new name wants its strategy in `FIELDS`."""
    return st.builds(model, **{name: FIELDS[name] for name in model.model_fields})


events = st.one_of([data_of(model) for model in EVENTS.values()])


def envelopes(data: st.SearchStrategy[Event]) -> st.SearchStrategy[Envelope[Event]]:
    return st.builds(
        Envelope,
        data=data,
        source=CODES.map("/pocwhisp/{}".format),
        time=st.datetimes(timezones=st.just(UTC)),
        causationid=st.none() | st.uuids().map(str),
        traceparent=st.none() | st.from_regex(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", fullmatch=True),
        redrive=st.integers(0, 100),
    )


any_envelope = envelopes(events)


def body(envelope: Envelope[Event]) -> bytes:
    return json.dumps(envelope.structured()).encode()


@given(any_envelope)
def test_a_structured_envelope_is_a_cloudevent(envelope: Envelope[Event]) -> None:
    event = from_http(STRUCTURED, body(envelope))
    assert dict(event.get_attributes()) == envelope.attributes
    assert event.get_data() == envelope.data.model_dump(mode="json")


@given(any_envelope)
def test_attributes_keep_to_the_cloudevents_specification(envelope: Envelope[Event]) -> None:
    attributes = envelope.attributes
    assert {"id", "source", "specversion", "type"} <= attributes.keys()
    assert all(re.fullmatch(r"[a-z0-9]{1,20}", name) for name in attributes)
    assert all(attributes.values())
    assert datetime.fromisoformat(attributes["time"]).tzinfo is not None
    assert attributes["subject"] == str(envelope.data.recording)
    assert attributes["correlationid"] == f"{envelope.data.recording}/{envelope.data.run}"
    assert attributes["dataschema"] == SCHEMAS[envelope.data.type]["$id"]


@pytest.mark.parametrize("model", EVENTS.values(), ids=EVENTS)
@given(drawn=st.data())
def test_an_event_survives_binary_and_structured_mode(
    model: type[Event], drawn: st.DataObject
) -> None:
    envelope = drawn.draw(envelopes(data_of(model)))
    structured = (STRUCTURED, body(envelope))
    for headers, content in (structured, to_binary(from_http(*structured))):
        received = parse_event(headers, content)
        assert received.event((model,)) == envelope.data
        assert received.attributes == envelope.attributes
        assert (received.id, received.redrive) == (envelope.id, envelope.redrive)


@pytest.mark.parametrize("model", EVENTS.values(), ids=EVENTS)
@given(drawn=st.data())
def test_an_event_fits_its_schema_and_so_does_one_with_a_later_field(
    model: type[Event], drawn: st.DataObject
) -> None:
    validator = Draft202012Validator(SCHEMAS[model.type])
    event = drawn.draw(data_of(model))
    later = {**event.model_dump(mode="json"), "field_of_a_later_version": 1}
    validator.validate(event.model_dump(mode="json"))
    validator.validate(later)
    assert model.model_validate(later) == event


@given(any_envelope, st.sampled_from(list(EVENTS.values())))
def test_a_function_takes_no_event_of_another_type(
    envelope: Envelope[Event], accepted: type[Event]
) -> None:
    received = parse_event(STRUCTURED, body(envelope))
    if isinstance(envelope.data, accepted):
        assert received.event((accepted,)) == envelope.data
    else:
        with pytest.raises(Permanent):
            received.event((accepted,))


IDENTITY_PARTS = ("recording", "run", "channel")
transcribed = st.builds(
    ChannelTranscribed, **{name: FIELDS[name] for name in ChannelTranscribed.model_fields}
)


@given(any_envelope, any_envelope)
def test_the_id_is_computed_from_the_data_alone(
    one: Envelope[Event], other: Envelope[Event]
) -> None:
    again = Envelope(one.data.model_copy(), other.source, other.time, other.causationid)
    assert again.id == one.id
    assert UUID(one.id).version == 5


@given(transcribed, transcribed)
def test_equal_recording_run_type_and_channel_give_an_equal_id(
    one: ChannelTranscribed, other: ChannelTranscribed
) -> None:
    same = other.model_copy(update={name: getattr(one, name) for name in IDENTITY_PARTS})
    assert same.event_id == one.event_id


@given(transcribed, st.uuids())
def test_another_recording_run_or_channel_gives_another_id(
    event: ChannelTranscribed, recording: UUID
) -> None:
    assume(recording != event.recording)
    left = event.model_copy(update={"channel": "left"})
    others = ({"channel": "right"}, {"run": left.run + 1}, {"recording": recording})
    ids = {left.model_copy(update=update).event_id for update in others}
    assert len({left.event_id, *ids}) == 4


@given(st.lists(events, min_size=2, max_size=2, unique_by=lambda event: event.type))
def test_another_type_gives_another_id(two: list[Event]) -> None:
    one, other = two
    same_run = {"recording": one.recording, "run": one.run}
    assert one.event_id != other.model_copy(update=same_run).event_id


def parked(**update: object) -> DeliveryParked:
    return DeliveryParked.model_validate(
        {
            "tenant": "default",
            "recording": UUID(int=1),
            "run": 1,
            "function": "merge",
            "original_id": "an-id",
            "original_type": ChannelTranscribed.type,
            "error_class": "permanent",
            "error_code": "missing_blob",
            **update,
        }
    )


def test_a_parked_delivery_is_known_by_its_original_its_function_and_its_series() -> None:
    different: list[dict[str, object]] = [
        {"original_id": "another-id"},
        {"function": "split"},
        {"series": 2},
    ]
    assert len({parked(**update).event_id for update in ({}, *different)}) == 4
    assert parked(attempts=5, error_class="exhausted").event_id == parked().event_id


@given(any_envelope)
def test_the_message_id_is_the_id_at_first_and_numbered_at_a_redrive(
    envelope: Envelope[Event],
) -> None:
    first, third = (
        Envelope(envelope.data, envelope.source, envelope.time, redrive=n) for n in (0, 3)
    )
    assert first.id == envelope.id
    assert first.message_id == ".".join(filter(None, [envelope.id, envelope.data.fingerprint]))
    assert third.message_id == f"{first.message_id}.3"
    assert "redrive" not in first.attributes
    assert third.attributes["redrive"] == "3"


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (examples.transcribed("left"), "digest"),
        (examples.merged(), "digest"),
        (examples.summarized(), "summary_digest"),
        (examples.summarized(), "digest"),
    ],
)
def test_the_news_of_a_document_that_replaced_another_has_its_id_and_another_message_id(
    event: Event, field: str
) -> None:
    first, same, second = (
        Envelope(event.model_copy(update={field: digest * 64}), "/pocwhisp/test", TIME)
        for digest in ("a", "a", "b")
    )
    assert first.id == second.id
    assert first.message_id == same.message_id != second.message_id


@given(events)
def test_the_subject_is_the_type_then_one_token_each_for_tenant_and_recording(
    event: Event,
) -> None:
    *kind, tenant, recording = event.subject.split(".")
    assert ".".join(kind) == event.type
    assert len(kind) == 5
    assert (tenant, recording) == (event.tenant, str(event.recording))
    assert not re.search(r"[\s*>]", event.subject)


@pytest.mark.parametrize("tenant", ["", "a.b", "*", ">", "a b", "A", "a/b", "a\n", "ä", "a" * 41])
def test_a_tenant_that_is_no_single_token_is_refused(tenant: str) -> None:
    with pytest.raises(ValidationError):
        RecordingReceived(
            tenant=tenant, recording=UUID(int=1), run=1, audio="a", request="b", duration=1
        )


@pytest.mark.parametrize("name", EVENTS)
def test_a_type_names_a_noun_what_happened_to_it_and_a_version(name: str) -> None:
    assert re.fullmatch(r"io\.pocwhisp\.[a-z]+\.([a-z]+ed|split)\.v[1-9]\d*", name)


IDENTITY = {"tenant"}
FUNCTION_AND_CODE = {"function", "error_code"}
MAY_HOLD_TEXT = {
    "io.pocwhisp.recording.received.v1": IDENTITY | {"audio", "audio_right", "request", "sha256"},
    "io.pocwhisp.recording.split.v1": IDENTITY | {"levels"},
    "io.pocwhisp.channel.transcribed.v1": IDENTITY | {"transcript", "digest"},
    "io.pocwhisp.transcript.merged.v1": IDENTITY | {"transcript", "digest"},
    "io.pocwhisp.transcript.summarized.v1": IDENTITY
    | {"transcript", "digest", "summary", "summary_digest"},
    "io.pocwhisp.recording.completed.v1": IDENTITY
    | {"transcript", "summary", "request", "degraded"},
    "io.pocwhisp.recording.failed.v1": IDENTITY | FUNCTION_AND_CODE,
    "io.pocwhisp.delivery.parked.v1": IDENTITY
    | FUNCTION_AND_CODE
    | {"original_id", "original_type"},
}


def takes_text(found: Schema) -> bool:
    """Whether a subschema lets any text through: no number, no enum, no fixed format."""
    if found.keys() & {"enum", "const"} or found.get("format") == "uuid":
        return False
    parts = [*found.get("anyOf", []), *([found["items"]] if "items" in found else [])]
    if parts:
        return any(takes_text(part) for part in parts)
    return found.get("type", "string") not in ("integer", "number", "boolean", "null")


@pytest.mark.parametrize("model", EVENTS.values(), ids=EVENTS)
def test_an_event_holds_no_text_but_keys_ids_and_codes(model: type[Event]) -> None:
    properties = SCHEMAS[model.type]["properties"]
    texts = {name for name, subschema in properties.items() if takes_text(subschema)}
    assert texts == MAY_HOLD_TEXT[model.type], "events carry references and small facts only"


@pytest.mark.parametrize(
    "subschema",
    [
        {"type": "string"},
        {"type": "array", "items": {"type": "string"}},
        {"anyOf": [{"type": "null"}, {"type": "string"}]},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": ["string", "null"]},
        {"$ref": "#/$defs/Whatever"},
        {},
    ],
)
def test_text_is_found_wherever_it_may_hide(subschema: Schema) -> None:
    assert takes_text(subschema)


def test_attributes_in_headers_are_percent_decoded() -> None:
    headers = {
        "ce-specversion": "1.0",
        "ce-id": "1",
        "ce-type": "io.pocwhisp.test.v1",
        "ce-source": "/a%20b",
        "ce-subject": "Caf%C3%A9 50%25",
        "content-type": "application/json",
    }
    attributes = parse_event(headers, b"{}").attributes
    assert (attributes["source"], attributes["subject"]) == ("/a b", "Café 50%")
