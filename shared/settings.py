"""Settings that several functions share. An empty environment is a working local set-up."""

import sys
from pathlib import Path
from typing import Annotated, TypeVar

import structlog
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.audio.formats import Limits
from shared.telemetry import configure_logging

S = TypeVar("S", bound=BaseSettings)


def read_settings(settings: type[S]) -> S:
    """Return the settings from the environment. Logs why and ends the process if one is invalid."""
    try:
        return settings()
    except ValidationError as error:
        configure_logging()  # modules are still being imported: nobody has done it yet
        reasons = [f"{'.'.join(map(str, it['loc']))}: {it['msg']}" for it in error.errors()]
        structlog.get_logger().critical("cannot_start", reason="; ".join(reasons))
        sys.exit(1)


class ServeSettings(BaseSettings):
    """Settings of a function's server."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    host: Annotated[str, Field(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535, description="Port to listen on.")] = 8080
    grace: Annotated[
        int, Field(ge=0, description="Seconds that requests in flight may take after SIGTERM.")
    ] = 570
    max_connections: Annotated[
        int, Field(ge=1, description="Open connections; a further one gets 503.")
    ] = 512


class AudioSettings(BaseSettings):
    """Limits of the audio that is accepted; ingest and split must have the same."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    max_audio_length: Annotated[float, Field(gt=0, description="Longest recording in seconds.")] = (
        1_800.0
    )

    @property
    def limits(self) -> Limits:
        return Limits(max_seconds=self.max_audio_length)


class BlobSettings(BaseSettings):
    """Settings of the object store."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    blobs_url: Annotated[
        str, Field(description="file:///folder, s3://bucket/prefix, gs://, az://.")
    ] = Path(".pocwhisp/blobs").absolute().as_uri()
    blobs_reserve_bytes: Annotated[
        int,
        Field(
            ge=0,
            description=(
                "Bytes that must be free on the disk of a file:// store for it to be ready; "
                "never more than a twentieth of the disk. The default is room for half an hour "
                "of 48 kHz stereo and its two channels."
            ),
        ),
    ] = 512 << 20


class BusSettings(BaseSettings):
    """Settings of the broker."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    nats_url: Annotated[str, Field(description="NATS server, such as nats://host:4222.")] = (
        "nats://127.0.0.1:4222"
    )


class StoreSettings(BusSettings, BlobSettings):
    """Settings of the stores that every function uses."""


class DatabaseSettings(BaseSettings):
    """Settings of the database."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    database_url: Annotated[SecretStr, Field(description="PostgreSQL, as libpq's URI.")] = (
        SecretStr("postgresql://postgres@127.0.0.1:5432/pocwhisp")
    )
