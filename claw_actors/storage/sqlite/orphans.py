"""Rows that belong to no workflow, and children that belong to no parent any more.

Whatever hangs on a workflow is deleted before its row is, and a family goes in one commit: so no
moment of a sound database has rows without their workflow, not even after a crash. Half-deleted
workflows still have their row, without an id; the next owner deletes the rest.

Each statement is a moment of its own, and ends soon: it walks a bounded range of an index.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Final

import attrs

from ..findings import Finding

__all__ = ["find_orphans", "ranges"]

WORKFLOWS_AT_A_TIME: Final = 5_000

TABLES: Final = (
    ("claw_journal", "what workflows have done"),
    ("claw_task", "tasks that have not ended"),
    ("claw_value", "what workflows show of themselves"),
    ("claw_dead_letter", "messages that were put aside"),
    ("claw_key", "keys of messages"),
)
"""Each with an index that begins with ``wf``, and with what it holds."""

# NOT IN the keys of a table is one look-up a row, in every version of SQLite.
_GONE: Final = "wf NOT IN (SELECT pk FROM claw_workflow)"

_LABELS: Final = f"SELECT wf, count(*) FROM claw_tag WHERE {_GONE} GROUP BY wf"

# Only those that have not ended: of the others the parent was told. Those of earlier runs have
# ended, as a run does not go on before they have.
_CHILDREN: Final = """
SELECT c.id, c.parent FROM claw_workflow AS c
WHERE c.status IN ('pending', 'running', 'waiting', 'paused', 'quarantined')
AND c.parent IS NOT NULL AND c.parent_op IS NOT NULL AND c.on_close <> 'abandon'
AND c.id IS NOT NULL
AND NOT EXISTS (SELECT 1 FROM claw_workflow AS p WHERE p.pk = c.parent AND p.id IS NOT NULL)
ORDER BY c.pk"""

_ADVICE: Final = (
    "nobody reads them, so they only take space; but no command leaves such rows: the rows of their"
    " workflows were lost, or another program has deleted them. If a workflow is missing, restore"
    " a backup"
)


@attrs.define
class _Count:
    """What was found in one table so far."""

    rows: int = 0
    example: int | None = None

    def add(self, found: list[tuple[int, int]]) -> None:
        self.rows += sum(rows for _, rows in found)
        if self.example is None and found:
            self.example = found[0][0]


def find_orphans(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Yield what belongs to nothing, one finding for each table.

    Args:
        connection: one that is not in a transaction.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    for table, held in TABLES:
        count = _Count()
        statement = (
            f"SELECT wf, count(*) FROM {table} WHERE wf > ? AND wf <= ? AND {_GONE} GROUP BY wf"
        )
        for first, last in ranges(connection, table, "wf"):
            count.add(connection.execute(statement, (first, last)).fetchall())
        yield from _finding(table, held, count)
    count = _Count()
    count.add(connection.execute(_LABELS).fetchall())
    yield from _finding("claw_tag", "labels", count)
    yield from _children(connection)


def ranges(connection: sqlite3.Connection, table: str, column: str) -> Iterator[tuple[int, int]]:
    """Yield bounded ranges, after the first number and up to the last, that hold all of a column.

    Args:
        connection: where.
        table, column: an integer column that leads an index, or is the key.
    """
    first, last = connection.execute(
        f"SELECT (SELECT min({column}) FROM {table}), (SELECT max({column}) FROM {table})"
    ).fetchone()
    if first is None:
        return
    for after in range(first - 1, last, WORKFLOWS_AT_A_TIME):
        yield after, after + WORKFLOWS_AT_A_TIME


def _finding(table: str, held: str, count: _Count) -> Iterator[Finding]:
    if count.rows:
        yield Finding(
            kind="orphans",
            serious=True,
            what=f"{count.rows:,} rows of {table} ({held}) without their workflow, such as those of"
            f" pk {count.example}",
            advice=_ADVICE,
            table=table,
            count=count.rows,
            example=f"pk {count.example}",
        )


def _children(connection: sqlite3.Connection) -> Iterator[Finding]:
    found = connection.execute(_CHILDREN).fetchall()
    if found:
        id, parent = found[0]
        yield Finding(
            kind="orphaned_child",
            serious=False,
            what=f"unfinished children without their parent: {len(found):,}, such as {id!r}, of pk"
            f" {parent}",
            advice="they go on, and nobody is told of their end. `claw delete` and `claw prune`"
            " take children with their parent; storage.delete_workflow() does not. If nothing has"
            " called that, restore a backup; if nobody needs them, `claw terminate` them",
            table="claw_workflow",
            count=len(found),
            example=id,
        )
