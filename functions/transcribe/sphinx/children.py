"""The child processes that decode, because pocketsphinx holds the GIL while it does."""

import asyncio
import multiprocessing
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from threading import Lock, Timer

from functions.transcribe.sphinx.decoder import TimedWord, serve_utterances
from shared.audio.pcm import SAMPLE_RATE
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
        start_stop_lock = Lock()
        self._all = tuple(Child(start_stop_lock) for _ in range(count))
        self._free = deque(self._all)
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="sphinx")

    async def decode(self, samples: bytes) -> list[TimedWord]:
        """Return the words of an utterance. Raises `Transient` as `Child.decode` does."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._decode, samples)

    async def warm(self) -> None:
        await asyncio.gather(*(asyncio.to_thread(child.decode, b"") for child in self._all))

    async def close(self) -> None:
        await asyncio.to_thread(self._threads.shutdown)
        await asyncio.gather(*(asyncio.to_thread(child.stop) for child in self._all))

    def _decode(self, samples: bytes) -> list[TimedWord]:
        """Decode in a free child, the one used last.

        There is always one: there are as many threads, and each uses one child at a time.
        """
        child = self._free.pop()
        try:
            return child.decode(samples)
        finally:
            self._free.append(child)


class Child:
    """A decoding process, started with its first utterance.

    `start_stop_lock`, which all children share, is held to start or end any of them, because the
    standard library reaps the dead children of all threads at every start of a new one.
    """

    def __init__(self, start_stop_lock: Lock) -> None:
        self._start_stop_lock = start_stop_lock
        self._busy = Lock()
        self._process: SpawnProcess | None = None
        self._connection: Connection | None = None

    def decode(self, samples: bytes) -> list[TimedWord]:
        """Return the words of an utterance, 16-bit samples.

        Raises `Transient` if the process cannot start, dies or hangs; the next call starts another.
        """
        limit = START_LIMIT + SLOWEST * len(samples) / SAMPLE_BYTES / SAMPLE_RATE
        with self._busy:
            try:
                connection = self._connected()
                with self._killed_after(limit):  # sending too waits while a process hangs
                    connection.send_bytes(samples)
                    words: list[TimedWord] = connection.recv()
            except (EOFError, OSError) as death:
                self._end()
                raise Transient(
                    f"the sphinx process cannot start, died or hangs: {death!r}"
                ) from death
        return words

    def stop(self) -> None:
        """End the process after the utterance it is decoding; the next starts a new one."""
        with self._busy:
            self._end()

    def _connected(self) -> Connection:
        with self._start_stop_lock:
            if self._connection and self._process and self._process.is_alive():
                return self._connection
        self._end()
        with self._start_stop_lock:
            self._process, self._connection = _started()
        return self._connection

    @contextmanager
    def _killed_after(self, seconds: float) -> Iterator[None]:
        """Kill the process unless the block ends within `seconds`."""
        timer = Timer(seconds, self._kill)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()  # so that it kills no later process

    def _kill(self) -> None:
        with self._start_stop_lock:
            if self._process:
                self._process.kill()

    def _end(self) -> None:
        if self._connection:
            self._connection.close()
        with self._start_stop_lock:
            if self._process:
                self._process.join(END_LIMIT)
                self._process.kill()
                self._process.join()
                self._process.close()
        self._connection = self._process = None


def _started() -> tuple[SpawnProcess, Connection]:
    """Start a process. Returns it with the connection to it."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    with theirs:
        process = spawn.Process(target=serve_utterances, args=(theirs,), daemon=True)
        try:
            process.start()
        except BaseException:
            ours.close()
            raise
    return process, ours
