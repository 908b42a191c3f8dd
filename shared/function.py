"""A function of the pipeline: one typed event in, typed events out, ports by name."""

import inspect
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Generic, ParamSpec, TypeAlias, get_args, get_type_hints

from events import Event

P = ParamSpec("P")
EVENT_PARAMETERS = frozenset({"at", "redrive"})
"""Names of handlers' parameters that are no ports.

`at` gets the event's own time, `redrive` the number of its re-drive, 0 for none.
"""
Outputs: TypeAlias = Event | Sequence[Event] | None


@dataclass(frozen=True)
class Function(Generic[P]):
    """A handler with its name and the events it accepts. Calling it calls the handler."""

    name: str
    handler: Callable[P, Awaitable[Outputs]]
    accepts: tuple[type[Event], ...]

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> tuple[Event, ...]:
        outputs = await self.handler(*args, **kwargs)
        if outputs is None:
            return ()
        return (outputs,) if isinstance(outputs, Event) else tuple(outputs)

    @property
    def event_parameters(self) -> frozenset[str]:
        """The `EVENT_PARAMETERS` that the handler has."""
        return EVENT_PARAMETERS & inspect.signature(self.handler).parameters.keys()

    @property
    def ports(self) -> frozenset[str]:
        """The names of the ports that the handler has parameters for."""
        _, *ports = inspect.signature(self.handler).parameters
        return frozenset(ports) - EVENT_PARAMETERS

    def check_ports(self, given: Collection[str]) -> None:
        """Raise `TypeError` unless `given` are the ports that the handler asks for."""
        missing, unknown = sorted(self.ports - {*given}), sorted({*given} - self.ports)
        if missing or unknown:
            raise TypeError(
                f"{self.name} is not composed as its handler asks: "
                f"missing ports {missing}, unknown ports {unknown}."
            )


def function(name: str) -> Callable[[Callable[P, Awaitable[Outputs]]], Function[P]]:
    """Return a decorator that makes a handler a `Function`.

    The annotation of the handler's first parameter is the events it accepts.
    """

    def decorate(handler: Callable[P, Awaitable[Outputs]]) -> Function[P]:
        return Function(name, handler, _accepted(handler))

    return decorate


def _accepted(handler: Callable[..., Any]) -> tuple[type[Event], ...]:
    first = next(iter(inspect.signature(handler).parameters))
    annotation = get_type_hints(handler)[first]
    return get_args(annotation) or (annotation,)
