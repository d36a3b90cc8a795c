"""The client of the storage actor: what everyone but the backend itself holds.

It turns users' records into operations, encoding values in the caller's own Trio task before
anything is queued, and turns what backends return into users' records again.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import attrs
import trio

from .._core.journal import Entry
from .actor import StorageActor, StorageStatistics
from .codec import Codec
from .model import TaskState, WorkflowState
from .operations import Atomic, Create, Delete, Deleted, SaveTask, SaveWorkflow
from .reading import StorageReads
from .translation import change_of, end_entries, row_of, start_entry, write_of_task

__all__ = ["Storage", "Transaction"]

EVERYTHING = 2**31
"""A delete inside a transaction has to be done in one piece."""


@attrs.frozen
class _Translator:
    """Makes operations of users' records; what ``Storage`` and ``Transaction`` share."""

    codec: Codec
    wall: Callable[[], float]

    def create(self, state: WorkflowState) -> Create:
        now = self.wall()
        created_at = now if state.created_at is None else state.created_at
        value = self.codec.encode(state.input, object, f"input of workflow {state.id!r}")
        row = row_of(
            state, run_key=secrets.token_hex(8), seed=secrets.randbits(63), created_at=created_at
        )
        entries = (
            start_entry(value, created_at, state.forked_from),
            *end_entries(self.codec, state, now),
        )
        return Create(row, entries)

    def save(self, state: WorkflowState) -> SaveWorkflow:
        entries = end_entries(self.codec, state, self.wall())
        return SaveWorkflow(state.id, state.revision, change_of(state), entries)

    def task(self, workflow_id: str, task: TaskState) -> SaveTask:
        write = write_of_task(self.codec, task, self.wall())
        if isinstance(write, Entry):
            return SaveTask(workflow_id, entry=write)
        return SaveTask(workflow_id, opened=write)


class Transaction:
    """Several writes, all or nothing, committed together at the end of the block.

    Collecting is not waiting: these methods only encode, and refuse what cannot be encoded.
    Nothing can be read inside; decide before, and compare revisions.
    """

    def __init__(self, translator: _Translator) -> None:
        self._translator = translator
        self._operations: list[Create | SaveWorkflow | SaveTask | Delete] = []

    @property
    def operations(self) -> tuple[Create | SaveWorkflow | SaveTask | Delete, ...]:
        """What was collected so far."""
        return tuple(self._operations)

    def create_workflow(self, state: WorkflowState) -> None:
        """Insert a workflow; ``DuplicateKeyError`` at the end of the block if its id is taken."""
        self._operations.append(self._translator.create(state))

    def save_workflow(self, state: WorkflowState) -> None:
        """Change a workflow, as :meth:`Storage.save_workflow` does."""
        self._operations.append(self._translator.save(state))

    def save_task(self, workflow_id: str, task: TaskState) -> None:
        """Save a task, as :meth:`Storage.save_task` does."""
        self._operations.append(self._translator.task(workflow_id, task))

    def delete_workflow(self, id: str) -> None:
        """Delete a workflow; ``NotFoundError`` at the end of the block if there is none."""
        self._operations.append(Delete(id, limit=EVERYTHING))


class Storage(StorageReads):
    """Reads and writes workflows and tasks, through the storage actor.

    Every write that returned is durable. One that was cancelled was not applied. Reads see every
    write that returned before, and never wait for one in progress.
    """

    def __init__(
        self, actor: StorageActor, codec: Codec, wall: Callable[[], float] = time.time
    ) -> None:
        super().__init__(actor, codec)
        self._actor = actor
        self._translator = _Translator(codec, wall)

    async def create_workflow(self, state: WorkflowState) -> WorkflowState:
        """Insert a workflow.

        Args:
            state: the workflow; ``created_at`` may be ``None`` for now.

        Returns:
            The state as it is stored.

        Raises:
            DuplicateKeyError: the id is taken.
            NotFoundError: the parent does not exist.
            SerializationError, PayloadTooLargeError: the input cannot be stored.
            StorageUnavailableError, OutcomeUnknownError: see their docs.

        Cancelled means not inserted.
        """
        operation = self._translator.create(state)
        await self._actor.submit(operation)
        row = operation.row
        return attrs.evolve(
            state, created_at=row.created_at, revision=row.revision, life=row.life, recoveries=0
        )

    async def save_workflow(self, state: WorkflowState) -> WorkflowState:
        """Change a workflow, if it has not changed since ``state`` was read.

        Status, reason, description, metadata, times, name and version are set, and the result or
        error of one that has ended is recorded. Id, input, parent and counters stay as they are.

        Returns:
            The state with its new revision.

        Raises:
            NotFoundError: it is gone.
            StaleWriteError: its revision is another one: read it again.
            InvalidInputError: a result in a workflow that has not ended.
            SerializationError, PayloadTooLargeError: the result cannot be stored.
            StorageUnavailableError, OutcomeUnknownError: see their docs.

        Cancelled means not changed.
        """
        await self._actor.submit(self._translator.save(state))
        return attrs.evolve(state, revision=state.revision + 1)

    async def delete_workflow(self, id: str) -> None:
        """Delete a workflow and all that hangs on it: journal, tasks, values, labels.

        A long journal goes in pieces, so that others are not kept waiting; from the first one on
        the workflow is invisible and its id free.

        Raises:
            NotFoundError: there is none.
            StorageUnavailableError, OutcomeUnknownError: see their docs.

        Cancelled means not deleted.
        """
        answer = await self._actor.submit(Delete(id))
        # It is gone for everyone now; a cancellation must not pretend otherwise.
        with trio.CancelScope(shield=True):
            while isinstance(answer, Deleted) and not answer.done:
                answer = await self._actor.submit(Delete(id, answer.pk))

    async def save_task(self, workflow_id: str, task: TaskState) -> None:
        """Save a task of a workflow.

        The outcome of a task is recorded once: saving the same again does nothing.

        Raises:
            NotFoundError: there is no such workflow.
            StaleWriteError: the task has ended already, otherwise.
            SerializationError, PayloadTooLargeError: its result cannot be stored.
            StorageUnavailableError, OutcomeUnknownError: see their docs.

        Cancelled means not saved.
        """
        await self._actor.submit(self._translator.task(workflow_id, task))

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[Transaction]:
        """Collect several writes, and commit them together at the end of the block.

        An exception inside the block discards them.

        Raises:
            ClawError: at the end of the block, the first refusal; then nothing was applied.
        """
        transaction = Transaction(self._translator)
        yield transaction
        if transaction.operations:
            await self._actor.submit(Atomic(transaction.operations))

    def statistics(self) -> StorageStatistics:
        """Return what the storage actor has done so far."""
        return self._actor.statistics()
