"""The child processes that decode, because pocketsphinx holds the GIL while it does."""

import asyncio
import multiprocessing
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from threading import Lock

from functions.transcribe.recognizer import SAMPLE_RATE
from functions.transcribe.sphinx.decoder import TimedWord, serve_utterances
from shared.errors import Transient

START_LIMIT = 60.0
"""Seconds that a child may take to load its model."""
SLOWEST = 20.0
"""Seconds that a child may take for each second of an utterance; about 0.35 is usual."""
END_LIMIT = 5.0
"""Seconds after which a child that does not end is killed."""
SAMPLE_BYTES = 2


class Children:
    """`count` decoding processes and as many threads: each decodes one utterance at a time.

    Not a `ProcessPoolExecutor`: before Python 3.11.5 that hangs if its process dies while an
    utterance is on its way to it, and its processes outlive a killed parent.
    """

    def __init__(self, count: int) -> None:
        lives = Lock()
        self._all = tuple(Child(lives) for _ in range(count))
        self._free = deque(self._all)
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="sphinx")

    async def decode(self, samples: bytes) -> list[TimedWord]:
        """Return the words of an utterance. Raises `Transient` if its process died or hangs."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._decode, samples)

    async def warm(self) -> None:
        await asyncio.gather(*(asyncio.to_thread(child.decode, b"") for child in self._all))

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)
        await asyncio.gather(*(asyncio.to_thread(child.stop) for child in self._all))

    def _decode(self, samples: bytes) -> list[TimedWord]:
        """There are as many children as threads, so one is free: the last used, which runs."""
        child = self._free.pop()
        try:
            return child.decode(samples)
        finally:
            self._free.append(child)


class Child:
    """A decoding process, started with its first utterance.

    `lives` is held to start or end any child, because the standard library reaps the dead children
    of all threads at every start of a new one.
    """

    def __init__(self, lives: Lock) -> None:
        self._lives = lives
        self._busy = Lock()
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None

    def decode(self, samples: bytes) -> list[TimedWord]:
        """Return the words of an utterance. Raises `Transient` if the process died or hangs."""
        limit = START_LIMIT + SLOWEST * len(samples) / SAMPLE_BYTES / SAMPLE_RATE
        with self._busy:
            try:
                connection = self._connected()
                connection.send_bytes(samples)
                if not connection.poll(limit):
                    raise TimeoutError(f"no answer for {limit:.0f} s")
                words: list[TimedWord] = connection.recv()
            except (EOFError, OSError) as death:
                self._end()
                raise Transient(f"the sphinx process died or hangs: {death}") from death
        return words

    def stop(self) -> None:
        """End the process after the utterance it is decoding; the next starts a new one."""
        with self._busy:
            self._end()

    def _connected(self) -> Connection:
        with self._lives:
            if self._connection and self._process and self._process.is_alive():
                return self._connection
        self._end()
        spawn = multiprocessing.get_context("spawn")
        with self._lives:
            self._connection, its_end = spawn.Pipe()
            self._process = spawn.Process(target=serve_utterances, args=(its_end,), daemon=True)
            self._process.start()
            its_end.close()
        return self._connection

    def _end(self) -> None:
        if self._connection:
            self._connection.close()
        with self._lives:
            if self._process:
                self._process.join(END_LIMIT)
                self._process.kill()
                self._process.join()
                self._process.close()
        self._connection = self._process = None
