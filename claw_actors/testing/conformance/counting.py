"""``count_workflows``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._core.lifecycle import Status
from ...storage.model import WorkflowCounts
from ...storage.operations import Delete, Deleted
from .case import case
from .driving import create, do
from .samples import a_row, an_outcome

if TYPE_CHECKING:
    from ...storage.backend import Backend

NONE = dict.fromkeys(Status, 0)


@case
def an_empty_storage_counts_nothing(backend: Backend) -> None:
    """Each status is there, with none."""
    counts = backend.count_workflows()
    assert counts == WorkflowCounts(by_status=NONE, oldest={}, next_due=None)


@case
def workflows_are_counted_by_status(backend: Backend) -> None:
    """All of them, those that have ended, too."""
    expected = dict(NONE)
    for number, status in enumerate(Status, start=1):
        ended = 90.0 if status.is_terminal else None
        for index in range(number):
            create(backend, a_row(f"{status}-{index}", status=status, completed_at=ended))
        expected[status] = number
    counts = backend.count_workflows()
    assert counts.by_status == expected
    assert counts.total == sum(expected.values())


@case
def of_those_that_have_not_ended_the_first_is_told(backend: Backend) -> None:
    """The one created first, whatever the rows' times say; of those that have ended, none."""
    for id, status, created_at in (
        ("a", Status.RUNNING, 30.0),
        ("b", Status.RUNNING, 10.0),
        ("c", Status.PAUSED, 20.0),
        ("d", Status.RUNNING, 40.0),
        ("e", Status.COMPLETED, 5.0),
    ):
        ended = 90.0 if status.is_terminal else None
        create(backend, a_row(id, status=status, created_at=created_at, completed_at=ended))
    assert backend.count_workflows().oldest == {Status.RUNNING: 30.0, Status.PAUSED: 20.0}


@case
def the_next_that_is_due_is_told(backend: Backend) -> None:
    """Of those that are pending or waiting, and wait for a time."""
    create(backend, a_row("a", status=Status.WAITING))
    create(backend, a_row("b", status=Status.PAUSED, wake_at=1.0))
    assert backend.count_workflows().next_due is None
    create(backend, a_row("c", status=Status.WAITING, wake_at=70.0))
    assert backend.count_workflows().next_due == 70.0
    create(backend, a_row("d", status=Status.PENDING, wake_at=60.0))
    create(backend, a_row("e", status=Status.WAITING, wake_at=80.0))
    assert backend.count_workflows().next_due == 60.0


@case
def half_deleted_workflows_are_not_counted(backend: Backend) -> None:
    """However much of them is left."""
    journal = tuple(an_outcome(f"step#{number}") for number in range(1, 7))
    create(backend, a_row("a", status=Status.WAITING, wake_at=5.0, created_at=1.0), *journal)
    create(backend, a_row("b", status=Status.WAITING, wake_at=6.0, created_at=2.0))
    assert not do(backend, Delete("a", limit=2), Deleted).done
    counts = backend.count_workflows()
    assert counts.by_status == NONE | {Status.WAITING: 1}
    assert (counts.oldest, counts.next_due) == ({Status.WAITING: 2.0}, 6.0)
