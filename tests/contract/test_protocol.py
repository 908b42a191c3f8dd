"""What a connection to ingest may do, on a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from functions.ingest.http.protocol import (
    LONGEST_HEAD,
    LONGEST_HEADERS,
    MOST_HEADERS,
    MOST_PIPELINED,
    protocol_of,
    too_many_connections,
)
from functions.ingest.settings import Settings
from shared.serving import limited_protocol
from tests.support.api import PATH, MemoryApi
from tests.support.examples import MULTIPART, form, part, wav_file

LIVE = b"GET /api/v1/live HTTP/1.1\r\nHost: x\r\n"
UPLOAD = f"POST {PATH}?wait=0 HTTP/1.1\r\nHost: x\r\nContent-Type: audio/wav\r\n".encode()


@dataclass
class Client:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, content: bytes) -> None:
        self.writer.write(content)
        await self.writer.drain()

    async def all(self) -> bytes:
        """Everything until the server closes the connection."""
        return await self.reader.read()

    async def answer(self) -> tuple[int, dict[str, str], Any]:
        """The next answer: status, headers by lower-case name, JSON."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): text for name, text in (line.split(": ", 1) for line in lines)}
        body = await self.reader.readexactly(int(headers["content-length"]))
        return int(first.split()[1]), headers, json.loads(body)


Connect = Callable[[], Awaitable[Client]]
Talk = Callable[[Connect], Awaitable[None]]


@asynccontextmanager
async def served(api: MemoryApi, most: int) -> AsyncIterator[Connect]:
    config = uvicorn.Config(api.app(), lifespan="off", log_level="critical", access_log=False)
    config.load()
    limited = partial(limited_protocol, protocol_of(api.settings), most, too_many_connections)
    state = ServerState()
    accepted = partial(limited, config=config, server_state=state, app_state={})
    server = await asyncio.get_running_loop().create_server(accepted, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()

    clients: list[Client] = []

    async def connect() -> Client:
        clients.append(Client(*await asyncio.open_connection(host, port)))
        return clients[-1]

    try:
        yield connect
    finally:
        server.close()
        for connection in tuple(state.connections):
            connection.transport.abort()
        for client in clients:
            client.writer.transport.abort()
        await asyncio.gather(*state.tasks, return_exceptions=True)


def talk(
    to: Talk, api: MemoryApi | None = None, *, most: int = 100, **settings: float
) -> MemoryApi:
    """Let a client talk to the API with these settings, for ten seconds at most.

    It takes `most` connections.
    """
    api = api or MemoryApi(settings=Settings.model_validate(settings))

    async def talking() -> None:
        async with asyncio.timeout(10), served(api, most) as connect:
            await to(connect)

    asyncio.run(talking())
    return api


def is_problem(
    answer: tuple[int, dict[str, str], Any], status: int, error: str, *words: str
) -> bool:
    found, headers, body = answer
    return (
        (found, body["code"], body["error"]) == (status, status, error)
        and headers["content-type"] == "application/problem+json"
        and all(word in body["message"] for word in words)
    )


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        (b"".join(b"X-%d: y\r\n" % number for number in range(MOST_HEADERS + 1)), "200 fields"),
        (b"X-Long: " + b"y" * LONGEST_HEADERS + b"\r\n", "65536 bytes"),
        (b"X-%b: y\r\n" % (b"y" * LONGEST_HEADERS), "65536 bytes"),
    ],
    ids=["many", "a long value", "a long name"],
)
def test_headers_beyond_the_limits_are_refused(headers: bytes, found: str) -> None:
    async def to(connect: Connect) -> None:
        client = await connect()
        await client.send(LIVE + headers + b"\r\n")
        assert is_problem(await client.answer(), 431, "headers_too_large", found, "allowed")
        assert await client.all() == b""

    talk(to)


def test_as_many_headers_as_are_allowed_are_read() -> None:
    async def to(connect: Connect) -> None:
        client = await connect()
        many = b"".join(b"X-%d: y\r\n" % number for number in range(MOST_HEADERS - 2))
        room = LONGEST_HEADERS - len(many.replace(b": ", b"").replace(b"\r\n", b"")) - 20
        await client.send(LIVE + many + b"X-Long: " + b"y" * room + b"\r\n\r\n")
        assert (await client.answer())[0] == 200

    talk(to)


@pytest.mark.parametrize(
    "before",
    [
        LIVE + b"X-Long: ",
        UPLOAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-Trailer: ",
        UPLOAD + b"Transfer-Encoding: chunked\r\n\r\n5;extension=",
    ],
    ids=["header", "trailer", "chunk extension"],
)
def test_endless_headers_are_refused_before_they_end(before: bytes) -> None:
    async def to(connect: Connect) -> None:
        client = await connect()
        await client.send(before)
        answering, sent = asyncio.create_task(client.answer()), 0
        while not answering.done() and sent < 10 * LONGEST_HEAD:
            await client.send(b"y" * 10_000)
            await asyncio.wait([answering], timeout=0.01)
            sent += 10_000
        assert is_problem(await answering, 431, "headers_too_large", "allowed")

    talk(to)


