"""The order rule, held against random programs; and the rule broken on purpose, which is found."""

from __future__ import annotations

import gc
import logging
import sys

import attrs
import pytest
from trio.lowlevel import Abort

from claw_actors._core import replay
from claw_actors._core.journal import EntryKind
from claw_actors._runtime import lives
from claw_actors._runtime.inbox import Inbox
from claw_actors._runtime.recovery import Recovery
from claw_actors._runtime.sequencer import Sequencer
from claw_actors._runtime.strand import Strand

from .programs import Tally, explore_program


@pytest.fixture(autouse=True)
def quiet():
    """Programs crash and are cancelled by the thousand; nobody reads what is logged about that."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def explored(
    first: int, count: int, *, closes: float = 0.0, passive: bool = False, pauses: float = 0.0
) -> Tally:
    """Explore some programs, each of them by its number."""
    tally = Tally()
    for seed in range(first, first + count):
        explore_program(seed, tally, closes=closes, passive=passive, pauses=pauses)
    return tally


WAYS = pytest.mark.parametrize(
    ("closes", "passive"),
    [(0.0, False), (0.5, False), (0.0, True), (0.5, True)],
    ids=["crashed", "crashed and closed", "crashed and passive", "crashed, closed and passive"],
)


@WAYS
def test_a_replay_of_any_program_does_what_the_first_run_did(closes, passive):
    """From every prefix of its journal; the long form of this is in the torture."""
    tally = explored(100, 8, closes=closes, passive=passive)
    assert tally.problems == []
    assert tally.counts["prefixes"] > 30
    assert (tally.counts["closed in mid-life"] > 10) == bool(closes)
    assert (tally.counts["passivated"] > 10) == passive


@pytest.mark.slow
@pytest.mark.parametrize("passive", [False, True])
def test_a_program_that_is_paused_and_resumed_does_what_it_would_have_done(passive):
    """At any moment, also while it leaves or comes: nothing runs twice, nothing is lost."""
    tally = explored(300, 10, closes=0.2, passive=passive, pauses=0.7)
    assert tally.problems == []
    assert tally.counts["paused"] > 30


@pytest.mark.slow
@WAYS
def test_a_replay_of_hundreds_of_programs_does_what_the_first_run_did(
    closes, passive, is_long, tell
):
    """Every kind of entry, of ending and of operation occurs."""
    tally = explored(10_000, 2_000 if is_long else 45, closes=closes, passive=passive)
    counts = tally.counts
    tell(f"{dict(sorted(counts.items()))}")
    assert tally.problems == []
    for what in ("completed", "failed", "cancelled", "timeout entries", "timer entries"):
        assert counts[what] > 3


@pytest.mark.slow
@pytest.mark.parametrize("closes", [0.0, 0.5], ids=["crashed", "crashed and closed"])
def test_any_program_is_rolled_back(closes):
    """What it had registered, last first, from wherever it is resumed."""
    tally = Tally()
    for seed in range(500, 512):
        explore_program(seed, tally, closes=closes, undoing=True)
    assert tally.problems == []
    assert tally.counts["rollback entries"] > 5


@pytest.mark.slow
def test_hundreds_of_programs_are_rolled_back(is_long):
    """The same, with more of them."""
    tally = Tally()
    for seed in range(20_000, 20_000 + (2_000 if is_long else 45)):
        explore_program(seed, tally, closes=0.2, undoing=True)
    assert tally.problems == []


# -- the rule broken on purpose -----------------------------------------------------------------------


def must_be_found(first: int, *, most: int = 60, passive: bool = False) -> str:
    """Explore until something does not hold, and return what that is."""
    for seed in range(first, first + most):
        tally = Tally()
        try:
            explore_program(seed, tally, passive=passive)
        except Exception as error:  # what is broken may break in any way
            tally.problems.append(repr(error))
        if tally.problems:
            discard_wrecks()
            return tally.problems[0]
    raise AssertionError(f"{most} programs did not find it")


def discard_wrecks() -> None:
    """Let go now of what a broken run has left: it would wake up in the next one."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        gc.collect()
    finally:
        sys.unraisablehook = hook


def test_finds_another_order_of_delivery(monkeypatch):
    """A past whose entries are delivered in another order than they were committed in."""

    def swapped(journal):
        past = replay.read_past(journal)
        entries = list(past.entries)
        for n in range(len(entries) - 1):
            if entries[n].after == entries[n + 1].after:
                entries[n], entries[n + 1] = entries[n + 1], entries[n]
                break
        return attrs.evolve(past, entries=type(past.entries)(entries))

    monkeypatch.setattr(lives, "read_past", swapped)
    must_be_found(110)


def test_finds_conditions_that_are_judged_too_late(monkeypatch):
    """After the next entry instead of before it: live there is none yet, on replay there is."""
    honest = Sequencer._resume_first_true

    def late(self):
        return not self.upcoming.queue and honest(self)

    monkeypatch.setattr(Sequencer, "_resume_first_true", late)
    must_be_found(100)


def test_finds_a_cancellation_that_does_not_wait_for_its_turn(monkeypatch):
    """Trio wakes cancelled tasks in an order of its own."""

    def at_once(self, raise_cancel):
        sequencer, operation = self.sequencer, self.operation
        if operation is None or getattr(operation, "is_task", False) or self.is_sealed:
            return honest(self, raise_cancel)
        sequencer.operations.close(operation)
        self.parked = False
        sequencer.turns.holder = self
        return Abort.SUCCEEDED

    honest = Strand._abort
    monkeypatch.setattr(Strand, "_abort", at_once)
    must_be_found(104)


def test_finds_entries_that_are_delivered_in_the_order_of_arrival_only_live(monkeypatch):
    """Live, an outcome overtakes those that were committed before it."""
    honest = Sequencer.committed

    def overtaking(self, entry):
        honest(self, entry)
        if len(self.upcoming.queue) > 1 and not self.replaying:
            self.upcoming.queue.rotate(1)

    monkeypatch.setattr(Sequencer, "committed", overtaking)
    must_be_found(100)


def test_finds_messages_that_are_there_before_their_turn(monkeypatch):
    """Live, one can be taken from the moment of its commit, and not only in its place."""
    honest, put_honestly = Sequencer.committed, Inbox.put

    def early(self, entry):
        if entry.kind is EntryKind.MESSAGE and entry.n > self.committed_n:
            self.inbox.put(entry)
        honest(self, entry)

    def once(self, entry):
        numbers = vars(self).setdefault("numbers", set())
        if entry.n not in numbers:
            numbers.add(entry.n)
            put_honestly(self, entry)

    monkeypatch.setattr(Sequencer, "committed", early)
    monkeypatch.setattr(Inbox, "put", once)
    must_be_found(110)


def test_finds_a_wake_up_that_is_lost(monkeypatch):
    """One that leaves memory for a time, and is not brought back at that time."""
    monkeypatch.setattr(Recovery, "left", lambda self, pk, id, left: None)
    assert "stuck" in must_be_found(106, passive=True)
