"""The event about a delivery that was given up."""

from typing import Annotated, ClassVar

from pydantic import Field

from events.base import ErrorClass, ErrorCode, Event, FunctionName, computed_id


class DeliveryParked(Event):
    """A function gave an event up, at once (`permanent`) or after its retries (`exhausted`)."""

    type: ClassVar[str] = "io.pocwhisp.delivery.parked.v1"

    function: FunctionName
    original_id: Annotated[str, Field(description="Id of the event that was given up.")]
    original_type: Annotated[str, Field(description="Type of the event that was given up.")]
    series: Annotated[
        int,
        Field(ge=1, description="Series of attempts, counted from 1; a replay begins a new one."),
    ] = 1
    attempts: Annotated[int, Field(ge=1, description="Deliveries in this series.")] = 1
    error_class: Annotated[ErrorClass, Field(description="Why no further attempt is made.")]
    error_code: ErrorCode

    @property
    def event_id(self) -> str:
        return computed_id(self.original_id, self.function, self.series)
