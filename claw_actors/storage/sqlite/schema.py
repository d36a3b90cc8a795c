"""The tables, and the one owner's row; every change of them is a migration, append-only.

One INSERT per finished task; an append-only journal that is not clustered by workflow (that
was 5 times slower and 9 times larger at 1 KB values); a small hot row. There are no foreign
keys: they would cost a look-up per journal entry, and the one writer checks what they would.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sqlite_utils import Database

__all__ = ["APPLICATION_ID", "SCHEMA_VERSION", "migrate"]

APPLICATION_ID: Final = int.from_bytes(b"Claw")
SCHEMA_VERSION: Final = 2

_TABLES: Final = (
    """
CREATE TABLE claw_meta (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  schema INTEGER NOT NULL,      -- the portable version of these tables
  min_reader INTEGER NOT NULL,  -- the oldest version that may read them
  owner TEXT,                   -- random, one per opening: the fence of every transaction
  owner_name TEXT,              -- who that is, for people
  role TEXT,                    -- 'owner', or 'visitor' for an operator's short visit
  epoch INTEGER NOT NULL,       -- counts takeovers
  clean INTEGER NOT NULL,       -- 1: the last owner closed it
  commits INTEGER NOT NULL      -- compared with the high-water mark beside the file
) STRICT""",
    """
CREATE TABLE claw_workflow (
  pk INTEGER PRIMARY KEY AUTOINCREMENT,  -- order of creation, never reused
  id TEXT UNIQUE,                        -- NULL: it is being deleted
  name TEXT NOT NULL,
  version INTEGER NOT NULL,
  status TEXT NOT NULL,
  revision INTEGER NOT NULL,
  run INTEGER NOT NULL,
  run_key TEXT NOT NULL,
  seed INTEGER NOT NULL,
  life INTEGER NOT NULL,
  recoveries INTEGER NOT NULL,
  restarts TEXT NOT NULL,                -- JSON: crash times in the window
  wake_at REAL,
  created_at REAL NOT NULL,
  started_at REAL,
  completed_at REAL,
  parent INTEGER,                        -- a pk; one that is gone reads as none
  parent_op TEXT,
  on_close TEXT NOT NULL,
  description TEXT,
  metadata TEXT NOT NULL,                -- JSON; claw_tag has the same, to search by
  reason TEXT,
  crc INTEGER NOT NULL
) STRICT""",
    "CREATE INDEX claw_workflow_status ON claw_workflow (status, pk)",
    "CREATE INDEX claw_workflow_created ON claw_workflow (created_at)",
    # The planner skips this one if its predicate also names the status.
    "CREATE INDEX claw_workflow_wake ON claw_workflow (wake_at) WHERE wake_at IS NOT NULL",
    "CREATE INDEX claw_workflow_parent ON claw_workflow (parent) WHERE parent IS NOT NULL",
    """
CREATE TABLE claw_journal (
  pos INTEGER PRIMARY KEY,  -- the order of commits; a rowid table appends
  wf INTEGER NOT NULL,
  run INTEGER NOT NULL,
  n INTEGER NOT NULL,
  op TEXT NOT NULL,
  name TEXT NOT NULL,
  kind TEXT NOT NULL,
  status TEXT NOT NULL,
  after INTEGER,
  life INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  started_at REAL,
  at REAL NOT NULL,
  digest BLOB,
  ref INTEGER,
  codec INTEGER NOT NULL,   -- how value is encoded; 0: JSON
  value BLOB,
  crc INTEGER NOT NULL
) STRICT""",
    "CREATE UNIQUE INDEX claw_journal_run ON claw_journal (wf, run, n)",
    # Finds the result of a long journal without reading it. A finished task is not in it.
    """
CREATE INDEX claw_journal_end ON claw_journal (wf, run, n)
WHERE kind = 'end' OR status = 'void'""",
    # Finds the outcome of a task that was saved from outside, where the same may come again. No
    # incarnation's entry is in it, so that a finished task stays one row in one index.
    """
CREATE INDEX claw_journal_saved ON claw_journal (wf, run, op)
WHERE life = 0 AND kind = 'task'""",
    """
CREATE TABLE claw_task (
  wf INTEGER NOT NULL,
  run INTEGER NOT NULL,
  op TEXT NOT NULL,
  name TEXT NOT NULL,
  status TEXT NOT NULL,
  attempt INTEGER NOT NULL,
  due_at REAL,
  started_at REAL,
  depends_on TEXT NOT NULL,  -- JSON
  error BLOB,
  details TEXT,
  crc INTEGER NOT NULL,
  PRIMARY KEY (wf, run, op)
) STRICT""",
    """
CREATE TABLE claw_key (
  wf INTEGER NOT NULL,
  key TEXT NOT NULL,
  PRIMARY KEY (wf, key)
) STRICT, WITHOUT ROWID""",
    """
CREATE TABLE claw_dead_letter (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  wf INTEGER NOT NULL,
  topic TEXT NOT NULL,
  at REAL NOT NULL,
  reason TEXT NOT NULL,
  codec INTEGER NOT NULL,
  value BLOB,
  crc INTEGER NOT NULL
) STRICT""",
    "CREATE INDEX claw_dead_letter_wf ON claw_dead_letter (wf)",
    """
CREATE TABLE claw_value (
  wf INTEGER NOT NULL,
  key TEXT NOT NULL,
  at REAL NOT NULL,
  codec INTEGER NOT NULL,
  value BLOB,
  crc INTEGER NOT NULL,
  PRIMARY KEY (wf, key)
) STRICT""",
    """
CREATE TABLE claw_tag (
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  wf INTEGER NOT NULL,
  PRIMARY KEY (key, value, wf)
) STRICT, WITHOUT ROWID""",
)

_INSERT_META: Final = """
INSERT INTO claw_meta (one, schema, min_reader, epoch, clean, commits)
VALUES (1, ?, ?, 0, 1, 0)"""


def _create_tables(database: Database) -> None:
    for statement in _TABLES:
        database.conn.execute(statement)
    database.conn.execute(_INSERT_META, (1, 1))


_PRUNED: Final = (
    """
CREATE TABLE claw_pruned (
  id TEXT PRIMARY KEY,      -- of a workflow whose history was pruned
  name TEXT NOT NULL,
  status TEXT NOT NULL,
  digest BLOB,              -- of its arguments
  ended_at REAL NOT NULL,
  pruned_at REAL NOT NULL,
  crc INTEGER NOT NULL
) STRICT, WITHOUT ROWID""",
    "CREATE INDEX claw_pruned_at ON claw_pruned (pruned_at)",
    # An older program would use the ids of pruned workflows again.
    "UPDATE claw_meta SET schema = 2, min_reader = 2 WHERE one = 1",
)


def _remember_pruned(database: Database) -> None:
    for statement in _PRUNED:
        database.conn.execute(statement)


_MIGRATIONS: Final = (("0001_tables", _create_tables), ("0002_pruned", _remember_pruned))
"""In the order in which they are applied; what is in use is never changed."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables up to date, inside the caller's transaction: all of it or nothing."""
    # Here, since only an owner needs it: it takes longer to import than to read a database, which
    # is all that most commands of an operator do.
    from sqlite_utils import Database
    from sqlite_utils.migrations import Migrations

    assert connection.in_transaction, "without one, each migration would commit by itself"
    migrations = Migrations("claw_actors")
    for name, change in _MIGRATIONS:
        migrations(name=name)(change)
    # Installed plugins are not ours to run; neither is a pragma that the tables do not need.
    database = Database(connection, execute_plugins=False, recursive_triggers=False)
    migrations.apply(database)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
