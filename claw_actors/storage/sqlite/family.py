"""Children in the tables: how they are started, and how their parent is told of their end."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING

import attrs

from ...errors import DuplicateKeyError, StorageCorruptError
from ..family import (
    differences,
    end_of_child,
    hears,
    is_told_of_quarantine,
    reason_of_parent,
)
from ..operations import Created, Reported
from ..records import RowChange
from . import statements
from .rows import Stored, damaged, read_entry, read_workflow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..._core.journal import Entry
    from ..operations import Create
    from ..records import WorkflowRow
    from .journal import Journal
    from .workflows import WorkflowTable

__all__ = ["Family"]

_log = logging.getLogger("claw_actors.storage")


class Family:
    """Parents and children, in the transaction that is open."""

    def __init__(
        self, connection: sqlite3.Connection, where: str, journal: Journal, workflows: WorkflowTable
    ) -> None:
        self._connection = connection
        self._where = where
        self._journal = journal
        self._workflows = workflows

    def find_child(self, parent_pk: int, create: Create) -> Created | None:
        """Find the child where it was started before; ``None`` if its id is free.

        Raises:
            DuplicateKeyError: the id is taken by something else.
            StorageCorruptError: what is stored under it cannot be read.
        """
        id = create.row.id
        assert id is not None
        if self._workflows.find_pk(id) is None:
            return None
        stored = self._workflows.find(id)
        row = stored.row
        self._journal.flush()
        start = self._connection.execute(statements.SELECT_START, (row.pk, row.run)).fetchone()
        if start is None:
            raise damaged("claw_journal", id, self._where, "its start is missing")
        entry = read_entry(start, id, self._where)
        if differs := differences(create, row, entry, stored.parent_pk == parent_pk):
            raise DuplicateKeyError(id, differs)
        return Created(row.pk, 0, existed=True)

    def tell_parent(
        self, before: Stored, after: WorkflowRow, entries: Sequence[Entry]
    ) -> Reported | None:
        """Let the parent know of a child's end, and why it has to go on waiting."""
        parent = None if before.parent_pk is None else self._readable(before.parent_pk)
        if parent is None:
            return None
        if is_told_of_quarantine(before.row, after):
            parent = self._say_who_is_stuck(parent)
        entry = end_of_child(after, entries)
        if entry is None or not hears(parent.row, after):
            return None
        return self._report(parent, entry)

    def _report(self, parent: Stored, entry: Entry) -> Reported:
        row = parent.row
        assert row.id is not None
        self._workflows.make_due(parent, entry.at)
        n = self._journal.append(row.pk, self._journal.head(parent), (entry,))
        return Reported(row.pk, row.id, attrs.evolve(entry, n=n))

    def _say_who_is_stuck(self, parent: Stored) -> Stored:
        values = self._connection.execute(statements.SELECT_STUCK, (parent.row.pk,)).fetchone()
        try:
            stuck = None if values is None else read_workflow(values, self._where).row
        except StorageCorruptError:
            stuck = None  # nothing that it says can be trusted
        reason = reason_of_parent(parent.row, stuck)
        if reason == parent.row.reason:
            return parent
        self._workflows.change(parent, RowChange(reason=reason))
        changed = self._readable(parent.row.pk)
        assert changed is not None
        return changed

    def _readable(self, pk: int) -> Stored | None:
        """Read the row of a parent; a damaged one must not keep its children from ending."""
        try:
            return self._workflows.get(pk)
        except StorageCorruptError as error:
            _log.warning("not told of the end of a child: %s", error)
            return None
