"""How storage is opened: the actor's lifetime, and the user's client of it."""

from __future__ import annotations

import math
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Never, TypeVar, TypeVarTuple, cast

import attrs

from .._core.supervision.policy import Backoff, Escalate, Exit, ExitDecision
from ..actors import Behaviour, ChildSpec, Life, Supervisor, open_supervisor
from ..errors import (
    ChildStartError,
    InvalidInputError,
    RestartLimitExceededError,
    StorageCorruptError,
    StorageLockedError,
    StorageVersionError,
)
from .actor import StorageActor, StorageLimits
from .backend import Backend, OpenReport
from .client import Storage
from .codec import MAX_PAYLOAD_BYTES, Codec
from .executor import Executor, InlineExecutor, ThreadExecutor
from .sqlite import SQLiteStorage
from .sqlite.onlooker import Onlooker
from .write_queue import fresh

__all__ = [
    "Sight",
    "as_backend",
    "look_on",
    "open_storage",
    "open_storage_actor",
    "open_visit",
    "supervise_storage",
]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

REOPEN_WINDOW_S = 60.0
"""Reopenings within this are counted."""

REOPEN_BACKOFF = Backoff(initial=0.05, factor=3.0, maximum=10.0)
"""Something that keeps a disk from answering may take seconds."""


def as_backend(place: object) -> Backend:
    """Return the backend that a user named: a path means SQLite.

    Raises:
        InvalidInputError: it is neither a path nor a backend.
    """
    if isinstance(place, Backend):
        return place
    if isinstance(place, str | os.PathLike):
        return SQLiteStorage(cast("str | os.PathLike[str]", place))
    raise InvalidInputError(
        "storage", place, "a path, SQLiteStorage(...), MemoryStorage() or a Backend"
    )


class _StorageLife(Behaviour[Never, None]):
    """The storage actor as the child of a supervisor: one opening of the backend."""

    def __init__(self, actor: StorageActor) -> None:
        self._actor = actor

    async def run(self, life: Life) -> None:
        await self._actor.live(life.started)

    def request_stop(self, life: Life, reason: str, deadline: float) -> None:  # noqa: ARG002
        """Have it finish what is queued; it takes as long as that takes."""
        self._actor.close()


class _ReopenPolicy:
    """Reopened after an error as often as its supervisor allows.

    But damage is forgiven once only, and what somebody else owns now is not taken back.
    """

    def __init__(self) -> None:
        self._damaged = False

    async def decide(self, exit: Exit) -> ExitDecision | None:
        """Answer as a child's ``on_exit``."""
        if isinstance(exit.error, StorageCorruptError):
            if self._damaged:
                return Escalate()
            self._damaged = True
        if isinstance(exit.error, StorageLockedError | StorageVersionError):
            return Escalate()
        return None


@asynccontextmanager
async def supervise_storage(
    backend: Backend,
    *,
    executor: Executor | None = None,
    limits: StorageLimits | None = None,
    max_restarts: int = 0,
) -> AsyncGenerator[tuple[Supervisor, StorageActor]]:
    """Run a storage actor under a ``rest_for_one`` supervisor, for the length of the block.

    What relies on storage is started as a later child: if storage fails, it is stopped, storage
    is opened again, and it is restarted. At the end of the block everything queued is committed,
    then the backend is closed.

    Args:
        backend: what is opened.
        executor: where its calls run; by default threads, if it may block.
        limits: of the storage actor.
        max_restarts: how many restarts within a minute are forgiven. One more, and the block is
            cancelled and the failure raised.

    Raises:
        ClawError: why it cannot be opened; what has made it stop, if it is not open at the end.
    """
    if executor is None:
        executor = ThreadExecutor() if backend.blocking else InlineExecutor()
    actor = StorageActor(backend, executor, limits or StorageLimits())
    spec = ChildSpec(
        "storage",
        lambda: _StorageLife(actor),
        grace=math.inf,
        start_timeout=math.inf,
        backoff=REOPEN_BACKOFF,
        on_exit=_ReopenPolicy().decide,
    )
    booted = False
    try:
        async with open_supervisor(
            spec,
            strategy="rest_for_one",
            max_restarts=max_restarts,
            within=REOPEN_WINDOW_S,
            grace=math.inf,
        ) as supervisor:
            booted = True
            supervisor.find("storage").cell.when_down(actor.give_up)
            yield supervisor, actor
    except ChildStartError as error:
        if booted or error.__cause__ is None:
            raise
        raise error.__cause__ from None
    except RestartLimitExceededError:
        if actor.trouble is None:
            raise
        raise fresh(actor.trouble) from actor.trouble
    if actor.trouble is not None:
        # The block has ended before storage could be opened again: nobody may take that for good.
        raise fresh(actor.trouble) from actor.trouble


@asynccontextmanager
async def open_storage_actor(
    backend: Backend,
    *,
    executor: Executor | None = None,
    limits: StorageLimits | None = None,
) -> AsyncGenerator[tuple[StorageActor, OpenReport]]:
    """Open a backend and run its actor alone, for the length of the block.

    If storage fails, the block is cancelled and the failure raised.
    """
    async with supervise_storage(backend, executor=executor, limits=limits) as (_, actor):
        assert actor.report is not None, "it is open"
        yield actor, actor.report


@asynccontextmanager
async def open_visit(path: str | os.PathLike[str]) -> AsyncGenerator[StorageActor]:
    """Own a SQLite database for a moment, to write to it although its owner does not run.

    Nothing is created, migrated or recovered, and none of it is waited for: be short. An unclean
    end of the last owner is left as it was found, for the next one to deal with.

    Raises:
        StorageLockedError: somebody owns it.
        StorageUnavailableError, StorageCorruptError, StorageVersionError: it cannot be opened.
    """
    limits = StorageLimits(visitor_s=0)
    async with open_storage_actor(SQLiteStorage.visiting(path), limits=limits) as (actor, _):
        yield actor


@attrs.frozen
class Sight:
    """A database that is read beside its owner.

    Attributes:
        backend: what is read.
        executor: where reads run.
    """

    backend: Onlooker
    executor: Executor

    async def read(self, fn: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run one of the reads. It is over before a cancellation takes effect."""
        return await self.executor.read(fn, *args)


def look_on(path: str | os.PathLike[str]) -> Sight:
    """Read a SQLite database that somebody else owns, or nobody.

    Raises:
        InvalidInputError: this is no path.
    """
    return Sight(Onlooker(path), ThreadExecutor())


@asynccontextmanager
async def open_storage(
    storage: str | os.PathLike[str] | Backend,
    *,
    max_payload_bytes: int = MAX_PAYLOAD_BYTES,
) -> AsyncGenerator[Storage]:
    """Open storage alone, without a runtime: to inspect, to repair, to migrate.

    Args:
        storage: a path (SQLite), or a backend.
        max_payload_bytes: the largest encoded value, in bytes.

    Yields:
        The client of the storage actor, for the length of the block.

    Raises:
        StorageLockedError: a runtime, or another process, owns it.
        StorageUnavailableError, StorageCorruptError, StorageVersionError: it cannot be opened.
        OutcomeUnknownError: at the end, if storage failed meanwhile; the block is cancelled then.

    Cancelling the block still commits what was accepted before.
    """
    async with open_storage_actor(as_backend(storage)) as (actor, _):
        yield Storage(actor, Codec(max_payload_bytes))
