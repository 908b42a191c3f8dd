"""A large upload: ingest's memory, and its speed against a plain copy of the same bytes."""

import os
import secrets
import shutil
import socket
import struct
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from tests.bench.tables import table
from tests.support.stacks import RunningStack, running, stopped

MIB = 1 << 20
SIZES = (256, 1024)
ROUNDS = 3
BOUNDARY = b"pocwhisp-bench"


@dataclass(frozen=True)
class Sent:
    """One upload: seconds until the 202, and ingest's peak memory above idle in MiB."""

    seconds: float
    peak: float


def section() -> str:
    """The table of sizes: memory above idle, and speed as a share of a plain copy's."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        data = Path(folder)
        with (
            running(data, MAX_AUDIO_LENGTH="1e9", MAX_UPLOAD_BYTES=str(2 << 30)) as stack,
            stopped(stack, "split"),
        ):
            send(stack, recording(data, 16))
            rows = [row(stack, data, size) for size in SIZES]
    return (
        "\n## Large uploads\n\nOver HTTP into the blob store, synced to disk before the answer. "
        f"Median of {ROUNDS} rounds, each a copy with fsync, a copy without, and an upload.\n\n"
        + table(
            ("WAV", "ingest's peak above idle", "upload", "÷ copy and fsync", "÷ copy without"),
            rows,
        )
    )


def row(stack: RunningStack, data: Path, size: int) -> tuple[str, ...]:
    """The figures of one size, in MiB."""
    file = recording(data, size)
    rounds = [
        (copied(file, sync=True), copied(file, sync=False), send(stack, file))
        for _ in range(ROUNDS)
    ]
    file.unlink()
    synced, plain = (median([one[at] for one in rounds]) for at in (0, 1))  # type: ignore[misc]
    seconds = median([sent.seconds for *_, sent in rounds])
    return (
        f"{size} MiB",
        f"{max(sent.peak for *_, sent in rounds):.1f} MiB",
        f"{size / seconds:.0f} MiB/s",
        f"{synced / seconds:.2f}",
        f"{plain / seconds:.2f}",
    )


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def recording(folder: Path, size: int) -> Path:
    """A stereo WAV of noise of so many MiB; zeros would hide what is kept in memory."""
    path = folder / f"{size}.wav"
    body = size * MIB
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 2, 48_000, 192_000, 4, 16)
    with path.open("wb") as file:
        file.write(struct.pack("<4sI4s", b"RIFF", 36 + body, b"WAVE") + fmt)
        file.write(struct.pack("<4sI", b"data", body))
        for _ in range(size):
            file.write(secrets.token_bytes(MIB))
        os.fsync(file.fileno())
    return path


def copied(file: Path, *, sync: bool) -> float:
    """Seconds to copy the file."""
    target = file.with_suffix(".copy")
    started = time.perf_counter()
    shutil.copyfile(file, target)
    if sync:
        with target.open("rb") as written:
            os.fsync(written.fileno())
    seconds = time.perf_counter() - started
    target.unlink()
    return seconds


def send(stack: RunningStack, file: Path) -> Sent:
    """Upload the file and remove it from the store; split is held, so nobody misses it."""
    pid = stack.pid("ingest")
    reset_peak(pid)
    idle = psutil.Process(pid).memory_info().rss
    started = time.perf_counter()
    session_id = post(stack.info.url, file)
    seconds = time.perf_counter() - started
    peak = (peak_of(pid) - idle) / MIB
    shutil.rmtree(stack.data / "blobs" / "default" / session_id)
    return Sent(seconds, peak)


def post(server: str, file: Path) -> str:
    """Send the file with sendfile(2), so that the client costs little; the session's id."""
    url = httpx.URL(server)
    head = (
        b"--" + BOUNDARY + b"\r\nContent-Disposition: form-data; "
        b'name="audio"; filename="a.wav"\r\n\r\n'
    )
    tail = b"\r\n--" + BOUNDARY + b"--\r\n"
    length = len(head) + file.stat().st_size + len(tail)
    with socket.create_connection((url.host, url.port)) as connection, file.open("rb") as content:
        connection.sendall(
            b"POST /api/v1/transcribe?wait=0 HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n"
            b"Content-Type: multipart/form-data; boundary=" + BOUNDARY + b"\r\n"
            b"Content-Length: " + str(length).encode() + b"\r\n\r\n" + head
        )
        connection.sendfile(content)
        connection.sendall(tail)
        answer = b"".join(iter(reader(connection), b""))
    assert b" 202 " in answer[:20], answer
    return answer.partition(b'"session_id":"')[2][:36].decode()


def reader(connection: socket.socket) -> Callable[[], bytes]:
    return lambda: connection.recv(1 << 16)


def reset_peak(pid: int) -> None:
    """Let the kernel count the process's peak memory anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_of(pid: int) -> int:
    """Peak resident memory in bytes since it was reset."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    [line] = [line for line in status if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024
