import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events.tools.additive import ANNOTATIONS, Schema, not_additive
from events.tools.schema import schemas

SCHEMAS = schemas()
GONE = object()
TEXT = {"type": "string"}
NULL = {"type": "null"}


def changed(name: str, pointer: str, value: object) -> Schema:
    """The schema with the value at the pointer put (`-` appends), or taken away."""
    mutant = deepcopy(SCHEMAS[name])
    *steps, last = pointer.split("/")[1:]
    place: Any = mutant
    for step in steps:
        place = place[int(step) if isinstance(place, list) else step]
    if last == "-":
        place.append(value)
    elif value is GONE:
        del place[int(last) if isinstance(place, list) else last]
    else:
        place[last] = value
    return mutant


BREAKING = [
    # type, where, what it becomes, the change that is to be named
    ("recording.split.v1", "/properties/duration", GONE, "/properties/duration: removed"),
    ("recording.split.v1", "/properties/channels", GONE, "/properties/channels: removed"),
    ("recording.completed.v1", "/properties/degraded", GONE, "/properties/degraded: removed"),
    ("recording.completed.v1", "/properties/segments/type", "number", '/type: "number" added'),
    ("recording.completed.v1", "/properties/segments/type", ["integer", "null"], '"null" added'),
    ("recording.completed.v1", "/properties/degraded/default", ["none"], "/degraded/default:"),
    (
        "recording.completed.v1",
        "/properties/degraded/items/type",
        "integer",
        "/degraded/items/type",
    ),
    ("recording.completed.v1", "/properties/degraded/items", GONE, "/degraded/items: removed"),
    ("recording.completed.v1", "/properties/degraded/uniqueItems", True, "/uniqueItems: added"),
    ("recording.completed.v1", "/properties/degraded/prefixItems", [TEXT], "/prefixItems: added"),
    ("recording.split.v1", "/properties/channels/items/enum", ["left"], '/enum: "right" removed'),
    ("recording.split.v1", "/properties/channels/items/enum/-", "both", '/enum: "both" added'),
    ("recording.split.v1", "/properties/channels/minItems", 2, "/minItems: 1 became 2"),
    ("recording.split.v1", "/properties/channels/minItems", GONE, "/minItems: removed"),
    ("recording.split.v1", "/properties/channels/maxItems", 3, "/maxItems: 2 became 3"),
    ("recording.split.v1", "/properties/tenant/pattern", "^[a-z]+$", "/properties/tenant/pattern"),
    ("recording.split.v1", "/properties/tenant/maxLength", 40, "/maxLength: added"),
    ("recording.split.v1", "/properties/recording/format", GONE, "/recording/format: removed"),
    ("recording.split.v1", "/properties/recording/format", "uri", '"uuid" became "uri"'),
    ("recording.split.v1", "/properties/run/minimum", 0, "/properties/run/minimum: 1 became 0"),
    ("recording.split.v1", "/properties/run/maximum", 99, "/properties/run/maximum: added"),
    ("recording.split.v1", "/properties/duration/exclusiveMinimum", GONE, "Minimum: removed"),
    ("recording.split.v1", "/required", ["tenant"], '/required: "channels" removed'),
    ("recording.split.v1", "/required", GONE, '/required: "run" removed'),
    ("recording.split.v1", "/additionalProperties", False, "/additionalProperties: added"),
    ("recording.split.v1", "/$id", "urn:another", "/$id:"),
    ("delivery.parked.v1", "/required/-", "series", '/required: "series" added'),
    ("delivery.parked.v1", "/properties/series/default", 2, "/series/default: 1 became 2"),
    ("delivery.parked.v1", "/properties/series/minimum", True, "/minimum: 1 became true"),
    ("document.request.v1", "/required", ["language"], '/required: "language" added'),
    ("document.request.v1", "/properties/document/const", "v2", "/properties/document/const"),
    ("document.request.v1", "/properties/language/anyOf", [TEXT], f"{NULL} removed"),
    ("document.request.v1", "/properties/language/anyOf/-", {"type": "integer"}, "integer"),
    ("document.request.v1", "/properties/language/anyOf/0/type", "number", "/anyOf/0/type"),
    ("document.request.v1", "/properties/language/anyOf/0/minLength", 2, "/anyOf/0/minLength"),
    ("document.request.v1", "/properties/labels/additionalProperties/type", "number", "/labels"),
    ("document.request.v1", "/properties/labels/additionalProperties", False, "/labels"),
    ("document.request.v1", "/properties/labels/properties", {"a": TEXT}, "/labels/properties"),
    ("document.request.v1", "/properties/roles/propertyNames/enum", ["left"], "/propertyNames"),
    (
        "document.transcript.v1",
        "/$defs/Word/properties/start_time/type",
        "integer",
        "/properties/segments/items/properties/words/items/properties/start_time/type:",
    ),
    (
        "document.transcript.v1",
        "/$defs/SpokenSegment/properties/words/items/$ref",
        "#/$defs/Engine",
        "/properties/segments/items/properties/words/items/properties/word: removed",
    ),
    ("document.transcript.v1", "/$defs/Word/properties/word", GONE, "/properties/word: removed"),
    ("document.transcript.v1", "/$defs/Word/required", ["word"], '/required: "end_time" removed'),
    ("document.transcript.v1", "/$defs/Engine/required/-", "name2", '"name2" added'),
    ("document.transcript.v1", "/properties/engine/minProperties", 1, "/minProperties: added"),
    ("document.summary.v1", "/properties/sentiment_score/maximum", 5, "/maximum: 1 became 5"),
    ("document.summary.v1", "/properties/sentiment/enum/-", "mixed", '/enum: "mixed" added'),
]


