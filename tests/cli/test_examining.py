"""The doctor: what is wrong, and what to do about it."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import attrs
import pytest
import trio

from claw_actors import examine
from claw_actors.cli.examining import LARGE_LOG_BYTES, find_problems


@pytest.fixture
def healthy(claw):
    """Have nothing quarantined."""
    claw("terminate", "poisoned")


def test_a_healthy_database_is_said_to_be_one(claw, healthy, place):
    """With how it is."""
    lines = claw("doctor").stdout.splitlines()
    assert lines[0].split() == ["database", str(place)]
    told = dict(line.split(maxsplit=1) for line in lines[:-1])
    assert told["owner"] == "nobody; the last one closed it"
    assert told["workflows"] == "5"
    assert lines[-1] == "nothing is wrong"


def test_programs_get_the_report_and_the_problems(claw_json, healthy):
    """As one object."""
    (found,) = claw_json("doctor")
    assert found["problems"] == []
    assert (found["database"]["damage"], found["database"]["owner"]) == ([], None)


def test_quarantined_workflows_are_named_with_what_to_do(claw, claw_json):
    """A health check of storage alone does not count them."""
    lines = claw("doctor", code=1).stdout.splitlines()
    assert lines[-2].startswith("WRONG  workflow 'poisoned' is quarantined: ")
    assert "claw retry poisoned" in lines[-1]
    (found,) = claw_json("doctor", code=1)
    assert len(found["problems"]) == 1
    assert claw("doctor", "--storage-only").stdout.endswith("nothing is wrong\n")


def test_damage_lost_commits_and_a_cut_off_owner_are_found(claw, healthy, place):
    """Each with its advice."""
    with closing(sqlite3.connect(place, isolation_level=None)) as connection:
        connection.execute("UPDATE claw_workflow SET description = 'x' WHERE id = 'failed'")
        connection.execute("UPDATE claw_meta SET commits = commits - 2, clean = 0")
    lines = claw("doctor", "--storage-only", code=1).stdout.splitlines()
    wrong = [line for line in lines if line.startswith("WRONG")]
    assert len(wrong) == 2
    assert "'failed'" in wrong[0]
    assert wrong[1] == "WRONG  2 commits were acknowledged and are not there any more"
    assert "owner      nobody; the last one was cut off, so the next one recovers" in lines


def test_a_log_that_has_grown_too_large_is_a_problem(place):
    """Somebody reads for too long."""
    report = trio.run(examine, place)
    assert list(find_problems(attrs.evolve(report, wal_bytes=LARGE_LOG_BYTES), ())) == []
    (problem,) = find_problems(attrs.evolve(report, wal_bytes=LARGE_LOG_BYTES + 1), ())
    assert problem.what == "the log beside the database has 268,435,457 bytes"


def test_a_database_that_cannot_be_read_is_a_failure(claw, place):
    """One line says so."""
    place.write_bytes(b"no database" * 1_000)
    done = claw("doctor", code=1)
    assert done.stderr.startswith(f"claw: {place.name} is damaged: ")
    assert len(done.stderr.splitlines()) == 1
