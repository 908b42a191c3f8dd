"""The exit codes of the command line."""

from collections.abc import Iterable
from enum import IntEnum

from infra.client.errors import Rejected, ServerAway
from infra.local.errors import CannotStart


class Exit(IntEnum):
    """Exit codes, for scripts."""

    COMPLETED = 0
    FAILED = 1
    USAGE = 2
    AWAY = 3
    REJECTED = 4


EXIT_CODES = (
    "Exit codes: 0 all completed, 1 some failed, 2 wrong usage, 3 the server is away or cannot"
    " start, 4 whatever is not completed was refused, 129, 130 or 143 stopped by SIGHUP, Ctrl-C"
    " or SIGTERM."
)


def code_of(error: Exception) -> Exit:
    """Return the exit code for an error that ended a command."""
    if isinstance(error, ServerAway | CannotStart | OSError):
        return Exit.AWAY
    return Exit.REJECTED if isinstance(error, Rejected) else Exit.FAILED


def code_of_signal(number: int) -> int:
    """Return the exit code of a command that a signal has ended, as shells do."""
    return 128 + number


def exit_code(statuses: Iterable[str]) -> Exit:
    """Return the exit code for the statuses of a batch.

    `AWAY` if the server was away for any: trying again may help. `REJECTED` if all that are not
    completed were refused: trying again will not help.
    """
    not_completed = set(statuses) - {"completed"}
    if "away" in not_completed:
        return Exit.AWAY
    if not_completed == {"refused"}:
        return Exit.REJECTED
    return Exit.FAILED if not_completed else Exit.COMPLETED
