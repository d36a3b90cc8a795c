"""How a database is: looked at from outside, beside its owner or without one.

Nothing is changed and nothing is owned. The lock is only tried, shared and for an instant: an owner
that starts just then finds no note in it, and looks again.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

import attrs

from .connection import open_reading, refuse_old_sqlite
from .examination import examine
from .faults import mapped
from .files import locate, refuse_missing
from .inspection import find_version, refuse_new
from .lock import find_holder
from .watermark import read_watermark

__all__ = ["ExaminationReport", "diagnose"]

_META = "SELECT clean, commits FROM claw_meta WHERE one = 1"
_WORKFLOWS = "SELECT count(*) FROM claw_workflow WHERE id IS NOT NULL"


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


def diagnose(path: str) -> ExaminationReport:
    """Look at a database and at every row of it.

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
            found = examine(connection, path)
            meta = connection.execute(_META).fetchone()
            (workflows,) = connection.execute(_WORKFLOWS).fetchone()
    clean, commits = meta or (False, 0)
    missing = () if meta else ("the row of claw_meta is missing",)
    return ExaminationReport(
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
        damage=(*found.findings, *missing),
    )


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return 0
