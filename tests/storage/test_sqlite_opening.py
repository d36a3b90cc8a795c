"""Opening a SQLite file: what is made, what is set, what is refused, and what stays untouched."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import struct
from contextlib import closing
from pathlib import Path

import pytest
import trio

from claw_actors.errors import (
    ClawError,
    InvalidInputError,
    StorageCorruptError,
    StorageUnavailableError,
    StorageVersionError,
)
from claw_actors.storage.operations import Advance, Create
from claw_actors.storage.sqlite import SQLiteStorage, files
from claw_actors.storage.sqlite import connection as connections
from claw_actors.storage.sqlite.schema import APPLICATION_ID
from claw_actors.testing.conformance.samples import a_row, a_start, an_outcome


def contents(directory: Path) -> dict[str, bytes]:
    """Read what must not change: not the lock, and not SQLite's shared memory."""
    return {
        file.name: file.read_bytes()
        for file in directory.iterdir()
        if not file.name.endswith((".lock", "-shm"))
    }


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def fill(path: Path, groups: int = 3) -> SQLiteStorage:
    """Open a storage and commit a workflow and some progress of it."""
    storage = SQLiteStorage(path)
    storage.open()
    storage.commit([Create(a_row(), (a_start(),))])
    for number in range(groups - 1):
        storage.commit([Advance(1, "one", 0, (an_outcome(f"t#{number}"),))])
    return storage


# -- names ------------------------------------------------------------------------------------


def test_nothing_touches_the_disk_before_open(path):
    """Naming a database makes no file and no directory."""
    storage = SQLiteStorage(path)
    assert not path.parent.exists()
    assert storage.where == str(path)
    assert repr(storage) == f"<SQLiteStorage {str(path)!r}, power_loss, closed>"


@pytest.mark.parametrize("kind", [str, Path, trio.Path])
def test_any_kind_of_path_is_taken(path, kind):
    """Text, pathlib and Trio paths name the same file."""
    storage = SQLiteStorage(kind(path))
    storage.open()
    storage.close()
    assert path.is_file()


@pytest.mark.parametrize("name", [":memory:", "file:x.db?mode=memory"])
def test_a_name_without_a_file_points_to_memory_storage(name):
    """SQLite's own names of memory are refused, with the class to use."""
    with pytest.raises(InvalidInputError, match=r"MemoryStorage\(\)"):
        SQLiteStorage(name)


@pytest.mark.parametrize("name", ["", b"x.db", 5, None, "a\0b"])
def test_what_is_no_path_is_refused(name):
    """Only text that can name a file is a path."""
    with pytest.raises(InvalidInputError) as caught:
        SQLiteStorage(name)
    assert caught.value.field == "path"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"durability": "none"}, "durability"),
        ({"quick_check_seconds": -1}, "quick_check_seconds"),
        ({"quick_check_seconds": float("nan")}, "quick_check_seconds"),
    ],
)
def test_options_out_of_range_are_refused(options, field):
    """A wrong option is named."""
    with pytest.raises(InvalidInputError) as caught:
        SQLiteStorage("x.db", **options)
    assert caught.value.field == field


# -- what is made -----------------------------------------------------------------------------


def test_a_new_storage_reports_itself_new_and_clean(path):
    """The first opening creates, the next one finds a clean end and counts owners."""
    storage = SQLiteStorage(path)
    first = storage.open()
    assert (first.created, first.clean, first.epoch) == (True, True, 1)
    assert "epoch 1" in repr(storage)
    storage.close()
    second = storage.open()
    storage.close()
    assert (second.created, second.clean, second.epoch) == (False, True, 2)


def test_all_files_are_private_whatever_the_umask(path):
    """The directory is 0700; database, log, shared memory, lock and mark are 0600."""
    before = os.umask(0)
    try:
        storage = fill(path)
    finally:
        os.umask(before)
    found = {file.name: mode(file) for file in path.parent.iterdir()}
    storage.close()
    assert mode(path.parent) == 0o700
    assert found == {
        "workflows.db": 0o600,
        "workflows.db-wal": 0o600,
        "workflows.db-shm": 0o600,
        "workflows.db.lock": 0o600,
        "workflows.db.mark": 0o600,
    }


def test_a_clean_end_leaves_no_log(path):
    """After close everything is in the database itself."""
    fill(path).close()
    assert sorted(file.name for file in path.parent.iterdir()) == [
        "workflows.db",
        "workflows.db.lock",
        "workflows.db.mark",
    ]


