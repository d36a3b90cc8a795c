"""Looking at every row of a database: what SQLite cannot find, and what checksums cannot.

``integrity_check`` found one changed byte in ten. A checksum per row finds all of them, but says
nothing of a row that is gone; the numbers of a journal do, as they have no gaps.

It is read in pieces, each in a moment of its own: a log cannot be cut before what it holds is out of
every reader's sight, so one who read for minutes would let it grow for minutes. What is said of
several rows together is said by one statement, and so of one moment. Only ``integrity_check`` cannot
be divided; it is the fastest part.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from typing import Final, TypeVar

import attrs

from ...errors import StorageCorruptError
from .belongings import LETTER_COLUMNS, VALUE_COLUMNS, read_letter, read_value
from .faults import primary_code
from .orphans import ranges
from .remembered import PRUNED_COLUMNS, read_remembered
from .rows import (
    ENTRY_COLUMNS,
    TASK_COLUMNS,
    WORKFLOW_COLUMNS,
    Values,
    read_entry,
    read_task,
    read_workflow,
)

__all__ = ["Examination", "as_far_as_possible", "examine"]

T = TypeVar("T")

MOST_FINDINGS: Final = 100
"""More of them say no more."""

ROWS_AT_A_TIME: Final = 2_000
BYTES_AT_A_TIME: Final = 4 << 20

# Entries of earlier runs are deleted in pieces, in any order; those of a later run are not there
# before the row says so.
_GAPS: Final = """
SELECT w.id, w.run, j.run, count(*), min(j.n), max(j.n)
FROM claw_journal AS j JOIN claw_workflow AS w ON w.pk = j.wf
WHERE j.wf > ? AND j.wf <= ? AND w.id IS NOT NULL AND j.run >= w.run
GROUP BY j.wf, j.run HAVING j.run > w.run OR min(j.n) <> 0 OR count(*) <> max(j.n) + 1"""

_WITHOUT_START: Final = """
SELECT w.id FROM claw_workflow AS w
WHERE w.pk > ? AND w.pk <= ? AND w.id IS NOT NULL
AND NOT EXISTS (SELECT 1 FROM claw_journal AS j WHERE j.wf = w.pk AND j.run = w.run)"""

_ID: Final = "SELECT id FROM claw_workflow WHERE pk = ?"
_KIND: Final = ENTRY_COLUMNS.index("kind")
_HAS_PRUNED: Final = "SELECT 1 FROM sqlite_schema WHERE name = 'claw_pruned'"


@attrs.frozen
class Examination:
    """What was found in a database.

    Attributes:
        rows: how many were read.
        damage: what is wrong, one line each; at most a hundred.
        parents: the keys of the workflows that have started children.
    """

    rows: int
    damage: tuple[str, ...]
    parents: frozenset[int]


@attrs.frozen
class _Table:
    """How a table is read.

    Attributes:
        name: which one.
        key: the column that it is read in order of: an integer, or text.
        columns: what is read after that.
        wf: where the key of the workflow stands in those; ``None`` if there is none, or it is in
            the message anyway.
        read: what reads these columns, and finds them damaged.
    """

    name: str
    key: str
    columns: tuple[str, ...]
    wf: int | None
    read: Callable[[Values, str, str], object]

    @property
    def select(self) -> str:
        # "after" is a keyword elsewhere.
        names = ", ".join(f'"{column}"' for column in self.columns)
        return (
            f"SELECT {self.key}, {names} FROM {self.name}"
            f" WHERE {self.key} > ? AND {self.key} <= ? ORDER BY {self.key}"
        )


def _read_workflow(values: Values, id: str, where: str) -> object:  # noqa: ARG001 - the others need it
    return read_workflow((*values, None), where)


_JOURNAL: Final = _Table("claw_journal", "pos", ENTRY_COLUMNS, 0, read_entry)
_TABLES: Final = (
    _Table("claw_workflow", "pk", WORKFLOW_COLUMNS, None, _read_workflow),
    _JOURNAL,
    _Table("claw_task", "rowid", TASK_COLUMNS, 0, read_task),
    _Table("claw_value", "rowid", VALUE_COLUMNS, 0, read_value),
    _Table("claw_dead_letter", "seq", ("seq", *LETTER_COLUMNS), 1, read_letter),
)
_PRUNED: Final = _Table("claw_pruned", "id", PRUNED_COLUMNS, None, read_remembered)


def examine(connection: sqlite3.Connection, where: str) -> Examination:
    """Read everything, and compare it with its checksums.

    What is written meanwhile may be looked at, or not.

    Args:
        connection: one that is not in a transaction.
        where: the path, for messages.

    Raises:
        sqlite3.Error: it cannot be read at all.
    """
    damage = list(as_far_as_possible(_structure(connection), "the file: {}".format))
    sweep = _Sweep(connection, where)
    has_pruned = connection.execute(_HAS_PRUNED).fetchone()  # from the second version on
    for table in (*_TABLES, *([_PRUNED] if has_pruned else [])):
        damage += as_far_as_possible(sweep.read(table), f"{table.name}: {{}}".format)
    damage += as_far_as_possible(_gaps(connection), "the journals: {}".format)
    return Examination(sweep.rows, tuple(damage[:MOST_FINDINGS]), frozenset(sweep.parents))


def _structure(connection: sqlite3.Connection) -> Iterator[str]:
    for (line,) in connection.execute(f"PRAGMA integrity_check({MOST_FINDINGS})").fetchall():
        if line != "ok":
            yield f"integrity_check says: {line}"


def as_far_as_possible(found: Iterable[T], lost: Callable[[str], T]) -> Iterator[T]:
    """Yield what is found, and in the end why no more can be, if SQLite finds the file damaged.

    Args:
        found: what is found, one after the other.
        lost: makes the last of them, of why nothing follows.

    Raises:
        sqlite3.Error: it cannot be read, for another reason.
    """
    try:
        yield from found
    except sqlite3.DatabaseError as error:
        if primary_code(error) != sqlite3.SQLITE_CORRUPT:
            raise
        yield lost(f"it cannot be read further: {error}")


class _Sweep:
    """Reads table after table, piece by piece."""

    def __init__(self, connection: sqlite3.Connection, where: str) -> None:
        self.rows = 0
        self.parents: set[int] = set()
        self._connection = connection
        self._where = where

    def read(self, table: _Table) -> Iterator[str]:
        """Yield what is wrong with each row that is damaged."""
        for piece in self._pieces(table):
            self.rows += len(piece)
            for values in piece:
                if (finding := self._finding(table, values[1:])) is not None:
                    yield finding

    def _pieces(self, table: _Table) -> Iterator[list[Values]]:
        # Not further than it reaches now: whoever appends faster than this reads would lead it on
        # for ever.
        (last,) = self._connection.execute(f"SELECT max({table.key}) FROM {table.name}").fetchone()
        if last is None:
            return
        after = "" if isinstance(last, str) else 0
        while piece := self._piece(table.select, (after, last)):
            yield piece
            after = piece[-1][0]

    def _piece(self, select: str, between: Values) -> list[Values]:
        piece: list[Values] = []
        size_bytes = 0
        with closing(self._connection.execute(select, between)) as cursor:
            for values in cursor:
                piece.append(values)
                payload = values[-2]
                size_bytes += len(payload) if isinstance(payload, bytes) else 0
                if len(piece) == ROWS_AT_A_TIME or size_bytes > BYTES_AT_A_TIME:
                    break
        return piece

    def _finding(self, table: _Table, values: Values) -> str | None:
        try:
            table.read(values, "", self._where)
        except StorageCorruptError as error:
            return self._describe(table, values, error)
        if table is _JOURNAL and values[_KIND] == "child":
            self.parents.add(values[0])
        return None

    def _describe(self, table: _Table, values: Values, error: StorageCorruptError) -> str:
        """Say what is wrong with a row; only now is it worth a look whose it is."""
        if table.wf is not None:
            try:
                table.read(values, self._id(values[table.wf]), self._where)
            except StorageCorruptError as named:
                error = named
        return f"{error.where}: {error.reason}"

    def _id(self, pk: int) -> str:
        found = self._connection.execute(_ID, (pk,)).fetchone()
        return f"pk {pk}" if found is None or found[0] is None else str(found[0])


def _gaps(connection: sqlite3.Connection) -> Iterator[str]:
    """Find journals of which entries are missing."""
    for between in ranges(connection, "claw_journal", "wf"):
        for id, present, run, count, first, last in connection.execute(_GAPS, between).fetchall():
            if run > present:
                yield (
                    f"workflow {id!r}: its journal is in run {run}, and its row still in {present}"
                )
                continue
            missing = last + 1 - count
            yield (
                f"workflow {id!r}: {missing} of the {last + 1} entries of run {run} are missing"
                f" (the first is number {first})"
            )
    for between in ranges(connection, "claw_workflow", "pk"):
        for (id,) in connection.execute(_WITHOUT_START, between).fetchall():
            yield f"workflow {id!r}: its journal is missing"
