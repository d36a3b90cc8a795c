"""What is remembered of pruned workflows: a row for each id, so that none is used again unawares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from ..._core.lifecycle import Status
from ...errors import NotFoundError
from ..pruning import Forget, Forgotten, Remembered, ended_at
from .many import OF_THESE, these
from .rows import Stored, Values, damaged, fit, seal, seconds

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

__all__ = ["PRUNED_COLUMNS", "find_remembered", "forget", "missing", "read_remembered", "remember"]

PRUNED_COLUMNS: Final = ("id", "name", "status", "digest", "ended_at", "pruned_at", "crc")
_TYPES: Final = (str, str, str, bytes, float, float)

_INSERT: Final = (
    f"INSERT OR REPLACE INTO claw_pruned ({', '.join(PRUNED_COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_SELECT: Final = f"SELECT {', '.join(PRUNED_COLUMNS)} FROM claw_pruned WHERE id = ?"
_FORGET: Final = """
DELETE FROM claw_pruned WHERE id IN
  (SELECT id FROM claw_pruned WHERE pruned_at < ? ORDER BY pruned_at LIMIT ?)"""
_SELECT_DIGESTS: Final = f"""
SELECT w.pk, j.digest
FROM claw_workflow AS w CROSS JOIN claw_journal AS j ON j.wf = w.pk AND j.run = w.run AND j.n = 0
WHERE w.pk {OF_THESE}"""


def remember(connection: sqlite3.Connection, going: Sequence[Stored], at: float) -> None:
    """Remember workflows that are still there, as pruned at this time in POSIX seconds."""
    pks = these(stored.row.pk for stored in going)
    digests = dict(connection.execute(_SELECT_DIGESTS, pks).fetchall())
    remembered: list[Values] = []
    for stored in going:
        row = stored.row
        digest = digests.get(row.pk)
        columns: Values = (
            row.id, row.name, row.status.value, digest, seconds(ended_at(row)), seconds(at),
        )  # fmt: skip
        columns = fit(columns, _TYPES)
        remembered.append((*columns, seal(columns)))
    connection.executemany(_INSERT, remembered)


def find_remembered(connection: sqlite3.Connection, id: str, where: str) -> Remembered | None:
    """Return what is left of a pruned workflow, if one had this id.

    Raises:
        StorageCorruptError: it is not what was written.
    """
    # A cursor that is left open in the traceback of an error would hold on to its snapshot.
    found = connection.execute(_SELECT, (id,)).fetchall()
    return read_remembered(found[0], id, where) if found else None


def missing(connection: sqlite3.Connection, where: str, id: str) -> NotFoundError:
    """Make the error for an id that no workflow has; it says so if one had it and was pruned."""
    remembered = find_remembered(connection, id, where)
    return NotFoundError("workflow", id, None if remembered is None else remembered.pruned_at)


def read_remembered(values: Values, id: str, where: str) -> Remembered:
    """Read a row of ``PRUNED_COLUMNS``.

    Raises:
        StorageCorruptError: it is not what was written.
    """
    *columns, crc = values
    if seal(tuple(columns)) != crc:
        raise damaged("claw_pruned", columns[0] or id, where)
    remembered = Remembered(*columns)
    return attrs.evolve(remembered, status=Status(remembered.status))


def forget(connection: sqlite3.Connection, operation: Forget) -> Forgotten:
    """Forget a piece of what is remembered."""
    of = (operation.pruned_before, operation.limit)
    return Forgotten(connection.execute(_FORGET, of).rowcount)
