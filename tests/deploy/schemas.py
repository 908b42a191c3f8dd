"""The published schemas, made strict: what they do not know is a mistake.

A CustomResourceDefinition lets unknown fields pass (the server drops them in silence), so every
object that lists its properties is closed here.
"""

import functools
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped]
import yaml

from tests.deploy.rendering import ROOT, Manifest, Rendered, group_of

Schema: TypeAlias = dict[str, Any]

KUBERNETES = "1.33"
"""The version whose core kinds we keep to; Knative 1.22 asks for no newer one."""
STRING = {"type": "string"}
REFERENCE = {
    "type": "object",
    "properties": dict.fromkeys(
        ("apiVersion", "kind", "name", "namespace", "group", "address"), STRING
    ),
    "additionalProperties": False,
}
DESTINATION = {
    "type": "object",
    "properties": {"ref": REFERENCE, "uri": STRING, "CACerts": STRING, "audience": STRING},
    "additionalProperties": False,
}
DELIVERY = {
    "type": "object",
    "properties": {
        "retry": {"type": "integer", "minimum": 0},
        "timeout": STRING,
        "backoffPolicy": {"enum": ["linear", "exponential"]},
        "backoffDelay": STRING,
        "retryAfterMax": STRING,
        "deadLetterSink": DESTINATION,
        "format": {"enum": ["json", "binary"]},
    },
    "additionalProperties": False,
}
"""The definitions leave `delivery` open, although its fields are fixed."""


def folder() -> Path:
    """Where the published schemas are looked for."""
    return Path(os.environ.get("POCWHISP_SCHEMAS") or ROOT.parent / "shared" / "schemas")


@dataclass(frozen=True)
class Published:
    """Validators for skaffold.yaml and for the kinds whose definitions lie in a folder."""

    kinds: dict[tuple[str, str], jsonschema.Draft202012Validator]
    skaffold: jsonschema.Draft7Validator

    @classmethod
    @functools.cache
    def load(cls, directory: Path) -> "Published":
        kinds = {}
        for path in sorted(directory.glob("*.yaml")):
            kinds.update(definition(yaml.load(path.read_text(), yaml.CSafeLoader)))
        skaffold = json.loads((directory / "skaffold-v4beta14.json").read_text())
        return cls(kinds, jsonschema.Draft7Validator(skaffold))

    def fits_the_published_schemas(self, rendered: Rendered) -> list[str]:
        """A check as those in checks.py; the core kinds are one of those."""
        errors = self.skaffold.iter_errors(rendered.skaffold)
        found = [f"skaffold.yaml: {error.message}" for error in errors]
        for manifest in rendered.manifests:
            name = f"{manifest['kind']} {manifest['metadata']['name']}"
            found += [f"{name}: {message}" for message in self._misfits(manifest)]
        return found

    def _misfits(self, manifest: Manifest) -> list[str]:
        validator = self.kinds.get((manifest["apiVersion"], manifest["kind"]))
        if validator is not None:
            errors = validator.iter_errors(manifest)
            return [f"{error.json_path}: {error.message}" for error in errors]
        return [] if is_core(manifest) else ["no published schema for this kind"]


def is_core(manifest: Manifest) -> bool:
    """Whether Kubernetes itself defines the kind."""
    return "." not in group_of(manifest)


def core_misfits(manifest: Manifest) -> list[str]:
    """What is wrong with a manifest of a core kind; kubernetes-validate carries their schemas."""
    try:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [str(error).partition("\n")[0]]
    return []


def definition(resource: Schema) -> dict[tuple[str, str], jsonschema.Draft202012Validator]:
    """A validator for each version that a CustomResourceDefinition serves."""
    spec = resource["spec"]
    return {
        (f"{spec['group']}/{version['name']}", spec["names"]["kind"]): validator(version)
        for version in spec["versions"]
        if version["served"]
    }


def validator(version: Schema) -> jsonschema.Draft202012Validator:
    schema = strict(version["schema"]["openAPIV3Schema"])
    for field in ("apiVersion", "kind", "metadata"):
        schema["properties"].setdefault(field, {})
    return jsonschema.Draft202012Validator(schema)


def strict(schema: Schema) -> Schema:
    """The schema with every object closed that lists its properties and preserves no others."""
    closed = dict(schema)
    if "properties" in schema:
        closed["properties"] = {
            name: DELIVERY if name == "delivery" else strict(part)
            for name, part in schema["properties"].items()
        }
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            closed.setdefault("additionalProperties", False)
    for inner in ("items", "additionalProperties"):
        if isinstance(schema.get(inner), dict):
            closed[inner] = strict(schema[inner])
    return closed
