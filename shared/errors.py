"""How a step can fail, and what happens to its event then.

    PocWhispError
    ├── Transient      retried with back-off, parked after the last attempt
    ├── Unavailable    a store or the broker is away: retried for an hour at least, never parked
    └── Permanent      parked at once; no retry can help
        └── Missing    a blob that an event refers to is not there

Any other exception counts as `Transient`.
"""


class PocWhispError(Exception):
    """A step failed. `code` is a short fixed word for machines, free of what was said."""

    code = "server_error"


class Transient(PocWhispError):
    """It may go better next time."""

    code = "transient"


class Unavailable(PocWhispError):
    """A part that this step needs is away; the call itself is fine.

    The message may be shown outside, unless `part` is given: then it is for the log alone, and
    outside only the part's name is shown.
    """

    code = "unavailable"

    def __init__(self, message: str, *, part: str | None = None) -> None:
        super().__init__(message)
        self.part = part

    @property
    def answer(self) -> str:
        """What may be shown outside, free of hosts, files and other internals."""
        return str(self) if self.part is None else f"{self.part} is unavailable."

    @property
    def reason(self) -> str:
        """What is logged: the message, and what caused it."""
        return str(self) if self.__cause__ is None else f"{self} ({self.__cause__})"


class Permanent(PocWhispError):
    """This input can never be processed."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Missing(Permanent):
    """A blob is not there although an event refers to it."""

    def __init__(self, key: str) -> None:
        super().__init__("missing_blob", f"No blob at {key}.")