@pytest.mark.parametrize(("name", "pointer", "value", "named"), BREAKING)
def test_a_change_that_breaks_somebody_is_named(
    name: str, pointer: str, value: object, named: str
) -> None:
    old = SCHEMAS[f"io.pocwhisp.{name}"]
    changes = not_additive(old, changed(f"io.pocwhisp.{name}", pointer, value))
    assert any(named.replace("'", '"') in change for change in changes), changes


def test_a_renamed_field_is_a_removed_one() -> None:
    name = "io.pocwhisp.recording.split.v1"
    mutant = changed(name, "/properties/length", SCHEMAS[name]["properties"]["duration"])
    del mutant["properties"]["duration"]
    assert not_additive(SCHEMAS[name], mutant) == ("/properties/duration: removed",)


def test_a_new_required_field_is_named() -> None:
    name = "io.pocwhisp.recording.split.v1"
    mutant = changed(name, "/properties/codec", TEXT)
    mutant["required"].append("codec")
    assert not_additive(SCHEMAS[name], mutant) == ('/required: "codec" added',)


ADDITIVE = [
    ("recording.split.v1", "/properties/codec", {"type": "string", "default": "pcm"}),
    ("recording.split.v1", "/properties/duration/description", "Another description."),
    ("recording.split.v1", "/properties/duration/title", GONE),
    ("recording.split.v1", "/properties/duration/examples", [12.5]),
    ("recording.split.v1", "/properties/duration/deprecated", True),
    ("recording.split.v1", "/properties/duration/exclusiveMinimum", 0.0),
    ("recording.split.v1", "/properties/channels/items/enum", ["right", "left"]),
    ("recording.split.v1", "/properties/tenant/type", ["string"]),
    ("document.request.v1", "/required", []),
    ("document.request.v1", "/properties/language/anyOf", [NULL, TEXT]),
    ("document.transcript.v1", "/$defs/Word/properties/speaker", {"default": None}),
    ("document.transcript.v1", "/$defs/SpokenSegment/properties/language", TEXT),
    ("document.transcript.v1", "/$defs/Unused", {"type": "object"}),
    ("document.transcript.v1", "/properties/engine/description", "What ran."),
]


