"""Why a stack does not start."""

from collections.abc import Iterable


class CannotStart(Exception):
    """A part of the stack cannot start. The message is for the user."""


class StartFailed(CannotStart):
    """A process died or stayed unready; the message names it and shows its last lines."""

    def __init__(self, name: str, reason: str, tail: Iterable[str]) -> None:
        last_lines = "".join(f"\n  {line}" for line in tail) or "\n  (it wrote nothing)"
        super().__init__(f"{name} did not start: {reason}. Its last lines:{last_lines}")
        self.name = name
