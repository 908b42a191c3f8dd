"""Digests that show whether a step's work is done already."""

import hashlib

from pydantic import BaseModel


def work_digest(*parts: str | BaseModel) -> str:
    """Return the SHA-256 over a step's input, settings and engine, in the order given."""
    total = hashlib.sha256()
    for part in parts:
        text = part if isinstance(part, str) else part.model_dump_json()
        total.update(hashlib.sha256(text.encode()).digest())
    return total.hexdigest()
