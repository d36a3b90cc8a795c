"""The reads of a client: of the storage actor, or of a database that somebody else owns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar, TypeVarTuple

from .._core.journal import Entry, OpenTask
from ..errors import NotFoundError, StorageCorruptError
from .codec import Codec
from .history import NOTHING_YET, HistoryEntry, history_of
from .model import TaskState, WorkflowCounts, WorkflowFilter, WorkflowPage, WorkflowState
from .pruning import EndedPage
from .records import (
    DeadLetter,
    JournalPage,
    Listing,
    Loaded,
    StoredValue,
    StoredWorkflow,
    Unfinished,
)
from .translation import state_of, task_of_entry, task_of_open
from .validation import check_number

__all__ = ["ReadSource", "Readable", "StorageReads"]

MAX_ENTRIES = 1_000
"""How many entries of a journal are read at a time."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Readable(Protocol):
    """What of a backend is needed to read; see :class:`Backend` for each."""

    def get_workflow(self, id: str) -> StoredWorkflow:
        """Read one workflow with its start and end."""
        ...

    def list_workflows(self, query: WorkflowFilter) -> Listing:
        """Read one page, newest first."""
        ...

    def count_workflows(self) -> WorkflowCounts:
        """Count workflows by status."""
        ...

    def read_tasks(
        self, workflow_id: str, op: str | None = None
    ) -> tuple[list[Entry], list[OpenTask]]:
        """Read a workflow's tasks."""
        ...

    def read_journal(self, workflow_id: str, after: tuple[int, int], limit: int) -> JournalPage:
        """Read the next entries of a workflow's present run."""
        ...

    def get_value(self, workflow_id: str, key: str) -> bytes | None:
        """Read one of a workflow's values."""
        ...

    def list_values(self, workflow_id: str) -> list[StoredValue]:
        """Read all values of a workflow."""
        ...

    def list_dead_letters(self, workflow_id: str, after: int, limit: int) -> list[DeadLetter]:
        """Read the next dead letters of a workflow."""
        ...

    def list_ended(self, before_pk: int, limit: int) -> EndedPage:
        """Read the next ended workflows that are bound to no parent."""
        ...

    def list_unfinished(self, after_pk: int, due_by: float, limit: int) -> Unfinished:
        """Read the next of those that recovery must bring back."""
        ...

    def load(self, pks: Sequence[int]) -> list[Loaded | StorageCorruptError]:
        """Read all that these need to run."""
        ...


class ReadSource(Protocol):
    """Something that can be read, and where such calls run."""

    @property
    def backend(self) -> Readable:
        """What is read."""
        ...

    async def read(self, fn: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run one of the backend's read methods."""
        ...


class StorageReads:
    """Reads workflows and tasks as users know them."""

    def __init__(self, source: ReadSource, codec: Codec) -> None:
        self._source = source
        self._codec = codec

    async def get_workflow(self, id: str) -> WorkflowState:
        """Read one workflow with its input, result and error.

        Raises:
            NotFoundError: there is none.
            StorageCorruptError, SerializationError: what is stored cannot be read.
        """
        stored = await self._source.read(self._source.backend.get_workflow, id)
        return state_of(self._codec, stored)

    async def list_workflows(self, query: WorkflowFilter | None = None) -> WorkflowPage:
        """Read one page of workflows, newest first, in a stable order.

        Args:
            query: conditions and page; all workflows if ``None``.
        """
        query = WorkflowFilter() if query is None else query
        listing = await self._source.read(self._source.backend.list_workflows, query)
        return WorkflowPage(
            items=tuple(state_of(self._codec, stored) for stored in listing.items),
            total=listing.total,
            next_after=listing.items[-1].row.pk if listing.more else None,
        )

    async def count_workflows(self) -> WorkflowCounts:
        """Count workflows by status, with the oldest of those that have not ended and the next due.

        By index: a fraction of a second for a million.
        """
        return await self._source.read(self._source.backend.count_workflows)

    async def get_task(self, workflow_id: str, task_id: str) -> TaskState:
        """Read one task.

        Raises:
            NotFoundError: there is no such workflow, or no such task in it.
        """
        tasks = await self._read_tasks(workflow_id, task_id)
        if not tasks:
            raise NotFoundError("task", task_id)
        return tasks[-1]

    async def list_tasks(self, workflow_id: str) -> tuple[TaskState, ...]:
        """Read all tasks of a workflow: the ended ones in the order they ended, then the others.

        Raises:
            NotFoundError: there is no such workflow.
        """
        return tuple(await self._read_tasks(workflow_id, None))

    async def list_history(
        self, workflow_id: str, *, after: HistoryEntry | None = None, limit: int = 1_000
    ) -> tuple[HistoryEntry, ...]:
        """Read the next entries of a workflow's journal, in the order in which they were recorded.

        Only its present run's are kept: who reads on after ``continue_as_new`` goes on with the
        start of the next run. Each page is read by itself and holds nothing open.

        Args:
            workflow_id: the workflow.
            after: the last entry of the page before; ``None`` begins with the start.
            limit: how many at most, from 1 to 1,000. Where values are large there may be fewer.

        Returns:
            Entries; none if nothing follows so far.

        Raises:
            NotFoundError: there is no such workflow.
            InvalidInputError: the limit is out of range.
            StorageCorruptError, SerializationError: what is stored cannot be read.
        """
        check_number("limit", limit, 1, MAX_ENTRIES)
        place = NOTHING_YET if after is None else after.place
        read = self._source.backend.read_journal
        page = await self._source.read(read, workflow_id, place, limit)
        return tuple(history_of(self._codec, workflow_id, page.run, one) for one in page.entries)

    async def _read_tasks(self, workflow_id: str, task_id: str | None) -> list[TaskState]:
        read = self._source.backend.read_tasks
        entries, open_tasks = await self._source.read(read, workflow_id, task_id)
        ended = [task_of_entry(self._codec, entry) for entry in entries]
        return ended + [task_of_open(self._codec, task) for task in open_tasks]
