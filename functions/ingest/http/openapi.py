"""The OpenAPI of the upload, whose body FastAPI does not read and so cannot describe."""

from typing import Any

from functions.ingest.upload.fields import FIELD_READERS

RECORDING_SCHEMA = {
    "type": "string",
    "contentMediaType": "audio/wav",
    "description": "The recording.",
}
SIDE_SCHEMA = {
    **RECORDING_SCHEMA,
    "description": "One speaker's mono file; `left` and `right` go together.",
}
FIELD_DESCRIPTIONS = {
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
FILE_FIELDS = {
    "audio": RECORDING_SCHEMA,
    "file": RECORDING_SCHEMA,
    "left": SIDE_SCHEMA,
    "right": SIDE_SCHEMA,
}
FILE_CHOICES = [{"required": ["audio"]}, {"required": ["file"]}, {"required": ["left", "right"]}]

UPLOAD_OPERATION: dict[str, Any] = {
    "parameters": [
        {
            "name": name,
            "in": "query",
            "required": False,
            "schema": {"type": "string"},
            "description": FIELD_DESCRIPTIONS[name],
        }
        for name in FIELD_READERS
    ],
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": FILE_FIELDS
                    | {
                        name: {"type": "string", "description": FIELD_DESCRIPTIONS[name]}
                        for name in FIELD_READERS
                    },
                    "oneOf": FILE_CHOICES,
                }
            },
            "audio/wav": {"schema": RECORDING_SCHEMA},
            "audio/*": {"schema": {"type": "string", "contentEncoding": "binary"}},
        },
    },
}
