"""The caller of the API, and its scopes."""

from dataclasses import dataclass
from typing import Annotated, TypeAlias

from fastapi import Depends

from functions.ingest.http.dependencies import CurrentDependencies


@dataclass(frozen=True, slots=True)
class Caller:
    """The tenant whose recordings a request may use, and the scopes of that use."""

    tenant: str
    scopes: frozenset[str]


ALL_SCOPES = frozenset({"read", "write"})


async def authenticate(current: CurrentDependencies) -> Caller:
    """Return the caller of a request: without API keys, the settings' tenant with all scopes."""
    return Caller(current.settings.tenant, ALL_SCOPES)


CurrentCaller: TypeAlias = Annotated[Caller, Depends(authenticate)]