def test_a_head_that_does_not_come_is_not_waited_for() -> None:
    async def to(connect: Connect) -> None:
        silent, half = await connect(), await connect()
        await half.send(LIVE + b"X-Half: ")
        assert is_problem(await half.answer(), 408, "request_timeout", "0.1 s")
        assert await half.all() == await silent.all() == b""

    talk(to, head_timeout=0.1)


def test_the_next_head_on_a_connection_has_its_time_too() -> None:
    async def to(connect: Connect) -> None:
        client = await connect()
        await client.send(LIVE + b"\r\n")
        assert (await client.answer())[0] == 200
        await client.send(LIVE)
        assert (await client.answer())[0] == 408

    talk(to, head_timeout=0.1)


@pytest.mark.parametrize("length", [b"Content-Length: 64044", b"Transfer-Encoding: chunked"])
def test_a_body_that_stops_is_given_up_and_nothing_is_kept(length: bytes) -> None:
    async def to(connect: Connect) -> None:
        client = await connect()
        await client.send(UPLOAD + length + b"\r\n\r\n")
        await client.send(b"7d0\r\n" * (b"chunked" in length) + wav_file()[:2000])
        assert is_problem(await client.answer(), 408, "request_timeout", "0.1 s", "allowed")
        assert await client.all() == b""

    api = talk(to, body_timeout=0.1)
    assert api.kept() == []
    assert api.record.sessions == {}


def test_a_body_that_ends_too_early_is_told_so() -> None:
    async def to(connect: Connect) -> None:
        client = await connect()
        await client.send(UPLOAD + b"Content-Length: 64044\r\n\r\n" + wav_file()[:2000])
        client.writer.write_eof()
        assert is_problem(await client.answer(), 400, "invalid_request", "ended before")

    api = talk(to)
    assert api.kept() == []


def test_one_connection_too_many_is_told_to_try_again() -> None:
    async def to(connect: Connect) -> None:
        first, second = await connect(), await connect()
        status, headers, body = await second.answer()
        assert (status, body["error"], "retry-after" in headers) == (503, "unavailable", True)
        assert await second.all() == b""
        await first.send(LIVE + b"\r\n")
        assert (await first.answer())[0] == 200
        first.writer.close()
        await first.writer.wait_closed()
        while True:  # until the server has seen it go
            third = await connect()
            await third.send(LIVE + b"\r\n")
            if (await third.answer())[0] == 200:
                break

    talk(to, most=1)


def test_requests_may_be_sent_before_the_last_is_answered_but_not_without_end() -> None:
    async def to(connect: Connect) -> None:
        few, many = await connect(), await connect()
        await few.send((LIVE + b"\r\n") * 50)
        for _ in range(50):
            assert (await few.answer())[0] == 200
        await many.send((LIVE + b"\r\n") * 3_000)
        answers = (await many.all()).count(b"HTTP/1.1 200 OK")
        assert 0 < answers <= MOST_PIPELINED + 1

    talk(to)


def test_the_rest_of_a_refused_body_is_read_so_that_its_answer_arrives() -> None:
    async def to(connect: Connect) -> None:
        client = await connect()
        body = b"no audio at all, whatever it is" * 100_000
        await client.send(UPLOAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert is_problem(await client.answer(), 400, "invalid_file_type")
        await client.send(LIVE + b"\r\n")
        assert (await client.answer())[0] == 200

    talk(to)


async def send_for_ever(client: Client) -> None:
    while True:
        await client.send(bytes(100_000))


def test_no_more_of_a_refused_body_is_read_than_an_upload_may_have() -> None:
    async def to(connect: Connect) -> None:
        client = await connect()
        await client.send(UPLOAD + b"Content-Length: 99999999999\r\n\r\n")
        assert is_problem(await client.answer(), 413, "file_too_large", "99999999999")
        with pytest.raises(ConnectionError):
            await send_for_ever(client)

    talk(to, max_upload_bytes=1_000)


@pytest.mark.parametrize(("piece", "chunked"), [(70_001, False), (70_001, True), (7, True)])
def test_an_upload_comes_through_in_whatever_pieces(piece: int, chunked: bool) -> None:  # noqa: FBT001
    call = wav_file(bytes(piece * 10_000)[:3_200_000])
    body = form(part("audio", call))
    length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(body)

    async def to(connect: Connect) -> None:
        client = await connect()
        kind = UPLOAD.replace(b"audio/wav", MULTIPART.encode())
        await client.send(kind + length + b"\r\n\r\n")
        pieces = [body[start : start + piece] for start in range(0, len(body), piece)]
        if chunked:
            pieces = [b"%x\r\n%b\r\n" % (len(one), one) for one in pieces] + [b"0\r\n\r\n"]
        for number in range(0, len(pieces), 1_000):
            await client.send(b"".join(pieces[number : number + 1_000]))
        assert (await client.answer())[0] == 202

    api = talk(to)
    [recording] = api.record.sessions

    async def stored() -> bytes:
        return b"".join([piece async for piece in api.blobs.read(f"default/{recording}/audio.wav")])

    assert asyncio.run(stored()) == call
