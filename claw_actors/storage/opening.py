"""How storage is opened: the actor's lifetime, and the user's client of it."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import cast

import trio

from ..errors import InvalidInputError
from .actor import StorageActor, StorageLimits, fresh
from .backend import Backend, OpenReport
from .client import Storage
from .codec import MAX_PAYLOAD_BYTES, Codec
from .executor import Executor, InlineExecutor, ThreadExecutor
from .operations import Delete, Deleted
from .sqlite import SQLiteStorage

__all__ = ["as_backend", "open_storage", "open_storage_actor"]


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


@asynccontextmanager
async def open_storage_actor(
    backend: Backend,
    *,
    executor: Executor | None = None,
    limits: StorageLimits | None = None,
) -> AsyncGenerator[tuple[StorageActor, OpenReport]]:
    """Open a backend and run its actor for the length of the block.

    At the end of the block everything queued is committed, then the backend is closed. If
    storage fails, the block is cancelled and the failure raised.
    """
    if executor is None:
        executor = ThreadExecutor() if backend.blocking else InlineExecutor()
    report: OpenReport | None = None
    with trio.CancelScope(shield=True):  # half an opening would leave a lock behind
        report = await executor.write(backend.open)
    assert report is not None, "this scope is never cancelled"
    actor = StorageActor(backend, executor, limits or StorageLimits())
    # Who only visits has recovered nothing, and must not hide an unclean end from who will.
    actor.ends_clean = report.clean
    error: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(actor.run)
            try:
                with trio.CancelScope() as body:
                    actor.on_failure.append(lambda: body.cancel(reason="storage failed"))
                    await _finish_deletes(actor, report)
                    yield actor, report
            except trio.Cancelled:
                raise
            except BaseException as raised:
                # Kept out of the nursery, which would wrap it into a group: `sys.exit(3)` in the
                # block is to end the program with 3.
                error = raised
            finally:
                actor.close()
    finally:
        with trio.CancelScope(shield=True):
            if actor.failure is None:
                clean = actor.ends_clean
                await executor.write(lambda: backend.close(clean=clean))
            else:
                await executor.write(backend.abandon)
    if error is not None:
        raise error
    if actor.failure is not None:
        raise fresh(actor.failure)


async def _finish_deletes(actor: StorageActor, report: OpenReport) -> None:
    for pk in report.unfinished_deletes:
        done = False
        while not done:
            # Patient: the wait for space on a full disk is no reason not to open.
            answer = await actor.submit(Delete("", pk), patient=True)
            assert isinstance(answer, Deleted)
            done = answer.done


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
