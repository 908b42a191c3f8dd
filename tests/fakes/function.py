"""A function without a network, behind the dispatcher's real client."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import httpx

from infra.dispatcher.function_client import FunctionClient

Answer: TypeAlias = int | tuple[int, bytes] | Exception | Callable[[], Awaitable[int]]

DIED = httpx.ReadError("The connection was lost.")
NOT_UP = httpx.ConnectError("Nobody listens there.")
REFUSED = httpx.ConnectError("Nobody listens there any more.")
REFUSED.__cause__ = ConnectionRefusedError()
SILENT = httpx.ReadTimeout("No answer came.")


class FakeFunction:
    """Answers each POST with the script's next answer, then with `default`.

    An answer is a status, a status with a body, an exception of httpx, or a coroutine function
    that returns a status. A probe is answered with what `probes` returns.
    """

    def __init__(self, *script: Answer, default: Answer = 204) -> None:
        self.script = deque(script)
        self.default = default
        self.probes: Callable[[], int | Exception] = lambda: 200
        self.received: list[httpx.Request] = []
        self.most_at_once = 0
        self._at_once = 0
        transport = httpx.MockTransport(self._serve)
        self.client = FunctionClient(httpx.AsyncClient(transport=transport))

    async def _serve(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return await _response(self.probes())
        self.received.append(request)
        answer = self.script.popleft() if self.script else self.default
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            await asyncio.sleep(0)
            return await _response(answer)
        finally:
            self._at_once -= 1


async def _response(answer: Answer) -> httpx.Response:
    if isinstance(answer, Exception):
        raise answer
    if isinstance(answer, tuple):
        return httpx.Response(answer[0], content=answer[1])
    return httpx.Response(answer if isinstance(answer, int) else await answer())
