"""Cheap programs for a supervisor, and what tests want to know of them."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from infra.deployments import ROOT
from infra.local.state import is_alive
from infra.local.supervisor.process import Program
from infra.local.supervisor.waiting import until


class Lines(list[tuple[str, str]]):
    """A sink that keeps the lines."""

    def __call__(self, name: str, line: str) -> None:
        self.append((name, line))

    def count(self, words: str) -> int:  # type: ignore[override]
        """How many lines have the words in them."""
        return sum(words in line for _, line in self)

    async def number(self, word: str, than: int = 0) -> int:
        """The number that follows a word, once one other than `than` was written."""
        found: list[int] = []

        async def is_there() -> bool:
            numbers = [int(line.split()[1]) for _, line in self if line.startswith(word)]
            found[:] = [number for number in numbers if number != than]
            return bool(found)

        await within(5, is_there)
        return found[-1]

    async def wait_for(self, words: str, times: int = 1, seconds: float = 5) -> None:
        """Wait for so many lines with the words in them."""

        async def are_there() -> bool:
            return self.count(words) >= times

        await within(seconds, are_there)


async def within(seconds: float, holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait until it holds. Raise `TimeoutError` if that takes longer."""
    async with asyncio.timeout(seconds):
        await until(holds, every=0.01)


async def gone(*pids: int, seconds: float = 5) -> None:
    """Wait until the processes have ended."""

    async def are_gone() -> bool:
        return not any(is_alive(pid) for pid in pids)

    await within(seconds, are_gone)


def shell(script: str, name: str = "worker", **options: object) -> Program:
    """A process that runs a shell script."""
    return Program(name=name, argv=["sh", "-c", script], **options)  # type: ignore[arg-type]


def with_mark(mark: str) -> list[int]:
    """The pids of all processes whose command line holds the mark."""
    found = psutil.process_iter(["pid", "cmdline", "status"])
    return [
        process.pid
        for process in found
        if mark in " ".join(process.info["cmdline"] or ())
        and process.info["status"] != psutil.STATUS_ZOMBIE
    ]


@contextmanager
def python(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A Python program of its own, whose output can be read; killed at the end."""
    argv = [sys.executable, "-c", script, *map(str, arguments)]
    with subprocess.Popen(
        argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def numbers(process: subprocess.Popen[str], *words: str) -> list[int]:
    """The numbers that the program writes, each on a line that ends with its word and it."""
    assert process.stdout is not None
    found: dict[str, int] = {}
    while not found.keys() >= set(words):
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else "it ended"
        word, number = line.split()[-2:]
        if word in words:
            found[word] = int(number)
    return [found[word] for word in words]


def executable(folder: Path, name: str, script: str) -> Path:
    """A program made of a shell script."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path
