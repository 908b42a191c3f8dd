"""Settings of split."""

from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.formats import Limits


class Settings(BaseSettings):
    """Read from the environment, names in upper case."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    concurrency: Annotated[int, Field(ge=1, description="Recordings split at the same time.")] = 4
    max_audio_length: Annotated[float, Field(gt=0, description="Longest recording in seconds.")] = (
        1_800.0
    )

    @property
    def limits(self) -> Limits:
        return Limits(max_seconds=self.max_audio_length)
