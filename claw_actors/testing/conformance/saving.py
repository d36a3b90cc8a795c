"""``SaveWorkflow`` and ``SaveTask``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..._core.journal import EntryStatus
from ..._core.lifecycle import Status
from ...errors import NotFoundError, StaleWriteError
from ...storage.operations import (
    Advance,
    Advanced,
    Claim,
    Claimed,
    Saved,
    SaveTask,
    SaveWorkflow,
)
from ...storage.records import RowChange
from .case import case
from .driving import create, do, image, load_one, refused
from .samples import a_row, a_timer, a_void, an_end, an_outcome, open_work

if TYPE_CHECKING:
    from ...storage.backend import Backend


@case
def a_saved_workflow_reads_back(backend: Backend) -> None:
    """Columns are set, the result is appended, the answer is the new revision."""
    pk = create(backend)
    change = RowChange(status=Status.COMPLETED, completed_at=20.0)
    operation = SaveWorkflow("one", 1, change, (an_end(b"42"),))
    assert do(backend, operation, Saved) == Saved(2)
    stored = backend.get_workflow("one")
    assert stored.row == attrs.evolve(
        a_row(status=Status.COMPLETED, completed_at=20.0), pk=pk, revision=2
    )
    assert stored.end == attrs.evolve(an_end(b"42"), n=1)


@case
def a_save_on_another_revision_is_refused(backend: Backend) -> None:
    """Compare-and-swap: what has changed since it was read is not overwritten."""
    create(backend, attrs.evolve(a_row(), revision=3))
    change = RowChange(reason="mine")
    for revision in (2, 4):
        operation = SaveWorkflow("one", revision, change, (an_end(),))
        error = refused(backend, operation, StaleWriteError)
        assert (error.id, error.what) == ("one", "revision")
        assert (error.expected, error.found) == (revision, 3)


@case
def of_two_saves_on_one_revision_the_first_wins(backend: Backend) -> None:
    """In one group too, the second sees what the first did."""
    create(backend)
    first, second, third = backend.commit(
        [
            SaveWorkflow("one", 1, RowChange(reason="first")),
            SaveWorkflow("one", 1, RowChange(reason="second")),
            SaveWorkflow("one", 2, RowChange(description="third")),
        ]
    )
    assert first == Saved(2)
    assert isinstance(second, StaleWriteError)
    assert third == Saved(3)
    row = backend.get_workflow("one").row
    assert (row.reason, row.description) == ("first", "third")


@case
def an_empty_change_counts_as_one(backend: Backend) -> None:
    """A save that sets nothing still raises the revision."""
    create(backend)
    assert do(backend, SaveWorkflow("one", 1, RowChange()), Saved) == Saved(2)
    assert backend.get_workflow("one").row.revision == 2


@case
def saving_what_is_not_there_is_refused(backend: Backend) -> None:
    """Neither a workflow nor a task of it is made by saving it."""
    operations = (
        SaveWorkflow("nobody", 1, RowChange()),
        SaveTask("nobody", opened=open_work()),
        SaveTask("nobody", entry=an_outcome()),
    )
    for operation in operations:
        error = refused(backend, operation, NotFoundError)
        assert (error.kind, error.id) == ("workflow", "nobody")


@case
def saved_open_work_is_inserted_and_replaced(backend: Backend) -> None:
    """Open work is kept by op, and the row is not touched."""
    create(backend, attrs.evolve(a_row(), revision=6))
    before = backend.get_workflow("one")
    for attempt in (1, 2):
        operation = SaveTask("one", opened=open_work("a", attempt=attempt))
        assert do(backend, operation, Saved) == Saved(6)
    assert backend.read_tasks("one") == ([], [open_work("a", attempt=2)])
    assert backend.get_workflow("one") == before


@case
def a_saved_outcome_ends_open_work(backend: Backend) -> None:
    """Recording an outcome deletes that task's open work, and no other's, nor touches the row."""
    create(backend)
    before = backend.get_workflow("one")
    for op in ("a", "b"):
        do(backend, SaveTask("one", opened=open_work(op)), Saved)
    assert do(backend, SaveTask("one", entry=an_outcome("a")), Saved) == Saved(1)
    outcomes, work = backend.read_tasks("one")
    assert outcomes == [attrs.evolve(an_outcome("a"), n=1)]
    assert work == [open_work("b")]
    assert backend.get_workflow("one") == before


@case
def the_same_outcome_again_does_nothing(backend: Backend) -> None:
    """A repeat, equal but for its number and time, is answered and changes nothing."""
    create(backend, "one", an_outcome("a", at=5.0))
    before = image(backend)
    again = attrs.evolve(an_outcome("a", at=6.0), n=9)
    assert do(backend, SaveTask("one", entry=again), Saved) == Saved(1)
    assert image(backend) == before


@case
def a_recorded_task_is_never_changed(backend: Backend) -> None:
    """Another outcome, or open work, for a task whose outcome is recorded is refused."""
    recorded = an_outcome("a", value=b"1")
    create(backend, "one", recorded)
    for entry, differs in (
        (attrs.evolve(recorded, value=b"2"), ("result",)),
        (attrs.evolve(recorded, value=None, at=9.0), ("result",)),
        (attrs.evolve(recorded, status=EntryStatus.FAILED, value=b"2"), ("status", "result")),
        (attrs.evolve(recorded, attempt=2), ("attempt",)),
        (attrs.evolve(recorded, started_at=3.0), ("started_at",)),
        (attrs.evolve(recorded, digest=b"0123456789abcdef"), ("digest",)),
    ):
        error = refused(backend, SaveTask("one", entry=entry), StaleWriteError)
        assert (error.id, error.what, error.differs) == ("one", "task", differs)
        assert (error.expected, error.found) == (entry.status, "ok")
    error = refused(backend, SaveTask("one", opened=open_work("a")), StaleWriteError)
    assert (error.id, error.what, error.differs) == ("one", "task", ())
    assert (error.expected, error.found) == ("retrying", "ok")


@case
def of_two_outcomes_in_one_group_the_first_is_recorded(backend: Backend) -> None:
    """The second is compared with what the first did, of the same task only."""
    pk = create(backend)
    create(backend, "two")
    other = an_outcome("a", value=b"2")
    results = backend.commit(
        [
            SaveTask("one", entry=an_outcome("a")),
            SaveTask("one", entry=an_outcome("b")),
            SaveTask("two", entry=other),
            SaveTask("one", entry=an_outcome("a")),
            SaveTask("one", entry=other),
            SaveTask("one", opened=open_work("b")),
            SaveTask("one", entry=an_outcome("c")),
            SaveTask("one", entry=an_outcome("c", value=b"2")),
        ]
    )
    assert [*results[:4], results[6]] == [Saved(1)] * 5
    assert [type(results[n]) for n in (4, 5, 7)] == [StaleWriteError] * 3
    recorded = [attrs.evolve(an_outcome(op), n=n) for n, op in enumerate("abc", start=1)]
    assert backend.read_tasks("one") == (recorded, [])
    assert backend.read_tasks("two") == ([attrs.evolve(other, n=1)], [])
    third = SaveTask("one", entry=an_outcome("d", value=b"2"))
    advanced, refusal = backend.commit([Advance(pk, "one", 0, (an_outcome("d"),)), third])
    assert advanced == Advanced(4)
    assert isinstance(refusal, StaleWriteError)


@case
def what_an_incarnation_has_recorded_is_never_changed(backend: Backend) -> None:
    """Committed or in the same group; the same again is answered, and other tasks may be saved."""
    pk = create(backend)
    do(backend, Claim(((pk, 0),), 1.0, counted=False), Claimed)
    first, second = (attrs.evolve(an_outcome(op), life=1) for op in ("a", "b"))
    do(backend, Advance(pk, "one", 1, (first,)), Advanced)
    advanced, *saved = backend.commit(
        [
            Advance(pk, "one", 1, (second,)),
            SaveTask("one", entry=first),
            SaveTask("one", entry=second),
            SaveTask("one", entry=an_outcome("c")),
            SaveTask("one", entry=an_outcome("a")),
            SaveTask("one", opened=open_work("b")),
        ]
    )
    assert advanced == Advanced(2)
    assert saved[:3] == [Saved(2)] * 3
    assert [type(result) for result in saved[3:]] == [StaleWriteError] * 2
    assert [entry.op for entry in load_one(backend, pk).entries] == ["", "a", "b", "c"]


@case
def of_an_outcome_recorded_anew_the_last_one_counts(backend: Backend) -> None:
    """Saving what was voided once more is refused, saving what stands does nothing."""
    failed = an_outcome("a", status=EntryStatus.FAILED)
    pk = create(backend, "one", failed)
    void = Advance(pk, "one", 0, (a_void(1),))
    assert backend.commit([void, SaveTask("one", entry=an_outcome("a"))]) == [Advanced(2), Saved(1)]
    assert do(backend, SaveTask("one", entry=an_outcome("a")), Saved) == Saved(1)
    refused(backend, SaveTask("one", entry=failed), StaleWriteError)
    assert len(load_one(backend, pk).entries) == 4


@case
def a_voided_outcome_may_be_recorded_anew(backend: Backend) -> None:
    """After a void note the task is open again, for work and then for another outcome."""
    failed = an_outcome("a", status=EntryStatus.FAILED)
    pk = create(backend, "one", failed)
    do(backend, Advance(pk, "one", 0, (a_void(1),)), Advanced)
    do(backend, SaveTask("one", opened=open_work("a")), Saved)
    do(backend, SaveTask("one", entry=an_outcome("a")), Saved)
    assert backend.read_tasks("one") == ([attrs.evolve(an_outcome("a"), n=3)], [])


@case
def only_an_outcome_of_a_task_counts_as_one(backend: Backend) -> None:
    """An entry of another kind with the same op does not stand in the way."""
    pk = create(backend, "one", a_timer("a"))
    do(backend, SaveTask("one", entry=an_outcome("a")), Saved)
    assert [entry.op for entry in load_one(backend, pk).entries] == ["", "a", "a"]
