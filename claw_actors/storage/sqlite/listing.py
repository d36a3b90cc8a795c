"""A filter as SQL: which index a list walks, and in which order.

Newest first is the order of keys, downwards. The planner does not know how rare a label is, so
what drives the walk is chosen here, the most selective condition first:

1. a label: ``claw_tag`` is ordered by (key, value, wf);
2. a parent, an id prefix, a creation window: their index;
3. statuses: one walk down (status, pk) per status, merged, so that a page costs a page;
4. otherwise all workflows, newest first.

``+column`` keeps the planner from the other indexes, and from walking all keys only because
they are in order.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import attrs

from ..model import WorkflowFilter
from ..validation import is_valid_id
from . import statements

__all__ = ["count", "page"]

Parameters: TypeAlias = tuple[Any, ...]
Statement: TypeAlias = tuple[str, Parameters]

_ALL: Final = "claw_workflow AS w"
_LABELLED: Final = "claw_tag AS t CROSS JOIN claw_workflow AS w ON w.pk = t.wf"


@attrs.frozen
class _Conditions:
    """Conditions that must all hold, with their parameters."""

    parts: tuple[Statement, ...] = ()

    def and_(self, sql: str, *parameters: object) -> _Conditions:
        return _Conditions((*self.parts, (sql, parameters)))

    def where(self) -> Statement:
        sql = " AND ".join(part for part, _ in self.parts)
        return sql, tuple(value for _, values in self.parts for value in values)


def page(query: WorkflowFilter) -> Statement:
    """Make the statement that reads one page, and one row more than the page."""
    source, key, conditions = _driven(query)
    # Half deleted ones have no id.
    conditions = conditions.and_("+w.id IS NOT NULL")
    if query.after is not None:
        conditions = conditions.and_(f"{key} < ?", query.after)
    walks = [conditions]
    if _walks_statuses(query):
        assert query.status is not None
        walks = [conditions.and_("w.status = ?", status.value) for status in sorted(query.status)]
    elif query.status is not None:
        walks = [_in(conditions, "+w.status", query.status)]
    wheres = [walk.where() for walk in walks]
    arms = [f"SELECT {key} AS pk FROM {source} WHERE {sql}" for sql, _ in wheres]
    parameters = tuple(value for _, values in wheres for value in values)
    sql = "\nUNION ALL\n".join(arms) + "\nORDER BY pk DESC LIMIT ? OFFSET ?"
    return statements.PAGE.format(page=sql), (*parameters, query.limit + 1, query.offset)


def count(query: WorkflowFilter) -> Statement:
    """Make the statement that counts all that match, wherever the page is."""
    source, _, conditions = _driven(query)
    if query.status is not None:
        conditions = _in(conditions, "w.status", query.status)
    sql, parameters = conditions.and_("true").where()
    # Half deleted ones are few and have an index. Leaving them out row by row would make an
    # index that covers the count useless.
    some = f"SELECT count(*) FROM {source} WHERE {sql}"
    return f"SELECT ({some}) - ({some} AND w.id IS NULL)", (*parameters, *parameters)


def _walks_statuses(query: WorkflowFilter) -> bool:
    return bool(query.status) and not (
        query.metadata
        or query.parent is not None
        or query.id_prefix
        or query.created_after is not None
    )


def _driven(query: WorkflowFilter) -> tuple[str, str, _Conditions]:
    """Choose the tables, the key to order by, and make all conditions but the statuses."""
    conditions = _Conditions()
    source, key = _ALL, "w.pk"
    if query.id_prefix or query.created_after is not None:
        key = "+w.pk"
    labels = sorted(query.metadata.items())
    if labels:
        source, key = _LABELLED, "t.wf"
        conditions = conditions.and_("t.key = ? AND t.value = ?", *labels[0])
    for label in labels[1:]:
        conditions = conditions.and_(
            "EXISTS (SELECT 1 FROM claw_tag WHERE key = ? AND value = ? AND wf = w.pk)", *label
        )
    if query.parent is not None:
        conditions = conditions.and_(
            "w.parent = (SELECT pk FROM claw_workflow WHERE id = ?)", query.parent
        )
    if query.id_prefix:
        conditions = _starts_with(conditions, query.id_prefix)
    return source, key, _windows(_code(conditions, query), query)


def _code(conditions: _Conditions, query: WorkflowFilter) -> _Conditions:
    if query.name is not None:
        conditions = _in(conditions, "w.name", query.name)
    if query.version is not None:
        conditions = conditions.and_("w.version = ?", query.version)
    return conditions


def _windows(conditions: _Conditions, query: WorkflowFilter) -> _Conditions:
    # Without a beginning the window is most of the table, which the keys walk as well.
    created = "w.created_at" if query.created_after is not None else "+w.created_at"
    for sql, value in (
        (f"{created} >= ?", query.created_after),
        (f"{created} < ?", query.created_before),
        ("w.completed_at >= ?", query.completed_after),
        ("w.completed_at < ?", query.completed_before),
    ):
        if value is not None:
            conditions = conditions.and_(sql, value)
    return conditions


def _starts_with(conditions: _Conditions, prefix: str) -> _Conditions:
    """Compare by range: ``_`` is legal in ids and a wildcard of LIKE."""
    if not is_valid_id(prefix):
        return conditions.and_("false")
    # Ids are ASCII, so the next character exists.
    return conditions.and_("w.id >= ? AND w.id < ?", prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1))


def _in(conditions: _Conditions, column: str, values: frozenset[Any]) -> _Conditions:
    marks = ", ".join("?" * len(values))
    return conditions.and_(f"{column} IN ({marks})", *sorted(str(value) for value in values))
