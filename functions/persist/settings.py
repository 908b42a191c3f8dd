"""Settings of persist and of the sweep."""

from datetime import timedelta
from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read from the environment, names in upper case."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    concurrency: Annotated[int, Field(ge=1, description="Events handled at the same time.")] = 4
    sweep_patience: Annotated[
        float,
        Field(gt=0, description="Seconds after which the sweep examines a run again."),
    ] = 10.0

    @property
    def patience(self) -> timedelta:
        return timedelta(seconds=self.sweep_patience)
