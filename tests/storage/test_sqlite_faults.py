"""Errors of disk and system: what was applied is always known, or said to be unknown."""

from __future__ import annotations

import resource
import sqlite3
from contextlib import contextmanager
from pathlib import Path

import pytest

from claw_actors.errors import (
    InvalidInputError,
    OutcomeUnknownError,
    StorageCorruptError,
    StorageUnavailableError,
)
from claw_actors.storage.model import WorkflowFilter
from claw_actors.storage.operations import Advance, Advanced, Create, Send, Sent
from claw_actors.storage.sqlite import SQLiteStorage, faults, watermark, writer
from claw_actors.storage.sqlite.pool import ReaderPool
from claw_actors.testing.conformance.samples import a_cancel, a_row, a_start, an_outcome


def sqlite_error(name: str, kind: type[sqlite3.Error] = sqlite3.OperationalError) -> sqlite3.Error:
    """Make an error as SQLite raises it."""
    error = kind(f"simulated {name}")
    error.sqlite_errorcode = getattr(sqlite3, name)
    error.sqlite_errorname = name
    return error


class FaultyConnection:
    """A real connection on which chosen statements fail, before or after they were run."""

    def __init__(self, real):
        self._real = real
        self.faults: dict[str, BaseException] = {}
        self.run_first = False

    def execute(self, sql, *parameters):
        for start, error in self.faults.items():
            if sql.startswith(start):
                if self.run_first:
                    self._real.execute(sql, *parameters)
                raise error
        return self._real.execute(sql, *parameters)

    def __getattr__(self, name):
        return getattr(self._real, name)


@pytest.fixture
def faulty(storage):
    """Put a connection that can fail under the writer."""
    storage.commit([Create(a_row(), (a_start(),))])
    connection = FaultyConnection(storage._session.writer.connection)
    storage._session.writer.connection = connection
    return connection


