"""``claw demo``: it does what it shows, and says so if it does not."""

from __future__ import annotations

import sys

import pytest

from claw_actors import MemoryStorage
from claw_actors.cli import demonstrating
from claw_actors.cli.demonstrating import find_broken, judge

OK = "ok      every cup was brewed, and none again whose task was recorded\n"


def test_what_is_killed_goes_on(process):
    """With real processes, in a directory that is gone afterwards."""
    code, out, err = process("demo")
    assert code == 0, err
    assert out.endswith(OK)


def test_the_database_may_be_looked_at_afterwards(claw, tmp_path):
    """Where it was asked to leave it."""
    kept = tmp_path / "kept"
    out = claw("demo", "--keep", kept).stdout
    assert f"look around: claw export breakfast --format timeline --db {kept}/demo.db" in out
    assert OK in out
    brewed = [int(line) for line in (kept / "cups.log").read_text().splitlines()]
    assert sorted(set(brewed)) == [1, 2, 3, 4, 5, 6]
    assert "is not empty" in claw("demo", "--keep", kept, code=2).stderr


async def test_its_program_brews_each_cup_once_however_often_it_is_started(
    open_claw_runtime, tmp_path, monkeypatch
):
    """In this process; what is killed in the others may not live to say what it has done."""
    monkeypatch.chdir(tmp_path)
    storage = MemoryStorage()
    for _ in range(2):
        async with open_claw_runtime(storage, workflows=demonstrating.workflows) as runtime:
            await demonstrating.serve(runtime)
            cups = [f"cup {cup}" for cup in range(1, 7)]
            assert await runtime.result("breakfast") == cups
    assert (tmp_path / "cups.log").read_text() == "1\n2\n3\n4\n5\n6\n"


def test_a_program_that_ends_is_told_of(claw, monkeypatch):
    """With what it said last, and the exit code of a failure."""
    ending = [sys.executable, "-c", "raise SystemExit('no beans')"]
    monkeypatch.setattr(demonstrating, "_command", lambda: ending)
    assert "the program ended with 1: no beans" in claw("demo", code=1).stderr


def test_a_program_that_hangs_is_given_up(claw, monkeypatch):
    """The demo ends in any case."""
    monkeypatch.setattr(demonstrating, "PATIENCE_S", 0.1)
    monkeypatch.setattr(demonstrating, "_command", lambda: ["sleep", "60"])
    assert "there were no 3 cups within 0.1 s" in claw("demo", code=1).stderr


def test_a_broken_promise_is_shown(capsys):
    """Whatever the program says of itself."""
    assert not judge([1, 1, 2, 3, 4, 5, 6], 1)
    assert capsys.readouterr().out == "BROKEN  cup 1 was brewed 2 times\n"


def test_a_broken_promise_is_a_failure(claw, monkeypatch):
    """For scripts, too."""
    monkeypatch.setattr(demonstrating, "_perform", lambda directory: False)
    claw("demo", code=1)


@pytest.mark.parametrize(
    ("brewed", "recorded", "broken"),
    [
        ([1, 2, 3, 4, 5, 6], 3, []),
        ([1, 2, 3, 3, 4, 5, 6], 2, []),
        ([1, 2, 3, 3, 4, 5, 6], 3, ["cup 3 was brewed 2 times"]),
        ([1, 2, 3, 3, 3, 4, 5, 6], 2, ["cup 3 was brewed 3 times"]),
        ([1, 2, 3, 4, 6], 2, ["cup 5 was never brewed"]),
    ],
)
def test_cups_are_judged_by_what_was_recorded(brewed, recorded, broken):
    """One that was in flight may be brewed once more; no other."""
    assert find_broken(brewed, recorded) == broken
