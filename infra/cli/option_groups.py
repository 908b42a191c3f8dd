"""Options that several commands have in common, given to a command as one value."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import TypeVar

R = TypeVar("R")


def with_groups(**groups: Callable[..., object]) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Replace parameters of a typer command by groups of options.

    `groups` has, for the name of a parameter, the function that makes its value. The command then
    has the function's parameters as options instead.
    """
    signatures = {name: inspect.signature(make, eval_str=True) for name, make in groups.items()}

    def decorate(command: Callable[..., R]) -> Callable[..., R]:
        own = inspect.signature(command, eval_str=True)
        options = [
            option
            for name, parameter in own.parameters.items()
            for option in (signatures[name].parameters.values() if name in groups else [parameter])
        ]

        @wraps(command)
        def grouped(**given: object) -> R:
            for name, make in groups.items():
                given[name] = make(**{key: given.pop(key) for key in signatures[name].parameters})
            return command(**given)

        # typer reads both
        vars(grouped)["__signature__"] = own.replace(parameters=options)
        grouped.__annotations__ = {option.name: option.annotation for option in options}
        return grouped

    return decorate
