"""Deleting a workflow and all that hangs on it, in bounded pieces that a crash may part."""

from __future__ import annotations

import json
import sqlite3

from ..operations import Delete, Deleted
from . import statements
from .remembered import missing
from .rows import WORKFLOW_COLUMNS, Values, seal

__all__ = ["bury", "delete_pieces", "delete_step", "list_tombstones"]

_ID = WORKFLOW_COLUMNS.index("id")
_WAKE_AT = WORKFLOW_COLUMNS.index("wake_at")
_PARENT = WORKFLOW_COLUMNS.index("parent")
_METADATA = WORKFLOW_COLUMNS.index("metadata")


def delete_step(connection: sqlite3.Connection, where: str, operation: Delete) -> Deleted:
    """Do one step of a deletion.

    Children are not touched: keys are never reused, so a parent that is gone reads as none.

    Raises:
        NotFoundError: on the first step, if there is no such workflow.
    """
    pk = operation.pk
    if pk == 0:
        pk = _entomb(connection, where, operation.id)
    else:
        row = connection.execute(statements.SELECT_RAW_BY_PK, (pk,)).fetchone()
        if row is None:
            return Deleted(pk, done=True)
        assert row[_ID] is None, "only what the first step answered may be given as pk"
    _, done = delete_pieces(connection, pk, operation.limit)
    return Deleted(pk, done)


def delete_pieces(connection: sqlite3.Connection, pk: int, limit: int) -> tuple[int, bool]:
    """Delete a bounded piece of what an invisible workflow has left, its row last.

    Args:
        connection: in a transaction.
        pk: the workflow.
        limit: how many rows of each table to delete at most.

    Returns:
        How many were deleted, and whether all of it is gone.
    """
    deleted = 0
    for delete, any_left in statements.DELETE_PIECES:
        deleted += connection.execute(delete, {"wf": pk, "limit": limit}).rowcount
        if connection.execute(any_left, {"wf": pk}).fetchone() is not None:
            return deleted, False
    connection.execute(statements.DELETE_WORKFLOW, (pk,))
    return deleted, True


def _entomb(connection: sqlite3.Connection, where: str, id: str) -> int:
    """Make the workflow with this id invisible; return its key."""
    # Raw: one whose row is damaged can be deleted, too.
    row: Values | None = connection.execute(statements.SELECT_RAW_BY_ID, (id,)).fetchone()
    if row is None:
        raise missing(connection, where, id)
    return bury(connection, row)


def bury(connection: sqlite3.Connection, row: Values) -> int:
    """Make a workflow invisible, to filters, timers and labels too; return its key."""
    pk: int = row[0]
    columns = list(row[:-1])
    columns[_ID] = columns[_WAKE_AT] = columns[_PARENT] = None
    connection.execute(statements.ENTOMB, (None, None, None, seal(tuple(columns)), pk))
    labels = _labels(row)
    if labels is None:
        connection.execute(statements.DELETE_TAGS, (pk,))
    else:
        connection.executemany(
            statements.DELETE_TAG, [(key, label, pk) for key, label in labels.items()]
        )
    return pk


def _labels(row: Values) -> dict[str, str] | None:
    """Return a row's labels; ``None`` if the row is damaged."""
    if seal(row[:-1]) != row[-1]:
        return None
    labels: dict[str, str] = json.loads(row[_METADATA])
    return labels


def list_tombstones(connection: sqlite3.Connection) -> tuple[int, ...]:
    """Return the keys of workflows that are half deleted, ascending."""
    return tuple(pk for (pk,) in connection.execute(statements.SELECT_TOMBSTONES))
