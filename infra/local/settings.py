"""Settings of the stack itself."""

from typing import Annotated

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings

from infra.local.errors import CannotStart

RECOVERY_LIMIT = 600.0
"""Seconds in which a store must be ready; after a crash it has files to recover first."""


class SupervisionSettings(BaseSettings):
    """How the supervisor watches processes."""

    alive_limit: Annotated[
        float,
        Field(
            gt=0,
            allow_inf_nan=False,
            description="Seconds within which a function answers at /alive; one that misses them"
            " twice in a row is killed and started again.",
        ),
    ] = 10.0
    start_limit: Annotated[
        float,
        Field(
            gt=0,
            allow_inf_nan=False,
            description="Seconds in which a function must be ready once its stores are.",
        ),
    ] = 60.0


def supervision_settings() -> SupervisionSettings:
    """Read the settings from the environment. Raises `CannotStart` if one is wrong."""
    try:
        return SupervisionSettings()
    except ValidationError as error:
        wrong = error.errors()[0]
        name = str(wrong["loc"][0]).upper()
        raise CannotStart(f"{name} is {wrong['input']!r}. {wrong['msg']}.") from error
