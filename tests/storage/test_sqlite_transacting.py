"""An author's own SQL in our transaction: what it may do, and what becomes of it."""

from __future__ import annotations

import sqlite3
import threading

import pytest

from claw_actors import errors
from claw_actors._core.journal import EntryStatus
from claw_actors.storage.memory import MemoryStorage
from claw_actors.storage.operations import (
    Advance,
    Advanced,
    Create,
    RolledBack,
    Transact,
    Transacted,
)
from claw_actors.storage.sqlite import statements
from claw_actors.testing.conformance.samples import a_row, a_start, an_outcome, open_work

from .test_sqlite_faults import faulty, file_size_limit, ops, sqlite_error

__all__ = ["faulty"]


@pytest.fixture(autouse=True)
def account(storage, raw):
    """A table of the author's, with one row; and a workflow."""
    storage.commit([Create(a_row(), (a_start(),))])
    do(storage, lambda c: c.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, cents)"), "ddl")
    do(storage, lambda c: c.execute("INSERT INTO account VALUES (1, 100)"), "seed")
    return lambda: raw("SELECT cents FROM account")


def transact(fn, op="a", *, life=0, limit_s=None, closed=()):
    def run(connection):
        fn(connection)
        return b'"done"'

    return Transact(
        Advance(1, "one", life, (an_outcome(op, value=None),), closed=closed), run, limit_s
    )


def do(storage, fn, op="a", **options):
    [answer] = storage.commit([transact(fn, op, **options)])
    return answer


def spend(connection):
    connection.execute("UPDATE account SET cents = cents - 1")


def failure(storage, fn, **options):
    """Return what a function was rolled back with."""
    answer = do(storage, fn, **options)
    assert isinstance(answer, RolledBack), answer
    assert ops(storage) == ["", "ddl", "seed"], "nothing of it was recorded"
    return answer.error


# -- together, or not at all ------------------------------------------------------------------------


def test_the_sql_and_the_outcome_commit_together(storage, account):
    """And the open work that it ends goes with them."""
    storage.commit([Advance(1, "one", 0, opened=(open_work("a"),))])
    answer = do(storage, spend, closed=("a",))
    assert isinstance(answer, Transacted)
    [loaded] = storage.load([1])
    assert loaded.entries[-1] == answer.entry
    assert (answer.entry.n, answer.entry.status, answer.entry.value) == (
        3,
        EntryStatus.OK,
        b'"done"',
    )
    assert loaded.open_tasks == ()
    assert account() == [(99,)]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(1)])
def test_what_raises_is_rolled_back(storage, account, error):
    """All of it, whatever it raised; storage goes on."""

    def fails(connection):
        spend(connection)
        raise error

    assert failure(storage, fails) is error
    assert account() == [(100,)]
    assert isinstance(do(storage, spend), Transacted)
    assert account() == [(99,)]


def test_an_old_incarnation_does_not_even_begin(storage, account):
    """The fence comes before the function."""
    called = []
    answer = do(storage, called.append, life=7)
    assert isinstance(answer, errors.StaleWriteError)
    assert called == []
    assert storage.commit([Advance(1, "one", 0, (an_outcome("b"),))]) == [Advanced(3)]


def test_an_entry_that_cannot_be_stored_takes_the_sql_along(storage, account):
    """It is refused like any other write with such values."""
    assert isinstance(do(storage, spend, "\ud800"), errors.InvalidInputError)
    assert account() == [(100,)]


def test_a_deferred_constraint_that_fails_at_commit_rolls_back(storage, account):
    """That is the function's failure, and no trouble of storage."""
    ddl = """CREATE TABLE child (account REFERENCES account DEFERRABLE INITIALLY DEFERRED)"""
    assert isinstance(do(storage, lambda c: c.execute(ddl), "ddl2"), Transacted)
    answer = do(storage, lambda c: c.execute("INSERT INTO child VALUES (7)"))
    assert isinstance(answer, RolledBack)
    assert isinstance(answer.error, sqlite3.IntegrityError)
    assert isinstance(do(storage, lambda c: c.execute("INSERT INTO child VALUES (1)")), Transacted)


def test_memory_refuses_before_anything_is_called():
    """There is no SQL."""
    memory = MemoryStorage()
    memory.open()
    memory.commit([Create(a_row(), (a_start(),))])
    called = []
    [answer] = memory.commit([transact(called.append)])
    assert isinstance(answer, errors.TransactionsUnsupportedError)
    assert (answer.name, answer.where, called) == ("a", "memory", [])
    assert not memory.transactional


# -- the facade -------------------------------------------------------------------------------------


