"""``claw stats``."""

from __future__ import annotations

import os

import attrs
import pytest

from claw_actors import OwnerStatistics, RuntimeStatistics, SQLiteStorage
from claw_actors.cli import counting
from claw_actors.cli.counting import _size
from claw_actors.storage.actor import StorageStatistics


def test_workflows_are_counted_by_status(claw, claw_json, tmp_path):
    """All of them, with the oldest of those that have not ended; and what the files take."""
    [counted] = claw_json("stats")
    listed = claw_json("list")
    assert sum(counted["workflows"].values()) == len(listed)
    for status, count in counted["workflows"].items():
        assert count == sum(state["status"] == status for state in listed)
    unfinished = ("waiting", "paused", "quarantined")
    assert counted["oldest"] == {
        status: min(state["created_at"] for state in listed if state["status"] == status)
        for status in unfinished
    }
    assert counted["bytes"] > 10_000
    assert counted["next_due"] is None
    assert _size(tmp_path / "a log that was moved into the database") == 0
    text = claw("stats").stdout
    assert "quarantined  1" in text
    assert f"in all  {len(listed)}" in text


# -- the owner --------------------------------------------------------------------------------------


def test_where_nobody_owns_it_that_is_said(claw, claw_json):
    """There is nobody to ask, and nothing is wrong."""
    assert claw("stats").stdout.splitlines()[-1] == "owner   nobody"
    [counted] = claw_json("stats")
    assert (counted["owner"], counted["owner_trouble"]) == (None, None)


def test_an_owner_that_cannot_be_asked_is_named(claw, claw_json, place, monkeypatch):
    """What is counted needs nobody: the command has not failed."""
    monkeypatch.setattr(counting, "OWNER_PATIENCE_S", 0.01)
    storage = SQLiteStorage(place)
    storage.open()
    try:
        told = claw("stats").stdout.splitlines()[-1]
        [counted] = claw_json("stats")
    finally:
        storage.close()
    assert told.startswith(f"owner   claw.db is owned by pid {os.getpid()} on ")
    assert counted["owner"] is None
    assert "could not be asked: it has no control socket" in counted["owner_trouble"]


@pytest.mark.parametrize(
    ("took", "unavailable", "commits", "storage"),
    [
        (None, None, "0; 7 writes wait", []),
        (0.0004, "full", "0, the last one in 0.4 ms; 7", ["full"]),
    ],
)
def test_what_the_owner_tells_is_shown(claw, monkeypatch, took, unavailable, commits, storage):
    """Who it is, what is in memory, what runs, and how it is written."""
    numbers = {field.name: 0 for field in attrs.fields(StorageStatistics)}
    told = StorageStatistics(
        **numbers | {"queued": 7, "last_commit_seconds": took, "unavailable": unavailable}
    )
    numbers = {field.name: 0 for field in attrs.fields(RuntimeStatistics)}
    now = RuntimeStatistics(
        **numbers
        | {"active": 1_234, "idle": 1_000, "running_tasks": 3, "attempts": 5, "storage": told}
        | {"up_seconds": 7_260.0}
    )
    owner = OwnerStatistics(pid=12, host="h", version="1.2", runtime=now)

    async def answer(client):
        return owner

    monkeypatch.setattr("claw_actors.Client.owner", answer)
    fields = dict(line.split("  ", 1) for line in claw("stats").stdout.splitlines() if "  " in line)
    fields = {name: text.strip() for name, text in fields.items()}
    assert fields["owner"] == "pid 12 on h, claw_actors 1.2, open for 2 h 1 min"
    assert fields["in memory"] == "1,234 workflows, 1,000 of them only wait"
    assert fields["tasks"] == "3 run now, 5 attempts begun"
    assert fields["commits"].startswith(commits)
    assert [fields[name] for name in ("storage",) if name in fields] == storage
