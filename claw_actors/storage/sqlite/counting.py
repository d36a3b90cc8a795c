"""How many workflows there are in each status, by index: not a row of them is read for that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..._core.lifecycle import Status
from ..model import WorkflowCounts

if TYPE_CHECKING:
    import sqlite3

__all__ = ["COUNT", "COUNT_HALF_DELETED", "FIRST", "NEXT_DUE", "count_workflows"]

COUNT: Final = "SELECT status, count(*) FROM claw_workflow GROUP BY status"

# Few, and they have an index. Leaving them out row by row would make the other one useless.
COUNT_HALF_DELETED: Final = (
    "SELECT status, count(*) FROM claw_workflow WHERE id IS NULL GROUP BY status"
)

# `+column` keeps the planner from an index that looks better than it is.
FIRST: Final = """
SELECT created_at FROM claw_workflow
WHERE status = ? AND +id IS NOT NULL ORDER BY pk LIMIT 1"""

NEXT_DUE: Final = """
SELECT wake_at FROM claw_workflow
WHERE wake_at IS NOT NULL AND +status IN ('pending', 'waiting') AND +id IS NOT NULL
ORDER BY wake_at LIMIT 1"""


def count_workflows(connection: sqlite3.Connection) -> WorkflowCounts:
    """Count them, and look for the first of each kind."""
    found = dict(connection.execute(COUNT).fetchall())
    half = dict(connection.execute(COUNT_HALF_DELETED).fetchall())
    oldest: dict[Status, float] = {}
    for status in Status:
        if not status.is_terminal:
            for (created_at,) in connection.execute(FIRST, (status.value,)).fetchall():
                oldest[status] = created_at
    due = connection.execute(NEXT_DUE).fetchall()
    return WorkflowCounts(
        by_status={one: found.get(one.value, 0) - half.get(one.value, 0) for one in Status},
        oldest=oldest,
        next_due=due[0][0] if due else None,
    )
