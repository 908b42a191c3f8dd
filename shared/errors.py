"""The ways in which a step can fail, and what happens to its event then.

    PocWhispError
    ├── Transient      retried with back-off, parked after the last attempt
    ├── Unavailable    a store or the broker is away: retried as long as it takes, never parked
    └── Permanent      parked at once; no retry can help
        └── Missing    a blob that the step reads is not there

Any other exception counts as `Transient`.
"""


class PocWhispError(Exception):
    """A failed step. `code` is a fixed word for machines and holds nothing of the call."""

    code = "server_error"


class Transient(PocWhispError):
    """A failure that may not occur again."""

    code = "transient"


class Unavailable(PocWhispError):
    """The outage of a part that the step needs; the call itself is fine.

    The message may be shown outside, unless `part` is given: then it is for the log alone, and
    outside only the part's name is shown.
    """

    code = "unavailable"

    def __init__(self, message: str, *, part: str | None = None) -> None:
        super().__init__(message)
        self.part = part

    @property
    def answer(self) -> str:
        """The message for clients, free of hosts, files and other internals."""
        return str(self) if self.part is None else f"{self.part} is unavailable."

    @property
    def reason(self) -> str:
        """The message for the log, with its cause."""
        return str(self) if self.__cause__ is None else f"{self} ({self.__cause__})"


class Permanent(PocWhispError):
    """An input that can never be processed."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Missing(Permanent):
    """A blob that a step reads and that does not exist."""

    def __init__(self, key: str) -> None:
        super().__init__("missing_blob", f"No blob at {key}.")
