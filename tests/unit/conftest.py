"""Fixtures of the unit tests."""

import pytest
from obstore.store import MemoryStore

from shared.blobs import ObjectBlobs


@pytest.fixture
def blobs() -> ObjectBlobs:
    """A store in memory."""
    return ObjectBlobs(MemoryStore())
