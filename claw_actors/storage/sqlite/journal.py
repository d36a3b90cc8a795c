"""Appending to journals: which number is next, and many entries in one statement.

There is one writer, so what it last wrote is what is stored: the last number of a journal is
kept in memory and not read again. A finished task is then one INSERT, and nothing else.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

import attrs

from ..._core.journal import Entry
from . import statements
from .rows import ENTRY_COLUMNS, Stored, Values, entry_values

__all__ = ["Head", "Journal"]

MAX_HEADS: Final = 20_000

_WF: Final = ENTRY_COLUMNS.index("wf")
_OP: Final = ENTRY_COLUMNS.index("op")


@attrs.define
class Head:
    """The end of one workflow's journal.

    Attributes:
        run: the present run.
        life: the present incarnation: the fence of its writes.
        n: the number of the last entry.
    """

    run: int
    life: int
    n: int


class Journal:
    """The heads of journals, and the entries that wait to be written.

    Entries are queued, and written in the order in which they were queued, before anything that
    reads a journal, and at the end of the group. After a rollback nothing of this is true any
    more: :meth:`reset`.
    """

    def __init__(self, connection: sqlite3.Connection, max_heads: int = MAX_HEADS) -> None:
        self._connection = connection
        self._max_heads = max_heads
        self._heads: dict[int, Head] = {}
        self._queue: list[Values] = []
        # What is queued, by workflow and op, as far as somebody has asked for it.
        self._queued: set[tuple[int, str]] = set()
        self._asked = 0

    def reset(self) -> None:
        """Forget everything: the transaction, or a part of it, was rolled back."""
        self._heads.clear()
        self._empty()

    def known(self, pk: int) -> Head | None:
        """Return the head of a workflow's journal, if it is known without reading."""
        return self._heads.get(pk)

    def head(self, stored: Stored) -> Head:
        """Return the head of the journal of a workflow whose row was just read."""
        row = stored.row
        head = self._heads.get(row.pk)
        if head is None:
            self.flush()
            (last,) = self._connection.execute(
                statements.SELECT_LAST_N, (row.pk, row.run)
            ).fetchone()
            head = self.begin(row.pk, Head(row.run, row.life, last or 0))
        return head

    def begin(self, pk: int, head: Head) -> Head:
        """Note the head of a journal; the one noted longest ago makes room."""
        if len(self._heads) >= self._max_heads:
            del self._heads[next(iter(self._heads))]
        self._heads[pk] = head
        return head

    def forget(self, pk: int) -> None:
        """Drop the head of a workflow that is being deleted."""
        self._heads.pop(pk, None)

    def append(self, pk: int, head: Head, entries: Sequence[Entry]) -> int:
        """Queue entries, give them their numbers, and return the last one."""
        n = head.n
        for entry in entries:
            n += 1
            self._queue.append(entry_values(pk, head.run, n, entry))
        head.n = n
        return n

    def flush(self) -> None:
        """Write what is queued."""
        if self._queue:
            self._connection.executemany(statements.INSERT_ENTRY, self._queue)
            self._empty()

    def flush_if_queued(self, pk: int, op: str) -> None:
        """Write what is queued if an entry of this operation is among it.

        Flushing each time would make a group of one INSERT after the other. What is queued is
        looked through once, by those who ask, and costs nothing where nobody does.
        """
        for values in self._queue[self._asked :]:
            self._queued.add((values[_WF], values[_OP]))
        self._asked = len(self._queue)
        if (pk, op) in self._queued:
            self.flush()

    def _empty(self) -> None:
        self._queue.clear()
        self._queued.clear()
        self._asked = 0
