import gzip
import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import yaml
from jsonschema import Draft7Validator, Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from events import EVENTS, DeliveryParked, Envelope, Event, RecordingReceived
from events.tools import asyncapi, schema
from functions.merge.handler import merge
from functions.persist.handler import persist
from functions.split.handler import split
from functions.summarize.handler import summarize
from functions.transcribe.handler import transcribe
from tests.support.examples import merged, parked, received, summarized, transcribed, was_split

DOCUMENT = asyncapi.document()
PUBLISHED = Path(__file__).parents[1] / "data" / "asyncapi" / "3.0.0.json.gz"
FUNCTIONS = (split, transcribe, merge, summarize, persist)
EVENTS_FILE = asyncapi.FILE.name
EXAMPLES = (received, was_split, merged, summarized, parked, lambda: transcribed("left"))


@cache
def published() -> Draft7Validator:
    """The schema of AsyncAPI 3.0.0 itself."""
    return Draft7Validator(json.loads(gzip.decompress(PUBLISHED.read_bytes())))


def test_the_committed_document_is_what_the_contracts_say() -> None:
    assert asyncapi.FILE.read_text("utf-8") == asyncapi.render_document(), "run: make schemas"
    assert yaml.safe_load(asyncapi.render_document()) == DOCUMENT


def test_the_document_is_asyncapi_3() -> None:
    assert [error.message for error in published().iter_errors(DOCUMENT)] == []


@pytest.mark.parametrize(
    "broken",
    [
        {"asyncapi": "2.6.0"},
        {"channels": {"a": {"adress": "b"}}},
        {"operations": {"a": {"action": "publish", "channel": {"$ref": "#/channels/a"}}}},
    ],
)
def test_the_published_schema_refuses_what_is_not_asyncapi_3(broken: dict[str, Any]) -> None:
    assert not published().is_valid({**DOCUMENT, **broken})


def test_every_event_type_is_a_channel_at_its_subject() -> None:
    assert DOCUMENT["channels"].keys() == EVENTS.keys()
    event = received()
    address = DOCUMENT["channels"][event.type]["address"]
    assert address.format(tenant=event.tenant, recording=event.recording) == event.subject


def test_every_reference_leads_somewhere() -> None:
    found = list(references(DOCUMENT))
    assert len(found) > 50
    for reference in found:
        file, _, pointer = reference.partition("#")
        target: Any = DOCUMENT
        if file:
            assert (asyncapi.FILE.parent / file).is_file(), reference
        for step in pointer.split("/")[1:]:
            target = target[step]


def references(node: object) -> list[str]:
    if isinstance(node, list):
        return [each for member in node for each in references(member)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if "$ref" in node else []
    return own + [each for member in node.values() for each in references(member)]


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_event_on_the_wire_is_what_its_message_describes(example: Any) -> None:  # noqa: ANN401
    wire = Envelope(data=example(), source="/pocwhisp/test", time=datetime.now(UTC)).structured()
    payload = validator(wire["type"])
    assert [error.message for error in payload.iter_errors(wire)] == []
    assert not payload.is_valid({**wire, "type": "io.pocwhisp.other.v1"})
    assert not payload.is_valid({**wire, "data": {}})


def validator(event_type: str) -> Draft202012Validator:
    """What the document says of a message's payload, its references resolved."""
    folder = "http://localhost"
    files = [
        (f"{folder}/schemas/{name}.json", Resource.from_contents(each))
        for name, each in schema.schemas().items()
    ]
    whole = Resource.from_contents(DOCUMENT, default_specification=DRAFT202012)
    registry: Registry[Any] = Registry().with_resources(
        [(f"{folder}/{EVENTS_FILE}", whole), *files]
    )
    payload = f"{folder}/{EVENTS_FILE}#/components/messages/{event_type}/payload"
    return Draft202012Validator({"$ref": payload}, registry=registry)


def test_every_attribute_of_an_envelope_is_described() -> None:
    wire = Envelope(
        data=received(),
        source="/pocwhisp/test",
        time=datetime.now(UTC),
        causationid="a",
        traceparent="b",
        redrive=1,
    ).structured()
    assert wire.keys() - {"data"} == asyncapi.ENVELOPE["properties"].keys()


@pytest.mark.parametrize("model", EVENTS.values())
def test_the_receivers_are_the_functions_that_accept_the_event(model: type[Event]) -> None:
    accepting = {function.name for function in FUNCTIONS if model in function.accepts}
    assert set(asyncapi.RECEIVERS[model]) == accepting


@pytest.mark.parametrize("model", EVENTS.values())
def test_the_senders_are_the_functions_whose_handlers_return_the_event(
    model: type[Event],
) -> None:
    returning = {function.name for function in FUNCTIONS if model in returned(function.handler)}
    if model is RecordingReceived:
        returning = {"ingest"}
    if model is DeliveryParked:
        returning = {*(function.name for function in FUNCTIONS), "dispatcher"}
    assert set(asyncapi.SENDERS[model]) == returning


def returned(handler: object) -> set[object]:
    """The events in a handler's return annotation, inside tuples and unions too."""
    found, coming = set[object](), [get_type_hints(handler)["return"]]
    while coming:
        annotation = coming.pop()
        found.add(annotation)
        coming += get_args(annotation)
    return found


def test_operations_name_who_sends_and_who_receives() -> None:
    operations = DOCUMENT["operations"]
    sent = operations["split.sends.recording.split.v1"]
    assert (sent["action"], sent["tags"]) == ("send", [{"name": "split"}])
    assert operations["merge.receives.channel.transcribed.v1"]["action"] == "receive"


def test_checking_tells_what_differs_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "asyncapi.yaml"
    assert asyncapi.main(["--check"], file) == 1
    assert not file.exists()
    assert asyncapi.main([], file) == 0
    assert asyncapi.main(["--check"], file) == 0
    file.write_text("asyncapi: 3.0.0\n")
    assert asyncapi.main(["--check"], file) == 1
    assert "asyncapi.yaml: not what the contracts say" in capsys.readouterr().err
