"""How a database is, seen from outside: it is told, and nothing is changed."""

from __future__ import annotations

import os
import sqlite3

import pytest

from claw_actors import examine
from claw_actors.errors import (
    InvalidInputError,
    StorageCorruptError,
    StorageUnavailableError,
    StorageVersionError,
)
from claw_actors.storage.operations import Create
from claw_actors.storage.sqlite import SQLiteStorage
from claw_actors.storage.sqlite.lock import OwnerLock, find_holder
from claw_actors.testing.conformance.samples import a_row, a_start, an_outcome


@pytest.fixture
def filled(storage) -> SQLiteStorage:
    """Store a workflow with two entries, and stay open."""
    storage.commit([Create(a_row(), (a_start(), an_outcome("a")))])
    return storage


async def test_a_database_in_use_is_examined_beside_its_owner(filled, path):
    """The owner is named, goes on, and finds nothing changed."""
    report = await examine(path)
    assert report.path == str(path)
    assert report.owner is not None
    assert report.owner.startswith(f"pid {os.getpid()} on ")
    assert (report.workflows, report.rows, report.damage) == (1, 3, ())
    assert (report.clean, report.lost_commits) == (False, 0)
    assert report.wal_bytes > 0
    assert report.sqlite_version == sqlite3.sqlite_version
    filled.commit([Create(a_row("two"), (a_start(),))])
    assert (await examine(path)).commits == report.commits + 1


async def test_a_database_that_was_closed_has_no_owner(filled, path):
    """Then it is clean, and has no log; no file of it is touched."""
    filled.close()
    before = {one.name: one.stat().st_mtime_ns for one in path.parent.iterdir()}
    report = await examine(path)
    assert (report.owner, report.clean, report.wal_bytes) == (None, True, 0)
    assert report.bytes == path.stat().st_size
    after = {one.name: one.stat().st_mtime_ns for one in path.parent.iterdir()}
    assert {name: after.get(name) for name in before} == before


async def test_a_database_that_was_cut_off_is_not_clean(filled, path):
    """And has nobody that owns it."""
    filled.abandon()
    report = await examine(path)
    assert (report.owner, report.clean) == (None, False)


async def test_a_copy_without_its_lock_has_no_owner(filled, path):
    """A file that was moved alone is examined, too."""
    filled.close()
    path.with_name(path.name + ".lock").unlink()
    assert (await examine(path)).owner is None


async def test_damage_is_told_and_no_exception(filled, path, raw):
    """A changed row, a missing entry, and the missing row of the whole are found in one go."""
    filled.close()
    raw("UPDATE claw_workflow SET reason = 'changed'")
    raw("DELETE FROM claw_journal WHERE n = 0")
    raw("DELETE FROM claw_meta")
    report = await examine(path)
    row, gap, meta = report.damage
    assert "claw_workflow" in row
    assert "1 of the 2 entries of run 1 are missing" in gap
    assert meta == "the row of claw_meta is missing"


async def test_lost_commits_are_counted(filled, path, raw):
    """Those that were acknowledged and are not there."""
    filled.close()
    raw("UPDATE claw_meta SET commits = commits - 2")
    assert (await examine(path)).lost_commits == 2


async def test_what_cannot_be_examined_is_refused(storage, path, raw):
    """As it is everywhere else."""
    storage.close()
    with pytest.raises(StorageUnavailableError):
        await examine(path.with_name("missing.db"))
    with pytest.raises(InvalidInputError):
        await examine("")
    raw("PRAGMA user_version = 99")
    with pytest.raises(StorageVersionError):
        await examine(path)
    path.write_bytes(b"no database" * 1_000)
    with pytest.raises(StorageCorruptError):
        await examine(path)


def test_a_lock_that_cannot_be_looked_at_is_an_error(tmp_path):
    """A symbolic link in its place is not followed."""
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        find_holder(str(tmp_path / "lock"))


def test_a_holder_that_has_said_nothing_is_somebody(tmp_path):
    """And looking for it leaves the lock to who holds it."""
    path = tmp_path / "lock"
    lock = OwnerLock(str(path), "a.db")
    os.truncate(path, 0)
    assert find_holder(str(path)) == "another process"
    lock.release()
    assert find_holder(str(path)) is None
