"""Digests that tell whether work was done already."""

import hashlib

from pydantic import BaseModel


def work_digest(*parts: str | BaseModel) -> str:
    """SHA-256 over input, settings and engine of a step, in the order given."""
    total = hashlib.sha256()
    for part in parts:
        text = part if isinstance(part, str) else part.model_dump_json()
        total.update(hashlib.sha256(text.encode()).digest())
    return total.hexdigest()
