"""Read-only connections for reads in several threads; none of them waits behind a commit."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Final

from ...errors import StorageUnavailableError
from . import statements
from .faults import read_failed

__all__ = ["ReaderPool"]

# More reads than that at once wait for one another.
MAX_READERS: Final = 8


class ReaderPool:
    """Connections are opened when they are needed, and kept."""

    def __init__(
        self, connect: Callable[[], sqlite3.Connection], where: str, max_readers: int = MAX_READERS
    ) -> None:
        self._connect = connect
        self._where = where
        self._slots = threading.BoundedSemaphore(max_readers)
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._closed = False

    @contextmanager
    def snapshot(self) -> Generator[sqlite3.Connection, None, None]:
        """Yield a connection that sees one state of the database, whatever is committed meanwhile.

        Raises:
            StorageUnavailableError: it is closed, or SQLite cannot read now.
            StorageCorruptError: what was read is damaged.
        """
        with self._slots:
            try:
                connection = self._take()
                try:
                    connection.execute(statements.BEGIN_READ)
                    yield connection
                finally:
                    self._give_back(connection)
            except (sqlite3.Error, OverflowError, UnicodeError) as error:
                raise read_failed(error, self._where) from error

    def close(self) -> None:
        """Close what is idle; a connection in use is closed when its read ends."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> sqlite3.Connection:
        with self._lock:
            if self._closed:
                raise StorageUnavailableError(self._where, "it is closed")
            if self._idle:
                return self._idle.pop()
        return self._connect()

    def _give_back(self, connection: sqlite3.Connection) -> None:
        try:
            if connection.in_transaction:
                connection.execute(statements.ROLLBACK)
        except BaseException:
            connection.close()
            raise
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()
