"""The configurations to evaluate: one or two sets of settings for the stack."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module

from pydantic import AliasChoices
from pydantic_settings import BaseSettings

import shared.settings
from infra.deployments import DEPLOYMENTS
from infra.dispatcher import settings

EXTERNAL_SERVERS = ("NATS_URL", "DATABASE_URL", "BLOBS_URL")
SET_BY_THE_STACK = {
    *EXTERNAL_SERVERS,
    *("CHANNEL", "CONCURRENCY", "FUNCTION_TARGET", "HOST", "PORT"),
    *("DISPATCH_ALIVE_PORT", "DISPATCH_GRACE", "DISPATCH_ROUTES", "SWEEP_URL"),
}


class UnusableSettings(ValueError):
    """Settings that cannot be evaluated. The message names the option and what it takes."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """Settings to evaluate; `own_stack`: on a stack of their own, even if there are none."""

    settings: Mapping[str, str] = field(default_factory=dict)
    own_stack: bool = False

    def __str__(self) -> str:
        return " ".join(f"{name}={text}" for name, text in self.settings.items()) or "as it is"


def configurations(
    with_settings: Sequence[str] | None, against_settings: Sequence[str] | None, server: str | None
) -> list[Configuration]:
    """Return the configurations to evaluate: one, or two if `--against` is given.

    Raises `UnusableSettings` if a setting is malformed, is the stack's own, or if there is also a
    `server`, whose settings are fixed.
    """
    if (with_settings or against_settings) and server is not None:
        raise UnusableSettings(
            "--with and --against start stacks of their own, so --server cannot be given too."
        )
    first = Configuration(
        _settings("--with", with_settings), own_stack=bool(with_settings or against_settings)
    )
    if not against_settings:
        return [first]
    return [first, Configuration(_settings("--against", against_settings), own_stack=True)]


def _settings(option: str, pairs: Sequence[str] | None) -> dict[str, str]:
    """Return the settings, split at their first `=`. Raises `UnusableSettings`."""
    split = [pair.partition("=") for pair in pairs or ()]
    for name, equals, text in split:
        if not (name and equals):
            raise UnusableSettings(f"{option} {name}{text}: needed: NAME=VALUE.")
        if name.upper() in SET_BY_THE_STACK:
            raise UnusableSettings(f"{option} {name}: the stack itself sets {name}.")
    return {name: text for name, _, text in split}


def check_environment() -> None:
    """Raise `UnusableSettings` if the environment names external servers.

    Functions of the stack that uses them would take the evaluation's events.
    """
    names = [name for name in EXTERNAL_SERVERS if os.environ.get(name)]
    if names:
        raise UnusableSettings(
            f"An evaluation's stack has servers of its own; unset {', '.join(names)}."
        )


def unknown_settings(chosen: Iterable[Configuration]) -> list[str]:
    """Return the names of settings that no part of PocWhisp reads; a library may read them."""
    read = {name.upper() for settings in _all_settings() for name in _names(settings)}
    names = (name for configuration in chosen for name in configuration.settings)
    return [name for name in names if name.upper() not in read]


def _all_settings() -> Iterator[type[BaseSettings]]:
    packages = {deployment.module.rpartition(".")[0] for deployment in DEPLOYMENTS}
    functions = (import_module(f"{package}.settings") for package in packages)
    for module in (*functions, shared.settings, settings):
        for each in vars(module).values():
            if isinstance(each, type) and issubclass(each, BaseSettings):
                yield each


def _names(settings: type[BaseSettings]) -> Iterator[str]:
    prefix = settings.model_config.get("env_prefix", "")
    for name, described in settings.model_fields.items():
        alias = described.validation_alias
        if isinstance(alias, AliasChoices):
            yield from map(str, alias.choices)
        else:
            yield str(alias or f"{prefix}{name}")
