"""Pruning in the tables: families that go as a whole."""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING, Final

from ...errors import StorageCorruptError
from ..pruning import (
    GiveBack,
    GivenBack,
    Prune,
    Pruned,
    family_ended_at,
    how_many_fit,
    is_bound,
)
from . import statements
from .deletion import bury, delete_pieces
from .many import OF_THESE, these
from .remembered import remember
from .rows import WORKFLOW_COLUMNS, Values, read_workflow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .rows import Stored

__all__ = ["give_back", "prune"]

_log = logging.getLogger("claw_actors.storage")

_COLUMNS: Final = ", ".join(f"w.{column}" for column in WORKFLOW_COLUMNS)
_ID: Final = WORKFLOW_COLUMNS.index("id")
_PK: Final = WORKFLOW_COLUMNS.index("pk")
_PARENT: Final = WORKFLOW_COLUMNS.index("parent")
_ON_CLOSE: Final = WORKFLOW_COLUMNS.index("on_close")
_PARENT_OP: Final = WORKFLOW_COLUMNS.index("parent_op")
_RUN_KEY: Final = WORKFLOW_COLUMNS.index("run_key")

_SELECT_THESE: Final = f"""
SELECT {_COLUMNS}, p.id, p.run_key
FROM claw_workflow AS w LEFT JOIN claw_workflow AS p ON p.pk = w.parent AND p.id IS NOT NULL
WHERE w.pk {OF_THESE} AND w.id IS NOT NULL"""
_SELECT_BELOW: Final = f"""
SELECT {_COLUMNS}, p.id
FROM claw_workflow AS w LEFT JOIN claw_workflow AS p ON p.pk = w.parent
WHERE w.parent {OF_THESE} AND w.on_close <> 'abandon' AND +w.id IS NOT NULL ORDER BY w.pk"""
_TABLES: Final = ("claw_journal", "claw_task", "claw_value", "claw_dead_letter", "claw_key")
# Of each table at most so many are counted.
_COUNTS: Final = ", ".join(
    f"(SELECT count(*) FROM (SELECT 1 FROM {table} WHERE wf = these.value LIMIT :enough))"
    for table in _TABLES
)
_SELECT_SIZES: Final = f"SELECT value, {_COUNTS} FROM json_each(:pks) AS these"
_DELETE_THESE: Final = (
    *(f"DELETE FROM {table} WHERE wf {OF_THESE}" for table in _TABLES),
    f"DELETE FROM claw_workflow WHERE pk {OF_THESE}",
)


def prune(
    connection: sqlite3.Connection, where: str, operation: Prune, forget_head: Callable[[int], None]
) -> Pruned:
    """Do it; see :class:`Prune`.

    All families at once, in a few statements whatever their number: everybody waits for this commit.

    Args:
        connection: in a transaction; the journal must have been flushed.
        where: the file.
        operation: what to do.
        forget_head: told of every key that is gone, so that nothing is appended to its journal.
    """
    families = [
        family
        for family in _read_families(connection, where, operation.pks)
        if _has_ended(family, operation.ended_before)
    ]
    members = (stored for family in families for stored in family)
    sizes = _read_sizes(connection, members, operation.limit)
    taken = how_many_fit(
        (sum(sizes[stored.row.pk] for stored in family) for family in families), operation.limit
    )
    going = [stored for family in families[:taken] for stored in family]
    remember(connection, going, operation.at)
    unfinished = _remove(connection, going, sizes, operation.limit)
    for stored in going:
        forget_head(stored.row.pk)
    ids = tuple([stored.values[_ID] for stored in going])
    return Pruned(ids, unfinished, tuple([top.row.pk for top, *_ in families[taken:]]))


def _has_ended(family: Iterable[Stored], before: float) -> bool:
    latest = family_ended_at(stored.row for stored in family)
    return latest is not None and latest < before


def _read_families(
    connection: sqlite3.Connection, where: str, pks: Iterable[int]
) -> list[list[Stored]]:
    """Read workflows, each with all that is bound to it, parents before children.

    Left out are those that are gone or bound themselves, and every family with a damaged row.
    """
    rows: dict[int, Values] = {}
    for *values, parent_run_key in connection.execute(_SELECT_THESE, these(pks)):
        if not is_bound(values[_ON_CLOSE], values[_PARENT_OP], parent_run_key):
            rows[values[_PK]] = tuple(values)
    level = [(pk, rows[pk]) for pk in dict.fromkeys(pks) if pk in rows]
    families: dict[int, list[Stored]] = {pk: [] for pk, _ in level}
    while level:
        for top, values in level:
            try:
                stored = read_workflow(values, where)
            except StorageCorruptError as error:
                _log.warning("not pruned: %s", error)
                families.pop(top, None)
            else:
                families.get(top, []).append(stored)
        level = _read_below(connection, level)
    return list(families.values())


def _read_below(
    connection: sqlite3.Connection, level: Sequence[tuple[int, Values]]
) -> list[tuple[int, Values]]:
    """Read the children that are bound to these, each with the one at the top of its family."""
    run_keys = {values[_PK]: values[_RUN_KEY] for _, values in level}
    children: dict[int, list[Values]] = {}
    for values in connection.execute(_SELECT_BELOW, these(run_keys)):
        parent = values[_PARENT]
        if is_bound(values[_ON_CLOSE], values[_PARENT_OP], run_keys[parent]):
            children.setdefault(parent, []).append(values)
    return [(top, child) for top, values in level for child in children.get(values[_PK], ())]


def _read_sizes(
    connection: sqlite3.Connection, members: Iterable[Stored], limit: int
) -> dict[int, int]:
    """Count the journal entries of each, up to one more than the limit.

    Who has more than that of anything else, keys for example, counts as if it were entries.
    """
    of = these(stored.row.pk for stored in members) | {"enough": limit + 1}
    return {
        pk: max([entries, *(count for count in others if count > limit)])
        for pk, entries, *others in connection.execute(_SELECT_SIZES, of)
    }


def _remove(
    connection: sqlite3.Connection, going: Sequence[Stored], sizes: Mapping[int, int], limit: int
) -> tuple[int, ...]:
    """Delete those that fit into the limit, and begin with the others; return which these are."""
    whole: list[Stored] = []
    unfinished: list[int] = []
    left = limit
    for stored in going:
        pk = stored.row.pk
        piece = max(1, left)
        if sizes[pk] <= piece:
            whole.append(stored)
        else:
            bury(connection, stored.values)
            delete_pieces(connection, pk, piece)
            unfinished.append(pk)
        left -= sizes[pk]
    labels = [(*pair, stored.row.pk) for stored in whole for pair in stored.row.metadata.items()]
    connection.executemany(statements.DELETE_TAG, labels)
    pks = these(stored.row.pk for stored in whole)
    for delete in _DELETE_THESE:
        connection.execute(delete, pks)
    return tuple(unfinished)


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