@pytest.mark.parametrize(("name", "pointer", "value"), ADDITIVE)
def test_a_change_that_readers_ignore_is_additive(name: str, pointer: str, value: object) -> None:
    name = f"io.pocwhisp.{name}"
    assert not_additive(SCHEMAS[name], changed(name, pointer, value)) == ()


def test_a_definition_may_be_renamed_or_written_out_where_it_is_used() -> None:
    old = SCHEMAS["io.pocwhisp.document.summary.v1"]
    renamed = json.loads(json.dumps(old).replace("Engine", "Machine"))
    written_out = deepcopy(old)
    written_out["properties"]["engine"] = written_out.pop("$defs")["Engine"]
    assert not_additive(old, renamed) == not_additive(old, written_out) == ()
    assert not_additive(renamed, old) == not_additive(written_out, old) == ()


def recursive(**item: object) -> Schema:
    """A tree: each node has children, and says something of them beside the `$ref`."""
    children = {"type": "array", "items": {"$ref": "#/$defs/Node", **item}}
    node = {"type": "object", "properties": {"name": TEXT, "children": children}}
    return {"$defs": {"Node": node}, "$ref": "#/$defs/Node"}


def test_recursive_schemas_are_compared_to_their_end() -> None:
    old, new = recursive(), recursive()
    assert not_additive(old, new) == ()
    new["$defs"]["Node"]["properties"]["name"] = {"type": "integer"}
    assert "/properties/name/type" in not_additive(old, new)[0]


def test_what_stands_beside_a_reference_counts() -> None:
    assert not_additive(recursive(), recursive(minProperties=1))
    assert not_additive(recursive(type="object"), recursive(type=["object", "null"]))
    assert not_additive(recursive(), recursive(description="A child.")) == ()


def test_a_definition_that_may_grow_in_one_place_may_not_in_another() -> None:
    def schema(**properties: object) -> Schema:
        node = {"properties": {"a": TEXT, **properties}}
        ref = {"$ref": "#/$defs/Node"}
        return {"$defs": {"Node": node}, "properties": {"x": ref}, "then": ref}

    assert not_additive(schema(), schema(b=TEXT)) == ("/then/properties/b: added",)


