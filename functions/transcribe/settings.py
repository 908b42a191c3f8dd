"""Settings of transcribe."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from events.base import Channel


class Settings(BaseSettings):
    """Read from the environment, names in upper case."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    channel: Annotated[
        Channel | None, Field(description="The channel this deployment serves; unset: both.")
    ] = None
    concurrency: Annotated[int, Field(ge=1, description="Events handled at the same time.")] = 1
    recognizer: Annotated[
        Literal["auto", "sphinx"],
        Field(description="The engine; auto picks the best that is on the machine."),
    ] = "auto"

    @property
    def serves(self) -> tuple[Channel, ...]:
        return ("left", "right") if self.channel is None else (self.channel,)
