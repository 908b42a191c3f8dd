"""On what machine the figures were measured."""

import os
import platform
from pathlib import Path


def section() -> str:
    """A list of what the figures depend on."""
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    python = platform.python_version()
    return f"Machine: {os.cpu_count()} cores of {cpu}, {platform.system()}, Python {python}.\n"
