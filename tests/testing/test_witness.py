"""The witness of the crash explorer, held against forged evidence, one piece at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from claw_actors import MemoryStorage, Status
from claw_actors._core.journal import EntryKind
from claw_actors._runtime.environment import AttemptBegun
from claw_actors.errors import OutcomeUnknownError, StorageUnavailableError
from claw_actors.storage.operations import Advance, Claim, Create, Delete, Send
from claw_actors.storage.records import DeadLetter, StoredValue
from claw_actors.testing.conformance.samples import (
    a_message,
    a_row,
    a_send,
    a_start,
    an_end,
    an_outcome,
)
from claw_actors.testing.disk import CrashPoint, FakeDisk, When
from claw_actors.testing.witness import Witness, read_everything

if TYPE_CHECKING:
    from collections.abc import Callable

    from claw_actors.storage.backend import Backend


@pytest.fixture
def disk() -> FakeDisk:
    """A disk with one workflow that runs, and one outcome in its journal."""
    disk = FakeDisk(MemoryStorage(), None)
    disk.open()
    row = attrs.evolve(a_row("w"), status=Status.RUNNING, life=1)
    disk.commit([Create(row, (a_start(),))])
    disk.commit([Advance(1, "w", 1, (an_outcome("a"),))])
    return disk


def test_a_message_is_promised_to_its_recipient(disk: FakeDisk) -> None:
    """Sent from outside or along with an advance; a duplicate or a refused one promises nothing."""
    disk.commit([Create(a_row("v"), (a_start(),)), Send("v", a_message(), "k")])
    assert disk.acknowledged == {1: (1, 1), 2: (1, 1)}
    sends = (Send("v", a_message()), Send("nobody", a_message()), Send("v", a_message(), "k"))
    entries = tuple(a_send(f"send#{n}") for n in range(3))
    disk.commit([Advance(1, "w", 1, entries, sends=sends)])
    assert disk.acknowledged == {1: (1, 4), 2: (1, 2)}
    disk.commit([Send("v", a_message(), "k"), Send("nobody", a_message())])
    assert disk.acknowledged == {1: (1, 4), 2: (1, 2)}


def test_a_disk_shows_values_and_dead_letters_until_it_dies(disk: FakeDisk) -> None:
    """What is committed can be read, survives, and is refused to a process that is dead."""
    letter = DeadLetter("topic", 1.0, "why", b"1")
    disk.commit([Advance(1, "w", 1, values=(("k", b"1"),), dead_letters=(letter,))])
    reads: tuple[Callable[[Backend], object], ...] = (
        lambda backend: backend.get_value("w", "k"),
        lambda backend: backend.list_values("w"),
        lambda backend: backend.list_dead_letters("w", 0, 9),
    )
    surviving = disk.surviving()
    surviving.open()
    assert disk.read_journal("w", (0, 0), 9) == surviving.read_journal("w", (0, 0), 9)
    found = [read(disk) for read in reads]
    assert found == [b"1", [StoredValue("k", b"1", 0.0)], [attrs.evolve(letter, seq=1)]]
    assert [read(surviving) for read in reads] == found
    disk.die()
    for read in reads:
        with pytest.raises(StorageUnavailableError):
            read(disk)


@pytest.fixture
def witness(disk: FakeDisk) -> Witness:
    """A witness of a life that found all this as it is."""
    return Witness(disk, read_everything(disk.surviving()), probation_s=1.0)


def an_attempt(**changes: object) -> AttemptBegun:
    plain = AttemptBegun(workflow_id="w", task_id="b", attempt=1, life=1, delivered=1)
    return attrs.evolve(plain, **changes)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"workflow_id": "x"}, "its workflow is not durable"),
        ({"task_id": "a"}, "runs again after its record"),
        ({"delivered": 2}, "on the strength of an entry that is not durable"),
        ({"life": 2}, "life 1 is the stored one"),
    ],
)
def test_a_body_that_must_not_run_is_named(
    witness: Witness, changes: dict[str, object], problem: str
) -> None:
    """Each of the four things that must be durable before a body runs."""
    witness.begun(an_attempt(), 0.0)
    assert witness.problems == []
    witness.begun(an_attempt(**changes), 0.0)
    assert problem in witness.problems[0]


@pytest.mark.parametrize(
    ("counted", "elapsed_s", "good"), [(True, 0.0, True), (False, 0.0, False), (False, 2.0, True)]
)
def test_a_recovery_is_counted_before_its_first_body(
    disk: FakeDisk, witness: Witness, counted: bool, elapsed_s: float, good: bool
) -> None:
    """Unless it has run for a healthy while."""
    disk.commit([Claim(((1, 1),), 1.0, counted=counted)])
    witness.begun(an_attempt(life=2), elapsed_s)
    assert (witness.problems == []) is good
    witness.begun(an_attempt(life=2), elapsed_s)
    assert len(witness.problems) <= 1, "only the first body tells"


def test_what_is_right_is_no_problem(witness: Witness) -> None:
    """The evidence that the others forge from."""
    witness.check_survivors()
    assert witness.problems == []


def test_a_lost_entry_and_a_lost_workflow_are_named(disk: FakeDisk, witness: Witness) -> None:
    """Storage said that they were durable."""
    disk.acknowledged = {1: (1, 2), 7: (1, 0)}
    witness.check_survivors()
    assert witness.problems == [
        "entry 2 of w was acknowledged, and is lost",
        "workflow number 7 was acknowledged, and is lost",
    ]


def test_what_was_deleted_is_not_lost(disk: FakeDisk, witness: Witness) -> None:
    """Deleting takes the promise back."""
    disk.commit([Delete("w")])
    witness.check_survivors()
    assert witness.problems == []


def test_a_life_that_went_down_and_a_changed_journal_are_named(witness: Witness) -> None:
    """What the life found at its start must still be there."""
    [found] = witness.found.values()
    witness.found = {
        1: attrs.evolve(
            found,
            row=attrs.evolve(found.row, life=5),
            entries=(found.entries[0], attrs.evolve(found.entries[1], value=b"7")),
        )
    }
    witness.check_survivors()
    assert witness.problems == ["the life of w went down", "the journal of w was changed"]


def test_a_run_that_went_down_is_named(witness: Witness) -> None:
    """A workflow that has continued as new never goes back."""
    [found] = witness.found.values()
    witness.found = {1: attrs.evolve(found, row=attrs.evolve(found.row, run=found.row.run + 1))}
    witness.check_survivors()
    assert witness.problems == ["the run of w went down"]


def test_gaps_doubles_and_wrong_ends_are_named(disk: FakeDisk, witness: Witness) -> None:
    """A journal is judged by itself, too."""
    disk.commit([Advance(1, "w", 1, (an_outcome("a"), an_end()))])
    witness.check_survivors()
    assert witness.problems == ["a task of w is recorded twice", "w is running and has 1 ends"]
    [loaded] = read_everything(disk.surviving()).values()
    witness.problems.clear()
    witness._check_journal(attrs.evolve(loaded, entries=(loaded.entries[0], loaded.entries[2])))
    assert "the journal of w has gaps" in witness.problems
    assert loaded.entries[-1].kind is EntryKind.END


def test_a_dead_disk_does_nothing_any_more(disk: FakeDisk) -> None:
    """A process that has died neither reads nor writes; what it had synced survives."""
    assert disk.read_tasks("w")[0][0].op == "a"
    disk.die()
    with pytest.raises(StorageUnavailableError, match="the process is dead"):
        disk.read_tasks("w")
    with pytest.raises(OutcomeUnknownError, match="the process is dead"):
        disk.commit([])
    disk.close()
    assert list(read_everything(disk.surviving())) == [1]


def test_a_crash_point_says_when() -> None:
    """What an exploration prints."""
    assert str(CrashPoint(3, When.INSIDE)) == "inside commit 3"
    assert str(CrashPoint(3, When.AFTER, ticks=2)) == "after commit 3, 2 ticks later"
