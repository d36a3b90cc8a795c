"""The body: what a dead process left, read from a copy, so that nothing is mended by looking.

Read twice: by plain SQLite, and through the backend, which checks every row's checksum.
"""

from __future__ import annotations

import shutil
import sqlite3
import struct
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

import attrs

from claw_actors import SQLiteStorage
from claw_actors.errors import ClawError

NOT_COPIED = (".lock", ".sock", "-shm")


@attrs.frozen
class Row:
    """A workflow's row."""

    pk: int
    status: str
    life: int
    revision: int
    run: int
    recoveries: int


@attrs.frozen
class Record:
    """A journal entry."""

    workflow: str
    run: int
    n: int
    op: str
    kind: str
    status: str
    life: int
    attempt: int
    crc: int
    value: bytes | None = None


@attrs.frozen(kw_only=True)
class Body:
    """All that is in a database.

    Attributes:
        workflows: by id.
        records: by global position.
        attempts: of tasks that are to be retried, how many attempts have ended.
        damage: what SQLite's own check and the checksums object to.
        commits, epoch: what the database says; ``mark`` is the high-water mark beside it.
    """

    workflows: dict[str, Row] = attrs.field(factory=dict)
    records: dict[int, Record] = attrs.field(factory=dict)
    attempts: dict[tuple[str, str], int] = attrs.field(factory=dict)
    damage: tuple[str, ...] = ()
    commits: int = 0
    epoch: int = 0
    mark: int = 0


def examine(database: Path, table: Path, trusted: Collection[int] = ()) -> Body:
    """Copy a dead database to ``table``, an empty place of one's own, and read the copy.

    Args:
        database: nobody must have it open.
        table: a directory for copies.
        trusted: keys of workflows whose rows need not be checked again.
    """
    copy = lay_out(database, table)
    mark_file = copy.with_name(copy.name + ".mark")
    raw_mark = mark_file.read_bytes() if mark_file.exists() else b""
    mark = struct.unpack(">Q", raw_mark)[0] if len(raw_mark) == 8 else 0
    if not copy.exists():
        return Body(mark=mark)
    with closing(sqlite3.connect(copy, isolation_level=None)) as raw:
        body = _read(raw, mark)
    damage = [*body.damage, *_check(copy, [row.pk for row in body.workflows.values()], trusted)]
    return attrs.evolve(body, damage=tuple(damage))


def lay_out(database: Path, table: Path) -> Path:
    """Copy a dead database and what lies beside it to ``table``; return the copy."""
    shutil.rmtree(table, ignore_errors=True)
    table.mkdir(0o700)
    for file in database.parent.glob(database.name + "*"):
        if not file.name.endswith(NOT_COPIED):
            shutil.copy(file, table / file.name)
    return table / database.name


def _read(raw: sqlite3.Connection, mark: int) -> Body:
    damage = [text for (text,) in raw.execute("PRAGMA integrity_check") if text != "ok"]
    if not raw.execute("SELECT 1 FROM sqlite_master WHERE name = 'claw_meta'").fetchall():
        return Body(damage=tuple(damage), mark=mark)
    workflows = {}
    names = {}
    for id, *columns in raw.execute(
        "SELECT id, pk, status, life, revision, run, recoveries FROM claw_workflow"
    ):
        workflows[id] = Row(*columns)
        names[columns[0]] = id
    entries = raw.execute(
        "SELECT pos, wf, run, n, op, kind, status, life, attempt, crc, value FROM claw_journal"
    )
    records = {pos: Record(names[wf], *columns) for pos, wf, *columns in entries}
    open_tasks = raw.execute("SELECT wf, op, attempt FROM claw_task")
    ((commits, epoch),) = raw.execute("SELECT commits, epoch FROM claw_meta")
    return Body(
        workflows=workflows,
        records=records,
        attempts={(names[wf], op): attempt for wf, op, attempt in open_tasks},
        damage=tuple(damage),
        commits=commits,
        epoch=epoch,
        mark=mark,
    )


def _check(copy: Path, pks: list[int], trusted: Collection[int]) -> list[str]:
    """Load everything through the backend, which objects to rows that fail their checksum."""
    storage = SQLiteStorage(copy)
    try:
        storage.open()
    except ClawError as error:
        return [f"it cannot be opened: {error}"]
    try:
        loaded = storage.load([pk for pk in pks if pk not in trusted])
        return [str(one) for one in loaded if isinstance(one, ClawError)]
    finally:
        storage.abandon()
