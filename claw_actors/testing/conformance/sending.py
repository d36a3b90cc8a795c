"""``Send``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..._core.lifecycle import TERMINAL, Status
from ...errors import NotFoundError, WorkflowClosedError
from ...storage.operations import Advance, Advanced, Delete, Deleted, Send, Sent
from ...storage.records import WakeTime
from .case import case
from .driving import EARLIEST, create, do, load_one, refused
from .samples import a_cancel, a_row, an_outcome

if TYPE_CHECKING:
    from ...storage.backend import Backend


@case
def what_is_sent_takes_its_place_in_the_journal(backend: Backend) -> None:
    """Entries from outside and from within are numbered in one order, that of the commits."""
    pk = create(backend)
    results = backend.commit(
        [
            Advance(pk, "one", 0, (an_outcome("a"),)),
            Send("one", a_cancel()),
            Advance(pk, "one", 0, (an_outcome("b"),)),
        ]
    )
    assert results == [Advanced(1), Sent(pk, 2), Advanced(3)]
    assert load_one(backend, pk).entries[2] == attrs.evolve(a_cancel(), n=2)


@case
def a_waiting_workflow_becomes_due(backend: Backend) -> None:
    """Its time to wake is the entry's, so that it is found even if nobody lives to wake it."""
    pk = create(backend, a_row(status=Status.WAITING, wake_at=9_000.0))
    create(backend, a_row("other", status=Status.WAITING, wake_at=8_000.0))
    before = backend.get_workflow("one").row
    do(backend, Send("one", a_cancel(at=500.0)), Sent)
    assert backend.get_workflow("one").row == attrs.evolve(before, wake_at=500.0, revision=2)
    assert backend.list_wake_times(EARLIEST, 1) == [WakeTime(500.0, pk, "one", since=500.0)]
    assert [row.id for row in backend.list_unfinished(0, 500.0, 10).rows] == ["one"]


@case
def one_that_waits_for_no_time_becomes_due_too(backend: Backend) -> None:
    """A waiting workflow without a time to wake gets one."""
    pk = create(backend, a_row(status=Status.WAITING))
    do(backend, Send("one", a_cancel(at=500.0)), Sent)
    assert backend.list_wake_times(EARLIEST, 10) == [WakeTime(500.0, pk, "one", since=500.0)]


@case
def other_rows_are_not_touched(backend: Backend) -> None:
    """What does not wait keeps its row as it is; the entry is there."""
    for status in set(Status) - TERMINAL - {Status.WAITING}:
        pk = create(backend, a_row(status.value, status=status))
        before = backend.get_workflow(status.value).row
        assert do(backend, Send(status.value, a_cancel()), Sent) == Sent(pk, 1)
        assert backend.get_workflow(status.value).row == before
        assert len(load_one(backend, pk).entries) == 2


@case
def a_workflow_that_has_ended_takes_nothing(backend: Backend) -> None:
    """Sending to one that is completed, failed or cancelled is refused, naming which."""
    for status in TERMINAL:
        create(backend, a_row(status.value, status=status))
        error = refused(backend, Send(status.value, a_cancel()), WorkflowClosedError)
        assert (error.id, error.status) == (status.value, status.value)


@case
def sending_to_nobody_is_refused(backend: Backend) -> None:
    """An unknown id is refused, and so is one that was deleted."""
    create(backend, "deleted")
    do(backend, Delete("deleted"), Deleted)
    for id in ("nobody", "deleted"):
        error = refused(backend, Send(id, a_cancel()), NotFoundError)
        assert (error.kind, error.id) == ("workflow", id)
