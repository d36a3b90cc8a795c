"""A loss of power, at many moments: what each setting loses of what was acknowledged, and what it damages."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from claw_actors.errors import ClawError
from claw_actors.storage.sqlite import SQLiteStorage
from claw_actors.storage.sqlite.examination import examine

from .power import Event, Image, images, trace

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
]

IS_LONG = os.environ.get("CLAW_TORTURE") == "long"
MOMENTS = 400 if IS_LONG else 60
COMMITS = 500
"""They fill the log more than once, so that it is taken into the database under way."""

OWNER = f"""
import os, sys
from claw_actors.storage.operations import Advance, Create
from claw_actors.storage.sqlite import SQLiteStorage, connection
from claw_actors.testing.conformance.samples import a_row, a_start, an_outcome

place, durability, synchronous = sys.argv[1:]
connection._SYNCHRONOUS[durability] = int(synchronous)
storage = SQLiteStorage(place, durability=durability)
storage.open()
storage.commit([Create(a_row(), (a_start(),))])
for n in range(1, {COMMITS} + 1):
    storage.commit([Advance(1, "one", 0, (an_outcome(f"t#{{n}}", value=b"9" * 3_000),))])
    os.write(1, b"%d" % n)
os._exit(0)
"""


def trace_owner(directory: Path, durability: str, synchronous: int) -> list[Event]:
    """Record what an owner writes that commits, and says so each time."""
    place = directory / "data" / "power.db"
    command = (sys.executable, "-c", OWNER, place, durability, str(synchronous))
    return trace(command, directory / "trace")


def recorded(image: Image, directory: Path, *, accept_loss: bool) -> int | None:
    """Put an image on the disk, and count the outcomes in it; ``None`` if it is damaged."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(0o700)
    for name, contents in image.files.items():
        if Path(name).name.startswith("power.db") and not name.endswith("-shm"):
            (directory / Path(name).name).write_bytes(contents)
    place = directory / "power.db"
    if not place.exists():
        return 0
    storage = SQLiteStorage(place, accept_loss=accept_loss)
    try:
        with closing(sqlite3.connect(place, isolation_level=None)) as connection:
            if not connection.execute("SELECT * FROM sqlite_schema").fetchall():
                return 0
            found = examine(connection, str(place)).damage
        storage.open()
    except (sqlite3.Error, ClawError):
        return None
    try:
        if found:
            return None
        [loaded] = storage.load([1]) or [None]
        return 0 if loaded is None else len(loaded.entries) - 1
    finally:
        storage.abandon()


def count(
    tmp_path: Path, table: Path, tell: Callable[[str], None], durability: str, synchronous: int
) -> tuple[int, int]:
    """Count at how many moments something acknowledged was lost, and at how many damaged."""
    events = trace_owner(tmp_path, durability, synchronous)
    random = Random(f"{durability} {synchronous}")
    lost = damaged = 0
    for image in images(events, MOMENTS, random):
        # The default may not even seem to have lost something.
        found = recorded(image, table, accept_loss=durability == "process")
        damaged += found is None
        lost += found is not None and found < int(image.said or 0)
    tell(f"power loss, synchronous={synchronous}: {lost} lost, {damaged} damaged, of {MOMENTS}")
    return lost, damaged


def test_power_loss_takes_no_acknowledged_commit_and_damages_nothing(tmp_path, table, tell):
    """The default: whatever a disk has kept of what was not synced."""
    assert count(tmp_path, table, tell, "power_loss", 2) == (0, 0)


def test_durability_process_loses_commits_and_damages_nothing(tmp_path, table, tell):
    """That is what its name says; and the disk of these tests does lose what is not synced."""
    lost, damaged = count(tmp_path, table, tell, "process", 1)
    assert lost > 0
    assert damaged == 0


def test_without_syncing_a_database_is_damaged(tmp_path, table, tell):
    """A negative control: this is not offered, and the examination sees why."""
    lost, damaged = count(tmp_path, table, tell, "process", 0)
    assert lost > 0
    assert damaged > 0