@contextmanager
def file_size_limit(size_bytes: int):
    """Let no file of this process grow past a size: a write there is an I/O error to SQLite."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def step(op: str = "a", size_bytes: int = 1) -> Advance:
    return Advance(1, "one", 0, (an_outcome(op, value=b"x" * size_bytes),))


def ops(storage) -> list[str]:
    return [entry.op for entry in storage.load([1])[0].entries]


# -- a full disk ------------------------------------------------------------------------------


def test_a_full_disk_applies_nothing_and_passes(storage):
    """Writes are refused as a whole while it lasts, reads work, and then it goes on."""
    storage.commit([Create(a_row(), (a_start(),)), step("first")])
    connection = storage._session.writer.connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    for _ in range(2):
        with pytest.raises(StorageUnavailableError, match="full"):
            # The small ones would fit: a loop that goes on after the error would write them.
            storage.commit([step("small"), step("big", 500_000), step("small too")])
        assert ops(storage) == ["", "first"]
        assert not connection.in_transaction
    connection.execute("PRAGMA max_page_count = 1000000")
    assert storage.commit([step("second", 500_000)]) == [Advanced(2)]
    storage.close()
    assert storage.open().clean
    assert ops(storage) == ["", "first", "second"]


def test_a_disk_that_fills_up_within_a_savepoint_ends_the_group(storage):
    """SQLite has rolled back everything by then, the savepoint included."""
    storage.commit([Create(a_row(), (a_start(),))])
    connection = storage._session.writer.connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    culprit = Send("one", an_outcome("\ud800"))  # makes the group go one by one
    with pytest.raises(StorageUnavailableError, match="full"):
        storage.commit([culprit, step("big", 500_000), step("small")])
    connection.execute("PRAGMA max_page_count = 1000000")
    assert ops(storage) == [""]
    assert storage.commit([step()]) == [Advanced(1)]


@pytest.mark.parametrize("name", ["SQLITE_FULL", "SQLITE_BUSY"])
def test_a_commit_that_did_not_happen_may_be_repeated(storage, faulty, name):
    """A full disk at COMMIT is rolled back: nothing was applied, and that is certain."""
    faulty.faults["COMMIT"] = sqlite_error(name)
    with pytest.raises(StorageUnavailableError):
        storage.commit([step("a")])
    faulty.faults.clear()
    assert ops(storage) == [""]
    assert storage.commit([step("b")]) == [Advanced(1)]


# -- I/O errors -------------------------------------------------------------------------------


def test_a_commit_that_cannot_be_written_is_unknown_and_final(storage, path):
    """A real I/O error at COMMIT: stop, reopen, and find all or nothing of the group."""
    storage.commit([Create(a_row(), (a_start(),)), step("first")])
    with (
        file_size_limit(Path(f"{path}-wal").stat().st_size + 8192),
        pytest.raises(OutcomeUnknownError, match="IOERR"),
    ):
        storage.commit([step("second", 500_000), step("third")])
    assert ops(storage) == ["", "first"]
    with pytest.raises(OutcomeUnknownError, match="must be opened again"):
        storage.commit([step("fourth")])
    storage.abandon()
    assert not storage.open().clean
    assert ops(storage) == ["", "first"]
    assert storage.commit([step("fifth")]) == [Advanced(2)]


def test_an_io_error_at_commit_may_have_stored_the_group(storage, faulty):
    """A COMMIT that reports an error may have happened; after reopening it is there."""
    faulty.faults["COMMIT"] = sqlite_error("SQLITE_IOERR")
    faulty.run_first = True
    with pytest.raises(OutcomeUnknownError):
        storage.commit([step("a")])
    storage.close()
    assert not storage.open().clean, "closing after a failure is no clean end"
    assert ops(storage) == ["", "a"]


def test_an_io_error_before_commit_is_final_too(storage, faulty):
    """After any I/O error nothing more is written."""
    faulty.faults["UPDATE claw_meta"] = faulty.faults["\nUPDATE claw_meta"] = sqlite_error(
        "SQLITE_IOERR"
    )
    with pytest.raises(OutcomeUnknownError):
        storage.commit([step()])
    faulty.faults.clear()
    with pytest.raises(OutcomeUnknownError, match="must be opened again"):
        storage.commit([step()])


def test_a_rollback_that_fails_is_final(storage, faulty):
    """If it cannot be undone, nobody knows what comes of it."""
    faulty.faults["COMMIT"] = sqlite_error("SQLITE_BUSY")
    faulty.faults["ROLLBACK"] = sqlite_error("SQLITE_IOERR")
    with pytest.raises(OutcomeUnknownError, match="a rollback failed"):
        storage.commit([step()])
    faulty.faults.clear()
    storage.abandon()
    storage.open()
    assert ops(storage) == [""]


def test_an_unexpected_error_at_commit_is_unknown(storage, faulty):
    """Only what is known to come before the point of no return is "not applied"."""
    faulty.faults["COMMIT"] = sqlite_error("SQLITE_PERM")
    with pytest.raises(OutcomeUnknownError):
        storage.commit([step()])


def test_an_interrupt_at_commit_is_passed_on(storage, faulty):
    """What is no error of SQLite is not ours to map; the transaction is over nevertheless."""
    faulty.faults["COMMIT"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        storage.commit([step("a")])
    faulty.faults.clear()
    assert storage.commit([step("b")]) == [Advanced(1)]
    assert ops(storage) == ["", "b"]


def test_damage_found_by_sqlite_is_final(storage, faulty):
    """A page that makes no sense to SQLite is damage of the file, with advice."""
    faulty.faults["COMMIT"] = sqlite_error("SQLITE_CORRUPT", sqlite3.DatabaseError)
    with pytest.raises(StorageCorruptError) as caught:
        storage.commit([step()])
    assert "backup" in caught.value.advice


def test_a_table_that_went_away_is_damage(storage, raw):
    """Somebody else has changed the schema."""
    storage.commit([Create(a_row(), (a_start(),))])
    raw("DROP TABLE claw_journal")
    with pytest.raises(StorageCorruptError, match="no such table"):
        storage.commit([step()])


def test_a_mark_that_cannot_be_written_does_not_fail_the_commit(path, caplog, monkeypatch):
    """The commit has happened; a mark that lags only claims less."""
    storage = SQLiteStorage(path)
    storage.open()

    def fail(*arguments):
        raise OSError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(watermark.os, "pwrite", fail)
        storage.commit([Create(a_row(), (a_start(),))])
    assert "cannot be written: no space" in caplog.text
    storage.abandon()
    storage.open()
    assert ops(storage) == [""]
    storage.close()


def test_an_end_that_cannot_be_noted_is_an_unclean_one(storage, faulty, caplog):
    """Closing never raises; the next opening finds out."""
    faulty.faults["BEGIN"] = sqlite_error("SQLITE_FULL")
    storage.close()
    assert "was not closed cleanly" in caplog.text
    assert not storage.open().clean


# -- reads ------------------------------------------------------------------------------------


def test_a_read_that_fails_is_unavailable(storage):
    """Nothing is at stake: it may be tried again."""
    pool = storage._session.pool
    with pytest.raises(StorageUnavailableError, match="simulated"), pool.snapshot():
        raise sqlite_error("SQLITE_IOERR")
    assert storage.list_workflows(WorkflowFilter()).items == ()


def test_a_reader_that_cannot_be_reset_is_not_used_again(path):
    """It is closed, and the next read opens another."""
    opened: list[FaultyConnection] = []

    def connect():
        connection = FaultyConnection(sqlite3.connect(":memory:", isolation_level=None))
        opened.append(connection)
        return connection

    pool = ReaderPool(connect, "here")
    with pytest.raises(StorageUnavailableError), pool.snapshot() as connection:
        connection.faults["ROLLBACK"] = sqlite_error("SQLITE_IOERR")
    with pool.snapshot():
        pass
    pool.close()
    assert len(opened) == 2


def test_a_reader_that_cannot_begin_is_used_again(path):
    """A read that never began leaves nothing to reset."""
    connection = FaultyConnection(sqlite3.connect(":memory:", isolation_level=None))
    connection.faults["BEGIN"] = sqlite_error("SQLITE_BUSY")
    pool = ReaderPool(lambda: connection, "here")
    with pytest.raises(StorageUnavailableError), pool.snapshot():
        pass
    connection.faults.clear()
    with pool.snapshot() as again:
        assert again is connection
    pool.close()


def test_a_question_that_sqlite_cannot_take_is_refused(storage):
    """A number past 64 bits is the caller's error, not the storage's."""
    with pytest.raises(InvalidInputError, match="64 bits"):
        storage.list_workflows(WorkflowFilter(version=2**64))
    with pytest.raises(InvalidInputError, match="Unicode"):
        storage.read_tasks("\ud800")


def test_a_read_that_outlives_the_storage_ends_in_peace(storage):
    """A connection in use at close is closed by its read."""
    pool = storage._session.pool
    with pool.snapshot() as connection:
        storage.close()
        assert connection.execute("SELECT 1").fetchone() == (1,)
    with pytest.raises(sqlite3.ProgrammingError):
        connection.execute("SELECT 1")
    with pytest.raises(StorageUnavailableError, match="closed"), pool.snapshot():
        pass


def test_one_load_that_sqlite_cannot_read_does_not_stop_the_others(storage, monkeypatch):
    """Damage in one journal is the answer to that one alone; other errors end the read."""
    storage.commit([Create(a_row(id), (a_start(),)) for id in ("one", "two")])
    reader = storage._session.reader
    real = reader._load
    name = "SQLITE_CORRUPT"

    def load(connection, pk):
        if pk == 1:
            raise sqlite_error(name)
        return real(connection, pk)

    monkeypatch.setattr(reader, "_load", load)
    damage, fine = storage.load([1, 2])
    assert isinstance(damage, StorageCorruptError)
    assert "workflow 1 of" in damage.where
    assert fine.row.id == "two"
    name = "SQLITE_IOERR"
    with pytest.raises(StorageUnavailableError):
        storage.load([1, 2])


# -- space ------------------------------------------------------------------------------------


def test_tidying_gives_back_pages_in_bounded_pieces(storage, monkeypatch):
    """Pages that nothing uses are freed, so many at a time, and counted as commits."""
    storage.commit([Create(a_row(), (a_start(),)), step(size_bytes=100_000)])
    connection = storage._session.writer.connection
    connection.execute("DELETE FROM claw_journal")

    def free():
        return connection.execute("PRAGMA freelist_count").fetchone()[0]

    before = free()
    assert before > 20
    monkeypatch.setattr(writer, "MAX_PAGES_TO_FREE", 15)
    storage.tidy()
    assert free() == before - 15
    storage.tidy()
    storage.tidy()
    assert free() == 0
    storage.tidy()


def test_tidying_cuts_a_log_that_has_grown(storage, path, monkeypatch):
    """A log larger than usual is moved into the database; a reader delays that, unharmed."""
    log = Path(f"{path}-wal")
    monkeypatch.setattr(writer, "MAX_WAL_BYTES", 1)
    storage.commit([Create(a_row(), (a_start(),))])
    with storage._session.pool.snapshot() as connection:
        connection.execute("SELECT count(*) FROM claw_workflow").fetchone()
        storage.commit([step()])
        storage.tidy()
        assert log.stat().st_size > 0
    storage.tidy()
    assert log.stat().st_size == 0
    connection = storage._session.writer.connection
    assert connection.execute("PRAGMA busy_timeout").fetchone() == (5000,)


def test_tidying_without_a_log_does_nothing(storage, path):
    """There is nothing to cut."""
    writing = storage._session.writer
    writing._place = type(writing._place)(str(path) + "-elsewhere")
    storage.tidy()


def test_tidying_on_a_full_disk_gives_up_quietly(storage, faulty):
    """Space that cannot be given back now is given back later."""
    faulty.faults["PRAGMA freelist_count"] = sqlite_error("SQLITE_FULL")
    storage.tidy()
    faulty.faults.clear()
    assert storage.commit([step(), Send("one", a_cancel())]) == [Advanced(1), Sent(1, 2)]


def test_no_room_for_the_index_of_the_log_is_not_only_called_a_disk_error():
    """SQLite says no more of a full disk where there is no log yet."""
    error = sqlite_error("SQLITE_IOERR_SHMSIZE")
    assert "is the disk full?" in str(faults.read_failed(error, "a.db"))
    assert "full" not in str(faults.read_failed(sqlite_error("SQLITE_IOERR_READ"), "a.db"))
