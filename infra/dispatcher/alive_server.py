"""The dispatcher's own `/alive`, by which whoever keeps its process finds that it hangs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

HOST = "127.0.0.1"
ANSWER = b"HTTP/1.1 204 Alive\r\nConnection: close\r\n\r\n"


@asynccontextmanager
async def answering_alive(port: int | None) -> AsyncIterator[None]:
    """Answer every request on the port while the context lasts; without a port, none.

    An answer means that the event loop turns, and nothing else: a broker that is away is no reason
    to be killed. Raises `OSError` if the port is taken.
    """
    if port is None:
        yield
        return
    async with await asyncio.start_server(_answer, HOST, port):
        yield


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError, ValueError):  # whoever asks is gone, or does not speak HTTP
        await reader.readline()
        writer.write(ANSWER)
        await writer.drain()
    writer.close()
