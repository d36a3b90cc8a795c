"""``Steer``: pause, resume, terminate; and what a paused workflow's own writes leave as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..._core.journal import Entry, EntryKind, EntryStatus
from ..._core.lifecycle import TERMINAL, UNFINISHED, Event, Status
from ...errors import (
    InvalidTransitionError,
    NotFoundError,
    StaleWriteError,
    WorkflowClosedError,
)
from ...storage.operations import (
    Advance,
    Advanced,
    Atomic,
    Claim,
    Claimed,
    Delete,
    Deleted,
    Steer,
    Steered,
)
from ...storage.records import RowChange
from .case import case
from .driving import create, do, do_all, image, load_one, refused
from .samples import BEGUN, a_row, an_outcome, open_work

if TYPE_CHECKING:
    from ...storage.backend import Backend
    from ...storage.steering import Steering

AT = BEGUN + 9


def a_steer(id: str, event: Steering, reason: str | None = None) -> Steer:
    """Make the operation, with the entry that records it."""
    kinds = {
        Event.PAUSE: EntryKind.PAUSE,
        Event.RESUME: EntryKind.RESUME,
        Event.TERMINATE: EntryKind.END,
    }
    kind = kinds[event]
    status = EntryStatus.CANCELLED if event is Event.TERMINATE else EntryStatus.OK
    return Steer(id, event, Entry(f"/{kind}", kind.value, kind, status, AT), reason)


def pause(id: str = "one", reason: str | None = None) -> Steer:
    """Make a pause."""
    return a_steer(id, Event.PAUSE, reason)


def resume(id: str = "one") -> Steer:
    """Make a resume."""
    return a_steer(id, Event.RESUME)


def terminate(id: str = "one", reason: str | None = None) -> Steer:
    """Make a termination."""
    return a_steer(id, Event.TERMINATE, reason)


def steered(backend: Backend, steer: Steer) -> list[str | None]:
    """Commit it, and return the ids of those that have changed."""
    return [row.id for row, _ in do(backend, steer, Steered).changed]


@case
def what_is_unfinished_can_be_paused(backend: Backend) -> None:
    """It is paused, due at no time, with its reason; an entry says so, and so does the answer."""
    for status in sorted(UNFINISHED):
        before = attrs.evolve(
            a_row(status.value, status=status, wake_at=50.0, life=2), restarts=(5.0,)
        )
        pk = create(backend, before, an_outcome())
        answer = do(backend, pause(status.value, "lunch"), Steered)
        expected = attrs.evolve(
            before, pk=pk, status=Status.PAUSED, reason="lunch", wake_at=None, revision=2
        )
        assert answer == Steered(((expected, 2),))
        assert backend.get_workflow(status.value).row == expected
        assert load_one(backend, pk).entries[2] == attrs.evolve(pause().entry, n=2)
    assert backend.list_unfinished(0, 1e9, 10).rows == ()


@case
def what_was_paused_can_be_resumed(backend: Backend) -> None:
    """It is pending, found by recovery, and its reason is forgotten."""
    pk = create(backend)
    do(backend, pause(reason="lunch"), Steered)
    [(row, n)] = do(backend, resume(), Steered).changed
    assert (row.status, row.reason, n) == (Status.PENDING, None, 2)
    assert [found.pk for found in backend.list_unfinished(0, 0.0, 10).rows] == [pk]


@case
def asking_for_what_is_so_already_changes_nothing(backend: Backend) -> None:
    """Neither pausing what is paused nor resuming what is unfinished leaves a trace."""
    for status in UNFINISHED:
        create(backend, a_row(status.value, status=status))
    create(backend)
    do(backend, pause(reason="first"), Steered)
    before = image(backend)
    assert do(backend, pause(reason="second"), Steered) == Steered(())
    for status in UNFINISHED:
        assert do(backend, resume(status.value), Steered) == Steered(())
    assert image(backend) == before


@case
def a_terminated_workflow_ends_in_the_next_life(backend: Backend) -> None:
    """It is cancelled, its open work is gone, and what its last life still writes is refused."""
    for status in set(Status) - TERMINAL:
        row = a_row(status.value, status=status, wake_at=50.0, life=3)
        row = attrs.evolve(row, restarts=(5.0,), recoveries=1, reason="old")
        pk = create(backend, row)
        do(backend, Advance(pk, status.value, 3, opened=(open_work(),)), Advanced)
        do(backend, terminate(status.value, "enough"), Steered)
        assert backend.get_workflow(status.value).row == attrs.evolve(
            row,
            pk=pk,
            status=Status.CANCELLED,
            reason="enough",
            wake_at=None,
            life=4,
            completed_at=AT,
            restarts=(),
            recoveries=0,
            revision=2,
        )
        assert backend.get_workflow(status.value).end == attrs.evolve(terminate().entry, n=1)
        assert backend.read_tasks(status.value) == ([], [])
        late = Advance(pk, status.value, 3, (an_outcome(),))
        assert refused(backend, late, StaleWriteError).what == "life"


@case
def what_cannot_be_steered_is_refused(backend: Backend) -> None:
    """Nobody, one that has ended, and a quarantined one but for its end."""
    for status in TERMINAL:
        create(backend, a_row(status.value, status=status))
        for steer in (pause(status.value), resume(status.value), terminate(status.value)):
            assert refused(backend, steer, WorkflowClosedError).status == status
    create(backend, a_row(status=Status.QUARANTINED))
    for steer in (pause(), resume()):
        assert refused(backend, steer, InvalidTransitionError).event == steer.event
    refused(backend, pause("nobody"), NotFoundError)


@case
def a_family_is_steered_as_one(backend: Backend) -> None:
    """Children go with their parents, parents first; also below one that has ended."""
    create(backend, "one")
    create(backend, a_row("child", parent="one"))
    create(backend, a_row("ended", parent="one", status=Status.FAILED))
    create(backend, a_row("stuck", parent="one", status=Status.QUARANTINED))
    create(backend, a_row("grandchild", parent="ended", status=Status.RUNNING))
    create(backend, a_row("beside"))
    assert steered(backend, pause()) == ["one", "child", "grandchild"]
    assert steered(backend, pause()) == []
    assert steered(backend, resume("child")) == ["child"]
    assert steered(backend, resume()) == ["one", "grandchild"]
    assert steered(backend, terminate()) == ["one", "child", "stuck", "grandchild"]
    assert backend.get_workflow("beside").row.status is Status.PENDING


@case
def who_was_abandoned_is_left_alone(backend: Backend) -> None:
    """With all below it; it is a family of its own."""
    create(backend, "one")
    create(backend, attrs.evolve(a_row("left", parent="one"), on_close="abandon"))
    create(backend, a_row("below", parent="left"))
    assert steered(backend, pause()) == ["one"]
    assert steered(backend, terminate()) == ["one"]
    assert steered(backend, pause("left")) == ["left", "below"]


@case
def a_pause_outlasts_what_its_incarnation_writes(backend: Backend) -> None:
    """Its outcomes are recorded, its crashes counted; its status, reason and time to wake stay."""
    pk = create(backend, a_row(status=Status.RUNNING, life=1))
    do(backend, pause(reason="lunch"), Steered)
    for status in (Status.RUNNING, Status.WAITING, Status.PENDING, Status.QUARANTINED):
        change = RowChange(status=status, reason="mine", wake_at=5.0, restarts=(7.0,), recoveries=2)
        do(backend, Advance(pk, "one", 1, (an_outcome(status.value),), change=change), Advanced)
        row = backend.get_workflow("one").row
        assert (row.status, row.reason, row.wake_at) == (Status.PAUSED, "lunch", None)
        assert (row.restarts, row.recoveries) == ((7.0,), 2)
    assert len(backend.read_tasks("one")[0]) == 4
    assert do(backend, Claim(((pk, 1),), 1.0, counted=False), Claimed) == Claimed(())


@case
def a_pause_holds_within_its_group(backend: Backend) -> None:
    """What is committed with it, before or behind, is judged as if each came alone."""
    pk = create(backend, a_row(status=Status.RUNNING, life=1))
    parked = Advance(pk, "one", 1, change=RowChange(status=Status.WAITING, wake_at=5.0))
    results = backend.commit([parked, pause(), parked, attrs.evolve(parked, expect_n=0)])
    assert [type(result) for result in results] == [Advanced, Steered, Advanced, StaleWriteError]
    row = backend.get_workflow("one").row
    assert (row.status, row.wake_at) == (Status.PAUSED, None)


@case
def an_end_fences_within_its_group(backend: Backend) -> None:
    """What the life before writes in the same commit, behind the termination, is refused."""
    pk = create(backend, a_row(status=Status.RUNNING, life=1))
    late = Advance(pk, "one", 1, (an_outcome(),))
    results = backend.commit([late, terminate(), late])
    assert [type(result) for result in results] == [Advanced, Steered, StaleWriteError]
    assert [entry.kind for entry in load_one(backend, pk).entries] == ["start", "task", "end"]


@case
def steering_is_a_part_of_an_atomic_like_any_other(backend: Backend) -> None:
    """It is done with the rest, or not at all."""
    create(backend, "one")
    create(backend, a_row("child", parent="one"))
    refused(backend, Atomic((pause(), terminate("nobody"))), NotFoundError)
    answers = do_all(backend, Atomic((terminate(), Delete("child"), Delete("one"))))
    assert [type(answer) for answer in answers] == [Steered, Deleted, Deleted]
    assert image(backend).listed == ()
