"""What an operator does to workflows: cancel, pause, resume, terminate, retry, fork, delete.

Each operation acts on storage first, and on memory then. What was stored is enough: a process that
dies in between leaves nothing to be undone, as the next owner goes by what is stored. So the same
operations serve a visitor, who has opened the database for a moment and runs nothing: all that
differs is the :class:`Memory` that they are given.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, cast

import attrs

from .._core.forking import forked
from .._core.journal import (
    CANCEL_OP,
    END_OP,
    PAUSE_OP,
    RESUME_OP,
    RETRY_OP,
    Entry,
    EntryKind,
    EntryStatus,
)
from .._core.lifecycle import Event, Status, allowed, apply
from .._core.rollback import has_begun, stopped_at
from ..errors import InvalidTransitionError, NotFoundError, StaleWriteError
from ..storage.actor import StorageActor
from ..storage.codec import Codec
from ..storage.operations import Advance, Create, Created, Send, Steer, Steered
from ..storage.records import Loaded, RowChange, StoredWorkflow, WorkflowRow
from ..storage.steering import Steering
from ..storage.validation import check_free_text, check_id
from .crashes import MAX_REASON_CHARS
from .environment import Environment
from .removal import Removal

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

    async def rest(self, id: str, reason: str) -> None:
        """Drop a paused instance from memory, unless an incarnation runs: that leaves by itself."""
        ...

    def changed(self, id: str) -> None:
        """Tell those who wait that there is something new about an instance."""
        ...


class Lifecycle:
    """The lifecycle operations on one storage. Every reason and status is durable first."""

    def __init__(
        self,
        actor: StorageActor,
        memory: Memory,
        codec: Codec,
        environment: Environment,
    ) -> None:
        self._actor = actor
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

    async def pause(self, id: str, reason: str | None = None) -> None:
        """Stop a workflow where it stands; see ``Runtime.pause``."""
        for paused in await self._steer(id, Event.PAUSE, PAUSE_OP, EntryKind.PAUSE, reason):
            # Those that run were told by the commit, and leave when their bodies have ended.
            await self._memory.rest(paused, "it is paused")

    async def resume(self, id: str) -> None:
        """Let a paused workflow go on; see ``Runtime.resume``."""
        self._memory.check_code((await self._read(id)).row)
        # The commit itself has those asked for that have to come back.
        await self._steer(id, Event.RESUME, RESUME_OP, EntryKind.RESUME, None)

    async def terminate(self, id: str, reason: str | None = None) -> None:
        """End a workflow without a word to its code; see ``Runtime.terminate``."""
        ended = await self._steer(id, Event.TERMINATE, END_OP, EntryKind.END, reason)
        for one in ended:
            self._memory.changed(one)
        for one in ended:
            await self._memory.stop(one, "it was terminated")

    async def _steer(
        self, id: str, event: Steering, op: str, kind: EntryKind, reason: str | None
    ) -> list[str]:
        """Store what happens to a workflow and those below it; return the ids it happened to."""
        check_free_text("reason", reason, MAX_REASON_CHARS)
        value = None if reason is None else self._codec.encode(reason, object, "reason")
        status = EntryStatus.CANCELLED if event is Event.TERMINATE else EntryStatus.OK
        entry = Entry(op, kind.value, kind, status, self._environment.wall(), value=value)
        answer = cast("Steered", await self._actor.submit(Steer(id, event, entry, reason)))
        return [row.id for row, _ in answer.changed if row.id is not None]

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
        loaded = await self._load(row)
        entries: tuple[Entry, ...] = ()
        ref = stopped_at(loaded.entries)
        if row.status is Status.FAILED and stored.end is not None:
            if has_begun(loaded.entries):
                advice = "what it did was rolled back; fork it instead"
                raise InvalidTransitionError(id, row.status, Event.RETRY, advice)
            ref = stored.end.n if stored.end.ref is None else stored.end.ref
        if ref is not None:
            entries = (
                Entry(RETRY_OP, "note", EntryKind.NOTE, EntryStatus.VOID, now, ref=ref),
                *await self._let_child_go_on(row, loaded.entries, ref),
            )
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

    async def _let_child_go_on(
        self, parent: WorkflowRow, journal: Sequence[Entry], ref: int
    ) -> tuple[Entry, ...]:
        """If the end of a child was fatal, let that go on, so that there will be another end.

        Returns:
            The same end once more, if there will be no other: or the parent would wait for ever.
        """
        fatal = journal[ref]
        if fatal.kind is not EntryKind.CHILD_END:
            return ()
        if any(one.kind is fatal.kind and one.name == fatal.name for one in journal[ref + 1 :]):
            return ()  # somebody has retried it, and it has ended again
        again = (attrs.evolve(fatal, n=0),)
        try:
            child = (await self._read(fatal.name)).row
        except NotFoundError:
            return again
        if child.parent != parent.id:  # a namesake: the child was deleted
            return again
        if child.status is Status.FAILED:
            await self.retry(fatal.name)
            return ()
        return again if child.status.is_terminal else ()

    async def fork(self, id: str, *, at: str, new_id: str | None = None) -> str:
        """Start a new workflow from another one's past; see ``Runtime.fork``. Return its id."""
        environment = self._environment
        new_id = environment.new_id() if new_id is None else new_id
        check_id(None, None, new_id)
        origin = (await self._read(id)).row
        self._memory.check_code(origin)
        fork = forked((await self._load(origin)).entries, at, id)
        if fork is None:
            raise NotFoundError("task", at)
        if fork.unended:
            advice = (
                f"its child {fork.unended[0]!r} was started before that task, has not ended, and"
                " tells its end to nobody else; wait for it, or take a task before its start"
            )
            raise InvalidTransitionError(id, origin.status, "fork", advice)
        row = WorkflowRow(
            id=new_id,
            name=origin.name,
            version=origin.version,
            status=Status.PENDING,
            run_key=environment.new_run_key(),
            seed=origin.seed,
            created_at=environment.wall(),
            description=origin.description,
            metadata=origin.metadata,
        )
        with self._memory.coming([new_id]):
            created = cast("Created", await self._actor.submit(Create(row, fork.entries)))
            self._memory.activate(attrs.evolve(row, pk=created.pk))
        return new_id

    async def delete(self, id: str, *, force: bool = False) -> None:
        """Delete a workflow with all that hangs on it; see ``Runtime.delete``."""
        deleted = await Removal(self._actor, self._environment).remove(id, force=force)
        for one in deleted:
            self._memory.changed(one)
        for one in deleted:
            await self._memory.stop(one, "it was deleted")

    async def _load(self, row: WorkflowRow) -> Loaded:
        found = await self._actor.read(self._actor.backend.load, [row.pk])
        if not found:
            raise NotFoundError("workflow", str(row.id))
        [loaded] = found
        if not isinstance(loaded, Loaded):
            raise loaded
        return loaded

    async def _read(self, id: str) -> StoredWorkflow:
        return await self._actor.read(self._actor.backend.get_workflow, id)
