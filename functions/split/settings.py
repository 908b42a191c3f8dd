"""Settings of split."""

from typing import Annotated

from pydantic import Field

from shared.settings import AudioSettings


class Settings(AudioSettings):
    """Read from the environment, names in upper case."""

    concurrency: Annotated[int, Field(ge=1, description="Recordings split at the same time.")] = 4