def test_rows_are_read_in_every_way(storage):
    """One by one, all, in a loop; with both kinds of parameters."""
    seen = []

    def work(connection):
        many = connection.executemany("INSERT INTO account VALUES (?, ?)", [(2, 5), (3, None)])
        seen.append(many.rowcount)
        seen.append(connection.execute("INSERT INTO account (cents) VALUES (?)", ("x",)).lastrowid)
        found = connection.execute("SELECT * FROM account WHERE id >= :id", {"id": 2})
        seen.extend([found.fetchone(), list(found), found.fetchone(), found.fetchall()])
        seen.append(connection.execute("SELECT count(*) FROM account").fetchall())

    assert isinstance(do(storage, work), Transacted)
    assert seen == [2, 4, (2, 5), [(3, None), (4, "x")], None, [], [(4,)]]


DENIED = [
    "COMMIT",
    "ROLLBACK",
    "BEGIN",
    "END",
    "SAVEPOINT a",
    "RELEASE a",
    "PRAGMA synchronous = OFF",
    "PRAGMA user_version",
    "SELECT * FROM pragma_table_info('account')",
    "ATTACH 'other.db' AS other",
    "DETACH main",
    "VACUUM",
    "VACUUM INTO 'copy.db'",
    "ANALYZE",
    "SELECT * FROM claw_workflow",
    "SELECT count(*) FROM CLAW_journal",
    "DELETE FROM claw_journal",
    "UPDATE claw_meta SET owner = NULL",
    "INSERT INTO claw_key VALUES (1, 'a')",
    "DROP TABLE claw_task",
    "ALTER TABLE claw_task ADD COLUMN more TEXT",
    "ALTER TABLE account RENAME TO claw_mine",
    "CREATE TABLE claw_mine (id)",
    "CREATE INDEX mine ON claw_journal (op)",
    "CREATE TRIGGER mine AFTER INSERT ON claw_journal BEGIN DELETE FROM account; END",
    "CREATE TEMP TABLE claw_journal (id)",
    "CREATE TEMP VIEW mine AS SELECT 1",
    "DELETE FROM sqlite_sequence",
    "SELECT * FROM _sqlite_migrations",
    "CREATE VIRTUAL TABLE words USING fts5(word)",
]


@pytest.mark.parametrize("sql", DENIED)
def test_what_is_not_the_authors_is_denied(storage, account, sql):
    """With an error that says so; the function may go on with something else."""

    def work(connection):
        spend(connection)
        with pytest.raises((errors.TransactionDeniedError, sqlite3.OperationalError)) as caught:
            connection.execute(sql)
        if not isinstance(caught.value, errors.TransactionDeniedError):
            assert "VACUUM" in str(caught.value), "which is impossible in a transaction"
        spend(connection)

    assert isinstance(do(storage, work), Transacted)
    assert account() == [(98,)]


def test_views_and_triggers_are_no_way_round(storage, account):
    """What they stand for is judged when it is run."""

    def declare(connection):
        connection.execute("CREATE VIEW spy AS SELECT id FROM claw_workflow")
        connection.execute(
            "CREATE TRIGGER hole AFTER UPDATE ON account BEGIN DELETE FROM claw_journal; END"
        )

    assert isinstance(do(storage, declare, "declare"), Transacted)
    for sql in ("SELECT * FROM spy", "UPDATE account SET cents = 0"):
        answer = do(storage, lambda c, sql=sql: c.execute(sql))
        assert isinstance(answer, RolledBack)
        assert isinstance(answer.error, errors.TransactionDeniedError)
    assert account() == [(100,)]


def test_a_statement_of_ours_is_denied_although_it_was_compiled_before(storage):
    """It stands in the connection's cache, and was allowed there."""
    error = failure(storage, lambda c: c.execute(statements.SELECT_OWNER))
    assert isinstance(error, errors.TransactionDeniedError)
    storage.commit([Advance(1, "one", 0, (an_outcome("b"),))])


def test_a_table_may_have_a_column_of_any_name(storage):
    """Only the names of tables are reserved."""

    def work(connection):
        connection.execute("CREATE TABLE mine (claw_id INTEGER PRIMARY KEY AUTOINCREMENT, x)")
        connection.execute("CREATE INDEX by_x ON mine (x)")
        connection.execute("INSERT INTO mine (x) VALUES (1)")
        connection.execute("ALTER TABLE mine RENAME COLUMN x TO claw_x")
        connection.execute("UPDATE mine SET claw_id = 5")
        assert connection.execute("SELECT claw_id FROM mine").fetchall() == [(5,)]

    assert isinstance(do(storage, work), Transacted)


