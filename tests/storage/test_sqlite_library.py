"""Which versions of SQLite have which defect, and that the one that can reach us does not."""

from __future__ import annotations

import random
import shutil
import sqlite3
from contextlib import closing

import pytest

from claw_actors.errors import DuplicateKeyError
from claw_actors.storage.operations import Atomic, Create
from claw_actors.storage.sqlite import SQLiteStorage
from claw_actors.storage.sqlite import connection as connections
from claw_actors.storage.sqlite.library import BUGS, find_bugs, loses_spilled_commits
from claw_actors.testing.conformance.samples import a_row, a_start


def names(*version: int) -> list[str]:
    return [bug.name for bug in find_bugs(version)]


@pytest.mark.parametrize(
    ("version", "has_it"),
    [
        ((3, 6, 23), False),
        ((3, 7, 0), True),
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 0), True),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
        ((3, 53, 4), False),
    ],
)
def test_the_wal_reset_bug_is_mended_in_three_branches(version, has_it):
    """As SQLite's page about it says."""
    assert ("wal_reset" in names(*version)) is has_it


@pytest.mark.parametrize(
    ("name", "first", "before", "last", "fixed"),
    [
        ("spilled_savepoint", (3, 11, 0), (3, 10, 2), (3, 50, 1), (3, 50, 2)),
        ("memory_savepoint", (3, 35, 0), (3, 34, 1), (3, 37, 1), (3, 37, 2)),
        ("exists_join", (3, 51, 0), (3, 50, 7), (3, 51, 1), (3, 51, 2)),
        ("lock_check_deadlock", (3, 51, 0), (3, 50, 7), (3, 51, 1), (3, 51, 2)),
    ],
)
def test_a_defect_begins_and_ends_with_a_version(name, first, before, last, fixed):
    """From the first one that has it, to the last."""
    assert name in names(*first)
    assert name in names(*last)
    assert name not in names(*before)
    assert name not in names(*fixed)


def test_a_version_without_known_defects_has_none():
    """And every entry of the table says all that a person needs."""
    assert find_bugs((3, 51, 3)) == ()
    assert len({bug.name for bug in BUGS}) == len(BUGS)
    for bug in BUGS:
        assert bug.what
        assert bug.advice
        assert bug.source.startswith("https://sqlite.org/")


def spill_and_roll_back(path) -> list[str]:
    """Refuse a transaction that is larger than the cache, commit twice, and crash; tell what is left."""
    storage = SQLiteStorage(path)
    storage.open()
    storage.commit([Create(a_row("taken"), (a_start(),))])
    # Ids in no order touch the pages of their index again and again.
    chosen = random.Random(3)
    long = [f"{chosen.getrandbits(64):x}{'x' * 150}" for _ in range(12_000)]
    parts = (
        *(Create(a_row(id), (a_start(),)) for id in long),
        Create(a_row("taken"), (a_start(),)),
    )
    first, refused, second = storage.commit(
        [Create(a_row("first"), (a_start(),)), Atomic(parts), Create(a_row("second"), (a_start(),))]
    )
    assert isinstance(refused, DuplicateKeyError)
    assert type(first) is type(second)
    storage.commit([Create(a_row("later"), (a_start(),))])
    # What a crash leaves: the files, and nothing of the shared memory.
    left = path.with_name("left.db")
    for end in ("", "-wal"):
        shutil.copy(f"{path}{end}", f"{left}{end}")
    storage.close()
    with closing(sqlite3.connect(left)) as connection:
        return [id for (id,) in connection.execute("SELECT id FROM claw_workflow ORDER BY pk")]


def test_a_refused_transaction_larger_than_the_cache_costs_no_commit(path):
    """Before SQLite 3.50.2 it would take every later commit with it, at the next crash."""
    assert spill_and_roll_back(path) == ["taken", "first", "second", "later"]


@pytest.mark.skipif(
    not loses_spilled_commits(sqlite3.sqlite_version_info),
    reason=f"SQLite {sqlite3.sqlite_version} does not have the defect",
)
def test_it_would_without_the_setting(path, monkeypatch):
    """So the test above can fail."""
    monkeypatch.setattr(connections, "loses_spilled_commits", lambda version: False)
    assert spill_and_roll_back(path) != ["taken", "first", "second", "later"]


@pytest.mark.parametrize(("version", "kept"), [((3, 50, 1), True), ((3, 50, 2), False)])
def test_only_a_version_that_needs_it_keeps_whole_transactions_in_memory(
    path, monkeypatch, version, kept
):
    """The others may spill."""
    monkeypatch.setattr(
        connections, "loses_spilled_commits", lambda _: loses_spilled_commits(version)
    )
    storage = SQLiteStorage(path)
    storage.open()
    place = connections.Place(str(path))
    with closing(connections.open_writing(place, "power_loss", new=False)) as connection:
        (pages,) = connection.execute("PRAGMA cache_spill").fetchone()
    storage.close()
    assert (pages == 0) is kept
