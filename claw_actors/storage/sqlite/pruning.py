"""Pruning in the tables: families that go as a whole, and the ids that are remembered."""

from __future__ import annotations

import logging
import sqlite3
from collections import deque
from typing import TYPE_CHECKING, Final

import attrs

from ..._core.lifecycle import Status
from ..._core.retention import Ended
from ...errors import StorageCorruptError
from ..pruning import (
    EndedPage,
    Forget,
    Forgotten,
    GiveBack,
    GivenBack,
    Prune,
    Pruned,
    Remembered,
    ended_at,
    family_ended_at,
    is_bound,
)
from . import statements
from .deletion import bury, delete_pieces
from .rows import Values, damaged, fit, read_workflow, seal, seconds

if TYPE_CHECKING:
    from .rows import Stored

__all__ = [
    "PRUNED_COLUMNS",
    "find_remembered",
    "forget",
    "give_back",
    "list_ended",
    "prune",
    "read_remembered",
]

_log = logging.getLogger("claw_actors.storage")

PRUNED_COLUMNS: Final = ("id", "name", "status", "digest", "ended_at", "pruned_at", "crc")
_TYPES: Final = (str, str, str, bytes, float, float)

_INSERT: Final = (
    f"INSERT OR REPLACE INTO claw_pruned ({', '.join(PRUNED_COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_SELECT: Final = f"SELECT {', '.join(PRUNED_COLUMNS)} FROM claw_pruned WHERE id = ?"
_FORGET: Final = """
DELETE FROM claw_pruned WHERE id IN
  (SELECT id FROM claw_pruned WHERE pruned_at < ? ORDER BY pruned_at LIMIT ?)"""
_SELECT_DIGEST: Final = "SELECT digest FROM claw_journal WHERE wf = ? AND run = ? AND n = 0"
_SELECT_RUN_KEY: Final = "SELECT run_key FROM claw_workflow WHERE pk = ? AND id IS NOT NULL"
_SELECT_CHILDREN: Final = (
    "SELECT pk, on_close, parent_op FROM claw_workflow WHERE parent = ? AND +id IS NOT NULL"
)
# Hints, straight from the table: whoever is pruned is read, and checked, by the write.
_SELECT_WINDOW: Final = """
SELECT w.pk, w.id, w.name, w.status, coalesce(w.completed_at, w.started_at, w.created_at),
  w.on_close, w.parent_op, p.run_key, w.run_key
FROM claw_workflow AS w LEFT JOIN claw_workflow AS p ON p.pk = w.parent AND p.id IS NOT NULL
WHERE w.pk < ? ORDER BY w.pk DESC LIMIT ?"""
_SELECT_KIN: Final = """
SELECT pk, status, coalesce(completed_at, started_at, created_at), on_close, parent_op, run_key
FROM claw_workflow WHERE parent = ? AND +id IS NOT NULL"""


def list_ended(connection: sqlite3.Connection, before_pk: int, limit: int) -> EndedPage:
    """Read a window of the table; see :meth:`claw_actors.storage.backend.Backend.list_ended`."""
    found = connection.execute(_SELECT_WINDOW, (before_pk, limit)).fetchall()
    items: list[Ended] = []
    for pk, id, name, status, at, on_close, parent_op, parent_run_key, run_key in found:
        if id is None or status not in ("completed", "failed", "cancelled"):
            continue
        if not is_bound(on_close, parent_op, parent_run_key):
            latest = _latest(connection, pk, run_key, at)
            items.append(Ended(pk, id, name, Status(status), latest))
    more = len(found) == limit
    return EndedPage(items=tuple(items), last_pk=found[-1][0] if more else 0)


def _latest(connection: sqlite3.Connection, pk: int, run_key: str, at: float) -> float | None:
    """Return when the last below a workflow has ended; ``None`` if one has not."""
    found = deque([(pk, run_key)])
    while found:
        pk, run_key = found.popleft()
        for child, status, ended, on_close, parent_op, child_run_key in connection.execute(
            _SELECT_KIN, (pk,)
        ).fetchall():
            if is_bound(on_close, parent_op, run_key):
                if status not in ("completed", "failed", "cancelled"):
                    return None
                at = max(at, ended)
                found.append((child, child_run_key))
    return at


def prune(connection: sqlite3.Connection, where: str, operation: Prune) -> Pruned:
    """Do it; see :class:`Prune`. The journal must have been flushed."""
    ids: list[str] = []
    unfinished: list[int] = []
    left = operation.limit
    for pk in operation.pks:
        try:
            family = _family(connection, where, pk)
        except StorageCorruptError as error:
            _log.warning("not pruned: %s", error)
            continue
        latest = family_ended_at(stored.row for stored in family)
        if not family or latest is None or latest >= operation.ended_before:
            continue
        for stored in family:
            assert stored.row.id is not None
            ids.append(stored.row.id)
            _remember(connection, stored, operation.at)
            bury(connection, stored.values)
            deleted, done = delete_pieces(connection, stored.row.pk, max(1, left))
            left -= deleted
            if not done:
                unfinished.append(stored.row.pk)
    return Pruned(tuple(ids), tuple(unfinished))


def _family(connection: sqlite3.Connection, where: str, pk: int) -> list[Stored]:
    """Read a workflow and all that is bound to it; nothing if it is gone, or bound itself."""
    family: list[Stored] = []
    found = deque([pk])
    while found:
        values = connection.execute(statements.SELECT_WORKFLOW_BY_PK, (found.popleft(),)).fetchone()
        if values is None:
            continue
        stored = read_workflow(values, where)
        row = stored.row
        if not family and stored.parent_pk is not None:
            parent = connection.execute(_SELECT_RUN_KEY, (stored.parent_pk,)).fetchone()
            if is_bound(row.on_close, row.parent_op, None if parent is None else parent[0]):
                return []
        family.append(stored)
        for child, on_close, parent_op in connection.execute(_SELECT_CHILDREN, (row.pk,)):
            if is_bound(on_close, parent_op, row.run_key):
                found.append(child)
    return family


def _remember(connection: sqlite3.Connection, stored: Stored, at: float) -> None:
    row = stored.row
    start = connection.execute(_SELECT_DIGEST, (row.pk, row.run)).fetchone()
    columns: Values = (
        row.id,
        row.name,
        row.status.value,
        None if start is None else start[0],
        seconds(ended_at(row)),
        seconds(at),
    )
    columns = fit(columns, _TYPES)
    connection.execute(_INSERT, (*columns, seal(columns)))


def find_remembered(connection: sqlite3.Connection, id: str, where: str) -> Remembered | None:
    """Return what is left of a pruned workflow, if one had this id.

    Raises:
        StorageCorruptError: it is not what was written.
    """
    # A cursor that is left open in the traceback of an error would hold on to its snapshot.
    found = connection.execute(_SELECT, (id,)).fetchall()
    return read_remembered(found[0], id, where) if found else None


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


def give_back(connection: sqlite3.Connection, operation: GiveBack) -> GivenBack:
    """Move a piece of what is unused out of the file; a checkpoint makes the file shorter."""
    free = _free_pages(connection)
    for _ in range(min(free, operation.pages)):
        # It has a step per page and no columns, and Python steps it only once.
        connection.execute("PRAGMA incremental_vacuum(1)")
    left = _free_pages(connection)
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    # A file that was made without the setting keeps its pages, to use them again.
    return GivenBack((free - left) * page_bytes, done=left in (0, free))


def _free_pages(connection: sqlite3.Connection) -> int:
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    return int(free)
