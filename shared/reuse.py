"""Documents that need not be made, because the very same work was done before."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from events.documents import Engine, EngineDocument
from events.keys import RunKey
from shared.ports import Blobs

D = TypeVar("D", bound=EngineDocument)


@dataclass(frozen=True, slots=True)
class Work:
    """The work that a document is the result of: its run, key, digest and the engine chosen."""

    run: RunKey
    key_of: Callable[[RunKey], str]
    digest: str
    engine: Engine


async def made_before(blobs: Blobs, work: Work, model: type[D]) -> D | None:
    """Return the document if equal work was done in this run, or in the previous one.

    That of the previous run counts only if `work.engine` itself made it, and is copied into this
    run. Returns None if the work is still to be done.
    """
    key = work.key_of(work.run)
    done = await blobs.get_json(key, model)
    if done is not None and done.digest == work.digest:
        return done
    earlier = await _of_previous_run(blobs, work, model)
    if earlier is None or (earlier.digest, earlier.engine) != (work.digest, work.engine):
        return None
    copy = earlier.model_copy(update={"run": work.run.number})
    await blobs.put_json(key, copy)
    return copy


async def _of_previous_run(blobs: Blobs, work: Work, model: type[D]) -> D | None:
    previous = work.run.previous
    return None if previous is None else await blobs.get_json(work.key_of(previous), model)
