"""`make bench`: measure, print the tables, and write them to tests/bench/RESULTS.md.

With names of parts, such as `python -m tests.bench frontend turns`, only these are measured and
printed.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.bench import (
    batching,
    calls,
    figures,
    frontend,
    gpu,
    machine,
    memory,
    recognition,
    record,
    silence,
    split_memory,
    starts,
    turns,
    uploads,
    whisper_call,
    words,
)
from tests.bench.figures import Part

RESULTS = Path(__file__).with_name("RESULTS.md")
PREFACE = """# Figures

Written by `make bench`. Times depend on the machine and on what else runs on it; ratios within
one run depend on it less. No test fails by the clock.
"""
PARTS: Mapping[str, Callable[[], Part]] = {
    "recognition": recognition.part,
    "gpu": gpu.part,
    "frontend": frontend.part,
    "batching": batching.part,
    "memory": memory.part,
    "turns": turns.part,
    "silence": silence.part,
    "words": words.part,
}
"""What makes up the table of recognition."""
SECTIONS: Mapping[str, Callable[[], str]] = {
    "calls": calls.section,
    "whisper_call": whisper_call.section,
    "uploads": uploads.section,
    "split_memory": split_memory.section,
    "starts": starts.section,
}
APART: Mapping[str, Callable[[], str]] = {"record": record.section}
"""What is measured only when it is asked for by name."""


def main() -> None:
    asked = arguments()
    names = asked.names or [*PARTS, *SECTIONS]
    text = "\n".join([PREFACE, machine.section(), *measured(names)])
    if not asked.names:
        text += measured_apart()
        RESULTS.write_text(text, encoding="utf-8")
    print(text)  # noqa: T201 - this is its purpose


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*PARTS, *SECTIONS, *APART, []], metavar="PART")
    return parser.parse_args()


def measured(names: Sequence[str]) -> list[str]:
    """The table of the parts asked for, and the sections."""
    made = [part() for name, part in PARTS.items() if name in names]
    sections = [section() for name, section in {**SECTIONS, **APART}.items() if name in names]
    return [*([figures.section(made)] if made else []), *sections]


def measured_apart() -> str:
    """The last section of the file, which is measured by its own command alone."""
    _, heading, rest = RESULTS.read_text(encoding="utf-8").partition("\n## A record of")
    return heading + rest


if __name__ == "__main__":
    main()
