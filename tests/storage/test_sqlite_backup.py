"""A copy is whole, is examined, and comes back; whatever goes wrong, nothing is overwritten."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from contextlib import closing
from pathlib import Path

import attrs
import pytest
import trio

from claw_actors import open_storage
from claw_actors.errors import (
    InvalidInputError,
    StorageCorruptError,
    StorageLockedError,
    StorageUnavailableError,
    StorageVersionError,
)
from claw_actors.storage.backups import back_up, restore
from claw_actors.storage.operations import Advance, Create, Delete
from claw_actors.storage.records import DeadLetter
from claw_actors.storage.sqlite import SQLiteStorage, backup
from claw_actors.storage.sqlite.examination import examine
from claw_actors.testing.conformance.samples import a_row, a_start, an_outcome, open_work


@pytest.fixture
def copy(tmp_path) -> Path:
    """Name a copy in a directory that does not exist yet."""
    return tmp_path / "copies" / "copy.db"


@pytest.fixture
def filled(storage) -> SQLiteStorage:
    """Store two workflows with everything that has a checksum, and stay open."""
    storage.commit(
        [
            Create(a_row(), (a_start(), an_outcome("a"), an_outcome("b"))),
            Create(a_row("two"), (a_start(),)),
            Advance(
                1,
                "one",
                0,
                opened=(open_work("retry"),),
                values=(("progress", b"1"),),
                dead_letters=(DeadLetter("topic", 1.0, "it does not fit", b"2"),),
            ),
        ]
    )
    return storage


def read(path: Path) -> list[str | None]:
    """Open a database as its owner, and return its workflows and the length of their journals."""
    storage = SQLiteStorage(path)
    report = storage.open()
    assert report.clean
    found = [f"{one.row.id} {len(one.entries)}" for one in storage.load([1, 2])]
    storage.close()
    return found


def names(directory: Path) -> list[str]:
    return sorted(one.name for one in directory.iterdir())


def changed(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(sql)


# -- copying ----------------------------------------------------------------------------------------


def test_a_copy_of_an_open_database_is_a_whole_database(filled, path, copy):
    """It was not closed, and its log was never moved into it: the copy has it all."""
    report = backup.back_up(str(path), str(copy))
    assert report == backup.BackupReport(
        path=str(copy), bytes=copy.stat().st_size, commits=2, workflows=2, rows=9
    )
    assert names(copy.parent) == ["copy.db"], "one file, and nothing beside it"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700
    assert read(copy) == ["one 3", "two 1"]
    filled.commit([Create(a_row("three"), (a_start(),))])


def test_progress_is_told(filled, path, copy, monkeypatch):
    """A long copy shows that it goes on."""
    monkeypatch.setattr(backup, "PAGES_AT_A_TIME", 5)
    told: list[tuple[int, int]] = []
    backup.back_up(str(path), str(copy), lambda done, pages: told.append((done, pages)))
    assert len(told) > 3
    assert told == sorted(told)
    assert told[-1][0] == told[-1][1]


def test_a_copy_beside_writers_holds_all_that_was_acknowledged_before(
    filled, path, copy, monkeypatch
):
    """Commits meanwhile neither get into it by half nor make it begin anew."""
    monkeypatch.setattr(backup, "PAGES_AT_A_TIME", 1)
    counted = [0]
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            entries = [an_outcome(f"t{counted[0]}-{i}") for i in range(5)]
            filled.commit([Advance(1, "one", 0, tuple(entries))])
            counted[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while counted[0] < 20:
            pass
        acknowledged = counted[0]
        backup.back_up(str(path), str(copy))
        assert counted[0] > acknowledged, "it went on meanwhile"
    finally:
        stop.set()
        writer.join()
    [one, _] = read(copy)
    length = int(one.split()[1])
    assert length >= 3 + 5 * acknowledged
    assert (length - 3) % 5 == 0, "whole commits only"


def test_an_existing_file_is_never_written_over(filled, path, copy):
    """Not even an empty one, nor a link to nowhere."""
    copy.parent.mkdir()
    copy.touch()
    with pytest.raises(StorageUnavailableError, match="it exists; name a file that does not"):
        backup.back_up(str(path), str(copy))
    copy.unlink()
    copy.symlink_to("nowhere")
    backup.back_up(str(path), str(copy))  # a link is followed, and what it names did not exist
    assert (copy.parent / "nowhere").exists()


def test_the_log_grows_by_what_is_written_while_a_copy_is_made_and_no_further(
    filled, path, copy, monkeypatch
):
    """Then it is used again from its beginning, and cut when nothing is written."""
    monkeypatch.setattr(backup, "PAGES_AT_A_TIME", 1)
    log, written = Path(f"{path}-wal"), iter(range(1_000))

    def write(megabytes: int) -> int:
        for _ in range(megabytes):
            outcome = an_outcome(f"w#{next(written)}", value=b"9" * 1_000_000)
            filled.commit([Advance(1, "one", 0, (outcome,))])
        return log.stat().st_size

    grown: list[int] = []
    backup.back_up(str(path), str(copy), lambda done, pages: grown or grown.append(write(12)))
    assert 12_000_000 < grown[0] < 13_000_000, "no checkpoint could begin it anew"
    assert write(12) < grown[0] + 3_000_000
    filled.tidy()
    assert log.stat().st_size == 0


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_a_copy_is_never_put_beside_a_log(filled, path, copy, suffix):
    """SQLite would play it back into the copy. An empty one does no harm."""
    copy.parent.mkdir()
    log = Path(f"{copy}{suffix}")
    log.write_bytes(b"of a copy that was removed")
    with pytest.raises(StorageUnavailableError, match=f"the log of such .*{suffix}; name a file"):
        backup.back_up(str(path), str(copy))
    log.write_bytes(b"")
    assert backup.back_up(str(path), str(copy)).workflows == 2


def test_a_file_that_comes_into_being_meanwhile_is_not_written_over(filled, path, copy):
    """Two that copy to one name: the second fails, and leaves nothing of its own."""
    with pytest.raises(StorageUnavailableError, match="it exists"):
        backup.back_up(str(path), str(copy), lambda done, pages: copy.write_text("mine"))
    assert copy.read_text() == "mine"
    assert names(copy.parent) == ["copy.db"]


def test_what_a_killed_copy_has_left_is_cleared_away(filled, path, copy):
    """The next one needs no broom."""
    copy.parent.mkdir()
    for name in ("copy.db.partial", "copy.db.partial-wal"):
        (copy.parent / name).write_text("rest")
    backup.back_up(str(path), str(copy))
    assert names(copy.parent) == ["copy.db"]


@pytest.mark.parametrize(
    ("make", "error", "said"),
    [
        (lambda path: None, StorageUnavailableError, "there is no such file"),
        (lambda path: path.mkdir(), StorageUnavailableError, "it is a directory"),
        (lambda path: path.write_text("no database" * 99), StorageCorruptError, "not a database"),
        (lambda path: path.touch(), StorageUnavailableError, "nothing was stored in it yet"),
    ],
)
def test_what_is_no_database_is_refused(tmp_path, copy, make, error, said):
    """And nothing is left behind."""
    path = tmp_path / "x.db"
    make(path)
    with pytest.raises(error, match=said):
        backup.back_up(str(path), str(copy))
    assert not copy.exists()


def test_a_place_that_cannot_be_written_is_refused(filled, path, tmp_path):
    """By name."""
    with pytest.raises(StorageUnavailableError, match="does not exist; create it first"):
        backup.back_up(str(path), str(tmp_path / "a" / "b" / "copy.db"))
    (tmp_path / "file").touch()
    with pytest.raises(StorageUnavailableError, match="file"):
        backup.back_up(str(path), str(tmp_path / "file" / "copy.db"))


def test_another_version_s_database_is_refused(filled, path, copy, raw):
    """It would be a copy that nobody has looked at."""
    raw("PRAGMA user_version = 99")
    with pytest.raises(StorageVersionError):
        backup.back_up(str(path), str(copy))


DAMAGE = {
    "claw_workflow": (
        "UPDATE claw_workflow SET reason = 'x' WHERE id = 'one'",
        "'one' in claw_wor",
    ),
    "claw_journal": ("UPDATE claw_journal SET value = x'00' WHERE n = 2", "entry 2 fails its chec"),
    "claw_task": ("UPDATE claw_task SET attempt = 9", "task 'retry' fails its checksum"),
    "claw_value": ("UPDATE claw_value SET value = x'00'", "value 'progress' fails its checksum"),
    "claw_dead_letter": ("UPDATE claw_dead_letter SET topic = 'x'", "letter 1 fails its checksum"),
    "a gap": ("DELETE FROM claw_journal WHERE wf = 1 AND n = 1", "1 of the 3 entries of run 1 are"),
    "no start": ("DELETE FROM claw_journal WHERE wf = 2", "workflow 'two': its journal is missing"),
    "an orphan": ("UPDATE claw_value SET wf = 7", "workflow 'pk 7' in claw_value"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_database_is_not_called_a_backup(filled, path, copy, raw, what):
    """Every row is compared with its checksum, and a row that is gone is missed."""
    change, said = DAMAGE[what]
    raw(change)
    with pytest.raises(StorageCorruptError) as caught:
        backup.back_up(str(path), str(copy))
    assert said in str(caught.value)
    assert names(copy.parent) == []


def test_a_damaged_index_is_found(filled, path, raw):
    """What SQLite can find is said, too."""
    raw("PRAGMA writable_schema = ON")
    filled.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = replace(sql, 'created_at', 'life')"
            " WHERE name = 'claw_workflow_created'"
        )
        connection.commit()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        found = examine(connection, "here")
    assert found.rows == 9
    assert any(line.startswith("integrity_check says:") for line in found.damage)


def test_a_workflow_that_is_being_deleted_misses_nothing(filled, path, copy, raw):
    """Its journal goes in pieces; that is no damage."""
    filled.commit([Delete("one", limit=1)])
    assert backup.back_up(str(path), str(copy)).workflows == 1


# -- and back ---------------------------------------------------------------------------------------


@pytest.fixture
def copied(filled, path, copy) -> Path:
    """Make a backup, then commit twice more, and close the database."""
    backup.back_up(str(path), str(copy))
    for op in ("c", "d"):
        filled.commit([Advance(1, "one", 0, (an_outcome(op),))])
    filled.close()
    return copy


def test_a_backup_becomes_a_database_where_there_is_none(copied, tmp_path):
    """The backup stays as it is."""
    before = copied.read_bytes()
    there = tmp_path / "new" / "workflows.db"
    report = backup.restore(str(copied), str(there))
    assert attrs.asdict(report) == {
        "path": str(there),
        "commits": 2,
        "workflows": 2,
        "rows": 9,
        "lost_commits": 0,
        "replaced": None,
    }
    assert read(there) == ["one 3", "two 1"]
    assert copied.read_bytes() == before


def test_a_database_is_replaced_only_if_that_is_said(copied, path):
    """And then it is kept, and it is said what the new one lacks."""
    with pytest.raises(StorageUnavailableError, match="say that it may be replaced"):
        backup.restore(str(copied), str(path))
    assert read(path) == ["one 5", "two 1"]
    report = backup.restore(str(copied), str(path), replace=True)
    assert report.lost_commits == 5, "two advances, and what closing and opening it has written"
    assert report.replaced == f"{path}.replaced"
    assert read(path) == ["one 3", "two 1"], "and it opens: fewer commits are claimed now"
    Path(f"{path}.replaced").rename(path.parent / "old.db")
    assert read(path.parent / "old.db") == ["one 5", "two 1"]


def test_what_was_replaced_last_is_not_thrown_away(copied, path):
    """Somebody has to decide that."""
    backup.restore(str(copied), str(path), replace=True)
    with pytest.raises(StorageUnavailableError, match=r"replaced.*it exists; .* move it away"):
        backup.restore(str(copied), str(path), replace=True)
    assert read(path) == ["one 3", "two 1"]


def test_the_log_of_a_replaced_database_goes_with_it(filled, path, copy):
    """After a crash the last commits are in there."""
    backup.back_up(str(path), str(copy))
    filled.commit([Advance(1, "one", 0, (an_outcome("c"),))])
    filled.abandon()
    assert Path(f"{path}-wal").exists()
    backup.restore(str(copy), str(path), replace=True)
    assert names(path.parent) == [
        "workflows.db",
        "workflows.db.lock",
        "workflows.db.mark",
        "workflows.db.replaced",
        "workflows.db.replaced-wal",
    ]
    with closing(sqlite3.connect(f"{path}.replaced")) as connection:
        assert connection.execute("SELECT max(n) FROM claw_journal").fetchone() == (3,)


def test_a_log_whose_database_was_removed_is_not_played_back_into_the_backup(filled, path, copy):
    """It is set aside like a database: what is there is what is in the backup, and nothing more."""
    backup.back_up(str(path), str(copy))
    filled.commit([Advance(1, "one", 0, (an_outcome("c"),))])
    filled.abandon()
    path.unlink()
    before = names(path.parent)
    with pytest.raises(StorageUnavailableError, match=r"-wal; name another file, or say"):
        backup.restore(str(copy), str(path))
    assert names(path.parent) == before
    report = backup.restore(str(copy), str(path), replace=True)
    assert (report.replaced, report.lost_commits) == (f"{path}.replaced-wal", 1)
    assert read(path) == ["one 3", "two 1"]


def test_a_database_is_not_set_aside_beside_the_log_of_another_one(copied, path):
    """Somebody has removed what was replaced last, and not its log: a person has to decide."""
    backup.restore(str(copied), str(path), replace=True)
    Path(f"{path}.replaced").unlink()
    Path(f"{path}.replaced-wal").write_bytes(b"commits")
    with pytest.raises(StorageUnavailableError, match=r"replaced-wal; .* move it away"):
        backup.restore(str(copied), str(path), replace=True)
    assert read(path) == ["one 3", "two 1"]


def test_a_database_in_use_is_never_replaced(filled, path, copy):
    """Its owner is named."""
    backup.back_up(str(path), str(copy))
    with pytest.raises(StorageLockedError, match=f"pid {os.getpid()}"):
        backup.restore(str(copy), str(path), replace=True)
    filled.commit([Create(a_row("three"), (a_start(),))])


def test_a_damaged_backup_replaces_nothing(copied, path):
    """It is examined before anything is moved."""
    changed(copied, "UPDATE claw_journal SET value = x'00' WHERE n = 1")
    with pytest.raises(StorageCorruptError, match="entry 1 fails its checksum"):
        backup.restore(str(copied), str(path), replace=True)
    assert read(path) == ["one 5", "two 1"]


def test_a_backup_that_is_copied_over_by_hand_is_noticed(copied, path):
    """Who goes past `restore` is told what is missing."""
    path.write_bytes(copied.read_bytes())
    with pytest.raises(StorageCorruptError, match=r"4 are there|are lost"):
        SQLiteStorage(path).open()


def test_an_end_in_the_middle_of_a_restore_is_no_new_database(copied, path, monkeypatch):
    """Killed after the old one was set aside: what opens next must not begin with nothing."""

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(backup, "_put_in_place", die)
    with pytest.raises(KeyboardInterrupt):
        backup.restore(str(copied), str(path), replace=True)
    assert not path.exists()
    with pytest.raises(StorageCorruptError, match="are lost"):
        SQLiteStorage(path).open()


# -- from Trio --------------------------------------------------------------------------------------


async def test_a_backup_is_made_and_restored_from_trio(tmp_path):
    """As a program does it, beside its own open storage."""
    told: list[int] = []
    async with open_storage(tmp_path / "a.db"):
        report = await back_up(
            tmp_path / "a.db", tmp_path / "b.db", on_progress=lambda done, _: told.append(done)
        )
        assert (report.workflows, bool(told)) == (0, True)
        assert await back_up(tmp_path / "a.db", tmp_path / "c.db")
        with pytest.raises(StorageLockedError):
            await restore(tmp_path / "b.db", tmp_path / "a.db", replace=True)
    assert (await restore(tmp_path / "b.db", tmp_path / "d.db")).commits == report.commits
    with pytest.raises(InvalidInputError, match="path"):
        await back_up(tmp_path / "a.db", ":memory:")


async def test_a_cancelled_backup_leaves_no_copy(tmp_path, monkeypatch):
    """It stops between two pieces."""
    monkeypatch.setattr(backup, "PAGES_AT_A_TIME", 1)
    async with open_storage(tmp_path / "a.db"):
        with trio.CancelScope() as scope:
            await back_up(
                tmp_path / "a.db",
                tmp_path / "b" / "b.db",
                on_progress=lambda *_: trio.from_thread.run_sync(scope.cancel),
            )
        assert scope.cancelled_caught
    assert names(tmp_path / "b") == []
