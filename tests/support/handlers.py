"""What the tests of handlers share."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from events.documents import Request
from tests.support.examples import merged

KEY = merged().run_key
REQUEST = Request(prompt="about a refund")


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)
