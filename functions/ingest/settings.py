"""Settings of ingest."""

from typing import Annotated

from pydantic import Field

from events.base import Tenant
from shared.settings import AudioSettings


class Settings(AudioSettings):
    """Read from the environment, names in upper case."""

    wait: Annotated[
        float,
        Field(ge=0, description="Seconds to wait for the result by default."),
    ] = 25.0
    max_wait: Annotated[
        float, Field(ge=0, description="Longest wait in seconds that a client may ask for.")
    ] = 120.0
    max_upload_bytes: Annotated[int, Field(gt=0, description="Largest file in bytes.")] = 1 << 30
    head_timeout: Annotated[
        float, Field(gt=0, description="Seconds in which a request's head must arrive.")
    ] = 10.0
    body_timeout: Annotated[
        float, Field(gt=0, description="Seconds without a byte after which an upload is given up.")
    ] = 60.0
    tenant: Annotated[Tenant, Field(description="Owner of what is uploaded.")] = "default"
