"""The order rule, held against random programs that start other workflows."""

from __future__ import annotations

import logging

import pytest

from claw_actors._runtime.brood import Brood
from claw_actors.storage.listeners import Listeners

from .families import explore_family
from .programs import Tally

WAYS = pytest.mark.parametrize(
    ("closes", "passive"), [(0.0, False), (0.5, True)], ids=["crashed", "closed and passive"]
)


@pytest.fixture(autouse=True)
def quiet():
    """Programs crash and are cancelled by the thousand; nobody reads what is logged about that."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def explored(first: int, count: int, *, closes: float = 0.0, passive: bool = False) -> Tally:
    """Explore some programs, each of them by its number."""
    tally = Tally()
    for seed in range(first, first + count):
        explore_family(seed, tally, closes=closes, passive=passive)
    return tally


@WAYS
def test_a_replay_of_any_parent_does_what_the_first_run_did(closes, passive):
    """From every prefix of its journal, with what a crash has left of its children."""
    tally = explored(300, 10, closes=closes, passive=passive)
    assert tally.problems == []
    assert tally.counts["prefixes"] > 30
    assert tally.counts["child_end entries"] > 5


@pytest.mark.slow
@WAYS
def test_a_replay_of_hundreds_of_parents_does_what_the_first_run_did(
    closes, passive, is_long, tell
):
    """Every kind of end occurs."""
    tally = explored(20_000, 1_000 if is_long else 25, closes=closes, passive=passive)
    tell(f"{dict(sorted(tally.counts.items()))}")
    assert tally.problems == []
    for what in ("completed", "failed", "cancelled", "child_end entries"):
        assert tally.counts[what] > 5


def broken(first: int, most: int = 30) -> str:
    """Explore until something does not hold, and return what that is."""
    for seed in range(first, first + most):
        tally = Tally()
        try:
            explore_family(seed, tally)
        except Exception as error:  # what is broken may break in any way
            return repr(error)
        if tally.problems:
            return tally.problems[0]
    raise AssertionError(f"{most} programs did not find it")


def test_ends_that_are_forgotten_on_replay_are_found(monkeypatch):
    """A parent that waits for an end that it was told of in an earlier life waits for ever."""
    end = Brood.end

    def forgetful(brood, entry):
        if entry.n % 2:
            end(brood, entry)

    monkeypatch.setattr(Brood, "end", forgetful)
    assert broken(300)


def test_ends_that_nobody_is_told_of_are_found(monkeypatch):
    """They are in the journal, and yet a parent in memory waits for ever."""
    monkeypatch.setattr(Listeners, "_announce_outside", lambda *_: None)
    assert broken(300)
