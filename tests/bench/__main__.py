"""`make bench`: measure, print the tables, and write them to tests/bench/RESULTS.md."""

from pathlib import Path

from tests.bench import calls, machine, split_memory, starts, uploads, whisper_call

RESULTS = Path(__file__).with_name("RESULTS.md")
PREFACE = """# Figures

Written by `make bench`. Times depend on the machine and on what else runs on it; ratios within
one run depend on it less. No test fails by the clock.
"""


def main() -> None:
    sections = (machine, calls, whisper_call, uploads, split_memory, starts)
    text = "\n".join([PREFACE, *(each.section() for each in sections)])
    RESULTS.write_text(text, encoding="utf-8")
    print(text)  # noqa: T201 - this is its purpose


if __name__ == "__main__":
    main()
