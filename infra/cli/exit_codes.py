"""How a command ends, as a number for scripts."""

from collections.abc import Sequence
from enum import IntEnum

from infra.client.batch import Outcome
from infra.client.errors import Refused, ServerAway
from infra.local.supervisor.child import CannotStart


class Exit(IntEnum):
    """Exit codes of the command line, for scripts."""

    COMPLETED = 0
    FAILED = 1
    USAGE = 2
    AWAY = 3
    REFUSED = 4
    INTERRUPTED = 130


EXIT_CODES = (
    "Exit codes: 0 all completed, 1 some failed, 2 wrong usage, 3 the server is away or cannot"
    " start, 4 whatever is not completed was refused, 130 interrupted."
)


def code_of(error: Exception) -> Exit:
    """The exit code for what ended a command."""
    if isinstance(error, ServerAway | CannotStart):
        return Exit.AWAY
    return Exit.REFUSED if isinstance(error, Refused) else Exit.FAILED


def exit_code(outcomes: Sequence[Outcome]) -> Exit:
    """What the whole run's exit code says.

    A server that is away weighs most: trying again may help. `REFUSED` means that trying again
    will not: whatever is not completed was refused.
    """
    verdicts = {outcome.verdict for outcome in outcomes} - {"completed"}
    if "away" in verdicts:
        return Exit.AWAY
    if verdicts == {"refused"}:
        return Exit.REFUSED
    return Exit.FAILED if verdicts else Exit.COMPLETED