def test_an_alternative_behind_a_reference_is_named_although_others_were_tried_first() -> None:
    def schema(first: str, second: str) -> Schema:
        definitions = {"A": {"type": first}, "B": {"type": second}}
        return {"$defs": definitions, "anyOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}]}

    assert not_additive(schema("string", "integer"), schema("integer", "string")) == ()
    assert not_additive(schema("string", "integer"), schema("integer", "integer"))


@pytest.mark.parametrize("closed", [{"additionalProperties": TEXT}, {"maxProperties": 9}])
def test_an_object_that_speaks_of_its_unknown_keys_gains_no_property(closed: Schema) -> None:
    old: Schema = {"properties": {"a": TEXT}, **closed}
    new: Schema = {"properties": {"a": TEXT, "b": TEXT}, **closed}
    assert not_additive(old, new) == ("/properties/b: added",)


@pytest.mark.parametrize("keyword", ["not", "if", "contains"])
def test_a_new_property_is_not_harmless_where_matching_is_reversed(keyword: str) -> None:
    old: Schema = {keyword: {"properties": {"a": TEXT}}}
    new: Schema = {keyword: {"properties": {"a": TEXT, "b": TEXT}}}
    assert not_additive(old, new) == (f"/{keyword}/properties/b: added",)


@pytest.mark.parametrize("keyword", ["anyOf", "oneOf", "allOf"])
def test_an_alternative_may_gain_an_optional_property(keyword: str) -> None:
    cat: Schema = {"properties": {"kind": {"const": "cat"}}}
    dog: Schema = {"properties": {"kind": {"const": "dog"}}}
    grown: Schema = {"properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}}}
    assert not_additive({keyword: [cat, dog]}, {keyword: [dog, grown]}) == ()
    assert not_additive({keyword: [cat, dog]}, {keyword: [dog, cat, grown]})
    assert not_additive({keyword: [cat, dog]}, {keyword: [cat, cat]})


def test_tuples_are_compared_by_position() -> None:
    old: Schema = {"prefixItems": [TEXT, NULL]}
    assert not_additive(old, {"prefixItems": [NULL, TEXT]})
    assert not_additive(old, {"prefixItems": [TEXT]}) == ("/prefixItems: 2 items became 1",)
    assert not_additive(old, {"prefixItems": [TEXT, {"type": "null", "title": "No"}]}) == ()


def constraints(found: object, at: str = "") -> Iterator[str]:
    """Pointers to every keyword and property of a schema that is no annotation."""
    if isinstance(found, list):
        for place, member in enumerate(found):
            yield from constraints(member, f"{at}/{place}")
    elif isinstance(found, dict):
        named = at.endswith(("/properties", "/$defs"))
        for key in found if named else found.keys() - ANNOTATIONS | found.keys() & {"$defs"}:
            if "$defs" not in (key, at.removeprefix("/")):  # a target must stay where it is
                yield f"{at}/{key}"
            yield from constraints(found[key], f"{at}/{key}")


@pytest.mark.parametrize("name", SCHEMAS)
def test_nothing_but_annotations_can_be_taken_away_unnoticed(name: str) -> None:
    for pointer in constraints(SCHEMAS[name]):
        assert not_additive(SCHEMAS[name], changed(name, pointer, GONE)), pointer


@pytest.mark.parametrize("name", SCHEMAS)
def test_nothing_but_optional_properties_can_appear_unnoticed(name: str) -> None:
    for pointer in constraints(SCHEMAS[name]):
        changes = not_additive(changed(name, pointer, GONE), SCHEMAS[name])
        assert bool(changes) != pointer.rpartition("/")[0].endswith("/properties"), pointer


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
leaves = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["string", "integer", "object", "array", ["string", "null"]]),
        "enum": st.lists(scalars, min_size=1, max_size=3),
        "minimum": st.integers() | st.floats(allow_nan=False, allow_infinity=False),
        "default": scalars,
        "title": st.text(),
        "$ref": st.sampled_from(["#/$defs/a", "#/$defs/b", "urn:elsewhere"]),
    },
)


def nested(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    members = st.lists(inner | st.booleans(), min_size=1, max_size=3)
    names = st.dictionaries(st.sampled_from(["a", "b", "type", "a/b", "~"]), inner, max_size=3)
    optional = {"properties": names, "anyOf": members, "prefixItems": members, "items": inner}
    return st.builds(lambda a, b: {**a, **b}, leaves, st.fixed_dictionaries({}, optional=optional))


subschemas = st.recursive(leaves, nested, max_leaves=6)
any_schema = st.builds(
    lambda root, a, b: {**root, "$defs": {"a": {"not": a}, "b": {"items": b}}},
    subschemas,
    subschemas,
    subschemas,
)


@given(any_schema)
def test_a_schema_is_additive_to_itself(some: Schema) -> None:
    assert not_additive(some, json.loads(json.dumps(some))) == ()


@given(any_schema, st.sampled_from(["a", "b", "new", "a/b"]))
def test_an_optional_property_may_come_but_not_go(some: Schema, name: str) -> None:
    old = {**some, "properties": {k: v for k, v in some.get("properties", {}).items() if k != name}}
    old.pop("$ref", None)
    new = {**old, "properties": {**old["properties"], name: TEXT}}
    assert not_additive(old, new) == ()
    assert not_additive(new, old) == (f"/properties/{name.replace('/', '~1')}: removed",)
