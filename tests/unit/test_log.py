"""The log of a stack, on a terminal and in a file."""

import io
import re
from pathlib import Path

from infra.local.supervisor import log


def test_every_line_carries_the_name_of_its_process_in_one_column() -> None:
    stream = io.StringIO()
    write = log.console(stream)
    write("merge", "hello")
    write("transcribe", "hello")
    assert stream.getvalue() == "merge      | hello\ntranscribe | hello\n"


def test_names_are_coloured_on_a_terminal_alone() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    log.console(stream)("merge", "hello")
    assert re.fullmatch(r"\x1b\[\d+mmerge +\|\x1b\[0m hello\n", stream.getvalue())


def test_what_a_terminal_cannot_show_is_printed_as_an_escape() -> None:
    written = io.BytesIO()
    with io.TextIOWrapper(written, encoding="ascii") as terminal:
        log.console(terminal)("merge", "Loading… \ufffd")
        assert written.getvalue() == b"merge      | Loading\\u2026 \\ufffd\n"


def test_the_log_can_go_to_a_file(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "stack.log"
    with log.log_file(path) as write:
        write("merge", "hello")
    assert path.read_text() == "merge      | hello\n"
