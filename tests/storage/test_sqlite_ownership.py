"""One file has one owner: the lock between processes, the owner's row in each transaction."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from claw_actors.errors import OutcomeUnknownError, StorageLockedError, StorageUnavailableError
from claw_actors.storage.operations import Advance, Create
from claw_actors.storage.sqlite import SQLiteStorage, lock
from claw_actors.testing.conformance.samples import a_row, a_start, an_outcome

OWNER = """
import sys
from claw_actors.storage.sqlite import SQLiteStorage
SQLiteStorage(sys.argv[1]).open()
print("open", flush=True)
sys.stdin.read()
"""


def create(storage: SQLiteStorage) -> None:
    storage.commit([Create(a_row(), (a_start(),))])


def test_a_second_owner_in_this_process_is_refused_by_name(storage, path):
    """The error names who holds the file, and the file is as before."""
    with pytest.raises(StorageLockedError) as caught:
        SQLiteStorage(path).open()
    assert f"pid {os.getpid()} on " in caught.value.holder
    create(storage)


def test_one_object_is_opened_once(storage):
    """Opening what is open would be a second owner."""
    with pytest.raises(StorageLockedError, match="this very object"):
        storage.open()
    create(storage)


def test_another_process_is_named_and_its_death_frees_the_file(path):
    """The lock ends with its process, however that ends; what it opened was not closed."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    try:
        assert owner.stdout.readline() == b"open\n"
        storage = SQLiteStorage(path)
        with pytest.raises(StorageLockedError) as caught:
            storage.open()
        assert caught.value.holder.startswith(f"pid {owner.pid} on ")
        assert " since " in caught.value.holder
    finally:
        owner.kill()
        owner.communicate()
    assert not storage.open().clean
    storage.close()


def test_a_holder_that_has_not_written_its_name_is_another_process(path):
    """Between the lock and the note there is a moment."""
    path.parent.mkdir()
    name = str(path) + ".lock"
    held = lock.OwnerLock(name, str(path))
    os.truncate(name, 0)
    with pytest.raises(StorageLockedError, match="owned by another process"):
        lock.OwnerLock(name, str(path))
    held.release()


def test_a_lock_that_cannot_be_written_is_given_back(path, monkeypatch):
    """A failure after locking leaves no lock."""

    def fail(role):
        raise OSError("no host name")

    with monkeypatch.context() as patch:
        patch.setattr(lock, "owner_name", fail)
        with pytest.raises(StorageUnavailableError, match="no host name"):
            SQLiteStorage(path).open()
    storage = SQLiteStorage(path)
    storage.open()
    storage.close()


def test_the_lock_file_is_never_unlinked(path):
    """A name that goes away would let two owners lock two files."""
    storage = SQLiteStorage(path)
    storage.open()
    inode = path.with_name("workflows.db.lock").stat().st_ino
    storage.close()
    storage.open()
    storage.abandon()
    assert path.with_name("workflows.db.lock").stat().st_ino == inode


def test_a_lost_owner_cannot_commit(storage, raw):
    """Whoever stands in the owner's row is named; nothing is applied, now or later."""
    create(storage)
    raw("UPDATE claw_meta SET owner = 'x', owner_name = 'pid 1 on elsewhere'")
    group = [Advance(1, "one", 0, (an_outcome(),))]
    with pytest.raises(StorageLockedError) as caught:
        storage.commit(group)
    assert caught.value.holder == "pid 1 on elsewhere"
    raw("UPDATE claw_meta SET owner = ?", storage._session.writer._owner)
    with pytest.raises(OutcomeUnknownError, match="must be opened again"):
        storage.commit(group)
    assert len(storage.load([1])[0].entries) == 1


@pytest.mark.parametrize(
    "theft", ["DELETE FROM claw_meta", "UPDATE claw_meta SET owner = 'x', owner_name = NULL"]
)
def test_a_nameless_new_owner_fences_as_well(storage, raw, theft):
    """The fence asks whether the row is ours, not whose it is."""
    raw(theft)
    with pytest.raises(StorageLockedError, match="another owner"):
        create(storage)


def test_a_lost_owner_does_not_say_that_the_end_was_clean(path, raw, caplog):
    """The row belongs to somebody else: closing leaves it alone."""
    storage = SQLiteStorage(path)
    storage.open()
    raw("UPDATE claw_meta SET owner = 'x', owner_name = 'pid 1 on elsewhere'")
    storage.close()
    assert "was not closed cleanly" in caplog.text
    assert raw("SELECT clean, owner FROM claw_meta") == [(0, "x")]


def test_a_busy_file_is_unavailable_and_nothing_is_applied(storage, path):
    """A visitor who writes for too long delays commits; the group may be tried again."""
    storage._session.writer.connection.execute("PRAGMA busy_timeout = 0")
    with closing(sqlite3.connect(path, isolation_level=None)) as visitor:
        visitor.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageUnavailableError, match="locked"):
            create(storage)
    create(storage)
    assert storage.get_workflow("one").row.pk == 1
