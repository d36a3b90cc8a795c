"""Looking at every row of a database: what SQLite cannot find, and what checksums cannot.

``integrity_check`` found one changed byte in ten. A checksum per row finds all of them, but says
nothing of a row that is gone; the numbers of a journal do, as they have no gaps.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import Final

import attrs

from ...errors import StorageCorruptError
from .belongings import LETTER_COLUMNS, VALUE_COLUMNS, read_letter, read_value
from .pruning import PRUNED_COLUMNS, read_remembered
from .rows import (
    ENTRY_COLUMNS,
    TASK_COLUMNS,
    WORKFLOW_COLUMNS,
    Values,
    read_entry,
    read_task,
    read_workflow,
)

__all__ = ["Examination", "examine"]

MOST_FINDINGS: Final = 100
"""More of them say no more."""

_MISSING: Final = """
SELECT w.id, j.run, count(*), min(j.n), max(j.n)
FROM claw_journal AS j JOIN claw_workflow AS w ON w.pk = j.wf
WHERE w.id IS NOT NULL
GROUP BY j.wf, j.run HAVING min(j.n) <> 0 OR count(*) <> max(j.n) + 1"""

_HAS_PRUNED: Final = "SELECT 1 FROM sqlite_schema WHERE name = 'claw_pruned'"

_WITHOUT_START: Final = """
SELECT w.id FROM claw_workflow AS w
WHERE w.id IS NOT NULL
AND NOT EXISTS (SELECT 1 FROM claw_journal AS j WHERE j.wf = w.pk AND j.run = w.run)"""


@attrs.frozen
class Examination:
    """What was found in a database.

    Attributes:
        rows: how many were read.
        findings: what is wrong, one line each; at most a hundred.
    """

    rows: int
    findings: tuple[str, ...]


def examine(connection: sqlite3.Connection, where: str) -> Examination:
    """Read everything, in one moment of the database, and compare it with its checksums.

    Args:
        connection: one that is not in a transaction.
        where: the path, for messages.

    Raises:
        sqlite3.Error: it cannot be read at all.
    """
    rows = 0
    findings: list[str] = []
    connection.execute("BEGIN")
    try:
        for (line,) in connection.execute(f"PRAGMA integrity_check({MOST_FINDINGS})"):
            if line != "ok":
                findings.append(f"integrity_check says: {line}")
        for finding in _unreadable_rows(connection, where):
            rows += 1
            if finding is not None:
                findings.append(finding)
        findings += _gaps(connection)
    finally:
        connection.execute("ROLLBACK")
    return Examination(rows, tuple(findings[:MOST_FINDINGS]))


def _unreadable_rows(connection: sqlite3.Connection, where: str) -> Iterator[str | None]:
    """Yield, for each row with a checksum, what is wrong with it; ``None`` for nothing."""
    ids: dict[int, str] = {}
    for values in connection.execute(_select("claw_workflow", WORKFLOW_COLUMNS)):
        pk, id = values[0], values[1]
        ids[pk] = f"pk {pk}" if id is None else str(id)
        yield _finding(_read_workflow, values, "", where)
    for select, key, read in _TABLES:
        for values in connection.execute(select):
            yield _finding(read, values, ids.get(values[key], f"pk {values[key]}"), where)
    if connection.execute(_HAS_PRUNED).fetchone() is not None:  # from the second version on
        for values in connection.execute(_select("claw_pruned", PRUNED_COLUMNS)):
            yield _finding(read_remembered, values, "", where)


def _select(table: str, columns: tuple[str, ...]) -> str:
    # "after" is a keyword elsewhere.
    names = ", ".join(f'"{column}"' for column in columns)
    return f"SELECT {names} FROM {table}"


# For each table: how it is read, where the key of the workflow stands, and what reads a row of it.
_TABLES: Final[tuple[tuple[str, int, Callable[[Values, str, str], object]], ...]] = (
    (_select("claw_journal", ENTRY_COLUMNS), 0, read_entry),
    (_select("claw_task", TASK_COLUMNS), 0, read_task),
    (_select("claw_value", VALUE_COLUMNS), 0, read_value),
    (_select("claw_dead_letter", ("seq", *LETTER_COLUMNS)), 1, read_letter),
)


def _read_workflow(values: Values, id: str, where: str) -> object:  # noqa: ARG001 - the others need it
    return read_workflow((*values, None), where)


def _finding(
    read: Callable[[Values, str, str], object], values: Values, id: str, where: str
) -> str | None:
    try:
        read(values, id, where)
    except StorageCorruptError as error:
        return f"{error.where}: {error.reason}"
    return None


def _gaps(connection: sqlite3.Connection) -> Iterator[str]:
    """Find journals of which entries are missing."""
    for id, run, count, first, last in connection.execute(_MISSING):
        missing = last + 1 - count
        yield (
            f"workflow {id!r}: {missing} of the {last + 1} entries of run {run} are missing"
            f" (the first is number {first})"
        )
    for (id,) in connection.execute(_WITHOUT_START):
        yield f"workflow {id!r}: its journal is missing"
