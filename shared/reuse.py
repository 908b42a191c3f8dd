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
    """A document to be made in a run: where it lies in a run, the digest of its input and engine.

    `engine` is the one that is to make it.
    """

    run: RunKey
    key_of: Callable[[RunKey], str]
    digest: str
    engine: Engine


async def made_before(blobs: Blobs, work: Work, model: type[D]) -> D | None:
    """The document of the work, made in this run or else in the run before.

    That run's is copied to this run, as it is but for the run's number; not so if an engine made
    it that stood in for `work.engine`, which may do better this time. Returns None if the work is
    still to be done.
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