@pytest.mark.parametrize(("durability", "synchronous"), [("power_loss", 2), ("process", 1)])
def test_the_writing_connection_is_set_as_promised(path, durability, synchronous):
    """Every setting that safety rests on is in force."""
    storage = SQLiteStorage(path, durability=durability)
    storage.open()
    connection = storage._session.writer.connection
    found = {
        name: connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in (
            "journal_mode",
            "synchronous",
            "auto_vacuum",
            "busy_timeout",
            "foreign_keys",
            "trusted_schema",
            "cell_size_check",
            "journal_size_limit",
            "locking_mode",
            "application_id",
            "user_version",
        )
    }
    storage.close()
    assert found == {
        "journal_mode": "wal",
        "synchronous": synchronous,
        "auto_vacuum": 2,
        "busy_timeout": 5000,
        "foreign_keys": 1,
        "trusted_schema": 0,
        "cell_size_check": 1,
        "journal_size_limit": 64 << 20,
        "locking_mode": "normal",
        "application_id": APPLICATION_ID,
        "user_version": 2,
    }


def test_readers_cannot_write(storage):
    """A reading connection refuses every change."""
    with (
        pytest.raises(StorageUnavailableError, match="readonly"),
        storage._session.pool.snapshot() as connection,
    ):
        connection.execute("DELETE FROM claw_meta")


def test_every_table_is_strict(storage, raw):
    """No column takes a value of another type."""
    loose = raw(
        "SELECT name FROM pragma_table_list WHERE name LIKE 'claw!_%' ESCAPE '!'"
        " AND type = 'table' AND NOT strict"
    )
    count = raw("SELECT count(*) FROM pragma_table_list WHERE name LIKE 'claw!_%' ESCAPE '!'")
    assert loose == []
    assert count == [(9,)]


@pytest.mark.parametrize("exists", [True, False])
def test_a_setting_that_is_not_taken_stops_the_opening(path, monkeypatch, exists):
    """A pragma that silently does nothing is found by reading it back, by readers and writer."""
    if exists:
        fill(path).close()
    monkeypatch.setitem(connections._SETTINGS, "page_size", 100)
    with pytest.raises(StorageUnavailableError, match="does not take page_size = 100"):
        SQLiteStorage(path).open()


def test_a_setting_that_answers_nothing_is_let_pass(path, monkeypatch):
    """SQLite built without a feature does not know its pragma."""
    monkeypatch.setitem(connections._SETTINGS, "mmap_size_of_a_lesser_build", 0)
    fill(path).close()


def test_a_file_without_a_log_is_refused(path, monkeypatch):
    """Where WAL cannot be had, nothing is opened."""

    class NoLog(sqlite3.Connection):
        def execute(self, sql, *parameters):
            return super().execute(sql.replace("journal_mode = WAL", "journal_mode"), *parameters)

    real = sqlite3.connect
    monkeypatch.setattr(
        connections.sqlite3,
        "connect",
        lambda *arguments, **options: real(*arguments, factory=NoLog, **options),
    )
    with pytest.raises(StorageUnavailableError, match="journal_mode = WAL: it stays 'delete'"):
        SQLiteStorage(path).open()


def test_an_old_sqlite_is_refused(path, monkeypatch):
    """Without STRICT tables nothing is made."""
    monkeypatch.setattr(connections.sqlite3, "sqlite_version_info", (3, 36, 0))
    with pytest.raises(StorageUnavailableError, match=r"3\.37 or newer"):
        SQLiteStorage(path).open()
    assert not path.parent.exists()


def test_an_empty_database_is_taken_over(path, raw):
    """A file with a first page and no tables is as good as none."""
    path.parent.mkdir()
    raw("PRAGMA journal_mode = WAL")
    assert path.stat().st_size > 0
    storage = SQLiteStorage(path)
    assert storage.open().created
    storage.close()
    assert raw("PRAGMA auto_vacuum") == [(2,)]


def test_a_creation_that_was_cut_short_is_begun_again(tmp_path, path):
    """A rollback journal left by a crash is played back before the file is judged."""
    path.parent.mkdir()
    source = tmp_path / "source.db"
    with closing(sqlite3.connect(source, isolation_level=None)) as connection:
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN")
        connection.execute("CREATE TABLE t (x)")
        connection.executemany("INSERT INTO t VALUES (?)", [(b"x" * 3000,)] * 50)
        shutil.copy(source, path)
        shutil.copy(f"{source}-journal", f"{path}-journal")
        connection.execute("ROLLBACK")
    storage = SQLiteStorage(path)
    assert storage.open().created
    storage.close()


