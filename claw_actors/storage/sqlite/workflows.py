"""The table of workflows, as the writing transaction sees it."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Final

from ..._core.lifecycle import Status
from ..records import RowChange, WorkflowRow
from . import statements
from .remembered import missing
from .rows import WORKFLOW_COLUMNS, Stored, read_workflow, workflow_values

__all__ = ["WorkflowTable"]

_CLAIMED: Final = tuple(WORKFLOW_COLUMNS.index(column) for column in statements.CLAIMED_COLUMNS)


class WorkflowTable:
    """Rows by id and by key; labels are kept in step with them."""

    def __init__(self, connection: sqlite3.Connection, where: str) -> None:
        self._connection = connection
        self._where = where
        # The largest key ever given; `None`: not read yet.
        self._last_pk: int | None = None

    def reset(self) -> None:
        """Forget what was known: something was rolled back."""
        self._last_pk = None

    def find(self, id: str) -> Stored:
        """Read the row with this id.

        Raises:
            NotFoundError: there is none.
            StorageCorruptError: it is damaged.
        """
        values = self._connection.execute(statements.SELECT_WORKFLOW_BY_ID, (id,)).fetchone()
        if values is None:
            raise missing(self._connection, self._where, id)
        return read_workflow(values, self._where)

    def get(self, pk: int) -> Stored | None:
        """Read the row with this key, unless it is gone or half deleted.

        Raises:
            StorageCorruptError: it is damaged.
        """
        values = self._connection.execute(statements.SELECT_WORKFLOW_BY_PK, (pk,)).fetchone()
        return None if values is None else read_workflow(values, self._where)

    def find_revision(self, id: str) -> tuple[int, int]:
        """Return the key and the revision of an id, without a look at the rest of the row.

        Raises:
            NotFoundError: there is none.
        """
        found = self._connection.execute(statements.SELECT_REVISION, (id,)).fetchone()
        if found is None:
            raise missing(self._connection, self._where, id)
        pk, revision = found
        return pk, revision

    def find_pk(self, id: str) -> int | None:
        """Return the key of an id."""
        found = self._connection.execute(statements.SELECT_PK, (id,)).fetchone()
        return None if found is None else found[0]

    def insert(self, row: WorkflowRow, parent_pk: int | None) -> int:
        """Insert a row and return the key it was given."""
        # The key is part of the checksum, so it is chosen here and not by SQLite.
        if self._last_pk is None:
            found = self._connection.execute(statements.SELECT_LAST_PK).fetchone()
            self._last_pk = 0 if found is None else found[0]
        assert self._last_pk is not None
        pk = self._last_pk = self._last_pk + 1
        values = workflow_values(row, parent_pk, pk=pk)
        self._connection.execute(statements.INSERT_WORKFLOW, values)
        self._label(pk, row.metadata)
        return pk

    def change(self, before: Stored, change: RowChange) -> WorkflowRow:
        """Write what a change changes, and return the row as it now is."""
        after = change.apply(before.row)
        values = workflow_values(after, before.parent_pk)
        changed = [
            position
            for position, (old, new) in enumerate(zip(before.values, values, strict=True))
            if old != new
        ]
        sql = statements.update_workflow(tuple(WORKFLOW_COLUMNS[i] for i in changed))
        self._connection.execute(sql, (*(values[i] for i in changed), after.pk))
        if after.metadata != before.row.metadata:
            self._connection.executemany(
                statements.DELETE_TAG,
                [(key, label, after.pk) for key, label in before.row.metadata.items()],
            )
            self._label(after.pk, after.metadata)
        return after

    def make_due(self, stored: Stored, at: float) -> None:
        """It has got something from outside: if it waits, it is due."""
        if stored.row.status is Status.WAITING:
            self.change(stored, RowChange(wake_at=at))

    def claim(self, claimed: Sequence[Stored]) -> None:
        """Write the columns that a claim changes, of a whole wave."""
        self._connection.executemany(
            statements.UPDATE_CLAIMED,
            [(*(stored.values[i] for i in _CLAIMED), stored.row.pk) for stored in claimed],
        )

    def _label(self, pk: int, metadata: Mapping[str, str]) -> None:
        if metadata:
            self._connection.executemany(
                statements.INSERT_TAG, [(key, label, pk) for key, label in metadata.items()]
            )
