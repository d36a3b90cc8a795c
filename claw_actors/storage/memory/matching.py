"""Which rows a filter lets through."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..model import WorkflowFilter
    from ..records import WorkflowRow

__all__ = ["matches"]


def _in_window(value: float | None, start: float | None, stop: float | None) -> bool:
    """Tell whether a time lies in [start, stop); an unset time lies only in the unset window."""
    if start is None and stop is None:
        return True
    if value is None:
        return False
    return (start is None or start <= value) and (stop is None or value < stop)


def matches(row: WorkflowRow, query: WorkflowFilter) -> bool:
    """Tell whether every condition of ``query`` holds; paging is not a condition."""
    assert row.id is not None, "half deleted workflows are left out before"
    return (
        (query.status is None or row.status in query.status)
        and (query.name is None or row.name in query.name)
        and (query.id_prefix is None or row.id.startswith(query.id_prefix))
        and (query.version is None or row.version == query.version)
        and (query.parent is None or row.parent == query.parent)
        and query.metadata.items() <= row.metadata.items()
        and _in_window(row.created_at, query.created_after, query.created_before)
        and _in_window(row.completed_at, query.completed_after, query.completed_before)
    )
