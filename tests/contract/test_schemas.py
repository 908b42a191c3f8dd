import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from events.tools import schema
from events.tools.additive import Schema

SCHEMAS = schema.schemas()


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_committed_schema_is_what_the_model_says(name: str) -> None:
    committed = (schema.FOLDER / f"{name}.json").read_text("utf-8")
    assert committed == schema.render_schema(SCHEMAS[name]), "run: make schemas"


def test_every_committed_schema_has_a_model() -> None:
    assert {path.name for path in schema.FOLDER.iterdir()} == {f"{name}.json" for name in SCHEMAS}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_valid_json_schema_under_the_name_that_events_refer_to(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])
    assert SCHEMAS[name]["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    assert SCHEMAS[name]["$id"] == f"urn:pocwhisp:schema:{name}"
    assert SCHEMAS[name]["description"]


@pytest.mark.parametrize("name", SCHEMAS)
def test_no_schema_forbids_unknown_fields(name: str) -> None:
    assert '"additionalProperties": false' not in schema.render_schema(SCHEMAS[name])


NAME = "io.pocwhisp.recording.split.v1"
SUMMARY = "io.pocwhisp.document.summary.v1"


def without(name: str) -> Schema:
    """The schema of `NAME` without a property."""
    kept = {key: each for key, each in SCHEMAS[NAME]["properties"].items() if key != name}
    return {**SCHEMAS[NAME], "properties": kept}


def grown() -> Schema:
    """The schema of `NAME` with a property more."""
    more = {**SCHEMAS[NAME]["properties"], "codec": {"type": "string"}}
    return {**SCHEMAS[NAME], "properties": more}


def test_the_generator_writes_what_it_then_finds_in_order(tmp_path: Path) -> None:
    assert schema.main(["--check"], SCHEMAS, tmp_path) == 1
    assert schema.main([], SCHEMAS, tmp_path) == 0
    assert schema.main(["--check"], SCHEMAS, tmp_path) == 0


def test_the_generator_refuses_a_change_that_is_not_additive(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema.write_schemas(SCHEMAS, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    mutants = {**SCHEMAS, NAME: without("duration"), "new.v1": {}}
    assert schema.main([], mutants, tmp_path) == 1
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    told = capsys.readouterr().err
    assert f"{NAME}.json: /properties/duration: removed" in told
    assert ".v2" in told


def test_the_generator_writes_an_additive_change_and_a_new_type(tmp_path: Path) -> None:
    schema.write_schemas(SCHEMAS, tmp_path)
    later = {**SCHEMAS, NAME: grown(), "new.v1": {"$id": "new"}}
    assert schema.main(["--check"], later, tmp_path) == 1
    assert schema.main([], later, tmp_path) == 0
    assert json.loads((tmp_path / f"{NAME}.json").read_text("utf-8")) == later[NAME]
    assert (tmp_path / "new.v1.json").exists()


def test_checking_names_what_differs_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema.write_schemas(SCHEMAS, tmp_path)
    (tmp_path / "old.v1.json").write_text("{}")
    (tmp_path / f"{SUMMARY}.json").unlink()
    later = {**SCHEMAS, NAME: grown()}
    assert schema.main(["--check"], later, tmp_path) == 1
    told = capsys.readouterr().err
    assert "old.v1.json: no model has this type" in told
    assert f"{SUMMARY}.json: missing" in told
    assert f"{NAME}.json: not what the model says" in told
    assert not (tmp_path / f"{SUMMARY}.json").exists()


def test_the_generator_never_deletes_the_schema_of_a_type_that_is_gone(tmp_path: Path) -> None:
    schema.write_schemas(SCHEMAS, tmp_path)
    fewer = {name: each for name, each in SCHEMAS.items() if name != NAME}
    assert schema.main([], fewer, tmp_path) == 1
    assert (tmp_path / f"{NAME}.json").exists()
