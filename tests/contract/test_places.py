"""The places of behaviours are where `places.toml` says."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLACES: dict[str, str] = tomllib.loads(
    (ROOT / "tests" / "contract" / "places.toml").read_text("utf-8")
)["places"]


@pytest.mark.parametrize("behaviour", PLACES)
def test_a_behaviour_has_the_file_that_is_named_for_it(behaviour: str) -> None:
    assert (ROOT / PLACES[behaviour]).is_file()


def test_no_file_is_named_for_two_behaviours() -> None:
    assert len(set(PLACES.values())) == len(PLACES) >= 30
