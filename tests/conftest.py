"""Fixtures that several kinds of tests share."""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.support.recognizers import NANO_CALL, NANO_SETTINGS
from tests.support.stacks import Body, RunningStack, completed, running


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--schemas", metavar="DIR", help="Published schemas for tests/deploy.")


def pytest_configure(config: pytest.Config) -> None:
    if folder := config.getoption("--schemas"):
        os.environ["POCWHISP_SCHEMAS"] = str(folder)
    # A shell's background job ignores Ctrl-C, and so would what the tests start and interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


class ByStackAndFile(LoadScopeScheduling):
    """One process runs all tests of whole stacks, which share theirs; the others a file each."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", maxsplit=1)[0]
        return "stacks" if file.startswith(("tests/pipeline/", "tests/chaos/")) else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByStackAndFile:
    return ByStackAndFile(config, log)


# Neither waits for a busy machine. `make test-slow` looks at ten times as many examples.
settings.register_profile(
    "quick", deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("patient", settings.get_profile("quick"), max_examples=200)
settings.load_profile("quick")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """One stack for all tests that leave it as it was."""
    with running(tmp_path_factory.mktemp("stack"), SWEEP_PATIENCE="2") as stack:
        yield stack


@pytest.fixture(scope="session")
def own_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningStack]:
    """Another one, for all tests that kill its processes or wipe its stores; Whisper hears."""
    data = tmp_path_factory.mktemp("own_stack")
    with running(data, SWEEP_PATIENCE="2", **NANO_SETTINGS) as stack:
        yield stack


@pytest.fixture(scope="session")
def sample_call(stack: RunningStack) -> Body:
    """The body for the sample call, asked for once."""
    return completed(stack.post(wait="90"))


@pytest.fixture(scope="session")
def nano_call(own_stack: RunningStack) -> Body:
    """The body for the nano call, asked for once."""
    return completed(own_stack.post(NANO_CALL, wait="90"))
