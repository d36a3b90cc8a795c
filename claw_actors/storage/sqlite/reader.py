"""The reads of a backend, each in one read transaction: it sees whole commits only."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Final

import attrs

from ..._core.journal import Entry, EntryKind, OpenTask, effective
from ...errors import StorageCorruptError
from ..model import WorkflowCounts, WorkflowFilter
from ..pruning import EndedPage
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
from . import listing, statements
from .belongings import read_letter, read_value
from .counting import count_workflows
from .ended import list_ended
from .faults import corrupt, read_failed
from .pool import ReaderPool
from .remembered import missing
from .rows import ENTRY_COLUMNS, Values, read_entry, read_task, read_workflow

__all__ = ["Reader"]

MAX_PAGE_BYTES: Final = 4 << 20
"""Values of a page of a journal; one more may come on top."""

_VALUE: Final = ENTRY_COLUMNS.index("value")

_log = logging.getLogger("claw_actors.storage")


class Reader:
    """Reads records and checks what it reads."""

    def __init__(self, pool: ReaderPool, where: str) -> None:
        self._pool = pool
        self._where = where

    def get_workflow(self, id: str) -> StoredWorkflow:
        """Read one workflow with its payloads."""
        with self._pool.snapshot() as connection:
            return self._with_payloads(connection, self._find(connection, id))

    def read_tasks(self, workflow_id: str, op: str | None) -> tuple[list[Entry], list[OpenTask]]:
        """Read outcomes and open work, of all tasks or of one."""
        with self._pool.snapshot() as connection:
            row = self._find(connection, workflow_id)
            of = (row.pk, row.run)
            if op is None:
                entries = _all(connection, statements.SELECT_OUTCOMES, of)
                tasks = _all(connection, statements.SELECT_TASKS, of)
            else:
                entries = _all(connection, statements.SELECT_OUTCOMES_OF, (*of, op))
                tasks = _all(connection, statements.SELECT_TASKS_OF, (*of, op))
        outcomes = effective(self._entries(entries, workflow_id))
        return (
            [entry for entry in outcomes if entry.kind is EntryKind.TASK],
            [read_task(values, workflow_id, self._where) for values in tasks],
        )

    def read_journal(self, workflow_id: str, after: tuple[int, int], limit: int) -> JournalPage:
        """Read a page of entries, and see that none is missing."""
        with self._pool.snapshot() as connection:
            row = self._find(connection, workflow_id)
            first = 0 if after < (row.run, 0) else after[1] + 1
            found = _some(connection, statements.SELECT_LATER, (row.pk, row.run, first, limit))
        entries = self._entries(found, workflow_id)
        for n, entry in enumerate(entries, start=first):
            if entry.n != n:
                raise self._gap(workflow_id, n)
        if not entries and not first:
            raise self._gap(workflow_id, 0)
        return JournalPage(row.run, tuple(entries))

    def get_value(self, workflow_id: str, key: str) -> bytes | None:
        """Read one value."""
        with self._pool.snapshot() as connection:
            row = self._find(connection, workflow_id)
            found = _all(connection, statements.SELECT_VALUE, (row.pk, key))
        return read_value(found[0], workflow_id, self._where).value if found else None

    def list_values(self, workflow_id: str) -> list[StoredValue]:
        """Read all values."""
        with self._pool.snapshot() as connection:
            row = self._find(connection, workflow_id)
            found = _all(connection, statements.SELECT_VALUES, (row.pk,))
        return [read_value(values, workflow_id, self._where) for values in found]

    def list_dead_letters(self, workflow_id: str, after: int, limit: int) -> list[DeadLetter]:
        """Read a page of dead letters."""
        with self._pool.snapshot() as connection:
            row = self._find(connection, workflow_id)
            found = _all(connection, statements.SELECT_LETTERS, (row.pk, after, limit))
        return [read_letter(values, workflow_id, self._where) for values in found]

    def load(self, pks: Sequence[int]) -> list[Loaded | StorageCorruptError]:
        """Read all that incarnations start from; a damaged one is answered with its error."""
        loaded: list[Loaded | StorageCorruptError] = []
        with self._pool.snapshot() as connection:
            for pk in pks:
                try:
                    one = self._load(connection, pk)
                except StorageCorruptError as error:
                    loaded.append(error.with_traceback(None))
                except sqlite3.DatabaseError as error:
                    damage = read_failed(error, f"workflow {pk} of {self._where}")
                    if not isinstance(damage, StorageCorruptError):
                        raise
                    loaded.append(damage)
                else:
                    if one is not None:
                        loaded.append(one)
        return loaded

    def read_rows(self, ids: Sequence[str]) -> list[WorkflowRow | StorageCorruptError]:
        """Read rows alone; a damaged one is answered with its error."""
        rows: list[WorkflowRow | StorageCorruptError] = []
        with self._pool.snapshot() as connection:
            for id in ids:
                for values in _all(connection, statements.SELECT_WORKFLOW_BY_ID, (id,)):
                    try:
                        rows.append(read_workflow(values, self._where).row)
                    except StorageCorruptError as error:
                        rows.append(error.with_traceback(None))
        return rows

    def list_workflows(self, query: WorkflowFilter) -> Listing:
        """Read one page. Damaged workflows are left out, and logged: they must not hide others."""
        with self._pool.snapshot() as connection:
            total = None
            if query.include_total:
                ((total,),) = _all(connection, *listing.count(query))
            items, last_pk = self._page(connection, query)
            while not items and last_pk is not None:
                # All of it was damaged; an empty page would look like the last one.
                query = attrs.evolve(query, after=last_pk, offset=0)
                items, last_pk = self._page(connection, query)
        return Listing(items=tuple(items), total=total, more=last_pk is not None)

    def count_workflows(self) -> WorkflowCounts:
        """Count workflows by status."""
        with self._pool.snapshot() as connection:
            return count_workflows(connection)

    def list_unfinished(self, after_pk: int, due_by: float, limit: int) -> Unfinished:
        """Read a page of what recovery must bring back."""
        with self._pool.snapshot() as connection:
            found = _all(
                connection,
                statements.SELECT_UNFINISHED,
                {"after": after_pk, "due_by": due_by, "limit": limit + 1},
            )
        rows: list[WorkflowRow] = []
        damaged: list[StorageCorruptError] = []
        page = found[:limit]
        for values in page:
            try:
                rows.append(read_workflow(values, self._where).row)
            except StorageCorruptError as error:
                damaged.append(error.with_traceback(None))
        return Unfinished(
            rows=tuple(rows),
            damaged=tuple(damaged),
            last_pk=page[-1][0] if page else after_pk,
            more=len(found) > limit,
        )

    def list_ended(self, before_pk: int, limit: int) -> EndedPage:
        """Read a page of what has ended."""
        with self._pool.snapshot() as connection:
            return list_ended(connection, before_pk, limit)

    def list_wake_times(self, after: tuple[float, int], limit: int) -> list[WakeTime]:
        """Read who is to be woken next."""
        # Hints, straight from the tables: whoever is woken is loaded, and checked, first.
        with self._pool.snapshot() as connection:
            found = _all(
                connection,
                statements.SELECT_WAKE_TIMES,
                {"wake_at": after[0], "pk": after[1], "limit": limit},
            )
        return [WakeTime(*values) for values in found]

    def _page(
        self, connection: sqlite3.Connection, query: WorkflowFilter
    ) -> tuple[list[StoredWorkflow], int | None]:
        """Read what can be read of a page, and the key of its last row if others follow."""
        found = _all(connection, *listing.page(query))
        items: list[StoredWorkflow] = []
        for values in found[: query.limit]:
            try:
                row = read_workflow(values, self._where).row
                items.append(
                    self._with_payloads(connection, row)
                    if query.include_payloads
                    else StoredWorkflow(row=row)
                )
            except StorageCorruptError as error:
                _log.warning("left out of a list: %s", error)
        return items, found[query.limit - 1][0] if len(found) > query.limit else None

    # -- parts ----------------------------------------------------------------------------------

    def _find(self, connection: sqlite3.Connection, id: str) -> WorkflowRow:
        found = _all(connection, statements.SELECT_WORKFLOW_BY_ID, (id,))
        if not found:
            raise missing(connection, self._where, id)
        return read_workflow(found[0], self._where).row

    def _entries(self, found: Sequence[Values], id: str) -> list[Entry]:
        return [read_entry(values, id, self._where) for values in found]

    def _with_payloads(self, connection: sqlite3.Connection, row: WorkflowRow) -> StoredWorkflow:
        assert row.id is not None
        of = (row.pk, row.run)
        start = self._entries(_all(connection, statements.SELECT_START, of), row.id)
        if not start:
            raise self._gap(row.id, 0)
        ends = self._entries(_all(connection, statements.SELECT_ENDS, of), row.id)
        # Voiding judges each entry by itself, so the other ones need not be read.
        kept = [entry for entry in effective(ends) if entry.kind is EntryKind.END]
        return StoredWorkflow(row=row, start=start[0], end=kept[-1] if kept else None)

    def _load(self, connection: sqlite3.Connection, pk: int) -> Loaded | None:
        found = _all(connection, statements.SELECT_WORKFLOW_BY_PK, (pk,))
        if not found:
            return None
        row = read_workflow(found[0], self._where).row
        assert row.id is not None
        of = (row.pk, row.run)
        entries = self._entries(_all(connection, statements.SELECT_ENTRIES, of), row.id)
        for n, entry in enumerate(entries):
            if entry.n != n:
                raise self._gap(row.id, n)
        if not entries:
            raise self._gap(row.id, 0)
        tasks = _all(connection, statements.SELECT_TASKS, of)
        return Loaded(
            row=row,
            entries=tuple(entries),
            open_tasks=tuple(read_task(values, row.id, self._where) for values in tasks),
        )

    def _gap(self, id: str, n: int) -> StorageCorruptError:
        """Make the error for an entry that vanished: no checksum tells of a missing row."""
        return corrupt(f"workflow {id!r} in claw_journal of {self._where}", f"entry {n} is missing")


def _some(connection: sqlite3.Connection, sql: str, parameters: Values) -> list[Values]:
    """Read rows of a journal until their values are many bytes."""
    found: list[Values] = []
    total = 0
    with closing(connection.execute(sql, parameters)) as cursor:
        for values in cursor:
            found.append(values)
            total += len(values[_VALUE] or b"")
            if total > MAX_PAGE_BYTES:
                break
    return found


def _all(
    connection: sqlite3.Connection, sql: str, parameters: Values | dict[str, float]
) -> list[Values]:
    # A cursor that is left open in the traceback of an error would hold on to its snapshot.
    return connection.execute(sql, parameters).fetchall()