def test_the_connection_ends_with_the_function(storage, account):
    """And belongs to its thread; its cursors, too."""
    kept = []

    def work(connection):
        found = connection.execute("SELECT * FROM account")
        kept[:] = [connection, found]
        other = []

        def elsewhere():
            try:
                connection.execute("SELECT 1")
            except errors.ContextMisuseError as error:
                other.append(str(error))

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert "in another thread" in other[0]

    assert isinstance(do(storage, work), Transacted)
    for late in (lambda: spend(kept[0]), kept[1].fetchone, kept[1].fetchall):
        with pytest.raises(errors.ContextMisuseError, match="after its function had ended"):
            late()
    assert account() == [(100,)]


def test_the_databases_own_errors_are_the_authors_to_catch(storage, account):
    """One failed statement is undone by itself; the rest commits."""

    def work(connection):
        spend(connection)
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("INSERT INTO account VALUES (1, 5)")
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            connection.execute("SELECT * FROM missing")

    assert isinstance(do(storage, work), Transacted)
    assert account() == [(99,)]


def test_a_statement_that_rolls_everything_back_ends_the_function(storage, account):
    """Whatever it catches: what came after it would be written by itself."""

    def work(connection):
        spend(connection)
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("INSERT OR ROLLBACK INTO account VALUES (1, 5)")
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute("UPDATE account SET cents = 0")

    assert isinstance(failure(storage, work), sqlite3.IntegrityError)
    assert account() == [(100,)]


# -- its time ---------------------------------------------------------------------------------------

ENDLESS = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT sum(x) FROM n"


@pytest.mark.parametrize("swallow", [False, True])
def test_a_statement_that_takes_too_long_is_interrupted(storage, account, swallow):
    """And so is the function, whatever it catches."""

    def work(connection):
        spend(connection)
        try:
            connection.execute(ENDLESS).fetchall()
        except errors.TaskTimeoutError:
            if not swallow:
                raise
        with pytest.raises(errors.TaskTimeoutError):
            spend(connection)

    error = failure(storage, work, limit_s=0.05)
    assert isinstance(error, errors.TaskTimeoutError)
    assert error.timeout_s == 0.05
    assert account() == [(100,)]
    long = ENDLESS.replace("FROM n)", "FROM n WHERE x < 20000)")
    assert isinstance(do(storage, lambda c: c.execute(long).fetchall()), Transacted), "it is gone"


def test_a_function_that_returns_too_late_has_timed_out(storage, account):
    """Its own code cannot be interrupted."""
    error = failure(storage, spend, limit_s=0)
    assert isinstance(error, errors.TaskTimeoutError)
    assert account() == [(100,)]


# -- storage fails ----------------------------------------------------------------------------------


def fill(connection):
    """Write more than there is room for, and go on as if nothing had happened."""
    spend(connection)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        connection.execute("INSERT INTO account VALUES (9, ?)", (b"x" * 500_000,))
    with pytest.raises(sqlite3.OperationalError, match="full"):
        spend(connection)


def test_a_full_disk_rolls_back_and_passes(storage, account):
    """It says nothing about the function, which is called again when there is room."""
    connection = storage._session.writer.connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(errors.StorageUnavailableError, match="full"):
        do(storage, fill)
    assert account() == [(100,)]
    assert ops(storage) == ["", "ddl", "seed"]
    connection.execute("PRAGMA max_page_count = 1000000")
    assert isinstance(do(storage, spend), Transacted)


def test_an_io_error_at_commit_is_unknown_and_final(storage, path, account):
    """A real one; after reopening all of it is there, or nothing."""
    big = lambda c: c.execute("INSERT INTO account VALUES (9, ?)", (b"x" * 500_000,))  # noqa: E731
    wal = path.with_name(path.name + "-wal")
    with (
        file_size_limit(wal.stat().st_size + 8192),
        pytest.raises(errors.OutcomeUnknownError, match="IOERR"),
    ):
        do(storage, big)
    storage.abandon()
    storage.open()
    assert ops(storage) == ["", "ddl", "seed"]
    assert account() == [(100,)]


@pytest.mark.parametrize("run_first", [False, True])
def test_sql_and_outcome_share_the_fate_of_an_unknown_commit(storage, faulty, account, run_first):
    """It may have happened: then both are there."""
    faulty.faults["COMMIT"] = sqlite_error("SQLITE_IOERR")
    faulty.run_first = run_first
    with pytest.raises(errors.OutcomeUnknownError):
        do(storage, spend)
    faulty.faults.clear()
    storage.abandon()
    storage.open()
    assert ops(storage) == ["", "ddl", "seed"] + ["a"] * run_first
    assert account() == [(100 - run_first,)]
