"""The AsyncAPI 3.0 document of the events, written beside the schemas it refers to.

`python -m events.tools.asyncapi` writes it; with `--check` it only compares, and exits 1 if the
committed one is not what the contracts say.
"""

import argparse
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from events import (
    EVENTS,
    ChannelTranscribed,
    DeliveryParked,
    Event,
    RecordingCompleted,
    RecordingFailed,
    RecordingReceived,
    RecordingSplit,
    TranscriptMerged,
    TranscriptSummarized,
)
from events.base import TYPE_PREFIX
from events.envelope import STRUCTURED

Json: TypeAlias = dict[str, Any]

FILE = Path(__file__).parents[1] / "asyncapi.yaml"
HEADER = "# Written by `python -m events.tools.asyncapi`; change the models, not this.\n"
VERSION = "1.0.0"

SENDERS: dict[type[Event], tuple[str, ...]] = {
    RecordingReceived: ("ingest",),
    RecordingSplit: ("split",),
    ChannelTranscribed: ("transcribe",),
    TranscriptMerged: ("merge",),
    TranscriptSummarized: ("summarize",),
    RecordingCompleted: ("persist",),
    RecordingFailed: ("persist",),
    DeliveryParked: ("split", "transcribe", "merge", "summarize", "persist", "dispatcher"),
}
"""The functions that send each event. The sweep, a part of persist, may send any again."""

RECEIVERS: dict[type[Event], tuple[str, ...]] = {
    RecordingReceived: ("split",),
    RecordingSplit: ("transcribe", "persist"),
    ChannelTranscribed: ("merge", "persist"),
    TranscriptMerged: ("summarize", "persist"),
    TranscriptSummarized: ("persist",),
    RecordingCompleted: (),
    RecordingFailed: (),
    DeliveryParked: ("persist",),
}
"""The functions that receive each event; other clients may subscribe to all."""

INFO: Json = {
    "title": "PocWhisp events",
    "version": VERSION,
    "description": (
        "Every step of a recording, from the upload to the result, as CloudEvents 1.0 in"
        " structured mode on NATS JetStream.\n\n"
        "Events carry references and small facts, never a spoken word. They are delivered at"
        " least once and may come out of order: tell repeated ones by their id. A type changes"
        " only by additions; anything else is a new version beside the old one.\n"
    ),
    "license": {"name": "MIT"},
}
SERVER: Json = {
    "host": "{broker}",
    "protocol": "nats",
    "description": (
        "The JetStream that the functions use. One stream holds all types, or each type has its"
        " own: find it by subject. Messages are kept for seven days."
    ),
    "variables": {
        "broker": {
            "description": "Host and port of the NATS server of your installation.",
            "default": "localhost:4222",
        }
    },
}
PARAMETERS: Json = {
    "tenant": {
        "description": "Owner of the recording, as in `[a-z0-9-]{1,40}`.",
        "default": "default",
        "location": "$message.payload#/tenant",
    },
    "recording": {
        "description": "The recording (UUIDv7), the `session_id` of the HTTP API.",
        "location": "$message.payload#/subject",
    },
}
MESSAGE_HEADERS: Json = {
    "type": "object",
    "required": ["content-type", "Nats-Msg-Id"],
    "properties": {
        "content-type": {"const": STRUCTURED},
        "Nats-Msg-Id": {
            "type": "string",
            "description": (
                "The event's id, behind it the first 8 digits of its document's digest if it tells "
                "of one, behind that `.<n>` when it is sent for the n-th time again."
            ),
        },
    },
}


def _text(description: str, **more: object) -> Json:
    return {"type": "string", "description": description, **more}


