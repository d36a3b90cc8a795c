"""What a parent is told of its children: their end, and that one is stuck."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..._core.journal import CHILD_END_OP, Entry, EntryKind, EntryStatus
from ..._core.lifecycle import TERMINAL, Event, Status
from ...errors import StaleWriteError
from ...storage.operations import (
    Advance,
    Advanced,
    Create,
    Created,
    Delete,
    Deleted,
    Reported,
    Send,
    Steer,
    Steered,
)
from ...storage.records import RowChange, WakeTime
from .case import case
from .driving import EARLIEST, create, do, load_one, refused
from .samples import BEGUN, a_child, a_message, a_row, an_end, an_outcome

if TYPE_CHECKING:
    from ...storage.backend import Backend


def _child(backend: Backend, child: Create | None = None) -> int:
    return do(backend, a_child() if child is None else child, Created).pk


def _ending(
    pk: int,
    status: Status = Status.COMPLETED,
    *,
    id: str = "child",
    value: bytes | None = b'"done"',
    reason: str | None = None,
) -> Advance:
    """Make a child end."""
    outcome = {
        Status.COMPLETED: EntryStatus.OK,
        Status.FAILED: EntryStatus.FAILED,
        Status.CANCELLED: EntryStatus.CANCELLED,
    }[status]
    change = RowChange(status=status, reason=reason)
    return Advance(pk, id, 1, (an_end(value, status=outcome),), change=change)


def _told(status: EntryStatus, value: bytes | None, *, id: str = "child", n: int = 1) -> Entry:
    return Entry(CHILD_END_OP, id, EntryKind.CHILD_END, status, BEGUN + 4, value=value, n=n)


@case
def the_end_of_a_child_is_told_to_its_parent(backend: Backend) -> None:
    """With how it went and its result, behind what is there; the answer says what was told."""
    one = create(backend, "one", an_outcome())
    child = _child(backend)
    answer = do(backend, _ending(child), Advanced)
    told = _told(EntryStatus.OK, b'"done"', n=2)
    assert answer == Advanced(1, reported=Reported(one, "one", told))
    assert load_one(backend, one).entries[2] == told
    assert backend.get_workflow("one").row.revision == 1


@case
def a_failed_child_tells_its_error(backend: Backend) -> None:
    """The encoded error comes along; of a cancelled one it is the reason, if there was one."""
    one = create(backend, "one")
    ends = [
        _ending(_child(backend, a_child("f")), Status.FAILED, id="f", value=b"{}"),
        _ending(_child(backend, a_child("c")), Status.CANCELLED, id="c", value=None),
        _ending(_child(backend, a_child("d")), Status.CANCELLED, id="d", value=None, reason="é"),
    ]
    backend.commit(ends)
    assert load_one(backend, one).entries[1:] == (
        _told(EntryStatus.FAILED, b"{}", id="f", n=1),
        _told(EntryStatus.CANCELLED, b"null", id="c", n=2),
        _told(EntryStatus.CANCELLED, '"é"'.encode(), id="d", n=3),
    )


@case
def a_parent_that_waits_becomes_due(backend: Backend) -> None:
    """So that it is found even if nobody lives to wake it; with and without a time to wake at."""
    for wake_at in (9_000.0, None):
        id = f"parent-{wake_at}"
        row = a_row(id, status=Status.WAITING, wake_at=wake_at)
        pk = create(backend, row)
        child = _child(backend, a_child(f"child-{wake_at}", parent=id))
        do(backend, _ending(child, id=f"child-{wake_at}"), Advanced)
        assert backend.get_workflow(id).row == attrs.evolve(
            row, pk=pk, wake_at=BEGUN + 4, revision=2
        )
        wake_times = backend.list_wake_times(EARLIEST, 9)
        assert WakeTime(BEGUN + 4, pk, id, since=BEGUN + 4) in wake_times


@case
def who_cannot_hear_is_told_nothing(backend: Backend) -> None:
    """One that has ended, but for a failed one, which may be retried; paused ones hear, too."""
    for status in Status:
        pk = create(backend, a_row(status.value, status=status))
        id = f"child-{status}"
        child = _child(backend, a_child(id, parent=status.value))
        answer = do(backend, _ending(child, id=id), Advanced)
        is_deaf = status in TERMINAL and status is not Status.FAILED
        assert (answer.reported is None) == is_deaf
        assert len(load_one(backend, pk).entries) == (1 if is_deaf else 2)
        assert backend.get_workflow(id).row.status is Status.COMPLETED


@case
def a_parent_that_is_gone_refuses_nothing(backend: Backend) -> None:
    """Deleted, half deleted, or a namesake: the child ends all the same."""
    create(backend, "one", an_outcome(), an_outcome("b"))
    first, second = _child(backend, a_child("first")), _child(backend, a_child("second"))
    half = do(backend, Delete("one", limit=1), Deleted)
    assert do(backend, _ending(first, id="first"), Advanced) == Advanced(1)
    namesake = create(backend, "one")
    while not half.done:
        half = do(backend, Delete("", half.pk, limit=1), Deleted)
    assert do(backend, _ending(second, id="second"), Advanced) == Advanced(1)
    assert len(load_one(backend, namesake).entries) == 1


@case
def another_run_of_the_parent_is_told_nothing(backend: Backend) -> None:
    """It does not know the children of the one before."""
    one = create(backend, attrs.evolve(a_row(), run=2))
    child = _child(backend, a_child(run_key="another"))
    assert do(backend, _ending(child), Advanced) == Advanced(1)
    assert len(load_one(backend, one).entries) == 1


@case
def only_an_end_is_told(backend: Backend) -> None:
    """Neither progress, nor a crash, nor a change of status without an end."""
    one = create(backend, "one")
    child = _child(backend)
    for advance in (
        Advance(child, "child", 1, (an_outcome(),)),
        Advance(child, "child", 1, (an_outcome(),), change=RowChange(status=Status.PENDING)),
        Advance(child, "child", 1, (an_end(),), change=RowChange(status=Status.RUNNING)),
        Advance(child, "child", 1, change=RowChange(status=Status.COMPLETED)),
    ):
        assert do(backend, advance, Advanced).reported is None
    assert len(load_one(backend, one).entries) == 1


@case
def who_was_not_started_by_a_workflow_tells_nobody(backend: Backend) -> None:
    """A workflow that somebody created below a parent is none of its."""
    one = create(backend, "one")
    child = a_child()
    pk = _child(backend, Create(attrs.evolve(child.row, parent_op=None), child.entries))
    orphan = create(backend, a_row("orphan", life=1))
    assert do(backend, _ending(pk), Advanced) == Advanced(1)
    assert do(backend, _ending(orphan, id="orphan"), Advanced) == Advanced(1)
    assert len(load_one(backend, one).entries) == 1


@case
def a_refused_end_is_told_to_nobody(backend: Backend) -> None:
    """An old incarnation of the child has nothing to say."""
    create(backend, "one")
    child = _child(backend)
    refused(backend, attrs.evolve(_ending(child), life=0), StaleWriteError)
    refused(backend, attrs.evolve(_ending(child), expect_n=9), StaleWriteError)


@case
def ends_take_their_place_among_what_arrives(backend: Backend) -> None:
    """In one group, behind what came before and before what comes after."""
    one = create(backend, "one")
    children = [_child(backend, a_child(id)) for id in ("a", "b")]
    backend.commit(
        [
            Send("one", a_message("first")),
            *(_ending(pk, id=id) for pk, id in zip(children, ("a", "b"), strict=True)),
            Advance(one, "one", 0, (an_outcome("then"),), expect_n=3),
        ]
    )
    assert [entry.name for entry in load_one(backend, one).entries[1:]] == [
        "first", "a", "b", "then",
    ]  # fmt: skip


@case
def a_parent_says_which_child_is_stuck(backend: Backend) -> None:
    """As long as one is quarantined, the oldest is named; the revision is raised only for that."""
    create(backend, a_row(status=Status.RUNNING))
    first, second = _child(backend, a_child("a")), _child(backend, a_child("b"))
    stuck = RowChange(status=Status.QUARANTINED, reason="it crashed")
    mended = RowChange(status=Status.PENDING, reason=None)
    expected = "child '{}' is quarantined: it crashed"
    steps = [
        (second, "b", stuck, expected.format("b"), 2),
        (first, "a", stuck, expected.format("a"), 3),
        (second, "b", mended, expected.format("a"), 3),
        (first, "a", mended, None, 4),
    ]
    for pk, id, change, reason, revision in steps:
        do(backend, Advance(pk, id, 1, change=change), Advanced)
        row = backend.get_workflow("one").row
        assert (row.reason, row.revision) == (reason, revision)


@case
def only_a_parent_that_goes_on_says_so(backend: Backend) -> None:
    """Who is paused, say, has a reason of its own; and an abandoned child keeps nobody waiting."""
    stuck = RowChange(status=Status.QUARANTINED, reason="it crashed")
    for status in Status:
        create(backend, attrs.evolve(a_row(status.value, status=status), reason="its own"))
        id = f"child-{status}"
        pk = _child(backend, a_child(id, parent=status.value))
        do(backend, Advance(pk, id, 1, change=stuck), Advanced)
        goes_on = status in (Status.RUNNING, Status.WAITING)
        reason = f"child {id!r} is quarantined: it crashed" if goes_on else "its own"
        assert backend.get_workflow(status.value).row.reason == reason
    create(backend, a_row(status=Status.RUNNING))
    left = _child(backend, a_child("left", on_close="abandon"))
    do(backend, Advance(left, "left", 1, change=stuck), Advanced)
    assert backend.get_workflow("one").row.reason is None


@case
def a_stuck_child_that_ends_is_told_like_any_other(backend: Backend) -> None:
    """The reason is over, the end is in the journal, and a waiting parent is due."""
    one = create(backend, a_row(status=Status.WAITING))
    child = _child(backend, a_child())
    change = RowChange(status=Status.QUARANTINED, reason="it crashed")
    do(backend, Advance(child, "child", 1, change=change), Advanced)
    do(backend, _ending(child, Status.CANCELLED, value=None, reason="terminated"), Advanced)
    row = backend.get_workflow("one").row
    assert (row.reason, row.wake_at) == (None, BEGUN + 4)
    told = _told(EntryStatus.CANCELLED, b'"terminated"')
    assert load_one(backend, one).entries[1:] == (told,)


@case
def one_that_is_terminated_is_told_like_any_other(backend: Backend) -> None:
    """By its own parent only, if that goes on; not to those that are terminated with it."""
    one = create(backend, a_row(status=Status.RUNNING))
    child = _child(backend)
    grandchild = _child(backend, a_child("grandchild", parent="child"))
    entry = an_end(b'"r"', status=EntryStatus.CANCELLED)
    answer = do(backend, Steer("child", Event.TERMINATE, entry, "r"), Steered)
    told = _told(EntryStatus.CANCELLED, b'"r"')
    assert answer.reported == (Reported(one, "one", told),)
    assert load_one(backend, one).entries[1:] == (told,)
    for pk in (child, grandchild):
        assert [entry.kind for entry in load_one(backend, pk).entries[1:]] == [EntryKind.END]


@case
def one_that_is_terminated_is_stuck_no_more(backend: Backend) -> None:
    """Its parent's reason is over with it."""
    create(backend, a_row(status=Status.RUNNING))
    child = _child(backend)
    stuck = RowChange(status=Status.QUARANTINED, reason="it crashed")
    do(backend, Advance(child, "child", 1, change=stuck), Advanced)
    entry = an_end(None, status=EntryStatus.CANCELLED)
    do(backend, Steer("child", Event.TERMINATE, entry), Steered)
    assert backend.get_workflow("one").row.reason is None
