"""Reads beside an owner, after its death, and without one: nothing is changed, nothing is held."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest

from claw_actors import WorkflowFilter, errors
from claw_actors.storage.codec import Codec
from claw_actors.storage.opening import look_on
from claw_actors.storage.operations import Advance, Create
from claw_actors.storage.reading import StorageReads
from claw_actors.storage.records import DeadLetter
from claw_actors.storage.sqlite import SQLiteStorage
from claw_actors.storage.sqlite.faults import mapped
from claw_actors.storage.sqlite.onlooker import Onlooker
from claw_actors.testing.conformance.samples import a_row, a_start, an_outcome


def fill(storage: SQLiteStorage) -> None:
    """Write a bit of everything that can be read."""
    letter = DeadLetter("topic", 1.0, "no bool", b"1")
    storage.commit(
        [
            Create(a_row(), (a_start(),)),
            Advance(1, "one", 0, (an_outcome("t"),), values=(("k", b"7"),), dead_letters=(letter,)),
        ]
    )


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def look_at_all(onlooker: Onlooker) -> None:
    """Make each of the reads."""
    onlooker.check()
    assert onlooker.get_workflow("one").row.id == "one"
    assert [each.row.id for each in onlooker.list_workflows(WorkflowFilter()).items] == ["one"]
    assert [entry.op for entry in onlooker.read_tasks("one")[0]] == ["t"]
    assert onlooker.get_value("one", "k") == b"7"
    assert [entry.n for entry in onlooker.read_journal("one", (0, 0), 9).entries] == [0, 1]
    assert [value.key for value in onlooker.list_values("one")] == ["k"]
    assert [letter.reason for letter in onlooker.list_dead_letters("one", 0, 5)] == ["no bool"]


@pytest.mark.parametrize("end", ["none", "close", "abandon"])
def test_everything_can_be_read_whatever_the_owner_does(storage, path, end):
    """While it lives, when it has closed the file, and when it has died."""
    fill(storage)
    if end != "none":
        getattr(storage, end)()
    onlooker = Onlooker(path)
    # Beside an owner in this very process SQLite keeps one descriptor, for the sake of its locks.
    look_at_all(onlooker)
    before = descriptors()
    look_at_all(onlooker)
    assert descriptors() == before


def test_a_connection_that_is_kept_sees_the_same_and_is_let_go(storage, path):
    """Between two reads it holds nothing but its descriptor: what is committed since is read."""
    onlooker = Onlooker(path)
    before = descriptors()
    with onlooker.keeping():
        with pytest.raises(errors.NotFoundError):
            onlooker.get_workflow("one")
        kept = descriptors()
        assert kept > before
        fill(storage)
        look_at_all(onlooker)
        assert descriptors() == kept
        with contextlib.closing(sqlite3.connect(path)) as other:
            is_busy, *_ = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert not is_busy
        assert path.with_name(f"{path.name}-wal").stat().st_size == 0
    look_at_all(onlooker)


def test_a_database_that_is_not_there_cannot_be_kept_open(tmp_path):
    """It is refused as a read would be."""
    with pytest.raises(errors.StorageUnavailableError), Onlooker(tmp_path / "none").keeping():
        pass


def test_reads_see_what_was_committed_since(storage, path):
    """Each read is of its own moment."""
    onlooker = Onlooker(path)
    with pytest.raises(errors.NotFoundError):
        onlooker.get_workflow("one")
    fill(storage)
    look_at_all(onlooker)


def test_looking_on_keeps_nobody_from_owning(path):
    """There is no lock in it."""
    storage = SQLiteStorage(path)
    storage.open()
    fill(storage)
    storage.close()
    look_at_all(Onlooker(path))
    assert storage.open().clean
    storage.close()


def test_what_is_not_there_is_not_made(path):
    """Neither the file nor its directory."""
    onlooker = Onlooker(path)
    with pytest.raises(errors.StorageUnavailableError, match="no such file"):
        onlooker.check()
    assert not path.parent.exists()
    assert repr(onlooker) == f"<Onlooker {str(path)!r}>"


def test_what_is_no_database_of_ours_is_refused(path, raw):
    """Empty, somebody else's, of another version, or with another name."""
    path.parent.mkdir()
    path.touch()
    with pytest.raises(errors.StorageUnavailableError, match="nothing was stored"):
        Onlooker(path).check()
    raw("CREATE TABLE somebody_elses (x)")
    with pytest.raises(errors.StorageUnavailableError, match="another program"):
        Onlooker(path).check()
    path.unlink()
    storage = SQLiteStorage(path)
    storage.open()
    storage.close()
    raw("PRAGMA user_version = 9")
    with pytest.raises(errors.StorageVersionError):
        Onlooker(path).check()
    os.link(path, path.with_name("other.db"))
    with pytest.raises(errors.StorageUnavailableError, match="hard links"):
        Onlooker(path).check()


def test_a_name_that_the_system_does_not_take_is_unavailable(tmp_path):
    """Its error is mapped."""
    with pytest.raises(errors.StorageUnavailableError, match="too long"):
        Onlooker(tmp_path / ("n" * 300)).check()
    with pytest.raises(errors.InvalidInputError):
        Onlooker(":memory:")


def test_the_socket_lies_beside_the_real_file(storage, path, tmp_path):
    """Whatever name the database is called by."""
    link = tmp_path / "link.db"
    link.symlink_to(path)
    expected = str(path.resolve()) + ".sock"
    assert Onlooker(link).socket_path == expected
    assert storage.socket_path == expected
    storage.close()
    assert storage.socket_path is None


async def test_users_records_are_read_by_the_same_code(storage, path):
    """What a storage client reads, an onlooker reads, too."""
    fill(storage)
    reads = StorageReads(look_on(path), Codec())
    assert (await reads.get_workflow("one")).id == "one"
    assert (await reads.get_task("one", "t")).id == "t"
    assert len((await reads.list_workflows()).items) == len(await reads.list_tasks("one")) == 1


@pytest.mark.parametrize(
    ("missing", "code", "why"),
    [
        ("read", sqlite3.SQLITE_CANTOPEN, "; user 7 may not read it"),
        (
            "directory",
            sqlite3.SQLITE_READONLY_DIRECTORY,
            "; user 7 may not make its -wal and -shm in ",
        ),
        ("nothing", sqlite3.SQLITE_CANTOPEN, ""),
        ("read", sqlite3.SQLITE_BUSY, ""),
    ],
)
def test_who_lacks_a_right_is_told_which(tmp_path, monkeypatch, missing, code, why):
    """SQLite says that it cannot open a file, and no more; other errors have other reasons."""
    path = str(tmp_path / "claw.db")
    forbidden = {"read": path, "directory": str(tmp_path)}.get(missing)
    monkeypatch.setattr("os.access", lambda asked, mode: str(asked) != forbidden)
    monkeypatch.setattr("os.geteuid", lambda: 7)
    error = sqlite3.OperationalError("no way")
    error.sqlite_errorcode, error.sqlite_errorname = code, "NAME"
    with pytest.raises(errors.StorageUnavailableError) as refused, mapped(path):
        raise error
    assert refused.value.reason.startswith(f"no way (NAME){why}")
    assert bool(why) == (";" in refused.value.reason)
