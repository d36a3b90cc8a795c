"""The doctor: what is wrong, what is only worth knowing, and what to do about it."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from claw_actors.storage.sqlite import diagnosis, stuck


@pytest.fixture
def healthy(claw):
    """Have nothing quarantined."""
    claw("terminate", "poisoned")


@pytest.fixture(autouse=True)
def sound(monkeypatch):
    """Read with a version of SQLite that nothing is known to be wrong with."""
    monkeypatch.setattr(diagnosis, "find_bugs", lambda version: ())


def change(place, *statements):
    with closing(sqlite3.connect(place, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_a_healthy_database_is_said_to_be_one(claw, healthy, place):
    """With how it is."""
    lines = claw("doctor").stdout.splitlines()
    assert not any(line.startswith(("WRONG", "NOTE")) for line in lines)
    assert lines[0].split() == ["database", str(place)]
    told = dict(line.split(maxsplit=1) for line in lines[:-1])
    assert told["owner"] == "nobody; the last one closed it"
    assert told["workflows"] == "5"
    assert lines[-1] == "nothing is wrong"


def test_programs_get_the_report_and_what_was_found(claw_json, healthy):
    """As one object."""
    (found,) = claw_json("doctor")
    assert (found["problems"], found["notes"]) == ([], [])
    assert (found["database"]["damage"], found["database"]["owner"]) == ([], None)


def test_quarantined_workflows_are_named_with_what_to_do(claw, claw_json):
    """Whoever asks for storage only does not hear of them."""
    lines = claw("doctor", code=1).stdout.splitlines()
    assert lines[-2].startswith("WRONG  workflow 'poisoned' is quarantined: ")
    assert "claw retry poisoned" in lines[-1]
    (found,) = claw_json("doctor", code=1)
    (problem,) = found["problems"]
    assert (problem["kind"], problem["example"]) == ("quarantined", "poisoned")
    for option in ("--storage-only", "--quick"):
        assert claw("doctor", option).stdout.endswith("nothing is wrong\n")


def test_damage_lost_commits_and_a_cut_off_owner_are_found(claw, healthy, place):
    """Each with its advice."""
    change(
        place,
        "UPDATE claw_workflow SET description = 'x' WHERE id = 'failed'",
        "UPDATE claw_meta SET commits = commits - 2, clean = 0",
    )
    lines = claw("doctor", "--storage-only", code=1).stdout.splitlines()
    wrong = [line for line in lines if line.startswith("WRONG")]
    assert len(wrong) == 2
    assert "'failed'" in wrong[0]
    assert wrong[1] == "WRONG  2 commits were acknowledged and are not there any more"
    assert "owner      nobody; the last one was cut off, so the next one recovers" in lines


def test_a_quick_look_reads_no_rows_and_misses_no_lost_commits(claw, place):
    """It is for a health check, every minute."""
    change(place, "UPDATE claw_workflow SET description = 'x' WHERE id = 'failed'")
    assert "rows       not read" in claw("doctor", "--quick").stdout
    change(place, "UPDATE claw_meta SET commits = commits - 2")
    assert "2 commits were acknowledged" in claw("doctor", "--quick", code=1).stdout


def test_a_note_is_told_and_fails_nothing(claw, claw_json, healthy, place, monkeypatch):
    """A log that has grown is no reason to restart anything."""
    monkeypatch.setattr(diagnosis, "LARGE_LOG_BYTES", -1)
    lines = claw("doctor", "--quick").stdout.splitlines()
    assert lines[-3] == "NOTE   the log beside the database has 0 bytes"
    assert lines[-1] == "nothing is wrong"
    (found,) = claw_json("doctor")
    assert [note["kind"] for note in found["notes"]] == ["large_log"]


def test_a_suspect_is_a_note_about_a_workflow(claw, healthy, monkeypatch):
    """Storage has nothing to do with it."""
    monkeypatch.setattr(stuck, "SUSPICIOUS_RECOVERIES", 0)
    lines = claw("doctor").stdout.splitlines()
    assert lines[-3].startswith("NOTE   recovered twice or more without progress: 1, such as 'wai")
    assert "NOTE" not in claw("doctor", "--storage-only").stdout


def test_a_database_that_cannot_be_read_is_a_failure(claw, place):
    """One line says so."""
    place.write_bytes(b"no database" * 1_000)
    done = claw("doctor", code=1)
    assert done.stderr.startswith(f"claw: {place.name} is damaged: ")
    assert len(done.stderr.splitlines()) == 1
