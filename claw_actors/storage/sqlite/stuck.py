"""Workflows that cannot go on by themselves, and others that somebody should look at.

What somebody can honestly say who only reads the file:

- *Stuck* is a workflow that waits for a child which will never tell it of its end: the child is
  not there, or it has ended, and in the parent's journal nothing says so. Ends are told in the
  commit that ends the child, so this takes damage, or somebody who deletes rows.
- *Late* is one that should have begun, or gone on, at least ``LATE_S`` ago, though a program owned
  the database all the time. That may be as it was wished (``max_active``), so it is a note.
- *Suspect* is one that was recovered at least twice without making progress, alone the last
  time, as it may be what ended the process. That is a note, too: it may do better now.

Nothing else is called stuck. One that is pending or running in a database that nobody owns waits
for an owner. One that is paused was paused. One may wait for a message for ever. And whether a
running one makes progress only its own program can tell.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from typing import Final

from ..._core.identity import run_key_of
from ..._core.lifecycle import TERMINAL, UNFINISHED
from ..._core.triage import SUSPECT_AFTER
from ..findings import Finding

__all__ = ["LATE_S", "find_late", "find_stuck", "find_suspects"]

LATE_S: Final = 300.0
"""How late a workflow may be, and how long its owner must have had the database."""

SUSPICIOUS_RECOVERIES: Final = SUSPECT_AFTER + 1
"""Recoveries without progress, the last one alone; a bystander of a poisonous workflow has fewer."""

MOST_STUCK: Final = 100

_PARENT: Final = (
    "SELECT id, status, run, run_key FROM claw_workflow WHERE pk = ? AND id IS NOT NULL"
)
# Children that a fork was born with are its origin's: it has not started them (life 0).
_HEARD: Final = """
SELECT kind, name, value FROM claw_journal
WHERE wf = ? AND run = ? AND (kind = 'child_end' OR kind = 'child' AND status = 'ok' AND life > 0)
ORDER BY n"""
_CHILD: Final = "SELECT status, parent, parent_op FROM claw_workflow WHERE id = ?"

# A pending one without a time is due since its journal says so: since it was created, resumed,
# retried, or has begun its next run.
_LATE: Final = """
SELECT id, due FROM (
  SELECT id, pk, wake_at AS due FROM claw_workflow
  WHERE wake_at <= :before AND +status IN ('waiting', 'pending') AND +id IS NOT NULL
  UNION ALL
  SELECT id, pk, coalesce(
    (SELECT j.at FROM claw_journal AS j WHERE j.wf = w.pk AND j.run = w.run ORDER BY j.n DESC LIMIT 1),
    created_at
  ) AS due FROM claw_workflow AS w
  WHERE status = 'pending' AND wake_at IS NULL AND +id IS NOT NULL
)
WHERE due <= :before ORDER BY due, pk"""

_SUSPECTS: Final = """
SELECT id, recoveries FROM claw_workflow
WHERE status IN ('pending', 'running', 'waiting') AND recoveries >= ? AND +id IS NOT NULL
ORDER BY recoveries DESC, pk"""


def find_stuck(connection: sqlite3.Connection, parents: Iterable[int]) -> Iterator[Finding]:
    """Yield those that wait for a child in vain; a hundred at most.

    Args:
        connection: one that is not in a transaction. Each of ``parents`` is looked at in one
            moment of the database.
        parents: keys of the workflows that have started children.

    Raises:
        sqlite3.Error: it cannot be read.
    """
    left = MOST_STUCK
    for pk in parents:
        connection.execute("BEGIN")
        try:
            found = list(_waits_in_vain(connection, pk))
        finally:
            connection.execute("ROLLBACK")
        yield from found[:left]
        left -= len(found[:left])
        if not left:
            return


def _waits_in_vain(connection: sqlite3.Connection, pk: int) -> Iterator[Finding]:
    found = connection.execute(_PARENT, (pk,)).fetchone()
    if found is None or found[1] not in UNFINISHED:
        return
    id, _, run, run_key = found
    awaited: dict[str, None] = {}
    ended: set[str] = set()
    for kind, name, value in connection.execute(_HEARD, (pk, run)).fetchall():
        if kind == "child_end":
            ended.add(name)
        elif (child := _waits_for(value)) is not None:
            awaited[child] = None
    for child in awaited:
        if child not in ended and (what := _silence(connection, pk, run_key, child)) is not None:
            yield Finding(
                kind="stuck",
                serious=True,
                what=f"workflow {id!r} waits for its child {child!r}, {what}",
                advice=f"it can never end. Restore a backup; or give it up, `claw terminate {id}`",
                example=id,
            )


def _waits_for(value: bytes | None) -> str | None:
    """Return the child that an entry has started, if its parent cannot end before it."""
    try:
        child, on_close = json.loads(value or b"")
    except (ValueError, TypeError):  # its checksum has told already
        return None
    return child if on_close == "wait" else None


def _silence(connection: sqlite3.Connection, pk: int, run_key: str, child: str) -> str | None:
    """Say why a parent will never hear of a child; ``None`` if it still may."""
    found = connection.execute(_CHILD, (child,)).fetchone()
    if found is None:
        return "which is not there, and of whose end it was not told"
    status, parent, parent_op = found
    is_ours = parent == pk and parent_op is not None and run_key_of(parent_op) == run_key
    if is_ours and status in TERMINAL:
        return f"which is {status}, and of whose end it was not told"
    return None


def find_late(connection: sqlite3.Connection, owned_since: float, now: float) -> Iterator[Finding]:
    """Yield what is late, as one note.

    Args:
        connection: where.
        owned_since: since when the same program has owned the database, in POSIX seconds.
        now: POSIX seconds.
    """
    if now - owned_since < LATE_S:
        return
    found = connection.execute(_LATE, {"before": now - LATE_S}).fetchall()
    if found:
        id, due = found[0]
        yield Finding(
            kind="late",
            serious=False,
            what=f"late by {LATE_S / 60:.0f} minutes or more: {len(found):,}, such as {id!r}, due"
            f" {(now - due) / 60:,.0f} minutes ago",
            advice="the program that owns the database has no room for them (max_active), does not"
            " know their workflow or its version, has no space on its disk, or hangs: its log"
            " tells; `claw list --status waiting` and `--status pending` show them",
            count=len(found),
            example=id,
        )


def find_suspects(connection: sqlite3.Connection) -> Iterator[Finding]:
    """Yield what may be what ends its process, as one note."""
    found = connection.execute(_SUSPECTS, (SUSPICIOUS_RECOVERIES,)).fetchall()
    if found:
        id, recoveries = found[0]
        yield Finding(
            kind="suspect",
            serious=False,
            what=f"recovered twice or more without progress: {len(found):,}, such as {id!r},"
            f" {recoveries} times; it may be what ends the process",
            advice="each comes back alone now, and is quarantined after max_recoveries. Look at"
            f" what it does: `claw show {id}`, `claw tasks {id}`",
            count=len(found),
            example=id,
        )
