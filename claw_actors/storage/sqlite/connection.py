"""Connections, with every setting read back: a pragma that is refused or misspelt says nothing."""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import Final, Literal, TypeAlias

from ...errors import StorageUnavailableError
from .files import Place
from .library import loses_spilled_commits

__all__ = ["Durability", "open_plain", "open_reading", "open_writing", "refuse_old_sqlite"]

Durability: TypeAlias = Literal["power_loss", "process"]
"""What an acknowledged commit survives."""

OLDEST_SQLITE: Final = (3, 37)  # STRICT tables
BUSY_TIMEOUT_MS: Final = 5_000
WAL_LIMIT_BYTES: Final = 64 << 20

_SYNCHRONOUS: Final[dict[Durability, int]] = {"power_loss": 2, "process": 1}  # FULL, NORMAL
_INCREMENTAL: Final = 2

_SETTINGS: Final = {
    "busy_timeout": BUSY_TIMEOUT_MS,
    "foreign_keys": 1,
    "trusted_schema": 0,
    "cell_size_check": 1,
    "mmap_size": 0,
}


def refuse_old_sqlite(path: str) -> None:
    """Refuse a library that lacks what the schema needs.

    Raises:
        StorageUnavailableError: it is too old.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise StorageUnavailableError(
            path, f"SQLite {sqlite3.sqlite_version} is too old; 3.37 or newer is needed"
        )


def open_plain(place: Place, mode: Literal["ro", "rw"] = "rw") -> sqlite3.Connection:
    """Open an existing file, with SQLite's own settings."""
    connection = sqlite3.connect(
        place.uri(mode), uri=True, isolation_level=None, check_same_thread=False
    )
    # A damaged text must reach its checksum, and not end the whole query.
    connection.text_factory = partial(str, encoding="utf-8", errors="surrogateescape")
    return connection


def _set(connection: sqlite3.Connection, place: Place, name: str, value: int) -> None:
    connection.execute(f"PRAGMA {name} = {value}").fetchall()
    found = connection.execute(f"PRAGMA {name}").fetchone()
    # `mmap_size` answers nothing where SQLite was built without it.
    if found is not None and found[0] != value:
        raise StorageUnavailableError(
            place.path, f"SQLite does not take {name} = {value}: it stays {found[0]!r}"
        )


def open_reading(place: Place) -> sqlite3.Connection:
    """Open a connection that cannot write, not even by accident.

    Raises:
        sqlite3.Error: SQLite cannot open it.
        StorageUnavailableError: a setting was not taken.
    """
    connection = open_plain(place, "ro")
    try:
        for name, value in (*_SETTINGS.items(), ("query_only", 1)):
            _set(connection, place, name, value)
    except BaseException:
        connection.close()
        raise
    return connection


def open_writing(place: Place, durability: Durability, *, new: bool) -> sqlite3.Connection:
    """Open the writing connection.

    Args:
        place: where the file is.
        durability: what an acknowledged commit must survive.
        new: whether it is still empty; only then can it learn to give back space.

    Raises:
        sqlite3.Error: SQLite cannot open it.
        StorageUnavailableError: a setting was not taken.
    """
    connection = open_plain(place, "rw")
    try:
        _set(connection, place, "busy_timeout", BUSY_TIMEOUT_MS)
        if new:
            connection.execute(f"PRAGMA auto_vacuum = {_INCREMENTAL}")
            # An empty file may have its first page already, made without that.
            connection.execute("VACUUM")
            _set(connection, place, "auto_vacuum", _INCREMENTAL)
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise StorageUnavailableError(
                place.path, f"SQLite does not take journal_mode = WAL: it stays {mode!r}"
            )
        _set(connection, place, "synchronous", _SYNCHRONOUS[durability])
        if loses_spilled_commits(sqlite3.sqlite_version_info):
            _set(connection, place, "cache_spill", 0)
        for name, value in (*_SETTINGS.items(), ("journal_size_limit", WAL_LIMIT_BYTES)):
            _set(connection, place, name, value)
    except BaseException:
        connection.close()
        raise
    return connection
