"""The connection that an author's function gets: what it may do, and only as long as it may.

The function works inside our own transaction, on our own connection. So an authorizer of SQLite
judges each statement when it is compiled: an allow-list of actions, and none of our tables. Setting
it makes SQLite compile again what it had compiled before, so a statement of ours with the same text
is judged, too.

An error can end the whole transaction (a full disk, an ``ON CONFLICT ROLLBACK``). A function that
catches it and goes on would write in autocommit. So after each error the facade looks whether the
transaction is still there; if it is not, nothing more is run, whatever the function does.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar, cast

from ...errors import ContextMisuseError, TaskTimeoutError, TransactionDeniedError
from .faults import primary_code

if TYPE_CHECKING:
    from ..._core.transacting import Parameters, SQLValue
    from ..transacting import Transact

__all__ = ["Thrown", "call"]

T = TypeVar("T")

_OURS: Final = ("claw_", "_sqlite_migrations", "sqlite_sequence", "sqlite_stat", "sqlite_dbpage")
"""How the names of tables begin that an author must leave alone."""

_RENAMES: Final = "sqlite_rename_table"
"""The function of SQLite that gives a table another name. No action tells the new name, which may
be one of ours; so none is given."""

_ALLOWED: Final = frozenset(
    {
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_INSERT,
        sqlite3.SQLITE_UPDATE,
        sqlite3.SQLITE_DELETE,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
        sqlite3.SQLITE_CREATE_TABLE,
        sqlite3.SQLITE_CREATE_INDEX,
        sqlite3.SQLITE_CREATE_VIEW,
        sqlite3.SQLITE_CREATE_TRIGGER,
        sqlite3.SQLITE_DROP_TABLE,
        sqlite3.SQLITE_DROP_INDEX,
        sqlite3.SQLITE_DROP_VIEW,
        sqlite3.SQLITE_DROP_TRIGGER,
        sqlite3.SQLITE_ALTER_TABLE,
        sqlite3.SQLITE_REINDEX,  # a part of making an index
    }
)

# The second name is a column there, and columns may be called as they like.
_OF_COLUMNS: Final = frozenset({sqlite3.SQLITE_READ, sqlite3.SQLITE_UPDATE})

# What says nothing about the function, but that storage has failed.
_FAULTS: Final = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_NOMEM,
    }
)

_STEPS: Final = 1_000
"""How many of SQLite's steps pass between two looks at the clock."""


class Thrown(Exception):
    """The function has failed; ``error`` says with what. Never leaves the writer."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


def _authorize(action: int, first: str | None, second: str | None, *_: object) -> int:
    names = (first,) if action in _OF_COLUMNS else (first, second)
    ours = any(name is not None and name.lower().startswith(_OURS) for name in names)
    allowed = action in _ALLOWED and not ours and second != _RENAMES
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


class _Cursor:
    """A cursor that ends with its facade."""

    def __init__(self, facade: _Facade, cursor: sqlite3.Cursor) -> None:
        self._facade = facade
        self._cursor = cursor

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    @property
    def lastrowid(self) -> int | None:
        return self._cursor.lastrowid

    def __iter__(self) -> Iterator[tuple[SQLValue, ...]]:
        while (row := self.fetchone()) is not None:
            yield row

    def fetchone(self) -> tuple[SQLValue, ...] | None:
        found = self._facade.guard(self._cursor.fetchone)
        return cast("tuple[SQLValue, ...] | None", found)

    def fetchall(self) -> list[tuple[SQLValue, ...]]:
        found = self._facade.guard(self._cursor.fetchall)
        return cast("list[tuple[SQLValue, ...]]", found)


class _Facade:
    """A connection, for the length of one call."""

    def __init__(self, connection: sqlite3.Connection, limit_s: float | None) -> None:
        self._connection = connection
        self._limit_s = limit_s
        self._deadline = None if limit_s is None else time.monotonic() + limit_s
        self._thread = threading.get_ident()
        self._cursors: weakref.WeakSet[sqlite3.Cursor] = weakref.WeakSet()
        self._ended = False
        # What has ended the transaction before its time.
        self._over: Exception | None = None

    @contextmanager
    def opened(self) -> Generator[None]:
        """Judge what is run on the connection, for the length of the block."""
        self._connection.set_authorizer(_authorize)
        if self._deadline is not None:
            self._connection.set_progress_handler(self._is_late, _STEPS)
        try:
            yield
        finally:
            self._ended = True
            self._connection.set_authorizer(None)
            self._connection.set_progress_handler(None, 0)
            for cursor in list(self._cursors):
                cursor.close()

    def execute(self, sql: str, parameters: Parameters = (), /) -> _Cursor:
        return self._keep(self.guard(lambda: self._connection.execute(sql, parameters)))

    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> _Cursor:
        return self._keep(self.guard(lambda: self._connection.executemany(sql, parameters)))

    def _keep(self, cursor: sqlite3.Cursor) -> _Cursor:
        self._cursors.add(cursor)
        return _Cursor(self, cursor)

    def guard(self, do: Callable[[], T]) -> T:
        """Do something on the connection, if that is possible still."""
        if self._ended:
            raise ContextMisuseError(
                "the connection of a transactional task was used after its function had ended"
            )
        if threading.get_ident() != self._thread:
            raise ContextMisuseError(
                "the connection of a transactional task was used in another thread than its own"
            )
        if self._over is not None:
            raise self._over
        try:
            return do()
        except sqlite3.Error as error:
            self._judge(error)

    def _judge(self, error: sqlite3.Error) -> NoReturn:
        """Sort out an error: whether it denies, ends the transaction, or is about a statement."""
        code = primary_code(error)
        # A denial inside of ALTER TABLE is told by its text alone.
        if code == sqlite3.SQLITE_AUTH or _RENAMES in str(error):
            raise TransactionDeniedError(str(error)) from error
        if code == sqlite3.SQLITE_INTERRUPT and self._limit_s is not None:
            self._over = TaskTimeoutError(self._limit_s)
            raise self._over from error
        if code in _FAULTS or not self._connection.in_transaction:
            self._over = error
        raise error

    def _is_late(self) -> bool:
        return self._deadline is not None and time.monotonic() > self._deadline

    def verdict(self, raised: BaseException | None) -> None:
        """Say how the call has ended.

        Raises:
            sqlite3.Error: storage has failed, whatever the function made of that.
            Thrown: the function has failed, or its time was up.
        """
        over = self._over
        if over is not None and primary_code(over) in _FAULTS:
            raise over
        if over is None and self._limit_s is not None and self._is_late():
            over = TaskTimeoutError(self._limit_s)
        error = over or raised
        if error is not None:
            raise Thrown(error) from error


def call(connection: sqlite3.Connection, transact: Transact) -> bytes:
    """Call a function with a facade of the connection, in whose transaction it works.

    Raises:
        sqlite3.Error: storage has failed.
        Thrown: the function has failed.
    """
    facade = _Facade(connection, transact.limit_s)
    raised: BaseException | None = None
    value = b""
    with facade.opened():
        try:
            value = transact.run(facade)
        except BaseException as error:
            raised = error
    facade.verdict(raised)
    return value
