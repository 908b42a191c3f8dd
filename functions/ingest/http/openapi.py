"""What the generated OpenAPI document cannot know: bodies that are read as they arrive."""

from typing import Any

from functions.ingest.upload.fields import READERS

RECORDING = {"type": "string", "contentMediaType": "audio/wav", "description": "The recording."}
SIDE = {**RECORDING, "description": "One speaker's mono file; `left` and `right` go together."}
FIELDS = {
    "language": "ISO 639-1 code of the spoken language, such as en.",
    "task": "transcribe: write down what is said (the default); translate: say it in English.",
    "enable_summarization": "false: no summary is made.",
    "channels": "Who speaks on a channel, such as left:agent,right:customer.",
    "external_id": "Your own name for the call.",
    "started_at": "When the call began, ISO 8601.",
    "labels": "Your own marks: key=value (may be repeated), or a JSON object of strings.",
    "prompt": "Text that precedes the call, for engines that take one; up to 2,000 characters.",
    "hotwords": "Up to 200 words likely to occur, separated by commas.",
}
FILES = {"audio": RECORDING, "file": RECORDING, "left": SIDE, "right": SIDE}
ONE_OF = [{"required": ["audio"]}, {"required": ["file"]}, {"required": ["left", "right"]}]

UPLOAD: dict[str, Any] = {
    "parameters": [
        {
            "name": name,
            "in": "query",
            "required": False,
            "schema": {"type": "string"},
            "description": FIELDS[name],
        }
        for name in READERS
    ],
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": FILES
                    | {name: {"type": "string", "description": FIELDS[name]} for name in READERS},
                    "oneOf": ONE_OF,
                }
            },
            "audio/wav": {"schema": RECORDING},
            "audio/*": {"schema": {"type": "string", "contentEncoding": "binary"}},
        },
    },
}