def test_a_failed_opening_can_be_repeated(path):
    """What a refused opening had taken is given back, the lock above all."""
    path.parent.mkdir()
    path.write_bytes(b"no database" * 500)
    storage = SQLiteStorage(path)
    for _ in range(2):
        with pytest.raises(StorageCorruptError):
            storage.open()
    path.unlink()
    assert storage.open().created
    storage.close()


def test_an_anchor_that_cannot_be_opened_stops_the_opening(path, monkeypatch):
    """A failure in the last step of opening gives back all that was taken."""
    storage = SQLiteStorage(path)
    with monkeypatch.context() as patch:
        patch.setattr("claw_actors.storage.sqlite.statements.SELECT_META", "SELECT nonsense")
        with pytest.raises(ClawError, match="nonsense"):
            storage.open()
    assert storage.open().epoch == 2
    storage.close()


# -- what is refused --------------------------------------------------------------------------


def test_a_missing_parent_of_the_directory_is_named(tmp_path):
    """Only the last directory is made; a typing error makes no tree."""
    with pytest.raises(StorageUnavailableError) as caught:
        SQLiteStorage(tmp_path / "no" / "such" / "x.db").open()
    assert caught.value.reason == f"the directory {tmp_path / 'no'} does not exist; create it first"
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_takes_no_files_is_unavailable():
    """An error of the system becomes ours, with its text."""
    with pytest.raises(StorageUnavailableError, match="No such file or directory"):
        SQLiteStorage("/proc/workflows.db").open()


def test_a_directory_is_no_database(tmp_path):
    """Naming a directory is refused, and nothing is left beside it."""
    place = tmp_path / "place"
    place.mkdir()
    with pytest.raises(StorageUnavailableError, match="is a directory"):
        SQLiteStorage(place).open()
    assert list(tmp_path.iterdir()) == [place]


