"""Finds changes of a schema that could break a reader or writer of the old one.

Two readers are to be served. A consumer that knows the old schema must accept and understand what
the new producer sends; the new consumer must accept and understand what is in the store already.
So a schema must go on to mean the same values, with one exception: since readers ignore unknown
fields, an object may gain an optional property. Everything else asks for a new version.

* Requiring a property breaks what is stored, no longer requiring it breaks the old consumer.
* The same holds for narrowing and widening: `enum`, `const`, `pattern`, bounds, `type`, `format`.
* `default` is no annotation here: it says what the absence of a field means in what is stored.
* An object that speaks of its unknown keys (a map, or a closed object) gains no property.
* Members of `anyOf`, `oneOf`, `allOf`, and the values of `enum`, `required` and `type` have no
  order; `$ref` counts as what it points to, so definitions may be renamed, moved or written out.
* An unknown keyword counts as a constraint.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]
Subschema: TypeAlias = Schema | bool

ABSENT = object()
ANNOTATIONS = {
    *("title", "description", "examples", "$comment", "deprecated", "readOnly", "writeOnly"),
    "discriminator",  # OpenAPI's hint; the members' own `const` tell them apart
    "$defs",  # compared where they are referred to
}
ONE_SCHEMA = {"items", "additionalProperties"}
ONE_SCHEMA_EXACTLY = {
    *("not", "if", "then", "else", "contains"),
    *("propertyNames", "unevaluatedItems", "unevaluatedProperties"),
}
SCHEMAS_BY_NAME = {"properties", "patternProperties", "dependentSchemas"}
UNORDERED_SCHEMAS = {"anyOf", "oneOf", "allOf"}
UNORDERED_VALUES = {"enum", "required", "type"}
OF_UNKNOWN_KEYS = {
    *("additionalProperties", "patternProperties", "propertyNames"),
    *("unevaluatedProperties", "maxProperties"),
}


def not_additive(old: Schema, new: Schema) -> tuple[str, ...]:
    """Every change that is not additive, each with a JSON pointer (RFC 6901), none if none.

    Pointers follow `$ref`, so they name a place of use: `/properties/segments/items/…`. What is
    used in several places is named at one of them.
    """
    return tuple(dict.fromkeys(_Comparison(old, new).changes("", old, new)))


@dataclass(frozen=True)
class _Comparison:
    """Two whole schemas, and the pairs of references that were followed (they may be recursive).

    With `may_grow` off a new optional property counts as a change too: under `not` or `if` it
    is not harmless.
    """

    old: Schema
    new: Schema
    may_grow: bool = True
    seen: set[tuple[bool, str, str]] = field(default_factory=set)

    def changes(self, at: str, old: Subschema, new: Subschema) -> Iterator[str]:
        """The changes between two subschemas that stand at the pointer `at`."""
        if _ref(old) or _ref(new):
            pair = (self.may_grow, _canonical(old), _canonical(new))
            if pair in self.seen:
                return
            self.seen.add(pair)
        old, new = _resolved(old, self.old), _resolved(new, self.new)
        for keyword in sorted((old.keys() | new.keys()) - ANNOTATIONS):
            yield from self.keyword(f"{at}/{_escaped(keyword)}", keyword, old, new)

    def keyword(self, at: str, keyword: str, old: Schema, new: Schema) -> Iterator[str]:
        missing: Any = [] if keyword == "required" else ABSENT
        before, after = old.get(keyword, missing), new.get(keyword, missing)
        if before is ABSENT or after is ABSENT:
            yield f"{at}: {'added' if before is ABSENT else 'removed'}"
        elif keyword == "properties":
            yield from self.by_name(at, before, after, may_gain=self.gains(old, new))
        elif keyword in SCHEMAS_BY_NAME:
            yield from self.by_name(at, before, after, may_gain=False)
        elif keyword in ONE_SCHEMA:
            yield from self.changes(at, before, after)
        elif keyword in ONE_SCHEMA_EXACTLY:
            yield from replace(self, may_grow=False).changes(at, before, after)
        elif keyword == "prefixItems":
            yield from self.by_position(at, before, after)
        elif keyword in UNORDERED_SCHEMAS:
            yield from self.unordered(at, before, after)
        elif keyword in UNORDERED_VALUES:
            yield from _members(at, _listed(before), _listed(after))
        elif _canonical(before) != _canonical(after):
            yield f"{at}: {_canonical(before)} became {_canonical(after)}"

    def gains(self, old: Schema, new: Schema) -> bool:
        """Whether a new property of this object is one that readers ignore."""
        return self.may_grow and not OF_UNKNOWN_KEYS & (old.keys() | new.keys())

    def by_name(self, at: str, old: Schema, new: Schema, *, may_gain: bool) -> Iterator[str]:
        for name in sorted(old.keys() | new.keys()):
            place = f"{at}/{_escaped(name)}"
            if name not in new:
                yield f"{place}: removed"
            elif name in old:
                yield from self.changes(place, old[name], new[name])
            elif not may_gain:
                yield f"{place}: added"

    def by_position(self, at: str, old: list[Any], new: list[Any]) -> Iterator[str]:
        if len(old) != len(new):
            yield f"{at}: {len(old)} items became {len(new)}"
        for place, (before, after) in enumerate(zip(old, new, strict=False)):
            yield from self.changes(f"{at}/{place}", before, after)

    def unordered(self, at: str, old: list[Any], new: list[Any]) -> Iterator[str]:
        """Pair the members that fit, the equal ones first; what is left over has changed."""
        if len(old) == len(new) and all(map(self.fit, old, new)):
            return
        gone, come = replace(self, may_grow=False).unpaired(old, new)
        gone, come = self.unpaired(gone, come)
        if len(gone) == len(come) == 1:
            yield from self.changes(f"{at}/{old.index(gone[0])}", gone[0], come[0])
            return
        yield from (f"{at}: {_canonical(member)} removed" for member in gone)
        yield from (f"{at}: {_canonical(member)} added" for member in come)

    def unpaired(self, old: list[Any], new: list[Any]) -> tuple[list[Any], list[Any]]:
        gone, come = [], list(new)
        for member in old:
            fitting = (i for i, other in enumerate(come) if self.fit(member, other))
            place = next(fitting, None)
            if place is None:
                gone.append(member)
            else:
                del come[place]
        return gone, come

    def fit(self, old: Subschema, new: Subschema) -> bool:
        """Whether nothing changed; only then the references count as followed."""
        trial = replace(self, seen=set(self.seen))
        if next(trial.changes("", old, new), None) is not None:
            return False
        self.seen.update(trial.seen)
        return True


def _members(at: str, old: list[Any], new: list[Any]) -> Iterator[str]:
    before, after = set(map(_canonical, old)), set(map(_canonical, new))
    yield from (f"{at}: {value} removed" for value in sorted(before - after))
    yield from (f"{at}: {value} added" for value in sorted(after - before))


def _resolved(schema: Subschema, root: Schema) -> Schema:
    """The schema with its `$ref` replaced by the target, and what stands beside it kept."""
    if isinstance(schema, bool):
        return {} if schema else {"not": {}}
    ref = _ref(schema)
    if not ref.startswith("#"):
        return dict(schema)
    target = _resolved(_at(root, ref[1:]), root)
    beside = {keyword: value for keyword, value in schema.items() if keyword != "$ref"}
    if (target.keys() & beside.keys()) - ANNOTATIONS:
        return {"allOf": [target, beside]}
    return {**target, **beside}


def _ref(schema: Subschema) -> str:
    return str(schema.get("$ref", "")) if isinstance(schema, dict) else ""


def _at(root: Schema, pointer: str) -> Subschema:
    found: Any = root
    for step in pointer.split("/")[1:]:
        found = found[step.replace("~1", "/").replace("~0", "~")]
    target: Subschema = found
    return target


def _listed(values: object) -> list[Any]:
    return values if isinstance(values, list) else [values]


def _escaped(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")


def _canonical(value: object) -> str:
    """One text for one JSON value: 1 is 1.0 but not true, and keys have no order."""
    plain = json.loads(json.dumps(value), parse_float=_number)
    return json.dumps(plain, sort_keys=True, ensure_ascii=False)


def _number(text: str) -> float:
    number = float(text)
    return int(number) if number.is_integer() else number
