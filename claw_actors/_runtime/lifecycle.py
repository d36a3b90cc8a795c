"""What an operator does to workflows: cancel, retry, delete.

Each operation acts on storage first, and on memory then. What was stored is enough: a process that
dies in between leaves nothing to be undone, as the next owner goes by what is stored. So the same
operations serve a visitor, who has opened the database for a moment and runs nothing: all that
differs is the :class:`Memory` that they are given.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Protocol

from .._core.journal import CANCEL_OP, RETRY_OP, Entry, EntryKind, EntryStatus
from .._core.lifecycle import Event, Status, allowed, apply
from ..errors import InvalidTransitionError, NotFoundError, StaleWriteError
from ..storage.actor import StorageActor
from ..storage.client import Storage
from ..storage.codec import Codec
from ..storage.operations import Advance, Send
from ..storage.records import Loaded, RowChange, StoredWorkflow, WorkflowRow
from ..storage.validation import check_free_text
from .cells import MAX_REASON_CHARS
from .environment import Environment

__all__ = ["Lifecycle", "Memory"]


class Memory(Protocol):
    """Who is in memory, as far as a lifecycle operation has to know.

    In a process that runs workflows these are its cells. Where none run, nobody is in memory, and
    all of this does nothing.
    """

    def check_code(self, row: WorkflowRow) -> None:
        """Make sure that a workflow which is to go on here has its code here.

        Raises:
            UnknownWorkflowError: it is not registered.
        """
        ...

    def coming(self, ids: Iterable[str]) -> AbstractContextManager[None]:
        """Hold these ids for the block: nobody else brings them to life meanwhile."""
        ...

    def activate(self, row: WorkflowRow) -> object:
        """Bring an instance to life, unless it is in memory already."""
        ...

    async def stop(self, id: str, reason: str) -> None:
        """Drop an instance from memory, at once, and wait until it is gone."""
        ...

    def changed(self, id: str) -> None:
        """Tell those who wait that there is something new about an instance."""
        ...


class Lifecycle:
    """The lifecycle operations on one storage. Every reason and status is durable first."""

    def __init__(
        self,
        actor: StorageActor,
        storage: Storage,
        memory: Memory,
        codec: Codec,
        environment: Environment,
    ) -> None:
        self._actor = actor
        self._storage = storage
        self._memory = memory
        self._codec = codec
        self._environment = environment

    async def cancel(self, id: str, reason: str | None = None) -> None:
        """Store a request to cancel; see ``Runtime.cancel``."""
        check_free_text("reason", reason, MAX_REASON_CHARS)
        value = self._codec.encode(reason, object, "reason")
        now = self._environment.wall()
        entry = Entry(CANCEL_OP, "cancel", EntryKind.CANCEL, EntryStatus.OK, now, value=value)
        await self._actor.submit(Send(id, entry))

    async def retry(self, id: str) -> None:
        """Let a failed or quarantined workflow go on; see ``Runtime.retry``."""
        row = None
        while row is None:
            stored = await self._read(id)
            if not allowed(stored.row.status, Event.RETRY):
                advice = "only a failed or quarantined one can be retried"
                raise InvalidTransitionError(id, stored.row.status, Event.RETRY, advice)
            self._memory.check_code(stored.row)
            # Its last incarnation may be about to leave; its cell must be gone before the next.
            await self._memory.stop(id, "it is retried")
            with self._memory.coming([id]):
                row = await self._store_retry(id, stored)
                if row is not None:
                    self._memory.activate(row)

    async def _store_retry(self, id: str, stored: StoredWorkflow) -> WorkflowRow | None:
        """Store that it goes on; ``None`` if it has changed meanwhile."""
        row, now = stored.row, self._environment.wall()
        found = await self._actor.read(self._actor.backend.load, [row.pk])
        if not found:
            raise NotFoundError("workflow", id)
        [loaded] = found
        if not isinstance(loaded, Loaded):
            raise loaded
        entries: tuple[Entry, ...] = ()
        if row.status is Status.FAILED and stored.end is not None:
            ref = stored.end.n if stored.end.ref is None else stored.end.ref
            entries = (Entry(RETRY_OP, "note", EntryKind.NOTE, EntryStatus.VOID, now, ref=ref),)
        change = RowChange(
            status=apply(row.status, Event.RETRY),
            reason=None,
            restarts=(),
            recoveries=0,
            completed_at=None,
        )
        write = Advance(row.pk, id, row.life, entries, change=change, expect_n=loaded.entries[-1].n)
        try:
            await self._actor.submit(write)
        except StaleWriteError:
            return None
        return change.apply(row)

    async def delete(self, id: str, *, force: bool = False) -> None:
        """Delete a workflow with all that hangs on it; see ``Runtime.delete``."""
        status = (await self._read(id)).row.status
        if not (force or status.is_terminal or status is Status.QUARANTINED):
            raise InvalidTransitionError(id, status, "delete", "cancel it first, or force=True")
        await self._memory.stop(id, "it is deleted")
        await self._storage.delete_workflow(id)
        self._memory.changed(id)

    async def _read(self, id: str) -> StoredWorkflow:
        return await self._actor.read(self._actor.backend.get_workflow, id)
