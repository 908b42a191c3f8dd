"""Settings of summarize."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read from the environment, names in upper case."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    concurrency: Annotated[int, Field(ge=1, description="Events handled at the same time.")] = 2
    summarizer: Annotated[
        Literal["auto", "extractive"],
        Field(description="The engine; auto picks the best that is on the machine."),
    ] = "auto"
