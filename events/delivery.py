"""The event about a delivery that was given up."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from events.base import Event, computed_id

ErrorClass = Literal["permanent", "exhausted"]


class DeliveryParked(Event):
    """A function gave an event up, at once (`permanent`) or after its retries (`exhausted`)."""

    type: ClassVar[str] = "io.pocwhisp.delivery.parked.v1"

    function: Annotated[str, Field(description="The function that gave up.")]
    original_id: Annotated[str, Field(description="Id of the event that was given up.")]
    original_type: Annotated[str, Field(description="Type of the event that was given up.")]
    series: Annotated[
        int,
        Field(ge=1, description="Series of attempts, counted from 1; a replay begins a new one."),
    ] = 1
    attempts: Annotated[int, Field(ge=1, description="Deliveries in this series.")] = 1
    error_class: Annotated[ErrorClass, Field(description="Why no further attempt is made.")]
    error_code: Annotated[str, Field(description="Code of the error, such as invalid_audio.")]

    @property
    def event_id(self) -> str:
        return computed_id(self.original_id, self.function, self.series)