ENVELOPE: Json = {
    "type": "object",
    "title": "CloudEvent",
    "description": "A CloudEvent 1.0 as one JSON object, without its data.",
    "required": [
        *("specversion", "id", "type", "source", "subject", "time"),
        *("dataschema", "datacontenttype", "tenant", "correlationid", "data"),
    ],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": _text("Computed from what happened: the same step has the same id.", format="uuid"),
        "type": _text("What happened to what, with its version."),
        "source": _text("Who announces it: `/pocwhisp/<function>`.", format="uri-reference"),
        "subject": _text("The recording (UUIDv7).", format="uuid"),
        "time": _text("When it was announced.", format="date-time"),
        "dataschema": _text("Name of the schema of `data`.", format="uri"),
        "datacontenttype": {"const": "application/json"},
        "tenant": _text("Owner of the recording.", pattern="^[a-z0-9-]{1,40}$"),
        "correlationid": _text("`<recording>/<run>`: all events of one run have it in common."),
        "causationid": _text("Id of the event that led to this one; the first has none."),
        "traceparent": _text("W3C Trace Context."),
        "redrive": _text("How often the run's events had to be sent again; absent: never."),
    },
}


def document() -> Json:
    """The whole AsyncAPI 3.0 document."""
    return {
        "asyncapi": "3.0.0",
        "info": INFO,
        "defaultContentType": STRUCTURED,
        "servers": {"nats": SERVER},
        "channels": {model.type: _channel(model) for model in EVENTS.values()},
        "operations": _operations(),
        "components": {
            "messages": {model.type: _message(model) for model in EVENTS.values()},
            "parameters": PARAMETERS,
            "schemas": {"cloudEvent": ENVELOPE, "headers": MESSAGE_HEADERS},
        },
    }


def render_document() -> str:
    """The document as its file holds it: equal contracts give equal bytes."""
    return HEADER + yaml.dump(
        document(), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=100
    )


def main(arguments: Sequence[str] | None = None, file: Path = FILE) -> int:
    """Write or check, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m events.tools.asyncapi", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare")
    if not parser.parse_args(arguments).check:
        file.write_text(render_document(), "utf-8")
    elif not file.exists() or file.read_text("utf-8") != render_document():
        sys.stderr.write(f"{file.name}: not what the contracts say\n")
        return 1
    return 0


def _channel(model: type[Event]) -> Json:
    return {
        "address": f"{model.type}.{{tenant}}.{{recording}}",
        "title": model.__name__,
        "description": inspect.getdoc(model),
        "servers": [_ref("servers", "nats")],
        "parameters": {name: _ref("components", "parameters", name) for name in PARAMETERS},
        "messages": {model.type: _ref("components", "messages", model.type)},
    }


def _message(model: type[Event]) -> Json:
    return {
        "name": model.type,
        "title": model.__name__,
        "summary": inspect.getdoc(model),
        "contentType": STRUCTURED,
        "correlationId": {"location": "$message.payload#/correlationid"},
        "headers": _ref("components", "schemas", "headers"),
        "payload": {
            "allOf": [
                _ref("components", "schemas", "cloudEvent"),
                {
                    "type": "object",
                    "properties": {
                        "type": {"const": model.type},
                        "data": {"$ref": f"./schemas/{model.type}.json"},
                    },
                },
            ]
        },
    }


def _operations() -> Json:
    """One for each function and event it sends, then for each it receives."""
    flows = (("send", "sends", SENDERS), ("receive", "receives", RECEIVERS))
    return {
        f"{function}.{verb}.{model.type.removeprefix(TYPE_PREFIX)}": _operation(
            action, function, model
        )
        for action, verb, flow in flows
        for model in EVENTS.values()
        for function in flow[model]
    }


def _operation(action: str, function: str, model: type[Event]) -> Json:
    return {
        "action": action,
        "channel": _ref("channels", model.type),
        "messages": [_ref("channels", model.type, "messages", model.type)],
        "tags": [{"name": function}],
    }


def _ref(*steps: str) -> Json:
    return {"$ref": "#/" + "/".join(steps)}


class _Plain(yaml.SafeDumper):
    """Writes everything out, without YAML's anchors, so that each part can be read alone."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - the overridden signature
        return True


if __name__ == "__main__":
    sys.exit(main())
