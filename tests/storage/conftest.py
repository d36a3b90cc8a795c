"""What the tests of the SQLite backend share: a place, an open storage, and a side door."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from claw_actors.storage.sqlite import SQLiteStorage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a database in a directory that does not exist yet."""
    return tmp_path / "data" / "workflows.db"


@pytest.fixture
def storage(path: Path) -> Iterator[SQLiteStorage]:
    """Open a new storage; it is closed at the end, if the test has not done so."""
    backend = SQLiteStorage(path)
    backend.open()
    yield backend
    backend.close()


@pytest.fixture
def raw(path: Path) -> Callable[..., list[tuple[object, ...]]]:
    """Run one statement on the file through a connection of its own, and return what it finds."""

    def run(sql: str, *parameters: object) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            return connection.execute(sql, parameters).fetchall()

    return run
