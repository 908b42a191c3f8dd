"""The JSON Schemas of events and documents, written beside the models they come from.

`python -m events.tools.schema` writes them and refuses a change that is not additive;
`python -m events.tools.schema --check` only compares. Both exit 1 when something is wrong.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from events import EVENTS
from events.base import Frozen
from events.documents import DOCUMENTS
from events.tools.additive import Schema, not_additive

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FOLDER = Path(__file__).parents[1] / "schemas"


def models() -> dict[str, type[Frozen]]:
    """Return the models of all contracts by their type: the events' `data` and the documents."""
    documents = {model.model_fields["document"].default: model for model in DOCUMENTS}
    return {**EVENTS, **documents}


def schema_of(name: str, model: type[Frozen]) -> Schema:
    """Return the JSON Schema (2020-12) of what the model writes.

    It allows unknown fields: readers ignore them, so that later versions may add some.
    """
    identity = {"$schema": DIALECT, "$id": f"urn:pocwhisp:schema:{name}"}
    return {**identity, **model.model_json_schema(mode="serialization")}


def schemas() -> dict[str, Schema]:
    """Return the schemas of all models by their type."""
    return {name: schema_of(name, model) for name, model in models().items()}


def render_schema(schema: Schema) -> str:
    """Return the content of the schema's file: equal schemas give equal bytes."""
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def breaking(current: dict[str, Schema], folder: Path) -> tuple[str, ...]:
    """Return the changes of the committed schemas that are not additive."""
    return tuple(
        f"{path.name}: {change}"
        for name, schema in sorted(current.items())
        if (path := _path(folder, name)).exists()
        for change in not_additive(json.loads(path.read_text("utf-8")), schema)
    )


def differing(current: dict[str, Schema], folder: Path) -> tuple[str, ...]:
    """Return the files that are missing, out of date, or of a type without a model."""
    problems = [f"{path.name}: no model has this type" for path in _stale(current, folder)]
    for name, schema in sorted(current.items()):
        path = _path(folder, name)
        if not path.exists():
            problems.append(f"{path.name}: missing")
        elif path.read_text("utf-8") != render_schema(schema):
            problems.append(f"{path.name}: not what the model says")
    return tuple(problems)


def write_schemas(current: dict[str, Schema], folder: Path) -> None:
    """Write every schema. Files without a model stay: blobs of their type may be stored."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in current.items():
        _path(folder, name).write_text(render_schema(schema), "utf-8")


def main(
    arguments: Sequence[str] | None = None,
    current: dict[str, Schema] | None = None,
    folder: Path = FOLDER,
) -> int:
    """Write or check, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m events.tools.schema", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare")
    check = parser.parse_args(arguments).check
    current = schemas() if current is None else current
    refused = breaking(current, folder)
    if not (check or refused):
        write_schemas(current, folder)
    differences = differing(current, folder)
    sys.stderr.write(_report(refused, differences))
    return 1 if refused or differences else 0


def _report(refused: tuple[str, ...], differences: tuple[str, ...]) -> str:
    lines = [*differences]
    if refused:
        lines += ["Not additive (make a .v2 beside the old one instead):"]
        lines += [f"  {change}" for change in refused]
    return "".join(f"{line}\n" for line in lines)


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.json"


def _stale(current: dict[str, Schema], folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.json") if path.stem not in current)


if __name__ == "__main__":
    sys.exit(main())
