"""Who calls the API, and what they may do."""

from dataclasses import dataclass
from typing import Annotated, TypeAlias

from fastapi import Depends

from functions.ingest.http.dependencies import CurrentDependencies


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose recordings a request is about, and what it may do with them."""

    tenant: str
    scopes: frozenset[str]


ALL_SCOPES = frozenset({"read", "write"})


async def authenticate(current: CurrentDependencies) -> Caller:
    """The caller of a request. There are no keys yet: the settings' tenant, with all scopes."""
    return Caller(current.settings.tenant, ALL_SCOPES)


CurrentCaller: TypeAlias = Annotated[Caller, Depends(authenticate)]
