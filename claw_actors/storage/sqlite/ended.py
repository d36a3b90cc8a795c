"""Looking for what has ended, window by window: hints for who prunes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..._core.lifecycle import TERMINAL, Status
from ..._core.retention import Ended
from ..pruning import EndedPage, is_bound
from .many import OF_THESE, these

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

__all__ = ["list_ended"]

_ENDED: Final = frozenset(status.value for status in TERMINAL)
# Hints, straight from the table: whoever is pruned is read, and checked, by the write.
_SELECT_WINDOW: Final = """
SELECT w.pk, w.id, w.name, w.status, coalesce(w.completed_at, w.started_at, w.created_at),
  w.on_close, w.parent_op, p.run_key, w.run_key
FROM claw_workflow AS w LEFT JOIN claw_workflow AS p ON p.pk = w.parent AND p.id IS NOT NULL
WHERE w.pk < ? ORDER BY w.pk DESC LIMIT ?"""
_SELECT_KIN: Final = f"""
SELECT pk, parent, status, coalesce(completed_at, started_at, created_at),
  on_close, parent_op, run_key
FROM claw_workflow WHERE parent {OF_THESE} AND on_close <> 'abandon' AND +id IS NOT NULL"""


def list_ended(connection: sqlite3.Connection, before_pk: int, limit: int) -> EndedPage:
    """Read a window of the table; see :meth:`claw_actors.storage.backend.Backend.list_ended`."""
    found = connection.execute(_SELECT_WINDOW, (before_pk, limit)).fetchall()
    tops: list[tuple[int, str, str, str]] = []
    latest: dict[int, float | None] = {}
    level: dict[int, tuple[int, str]] = {}
    for pk, id, name, status, at, on_close, parent_op, parent_run_key, run_key in found:
        if id is None or status not in _ENDED:
            continue
        if not is_bound(on_close, parent_op, parent_run_key):
            tops.append((pk, id, name, status))
            latest[pk] = at
            level[pk] = (pk, run_key)
    while level:
        level = _look_below(connection, level, latest)
    items = [Ended(pk, id, name, Status(status), latest[pk]) for pk, id, name, status in tops]
    more = len(found) == limit
    return EndedPage(items=tuple(items), last_pk=found[-1][0] if more else 0)


def _look_below(
    connection: sqlite3.Connection,
    level: Mapping[int, tuple[int, str]],
    latest: dict[int, float | None],
) -> dict[int, tuple[int, str]]:
    """Find out when the children of these have ended.

    Args:
        connection: any.
        level: by key, the one at the top of the family, and the run key.
        latest: by the one at the top, when the last has ended; ``None`` if one has not. Is changed.

    Returns:
        The children that are bound, as ``level``.
    """
    below: dict[int, tuple[int, str]] = {}
    for pk, parent, status, at, on_close, parent_op, run_key in connection.execute(
        _SELECT_KIN, these(level)
    ).fetchall():
        top, parent_run_key = level[parent]
        if is_bound(on_close, parent_op, parent_run_key):
            before = latest[top]
            latest[top] = max(before, at) if status in _ENDED and before is not None else None
            below[pk] = (top, run_key)
    return below
