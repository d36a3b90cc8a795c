"""``claw demo``: it does what it shows, and says so if it does not."""

from __future__ import annotations

import sys

import pytest

from claw_actors.cli import demonstrating
from claw_actors.cli.demonstrating import find_broken


def test_what_is_killed_goes_on(claw, process, tmp_path):
    """With real processes, and a database that may be looked at afterwards."""
    kept = tmp_path / "kept"
    code, out, err = process("demo", "--keep", str(kept))
    assert code == 0, err
    assert f"look around: claw export breakfast --format timeline --db {kept}/demo.db" in out
    assert "ok      every cup was brewed, and none again whose task was recorded\n" in out
    brewed = [int(line) for line in (kept / "cups.log").read_text().splitlines()]
    assert sorted(set(brewed)) == [1, 2, 3, 4, 5, 6]
    assert "is not empty" in claw("demo", "--keep", str(kept), code=2).stderr


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


def test_a_broken_promise_is_shown(claw, monkeypatch):
    """Whatever the program says of itself."""
    monkeypatch.setattr(demonstrating, "find_broken", lambda *_: ["cup 1 was brewed 3 times"])
    assert "BROKEN  cup 1 was brewed 3 times\n" in claw("demo", code=1).stdout


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
