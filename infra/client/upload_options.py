"""The options of an upload."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadOptions:
    """Options of an upload: the API's fields of these names."""

    language: str | None = None
    channels: str | None = None
    summary: bool = True
    external_id: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    task: str | None = None
    prompt: str | None = None
    hotwords: str | None = None

    @property
    def form(self) -> dict[str, str | list[str]]:
        """The form's fields, without those that are not set."""
        fields: dict[str, str | list[str] | None] = {
            "language": self.language,
            "channels": self.channels,
            "enable_summarization": None if self.summary else "false",
            "external_id": self.external_id,
            "labels": [f"{name}={text}" for name, text in self.labels.items()] or None,
            "task": self.task,
            "prompt": self.prompt,
            "hotwords": self.hotwords,
        }
        return {name: text for name, text in fields.items() if text is not None}
