"""The memory backend: one table under one lock."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

from ..._core.journal import Entry, EntryKind, OpenTask, effective
from ..._core.lifecycle import TERMINAL, UNFINISHED, Status
from ..._core.retention import Ended
from ...errors import (
    StorageCorruptError,
    StorageLockedError,
    StorageUnavailableError,
)
from ..backend import Backend, OpenReport
from ..model import WorkflowCounts
from ..pruning import EndedPage, family_ended_at
from ..records import (
    DeadLetter,
    JournalPage,
    Listing,
    Loaded,
    StoredValue,
    StoredWorkflow,
    Unfinished,
    WakeTime,
    WorkflowRow,
)
from .matching import matches
from .table import Record, Table
from .transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from ..model import WorkflowFilter
    from ..operations import Operation, Result

__all__ = ["MemoryStorage"]


_DUE = frozenset({Status.PENDING, Status.WAITING})


def _open_tasks(record: Record) -> tuple[OpenTask, ...]:
    return tuple(record.open_tasks[op] for op in sorted(record.open_tasks))


class MemoryStorage(Backend):
    """Workflows that live as long as this object.

    Nothing is written to disk, and yet it can be closed, abandoned and opened again like any
    backend: what was committed is still there. So a test can restart its runtime on it.

    One lock guards it: a read waits for the commit it overlaps, and a commit for the reads.
    """

    blocking = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._table = Table()
        self._epoch = 0
        self._clean = True
        self._is_open = False

    def __repr__(self) -> str:
        state = "open" if self._is_open else "closed"
        return f"<MemoryStorage {state}, epoch {self._epoch}>"

    @property
    def where(self) -> str:
        return "memory"

    def open(self) -> OpenReport:
        with self._lock:
            if self._is_open:
                raise StorageLockedError(self.where, "another user of this object")
            report = OpenReport(
                clean=self._clean,
                epoch=self._epoch + 1,
                created=self._epoch == 0,
                unfinished_deletes=self._table.half_deleted(),
            )
            self._epoch += 1
            self._clean = False
            self._is_open = True
            return report

    def close(self, *, clean: bool = True) -> None:
        with self._lock:
            if self._is_open:
                self._is_open = False
                self._clean = clean

    def abandon(self) -> None:
        with self._lock:
            self._is_open = False

    def snapshot(self) -> MemoryStorage:
        """Return an independent, closed storage that holds what is committed now.

        It is what a crash at this moment leaves: unless this storage is closed, the copy's next
        open is an unclean one. Cheap: records are shared, as nobody changes them.
        """
        copy = MemoryStorage()
        with self._lock:
            copy._table = self._table.copy()
            copy._epoch = self._epoch
            copy._clean = self._clean
        return copy

    @contextmanager
    def _opened(self) -> Generator[Table, None, None]:
        """Hold the lock of an open storage: nobody sees half a commit."""
        with self._lock:
            if not self._is_open:
                raise StorageUnavailableError(self.where, "it is not open")
            yield self._table

    def commit(self, group: Sequence[Operation]) -> list[Result]:
        with self._opened() as table:
            transaction = Transaction(table)
            try:
                results = [transaction.answer(operation) for operation in group]
            except BaseException:  # a bug, or an interrupt: no half group may stay
                table.unwind(0)
                raise
            table.settle()
            return results

    def tidy(self) -> None:
        """Do nothing: there is no space to give back."""

    def get_workflow(self, id: str) -> StoredWorkflow:
        with self._opened() as table:
            return _with_payloads(table, table.find(id))

    def list_workflows(self, query: WorkflowFilter) -> Listing:
        with self._opened() as table:
            total = None
            if query.include_total:
                total = sum(
                    matches(table.row(record), query) for record in table.newest_first(None)
                )
            found = (
                record
                for record in table.newest_first(query.after)
                if matches(table.row(record), query)
            )
            # One more than the page tells whether there is another.
            page = list(islice(found, query.offset, query.offset + query.limit + 1))
            items = tuple(
                _with_payloads(table, record)
                if query.include_payloads
                else StoredWorkflow(row=table.row(record))
                for record in page[: query.limit]
            )
            return Listing(items=items, total=total, more=len(page) > query.limit)

    def count_workflows(self) -> WorkflowCounts:
        by_status = dict.fromkeys(Status, 0)
        oldest: dict[Status, float] = {}
        due: list[float] = []
        with self._opened() as table:
            for record in table.oldest_first(0):
                row = record.row
                by_status[row.status] += 1
                if row.status not in TERMINAL:
                    oldest.setdefault(row.status, row.created_at)
                if row.status in _DUE and row.wake_at is not None:
                    due.append(row.wake_at)
        return WorkflowCounts(by_status=by_status, oldest=oldest, next_due=min(due, default=None))

    def read_tasks(
        self, workflow_id: str, op: str | None = None
    ) -> tuple[list[Entry], list[OpenTask]]:
        with self._opened() as table:
            record = table.find(workflow_id)
        outcomes = [
            entry
            for entry in effective(record.entries)
            if entry.kind is EntryKind.TASK and op in (None, entry.op)
        ]
        return outcomes, [task for task in _open_tasks(record) if op in (None, task.op)]

    def read_journal(self, workflow_id: str, after: tuple[int, int], limit: int) -> JournalPage:
        with self._opened() as table:
            record = table.find(workflow_id)
        run = record.row.run
        first = 0 if after < (run, 0) else after[1] + 1
        return JournalPage(run, record.entries[first : first + limit])

    def get_value(self, workflow_id: str, key: str) -> bytes | None:
        with self._opened() as table:
            found = table.find(workflow_id).values.get(key)
        return None if found is None else found.value

    def list_values(self, workflow_id: str) -> list[StoredValue]:
        with self._opened() as table:
            values = table.find(workflow_id).values
        return [values[key] for key in sorted(values)]

    def list_dead_letters(self, workflow_id: str, after: int, limit: int) -> list[DeadLetter]:
        with self._opened() as table:
            letters = table.find(workflow_id).dead_letters
        # Their numbers are 1, 2, 3 …
        return list(letters[after : after + limit])

    def load(self, pks: Sequence[int]) -> list[Loaded | StorageCorruptError]:
        with self._opened() as table:
            return [
                Loaded(
                    row=table.row(record),
                    entries=record.entries,
                    open_tasks=_open_tasks(record),
                )
                for pk in pks
                if (record := table.get_visible(pk)) is not None
            ]

    def read_rows(self, ids: Sequence[str]) -> list[WorkflowRow | StorageCorruptError]:
        with self._opened() as table:
            return [table.row(table.find(id)) for id in ids if table.has(id)]

    def list_unfinished(self, after_pk: int, due_by: float, limit: int) -> Unfinished:
        with self._opened() as table:
            wanted = (
                table.row(record)
                for record in table.oldest_first(after_pk)
                if _needs_recovery(record, due_by)
            )
            page = list(islice(wanted, limit + 1))
            rows = tuple(page[:limit])
            return Unfinished(
                rows=rows,
                damaged=(),
                last_pk=rows[-1].pk if rows else after_pk,
                more=len(page) > limit,
            )

    def list_ended(self, before_pk: int, limit: int) -> EndedPage:
        with self._opened() as table:
            window = list(islice(table.newest_first(before_pk), limit))
            items = tuple(
                Ended(record.row.pk, record.row.id, record.row.name, record.row.status, latest)
                for record in window
                if record.row.id is not None
                and record.row.status in TERMINAL
                and not table.is_bound(record)
                for latest in [family_ended_at(one.row for one in table.bound_family(record))]
            )
        return EndedPage(items=items, last_pk=window[-1].row.pk if len(window) == limit else 0)

    def list_wake_times(self, after: tuple[float, int], limit: int) -> list[WakeTime]:
        with self._opened() as table:
            return table.due_after(after, limit)


def _with_payloads(table: Table, record: Record) -> StoredWorkflow:
    ends = [entry for entry in effective(record.entries) if entry.kind is EntryKind.END]
    return StoredWorkflow(
        row=table.row(record), start=record.entries[0], end=ends[-1] if ends else None
    )


def _needs_recovery(record: Record, due_by: float) -> bool:
    row = record.row
    if row.status is Status.WAITING:
        return row.wake_at is not None and row.wake_at <= due_by
    return row.status in UNFINISHED
