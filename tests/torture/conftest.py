"""What the torture shares: a server of lives, and places for what they leave behind."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .processes import Lives, open_lives


@pytest.fixture(scope="session")
def lives() -> Iterator[Lives]:
    """Start processes, cheaply."""
    with open_lives() as opened:
        yield opened


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Name a database in a directory of its own."""
    directory = tmp_path / "data"
    directory.mkdir(0o700)
    return directory / "torture.db"


@pytest.fixture
def table() -> Iterator[Path]:
    """Have a place for copies of dead databases; in memory if possible, where syncing is free."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        yield Path(directory) / "table"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Name the file that takes what lives print."""
    return tmp_path / "lives.log"


@pytest.fixture
def witness(tmp_path: Path) -> Path:
    """Name the file in which lives note what they do, outside of our storage."""
    return tmp_path / "witness"