def test_a_pipe_is_no_database(tmp_path):
    """Opening one would hang."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StorageUnavailableError, match="not a regular file"):
        SQLiteStorage(tmp_path / "pipe").open()


def test_a_second_name_is_refused(path):
    """Two names of one file would have two logs and two locks."""
    fill(path).close()
    os.link(path, path.parent / "other.db")
    with pytest.raises(StorageUnavailableError, match="2 names"):
        SQLiteStorage(path).open()


def test_a_symbolic_link_is_followed_to_one_lock(tmp_path, path):
    """Lock and mark lie beside the real file."""
    link = tmp_path / "link.db"
    link.symlink_to(path)
    path.parent.mkdir()
    storage = SQLiteStorage(link)
    storage.open()
    storage.close()
    assert path.with_name("workflows.db.lock").exists()
    assert not link.with_name("link.db.lock").exists()


def test_a_lock_that_is_a_link_is_not_followed(tmp_path, path):
    """Nobody makes us write into a file of their choice."""
    path.parent.mkdir()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    path.with_name("workflows.db.lock").symlink_to(victim)
    with pytest.raises(StorageUnavailableError):
        SQLiteStorage(path).open()
    assert victim.read_text() == "precious"


MOUNTS = """\
22 1 252:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 22 0:30 / /mnt rw - nfs4 server:/export rw
41 40 0:31 / /mnt/my\\040disk rw - xfs /dev/vdb rw
42 22 0:32 / /mntx rw - tmpfs tmpfs rw
43 42 0:33 / /mntx rw - cifs //server/share rw
"""


@pytest.mark.parametrize(
    ("directory", "kind"),
    [
        ("/home/me", "ext4"),
        ("/mnt", "nfs4"),
        ("/mnt/deep/down", "nfs4"),
        ("/mnt/my disk/data", "xfs"),
        ("/mntx", "cifs"),
        ("/mntxy", "ext4"),
    ],
)
def test_the_filesystem_of_a_directory_is_that_of_its_innermost_mount(
    tmp_path, monkeypatch, directory, kind
):
    """The longest mount point wins, and of equal ones the later."""
    table = tmp_path / "mountinfo"
    table.write_text(MOUNTS)
    monkeypatch.setattr(files, "MOUNT_TABLE", str(table))
    assert files._filesystem(Path(directory)) == kind


def test_a_network_filesystem_is_refused(tmp_path, path, monkeypatch):
    """Locks do not hold there, so nothing is created."""
    table = tmp_path / "mountinfo"
    table.write_text("22 1 0:30 / / rw - 9p server rw\n")
    monkeypatch.setattr(files, "MOUNT_TABLE", str(table))
    with pytest.raises(StorageUnavailableError, match=r"network filesystem \(9p\)"):
        SQLiteStorage(path).open()
    assert not path.exists()


def test_without_a_mount_table_a_filesystem_is_trusted(tmp_path, path, monkeypatch):
    """Not every system has /proc."""
    monkeypatch.setattr(files, "MOUNT_TABLE", str(tmp_path / "none"))
    fill(path).close()


def test_what_is_no_database_stays_as_it_is(path):
    """A file of another kind is named damaged, with advice, and not touched."""
    path.parent.mkdir()
    path.write_bytes(b"Dear diary, " * 400)
    before = contents(path.parent)
    with pytest.raises(StorageCorruptError) as caught:
        SQLiteStorage(path).open()
    assert "backup" in caught.value.advice
    assert str(path) in caught.value.where
    assert contents(path.parent) == before


@pytest.mark.parametrize("journal_mode", ["DELETE", "WAL"])
def test_the_database_of_another_program_stays_as_it_is(path, journal_mode):
    """A foreign database is refused and not touched, its unfinished log included."""
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal_mode}")
        connection.execute("CREATE TABLE songs (title)")
        before = contents(path.parent)
        with pytest.raises(StorageUnavailableError, match="another program"):
            SQLiteStorage(path).open()
        assert contents(path.parent) == before


def test_a_file_of_a_newer_version_stays_as_it_is(path, raw):
    """What a newer version wrote is refused by its numbers, and not touched."""
    fill(path).close()
    raw("PRAGMA user_version = 3")
    before = contents(path.parent)
    with pytest.raises(StorageVersionError) as caught:
        SQLiteStorage(path).open()
    assert (caught.value.found, caught.value.supported) == (3, 2)
    # Looking at it makes an empty log; the database is the same.
    assert {**contents(path.parent), "workflows.db-wal": b""} == {**before, "workflows.db-wal": b""}


def test_a_missing_row_of_claw_meta_is_damage(path, raw):
    """Without its one row nobody can tell who owned the file."""
    fill(path).close()
    raw("DELETE FROM claw_meta")
    with pytest.raises(StorageCorruptError, match="claw_meta"):
        SQLiteStorage(path).open()


# -- the end before ---------------------------------------------------------------------------


def test_an_unclean_end_is_found_and_loses_nothing(path):
    """What was committed before a crash is there, and the report says that it was one."""
    fill(path, groups=3).abandon()
    storage = SQLiteStorage(path)
    report = storage.open()
    assert (report.clean, report.epoch) == (False, 2)
    assert len(storage.load([1])[0].entries) == 3
    storage.close()
    assert storage.open().clean
    storage.close()


def test_abandon_leaves_every_file_as_it_is(path):
    """Letting go after an error writes nothing: not even the log into the database."""
    storage = fill(path)
    storage.get_workflow("one")
    before = contents(path.parent)
    storage.abandon()
    assert contents(path.parent) == before


def test_close_and_abandon_may_be_repeated(path):
    """Closing what is not open does nothing."""
    storage = fill(path)
    storage.close()
    storage.close()
    storage.abandon()
    with pytest.raises(StorageUnavailableError, match="not open"):
        storage.get_workflow("one")


def test_an_unclean_end_is_checked_for_damage(path):
    """A page that makes no sense is found by quick_check, after an unclean end only."""
    storage = fill(path)
    storage.close()
    storage.open()
    root = storage._session.writer.connection.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = 'claw_workflow_status'"
    ).fetchone()[0]
    storage.abandon()
    # Empty the index: its entries are missing then.
    page = bytearray(path.read_bytes())
    start = (root - 1) * 4096
    page[start + 3 : start + 5] = struct.pack(">H", 0)
    path.write_bytes(page)
    before = contents(path.parent)
    with pytest.raises(StorageCorruptError, match="quick_check says"):
        SQLiteStorage(path).open()
    assert contents(path.parent) == before


def test_a_check_that_takes_too_long_is_left(path, monkeypatch, caplog):
    """The look for damage ends at its limit, and the file opens."""
    fill(path, groups=30).abandon()
    monkeypatch.setattr("claw_actors.storage.sqlite.inspection._STEPS_BETWEEN_LOOKS", 1)
    storage = SQLiteStorage(path, quick_check_seconds=0)
    with caplog.at_level("INFO"):
        storage.open()
    storage.close()
    assert "quick_check was stopped" in caplog.text


def test_a_check_that_fails_otherwise_is_no_time_out(path, monkeypatch):
    """Only the limit may end a check quietly."""
    fill(path).abandon()

    class NoCheck(sqlite3.Connection):
        def execute(self, sql, *parameters):
            return super().execute(sql.replace("PRAGMA quick_check(1)", "SELECT nonsense"))

    real = sqlite3.connect
    monkeypatch.setattr(
        connections.sqlite3,
        "connect",
        lambda *arguments, **options: real(*arguments, factory=NoCheck, **options),
    )
    with pytest.raises(StorageCorruptError, match="nonsense"):
        SQLiteStorage(path).open()


# -- the high-water mark ----------------------------------------------------------------------


def test_the_mark_counts_acknowledged_commits(path, raw):
    """The mark and the database agree after every commit."""
    storage = fill(path, groups=3)
    ((commits,),) = raw("SELECT commits FROM claw_meta")
    marked = struct.unpack(">Q", path.with_name("workflows.db.mark").read_bytes())[0]
    storage.close()
    assert commits == marked == 4  # taking ownership is one


def test_a_log_that_went_away_is_noticed(path):
    """Commits that vanish with the log refuse the opening until the loss is accepted."""
    fill(path).close()
    storage = SQLiteStorage(path)
    storage.open()
    storage.commit([Advance(1, "one", 0, (an_outcome("lost"),))])
    storage.abandon()
    Path(f"{path}-wal").unlink()
    before = contents(path.parent)
    with pytest.raises(StorageCorruptError) as caught:
        storage.open()
    assert "2 are lost" in caught.value.reason
    assert "accept_loss=True" in caught.value.advice
    assert {**contents(path.parent), "workflows.db-wal": b""} == {**before, "workflows.db-wal": b""}


@pytest.mark.parametrize("empty", [False, True], ids=["removed", "emptied"])
@pytest.mark.parametrize("marked", [False, True], ids=["no_mark", "marked"])
def test_a_log_without_its_database_is_kept(path, storage, empty, marked):
    """A file that was moved without its log: SQLite would throw its last commits away."""
    storage.commit([Create(a_row(), (a_start(),))])
    storage.abandon()
    path.unlink()
    if empty:
        path.touch()
    if not marked:
        Path(f"{path}.mark").unlink()
    log = Path(f"{path}-wal").read_bytes()
    with pytest.raises(StorageCorruptError) as caught:
        SQLiteStorage(path).open()
    assert ("are lost" if marked else "beside it has commits") in caught.value.reason
    assert "Put the file, and its -wal, back" in caught.value.advice
    assert Path(f"{path}-wal").read_bytes() == log
    assert path.exists() is empty
    accepting = SQLiteStorage(path, accept_loss=True)
    assert accepting.open().created
    accepting.close()


def test_a_loss_is_accepted_once(path, caplog):
    """accept_loss opens what is left; from then on it is what was acknowledged."""
    fill(path).abandon()
    Path(f"{path}-wal").unlink()
    accepting = SQLiteStorage(path, accept_loss=True)
    accepting.open()
    accepting.close()
    assert "are lost; accepted" in caplog.text
    storage = SQLiteStorage(path)
    storage.open()
    storage.close()


def test_a_database_that_went_away_is_noticed(path):
    """A mark without its database is a loss, too, and no empty file is put in its place."""
    fill(path).close()
    path.unlink()
    with pytest.raises(StorageCorruptError, match="removed on purpose"):
        SQLiteStorage(path).open()
    assert not path.exists()


@pytest.mark.parametrize("content", [None, b"", b"\xff\xff"])
def test_a_mark_that_is_missing_or_short_claims_nothing(path, content):
    """Without a whole mark the database is believed."""
    fill(path).close()
    mark = path.with_name("workflows.db.mark")
    if content is None:
        mark.unlink()
    else:
        mark.write_bytes(content)
    storage = SQLiteStorage(path)
    storage.open()
    storage.close()
    assert len(mark.read_bytes()) == 8
