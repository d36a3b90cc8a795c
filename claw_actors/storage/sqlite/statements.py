"""All SQL of the hot path and of reads, by name. Values are parameters, always."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from .belongings import LETTER_COLUMNS, VALUE_COLUMNS
from .rows import ENTRY_COLUMNS, TASK_COLUMNS, WORKFLOW_COLUMNS

# -- transactions and ownership -------------------------------------------------------------------

BEGIN_WRITE: Final = "BEGIN IMMEDIATE"  # a deferred one fails at once when it comes to write
BEGIN_READ: Final = "BEGIN"
COMMIT: Final = "COMMIT"
ROLLBACK: Final = "ROLLBACK"
SAVEPOINT: Final = "SAVEPOINT claw_operation"
RELEASE: Final = "RELEASE claw_operation"
ROLLBACK_TO: Final = "ROLLBACK TO claw_operation"

COUNT_COMMIT: Final = """
UPDATE claw_meta SET commits = commits + 1 WHERE one = 1 AND owner = ? RETURNING commits"""

END_CLEANLY: Final = """
UPDATE claw_meta SET commits = commits + 1, clean = 1 WHERE one = 1 AND owner = ?
RETURNING commits"""

TAKE_OWNERSHIP: Final = """
UPDATE claw_meta
SET owner = ?, owner_name = ?, role = ?, epoch = epoch + 1, clean = 0, commits = commits + 1
WHERE one = 1
RETURNING epoch, commits"""

SELECT_OWNER: Final = "SELECT owner_name FROM claw_meta WHERE one = 1"
SELECT_META: Final = "SELECT clean, commits FROM claw_meta WHERE one = 1"

# -- workflows ------------------------------------------------------------------------------------

_WORKFLOW: Final = ", ".join(f"w.{column}" for column in WORKFLOW_COLUMNS) + ", p.id"
_WITH_PARENT: Final = "LEFT JOIN claw_workflow AS p ON p.pk = w.parent"

_SELECT_WORKFLOW: Final = f"SELECT {_WORKFLOW} FROM claw_workflow AS w {_WITH_PARENT}"
SELECT_WORKFLOW_BY_ID: Final = f"{_SELECT_WORKFLOW} WHERE w.id = ?"
SELECT_WORKFLOW_BY_PK: Final = f"{_SELECT_WORKFLOW} WHERE w.pk = ? AND w.id IS NOT NULL"
# Children whose on_close is steering.ABANDON are left alone.
SELECT_FAMILY: Final = """
SELECT pk FROM claw_workflow
WHERE parent = ? AND on_close <> 'abandon' AND id IS NOT NULL ORDER BY pk"""
SELECT_STUCK: Final = (
    f"{_SELECT_WORKFLOW} WHERE w.parent = ? AND +w.status = 'quarantined' AND +w.id IS NOT NULL"
    " AND w.parent_op IS NOT NULL AND w.on_close <> 'abandon' ORDER BY w.pk LIMIT 1"
)
SELECT_PK: Final = "SELECT pk FROM claw_workflow WHERE id = ?"
SELECT_REVISION: Final = "SELECT pk, revision FROM claw_workflow WHERE id = ?"
SELECT_LAST_PK: Final = "SELECT seq FROM sqlite_sequence WHERE name = 'claw_workflow'"

INSERT_WORKFLOW: Final = (
    f"INSERT INTO claw_workflow ({', '.join(WORKFLOW_COLUMNS)})"
    f" VALUES ({', '.join('?' * len(WORKFLOW_COLUMNS))})"
)

# What a claim changes, spelled out so that a wave is one statement.
CLAIMED_COLUMNS: Final = (
    "status", "revision", "life", "recoveries", "wake_at", "started_at", "reason", "crc",
)  # fmt: skip


@lru_cache(maxsize=256)
def update_workflow(columns: tuple[str, ...]) -> str:
    """Set these columns of one row; only the indexes over them are touched."""
    return f"UPDATE claw_workflow SET {', '.join(f'{c} = ?' for c in columns)} WHERE pk = ?"


UPDATE_CLAIMED: Final = update_workflow(CLAIMED_COLUMNS)

INSERT_TAG: Final = "INSERT INTO claw_tag (key, value, wf) VALUES (?, ?, ?)"
DELETE_TAG: Final = "DELETE FROM claw_tag WHERE key = ? AND value = ? AND wf = ?"

# -- the journal ----------------------------------------------------------------------------------

# "after" is a keyword elsewhere.
_ENTRY: Final = ", ".join(f'"{column}"' for column in ENTRY_COLUMNS)

INSERT_ENTRY: Final = (
    f"INSERT INTO claw_journal ({_ENTRY}) VALUES ({', '.join('?' * len(ENTRY_COLUMNS))})"
)

_SELECT_ENTRIES: Final = f"SELECT {_ENTRY} FROM claw_journal WHERE wf = ? AND run = ?"
SELECT_LAST_N: Final = "SELECT max(n) FROM claw_journal WHERE wf = ? AND run = ?"
SELECT_ENTRIES: Final = f"{_SELECT_ENTRIES} ORDER BY n"
SELECT_LATER: Final = f"{_SELECT_ENTRIES} AND n >= ? ORDER BY n LIMIT ?"
SELECT_START: Final = f"{_SELECT_ENTRIES} AND n = 0"
# The condition is that of the index claw_journal_end, word for word: only so it is used.
SELECT_ENDS: Final = f"{_SELECT_ENTRIES} AND (kind = 'end' OR status = 'void') ORDER BY n"
# The same for claw_journal_saved.
SELECT_SAVED: Final = f"{_SELECT_ENTRIES} AND op = ? AND life = 0 AND kind = 'task'"
SELECT_OUTCOMES: Final = f"{_SELECT_ENTRIES} AND (kind = 'task' OR status = 'void') ORDER BY n"
SELECT_OUTCOMES_OF: Final = (
    f"{_SELECT_ENTRIES} AND (kind = 'task' AND op = ? OR status = 'void') ORDER BY n"
)

# -- open work ------------------------------------------------------------------------------------

_TASK: Final = ", ".join(TASK_COLUMNS)

SAVE_TASK: Final = (
    f"INSERT INTO claw_task ({_TASK}) VALUES ({', '.join('?' * len(TASK_COLUMNS))})"
    " ON CONFLICT (wf, run, op) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in TASK_COLUMNS[3:])
)
DELETE_TASK: Final = "DELETE FROM claw_task WHERE wf = ? AND run = ? AND op = ?"

DELETE_TASKS: Final = "DELETE FROM claw_task WHERE wf = ? AND run = ?"

_SELECT_TASKS: Final = f"SELECT {_TASK} FROM claw_task WHERE wf = ? AND run = ?"
SELECT_TASKS: Final = f"{_SELECT_TASKS} ORDER BY op"
SELECT_TASKS_OF: Final = f"{_SELECT_TASKS} AND op = ?"

# -- messages -------------------------------------------------------------------------------------

SELECT_KEY: Final = "SELECT 1 FROM claw_key WHERE wf = ? AND key = ?"
INSERT_KEY: Final = "INSERT INTO claw_key (wf, key) VALUES (?, ?)"

_LETTER: Final = ", ".join(LETTER_COLUMNS)

INSERT_LETTER: Final = (
    f"INSERT INTO claw_dead_letter ({_LETTER}) VALUES ({', '.join('?' * len(LETTER_COLUMNS))})"
)
SELECT_LETTERS: Final = (
    f"SELECT seq, {_LETTER} FROM claw_dead_letter WHERE wf = ? AND seq > ? ORDER BY seq LIMIT ?"
)

# -- values ---------------------------------------------------------------------------------------

_VALUE: Final = ", ".join(VALUE_COLUMNS)

SAVE_VALUE: Final = (
    f"INSERT INTO claw_value ({_VALUE}) VALUES ({', '.join('?' * len(VALUE_COLUMNS))})"
    " ON CONFLICT (wf, key) DO UPDATE SET "
    + ", ".join(f"{column} = excluded.{column}" for column in VALUE_COLUMNS[2:])
)
_SELECT_VALUES: Final = f"SELECT {_VALUE} FROM claw_value WHERE wf = ?"
SELECT_VALUE: Final = f"{_SELECT_VALUES} AND key = ?"
SELECT_VALUES: Final = f"{_SELECT_VALUES} ORDER BY key"

# -- recovery and timers --------------------------------------------------------------------------

# By name where a value is used twice: numbered ones are deprecated from Python 3.12 on.
# `+column` keeps the planner from an index that looks better than it is. Two arms walk the
# index on (status, pk) and stop at the limit; the third walks only what is due.
SELECT_UNFINISHED: Final = f"""
WITH page (pk) AS (
  SELECT pk FROM claw_workflow WHERE status = 'pending' AND pk > :after AND +id IS NOT NULL
  UNION ALL
  SELECT pk FROM claw_workflow WHERE status = 'running' AND pk > :after AND +id IS NOT NULL
  UNION ALL
  SELECT +pk FROM claw_workflow
  WHERE wake_at <= :due_by AND +status = 'waiting' AND +pk > :after AND +id IS NOT NULL
  ORDER BY pk LIMIT :limit
)
SELECT {_WORKFLOW} FROM page CROSS JOIN claw_workflow AS w ON w.pk = page.pk {_WITH_PARENT}
ORDER BY w.pk"""

# A workflow whose entries are gone is found damaged when it is loaded.
SELECT_WAKE_TIMES: Final = """
SELECT wake_at, pk, id, coalesce(
  (SELECT j.at FROM claw_journal AS j WHERE j.wf = w.pk AND j.run = w.run ORDER BY j.n DESC LIMIT 1),
  created_at
)
FROM claw_workflow AS w
WHERE wake_at >= :wake_at AND (wake_at > :wake_at OR pk > :pk) AND +status = 'waiting' AND +id IS NOT NULL
ORDER BY wake_at, pk LIMIT :limit"""

# -- lists ----------------------------------------------------------------------------------------

PAGE: Final = f"""
WITH page (pk) AS (
{{page}}
)
SELECT {_WORKFLOW} FROM page CROSS JOIN claw_workflow AS w ON w.pk = page.pk {_WITH_PARENT}
ORDER BY w.pk DESC"""

# -- deletion -------------------------------------------------------------------------------------

SELECT_TOMBSTONES: Final = "SELECT pk FROM claw_workflow WHERE id IS NULL ORDER BY pk"
_SELECT_RAW: Final = f"SELECT {', '.join(WORKFLOW_COLUMNS)} FROM claw_workflow"
SELECT_RAW_BY_ID: Final = f"{_SELECT_RAW} WHERE id = ?"
SELECT_RAW_BY_PK: Final = f"{_SELECT_RAW} WHERE pk = ?"
ENTOMB: Final = update_workflow(("id", "wake_at", "parent", "crc"))
# Without an index, so only where the labels themselves cannot be read.
DELETE_TAGS: Final = "DELETE FROM claw_tag WHERE wf = ?"
FORGET_ONE: Final = "DELETE FROM claw_pruned WHERE id = ?"
DELETE_WORKFLOW: Final = "DELETE FROM claw_workflow WHERE pk = ?"


def _piecewise(table: str, key: str = "rowid") -> tuple[str, str]:
    """Delete a bounded piece of what a workflow has in a table; tell whether any is left."""
    piece = f"SELECT {key} FROM {table} WHERE wf = :wf LIMIT :limit"
    return (
        f"DELETE FROM {table} WHERE wf = :wf AND {key} IN ({piece})",
        f"SELECT 1 FROM {table} WHERE wf = :wf LIMIT 1",
    )


TRIM_PIECES: Final = tuple(
    f"DELETE FROM {table} WHERE rowid IN"
    f" (SELECT rowid FROM {table} WHERE wf = :wf AND run < :run LIMIT :limit)"
    for table in ("claw_journal", "claw_task")
)
"""Delete a bounded piece of what the earlier runs of a workflow have left."""

DELETE_PIECES: Final = (
    _piecewise("claw_journal"),
    _piecewise("claw_task"),
    _piecewise("claw_value"),
    _piecewise("claw_dead_letter"),
    _piecewise("claw_key", "key"),
)
