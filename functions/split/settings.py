"""Settings of split."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read from the environment, names in upper case."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    concurrency: Annotated[int, Field(ge=1, description="Recordings split at the same time.")] = 4
