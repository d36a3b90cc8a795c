"""What leaves a table: workflows that are deleted or pruned, and what is remembered of these."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..operations import Delete, Deleted, Forget, Forgotten, Prune, Pruned
from ..pruning import Remembered, ended_at, family_ended_at, how_many_fit
from .journal import Journal
from .table import Record

if TYPE_CHECKING:
    from .table import Table

__all__ = ["delete", "forget", "prune"]


def delete(table: Table, operation: Delete) -> Deleted:
    """Delete a piece of a workflow; the first one makes it invisible."""
    if operation.pk:
        half = table.get(operation.pk)
        if half is None:
            return Deleted(operation.pk, done=True)
        assert half.row.id is None, "only what the first step answered may be given as pk"
        record = half
    else:
        record = table.find(operation.id)
    return Deleted(record.row.pk, _remove(table, record, operation.limit))


def _remove(table: Table, record: Record, limit: int) -> bool:
    """Make a record invisible, and delete a piece of it; tell whether nothing is left."""
    pk = record.row.pk
    left = record.entries[limit:]
    if not left:
        table.put(pk, None)
        return True
    nameless = attrs.evolve(record.row, id=None)
    table.put(pk, Record(row=nameless, parent_pk=None, journal=Journal.of(left)))
    return False


def prune(table: Table, operation: Prune) -> Pruned:
    """Remove families that have ended, and remember their ids."""
    families = _families_to_go(table, operation)
    sizes = (sum(len(record.entries) for record in family) for family in families)
    taken = how_many_fit(sizes, operation.limit)
    ids: list[str] = []
    unfinished: list[int] = []
    left = operation.limit
    for family in families[:taken]:
        for record in family:
            row = record.row
            assert row.id is not None
            ids.append(row.id)
            digest = record.entries[0].digest
            at = ended_at(row)
            table.remember(
                row.id, Remembered(row.id, row.name, row.status, digest, at, operation.at)
            )
            if not _remove(table, record, max(1, left)):
                unfinished.append(row.pk)
            left -= len(record.entries)
    over = tuple(root.row.pk for root, *_ in families[taken:])
    return Pruned(tuple(ids), tuple(unfinished), over)


def _families_to_go(table: Table, operation: Prune) -> list[list[Record]]:
    """Find those that may go, each with its family."""
    families: list[list[Record]] = []
    for pk in dict.fromkeys(operation.pks):
        root = table.get_visible(pk)
        if root is None or table.is_bound(root):
            continue
        family = table.bound_family(root)
        latest = family_ended_at(record.row for record in family)
        if latest is not None and latest < operation.ended_before:
            families.append(family)
    return families


def forget(table: Table, operation: Forget) -> Forgotten:
    """Remember no more what was pruned long ago."""
    found = table.pruned_before(operation.pruned_before)[: operation.limit]
    for one in found:
        table.remember(one.id, None)
    return Forgotten(len(found))
