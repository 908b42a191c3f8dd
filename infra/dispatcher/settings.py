"""The dispatcher's settings, and its routes from event types to functions."""

from typing import Annotated
from urllib.parse import urljoin

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from events.base import TYPE_PREFIX
from infra.dispatcher.retry_policy import Policy


class EventRoute(BaseModel):
    """A route: all events of one type go to one deployed function.

    Two functions that take the same type (transcribe and persist), or two deployments of one, are
    two routes: each has a consumer of its own and gets every event.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    function: Annotated[
        str, Field(pattern=r"^[a-z0-9-]{1,40}$", description="Name of the deployment.")
    ]
    type: Annotated[
        str, Field(pattern=r"^io\.pocwhisp(\.[a-z0-9]+)+$", description="CloudEvents type.")
    ]
    url: Annotated[
        str, Field(pattern=r"^https?://[^/\s]+", description="Where events are posted to.")
    ]
    in_flight: Annotated[int, Field(ge=1, description="Deliveries at one time, at most.")] = 1

    @property
    def subject(self) -> str:
        """NATS filter for the type's events of all tenants."""
        return f"{self.type}.>"

    @property
    def consumer(self) -> str:
        """Durable name of the consumer, such as `merge--channel-transcribed-v1`."""
        return f"{self.function}--{self.type.removeprefix(TYPE_PREFIX).replace('.', '-')}"

    @property
    def alive_url(self) -> str:
        return urljoin(self.url, "/alive")


class DispatchSettings(BaseSettings):
    """How events are dispatched. All times are in seconds."""

    model_config = SettingsConfigDict(env_prefix="dispatch_", frozen=True, extra="ignore")

    routes: Annotated[
        tuple[EventRoute, ...], Field(description="JSON array of {function, type, url, in_flight}.")
    ] = ()
    ack_wait: Annotated[
        float,
        Field(
            gt=0,
            description="Seconds without an answer or a heartbeat after which JetStream delivers"
            " again, e.g. because the dispatcher died.",
        ),
    ] = 15
    max_attempts: Annotated[
        int, Field(ge=1, description="Counted failures after which an event is parked.")
    ] = 8
    backoff_base: Annotated[
        float, Field(gt=0, description="Delay after the first failure; each next one doubles it.")
    ] = 1
    backoff_cap: Annotated[
        float, Field(gt=0, description="Longest delay after a counted failure.")
    ] = 60
    outage_cap: Annotated[
        float, Field(gt=0, description="Longest delay while a function or its stores are away.")
    ] = 30
    work_floor: Annotated[
        float, Field(gt=0, description="Least time limit of a delivery, however short the audio.")
    ] = 600
    work_factor: Annotated[
        float,
        Field(gt=0, description="Time limit of a delivery, as a multiple of the audio's length."),
    ] = 20
    connect_timeout: Annotated[
        float,
        Field(
            gt=0,
            description="Time in which a function must take a connection to count as up.",
        ),
    ] = 5
    alive_port: Annotated[
        int | None,
        Field(ge=1, le=65535, description="Port of this machine that answers while it is alive."),
    ] = None
    grace: Annotated[
        float, Field(ge=0, description="Time that deliveries in flight may take after SIGTERM.")
    ] = 10

    @property
    def policy(self) -> Policy:
        return Policy(
            max_attempts=self.max_attempts,
            base=self.backoff_base,
            cap=self.backoff_cap,
            outage_cap=self.outage_cap,
        )


class SweepSettings(BaseSettings):
    """The clock of the sweep, as a PingSource is in a cluster."""

    model_config = SettingsConfigDict(env_prefix="sweep_", frozen=True, extra="ignore")

    url: Annotated[
        str | None, Field(description="Where ticks are posted to; without it there are none.")
    ] = None
    interval: Annotated[float, Field(gt=0, description="Seconds between two ticks.")] = 5
