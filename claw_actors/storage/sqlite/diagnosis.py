"""How a database is: looked at from outside, beside its owner or without one.

Nothing is changed and nothing is owned. The lock is only tried, shared and for an instant: an owner
that starts just then finds no note in it, and looks again.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Final

import attrs

from ..findings import Finding
from .connection import open_reading, refuse_old_sqlite
from .examination import Examination, as_far_as_possible, examine
from .faults import mapped
from .files import locate, refuse_missing
from .inspection import find_version, refuse_new
from .library import Version, find_bugs
from .lock import find_holder, owned_since
from .orphans import find_orphans
from .stuck import find_late, find_stuck, find_suspects
from .watermark import read_watermark

__all__ = ["LARGE_LOG_BYTES", "ExaminationReport", "diagnose"]

LARGE_LOG_BYTES: Final = 256 << 20
"""Four times what is left of it after a checkpoint."""

_META: Final = "SELECT clean, commits FROM claw_meta WHERE one = 1"
_WORKFLOWS: Final = "SELECT count(*) FROM claw_workflow WHERE id IS NOT NULL"
_NOTHING_READ: Final = Examination(0, (), frozenset())


@attrs.frozen(kw_only=True)
class ExaminationReport:
    """How a database is.

    Attributes:
        path: the file, symbolic links followed.
        schema_version: that of its tables.
        sqlite_version: of the library that has read it.
        bytes, wal_bytes: how large the file is, and the log beside it.
        owner: who has it open, as it named itself; ``None`` if nobody does.
        clean: whether the last owner closed it; ``False`` while somebody has it open.
        commits: how many it holds.
        lost_commits: how many more were acknowledged; they are gone.
        workflows: how many there are.
        rows: how many rows were read and compared with their checksums.
        damage: what is wrong with what is stored, one line each; about a hundred at
            most.
        findings: all that somebody should know, damage and lost commits included, each with what
            to do about it. First what is wrong, then notes.
    """

    path: str
    schema_version: int
    sqlite_version: str
    bytes: int
    wal_bytes: int
    owner: str | None
    clean: bool
    commits: int
    lost_commits: int
    workflows: int
    rows: int
    damage: tuple[str, ...]
    findings: tuple[Finding, ...] = ()


def diagnose(path: str, *, quick: bool = False) -> ExaminationReport:
    """Look at a database and at every row of it.

    Args:
        path: the database.
        quick: read no rows.

    Raises:
        StorageUnavailableError: there is no database.
        StorageVersionError: a newer version of claw_actors has made it.
        StorageCorruptError: it cannot be read at all.
    """
    with mapped(path):
        refuse_old_sqlite(path)
        place = locate(path)
        refuse_missing(place)
        owner = find_holder(place.lock)
        sizes = _size(place.path), _size(place.wal)
        # Before the commits are counted: an owner may make some more, and none less.
        acknowledged = read_watermark(place.mark)
        with closing(open_reading(place)) as connection:
            version = find_version(connection, place)
            refuse_new(version, place)
            meta = connection.execute(_META).fetchone()
            (workflows,) = connection.execute(_WORKFLOWS).fetchone()
            found = _NOTHING_READ if quick else examine(connection, path)
            further = () if quick else _look_further(connection, found, owner)
            findings = list(as_far_as_possible(further, _damage))
    clean, commits = meta or (False, 0)
    missing = () if meta else ("the row of claw_meta is missing",)
    report = ExaminationReport(
        path=place.path,
        schema_version=version or 0,
        sqlite_version=sqlite3.sqlite_version,
        bytes=sizes[0],
        wal_bytes=sizes[1],
        owner=owner,
        clean=bool(clean),
        commits=commits,
        lost_commits=max(0, acknowledged - commits),
        workflows=workflows,
        rows=found.rows,
        damage=(*found.damage, *missing),
    )
    findings = [*_judge(report), *findings, *_judge_library(sqlite3.sqlite_version_info)]
    return attrs.evolve(report, findings=tuple(sorted(findings, key=lambda one: not one.serious)))


def _look_further(
    connection: sqlite3.Connection, found: Examination, owner: str | None
) -> Iterator[Finding]:
    """Yield what can only be said of several rows together."""
    yield from find_orphans(connection)
    yield from find_stuck(connection, sorted(found.parents))
    since = None if owner is None else owned_since(owner)
    if since is not None:
        yield from find_late(connection, since, time.time())
    yield from find_suspects(connection)


def _judge(report: ExaminationReport) -> Iterator[Finding]:
    yield from map(_damage, report.damage)
    if report.lost_commits:
        yield Finding(
            kind="lost_commits",
            serious=True,
            what=f"{report.lost_commits:,} commits were acknowledged and are not there any more",
            advice="put the -wal back if it was moved or deleted, or restore a backup",
            count=report.lost_commits,
        )
    if report.wal_bytes > LARGE_LOG_BYTES:
        yield Finding(
            kind="large_log",
            serious=False,
            what=f"the log beside the database has {report.wal_bytes:,} bytes",
            advice="end the programs that have been reading it for long, such as a backup that"
            " hangs",
        )


def _damage(what: str) -> Finding:
    return Finding(
        kind="damage",
        serious=True,
        what=what,
        advice="stop the program, keep a copy of the database with its -wal, and restore a backup"
        " (claw restore --replace)",
    )


def _judge_library(version: Version) -> Iterator[Finding]:
    for bug in find_bugs(version):
        if bug.reach != "never":
            yield Finding(
                kind="sqlite_bug",
                serious=False,
                what=f"SQLite {'.'.join(map(str, version))} has a defect: {bug.what}",
                advice=f"{bug.advice}. See {bug.source}",
                example=bug.name,
            )


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
