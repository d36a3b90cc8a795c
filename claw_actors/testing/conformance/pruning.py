"""``Prune``, ``Forget`` and ``list_ended``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..._core.lifecycle import Status
from ...errors import DuplicateKeyError, HistoryPrunedError, NotFoundError
from ...storage.operations import (
    Advance,
    Advanced,
    Atomic,
    Create,
    Created,
    Delete,
    Deleted,
    Forget,
    Forgotten,
    GiveBack,
    GivenBack,
    Prune,
    Pruned,
    Send,
)
from ...storage.records import RowChange
from .case import case
from .driving import create, do, do_all, image, raised, refused
from .samples import a_cancel, a_child, a_child_entry, a_message, a_row, a_start, an_outcome

if TYPE_CHECKING:
    from ...storage.backend import Backend

NEWEST = 2**62


def _ended(
    backend: Backend, id: str = "one", at: float | None = 5.0, status: Status = Status.COMPLETED
) -> int:
    row = a_row(id, status=status, completed_at=at, metadata={"tenant": "a"})
    return create(backend, row, an_outcome())


def _prune(backend: Backend, *pks: int, before: float = 10.0, limit: int = 5_000) -> Pruned:
    return do(backend, Prune(pks, before, 20.0, limit), Pruned)


def _parent_and_child(
    backend: Backend, status: Status, child: Status, on_close: str = "wait"
) -> tuple[int, int]:
    """Make a parent in one status, and a child of its present run in another."""
    parent = create(backend, a_row("parent", status=Status.RUNNING, life=1))
    start = a_child(parent="parent", on_close=on_close)
    begun = Advance(parent, "parent", 1, (a_child_entry(),), children=(start,))
    [made] = do(backend, begun, Advanced).children
    assert isinstance(made, Created)
    for pk, id, one in ((made.pk, "child", child), (parent, "parent", status)):
        at = 5.0 if one.is_terminal else None
        do(backend, Advance(pk, id, 1, change=RowChange(status=one, completed_at=at)), Advanced)
    return parent, made.pk


def _ids(backend: Backend) -> list[str | None]:
    return [item.row.id for item in image(backend).listed]


@case
def what_has_ended_is_pruned_with_all_that_hangs_on_it(backend: Backend) -> None:
    """It is gone, and its neighbours are as they were."""
    first, pk, last = _ended(backend, "a"), _ended(backend), _ended(backend, "z")
    before = image(backend)
    assert _prune(backend, pk) == Pruned(("one",))
    after = image(backend)
    assert after.listed == tuple(item for item in before.listed if item.row.id != "one")
    assert _prune(backend, pk) == Pruned(())
    assert _prune(backend, first, last) == Pruned(("a", "z"))


@case
def what_has_not_ended_is_never_pruned(backend: Backend) -> None:
    """Whatever its times say; nor is what has ended too late."""
    pks = [
        create(backend, a_row(status.value, status=status, completed_at=1.0))
        for status in Status
        if not status.is_terminal
    ]
    pks.append(_ended(backend, at=10.0))
    before = image(backend)
    assert _prune(backend, *pks) == Pruned(())
    assert image(backend) == before
    assert _prune(backend, *pks, before=10.5) == Pruned(("one",))


@case
def one_saved_without_its_end_goes_by_what_is_known(backend: Backend) -> None:
    """By when it was begun, or made."""
    pk = _ended(backend, at=None)
    made = backend.get_workflow("one").row.created_at
    assert _prune(backend, pk, before=made) == Pruned(())
    assert _prune(backend, pk, before=made + 1) == Pruned(("one",))
    row = attrs.evolve(a_row("two", status=Status.FAILED), started_at=made + 5)
    two = create(backend, row)
    assert _prune(backend, two, before=made + 1) == Pruned(())


@case
def a_pruned_id_is_not_used_again_unawares(backend: Backend) -> None:
    """Its use is refused, with what is known of it and what differs."""
    _prune(backend, _ended(backend, status=Status.FAILED))
    error = refused(backend, Create(a_row(), (a_start(),)), HistoryPrunedError)
    assert (error.id, error.status, error.ended_at, error.pruned_at) == ("one", "failed", 5.0, 20.0)
    assert error.differs == ()
    other = attrs.evolve(a_start(), digest=b"other")
    error = refused(backend, Create(a_row(name="other"), (other,)), HistoryPrunedError)
    assert error.differs == ("workflow", "arguments")


@case
def a_pruned_id_is_used_again_on_purpose(backend: Backend) -> None:
    """Then it is forgotten, and the new one is like any other."""
    _prune(backend, _ended(backend))
    again = Create(a_row(), (a_start(),), again=True)
    pk = do(backend, again, Created).pk
    assert backend.get_workflow("one").row.pk == pk
    assert not isinstance(refused(backend, again, DuplicateKeyError), HistoryPrunedError)
    do(backend, Delete("one"), Deleted)
    assert do(backend, Create(a_row(), (a_start(),)), Created).pk > pk


@case
def who_asks_for_a_pruned_one_is_told(backend: Backend) -> None:
    """Reads and writes say when it was pruned; of one that was deleted they do not."""
    _prune(backend, _ended(backend))
    assert raised(NotFoundError, lambda: backend.get_workflow("one")).pruned_at == 20.0
    assert refused(backend, Send("one", a_cancel()), NotFoundError).pruned_at == 20.0
    assert refused(backend, Delete("one"), NotFoundError).pruned_at == 20.0
    orphan = Create(a_row("orphan", parent="one"), (a_start(),))
    assert refused(backend, orphan, NotFoundError).pruned_at == 20.0
    create(backend, "two")
    do(backend, Delete("two"), Deleted)
    assert raised(NotFoundError, lambda: backend.get_workflow("two")).pruned_at is None


@case
def a_child_is_not_started_under_a_pruned_id(backend: Backend) -> None:
    """That child alone is refused, and the refusal is recorded."""
    _prune(backend, _ended(backend, "child"))
    pk = create(backend, a_row("one", life=1))
    children = (a_child(),)
    advance = Advance(pk, "one", 1, (a_child_entry(),), children=children)
    answer = do(backend, advance, Advanced)
    [error] = answer.refused_children
    assert isinstance(error, HistoryPrunedError)
    assert _ids(backend) == ["one"]


@case
def a_pruning_that_is_taken_back_leaves_no_trace(backend: Backend) -> None:
    """What is refused with its ``Atomic`` has not used the id again."""
    _prune(backend, _ended(backend))
    again = Create(a_row(), (a_start(),), again=True)
    refused(backend, Atomic((again, Delete("nobody"))), NotFoundError)
    refused(backend, Create(a_row(), (a_start(),)), HistoryPrunedError)
    assert isinstance(do_all(backend, Atomic((again,)))[0], Created)


@case
def nothing_is_appended_to_a_pruned_one(backend: Backend) -> None:
    """Not even by an incarnation that has written before."""
    pk = create(backend, a_row(life=1))
    done = RowChange(status=Status.COMPLETED, completed_at=5.0)
    do(backend, Advance(pk, "one", 1, (an_outcome(),), change=done), Advanced)
    assert _prune(backend, pk).ids == ("one",)
    late = Advance(pk, "one", 1, (an_outcome("late"),))
    assert refused(backend, late, NotFoundError).id == "one"
    backend.close()
    assert backend.open().unfinished_deletes == ()


@case
def a_family_goes_as_a_whole(backend: Backend) -> None:
    """Named by the parent; a child that is named goes with its parent only."""
    parent, child = _parent_and_child(backend, Status.COMPLETED, Status.FAILED)
    assert [one.id for one in backend.list_ended(NEWEST, 9).items] == ["parent"]
    assert _prune(backend, child) == Pruned(())
    assert sorted(_prune(backend, parent).ids) == ["child", "parent"]
    assert _ids(backend) == []


@case
def a_child_that_goes_on_keeps_its_family(backend: Backend) -> None:
    """Nothing of it is pruned."""
    parent, child = _parent_and_child(backend, Status.COMPLETED, Status.RUNNING)
    [one] = backend.list_ended(NEWEST, 9).items
    assert (one.id, one.ended_at) == ("parent", None)
    assert _prune(backend, parent, child) == Pruned(())


@case
def a_parent_that_goes_on_keeps_its_children(backend: Backend) -> None:
    """A retry of it may look for them."""
    parent, child = _parent_and_child(backend, Status.RUNNING, Status.COMPLETED)
    assert backend.list_ended(NEWEST, 9).items == ()
    assert _prune(backend, parent, child) == Pruned(())


@case
def who_was_abandoned_goes_alone(backend: Backend) -> None:
    """Whatever its parent does; and a parent goes without it."""
    _, child = _parent_and_child(backend, Status.RUNNING, Status.COMPLETED, "abandon")
    assert [one.id for one in backend.list_ended(NEWEST, 9).items] == ["child"]
    assert _prune(backend, child) == Pruned(("child",))


@case
def children_of_an_earlier_run_go_alone(backend: Backend) -> None:
    """The next run knows nothing of them."""
    parent, child = _parent_and_child(backend, Status.RUNNING, Status.COMPLETED)
    change = RowChange(run=2, run_key="another")
    do(backend, Advance(parent, "parent", 1, change=change, continued=(a_start(),)), Advanced)
    assert [one.id for one in backend.list_ended(NEWEST, 9).items] == ["child"]
    assert _prune(backend, child) == Pruned(("child",))


@case
def a_child_that_was_made_by_hand_stays_with_its_parent(backend: Backend) -> None:
    """It has no operation that started it; without its parent, it goes alone."""
    create(backend, "parent")
    row = a_row("child", parent="parent", status=Status.COMPLETED, completed_at=5.0)
    child = create(backend, row)
    assert _prune(backend, child) == Pruned(())
    do(backend, Delete("parent"), Deleted)
    assert _prune(backend, child) == Pruned(("child",))


@case
def a_long_journal_is_pruned_in_pieces(backend: Backend) -> None:
    """It is gone for everybody with the first one, and its id is remembered."""
    six = tuple(an_outcome(f"step#{number}") for number in range(1, 7))
    row = a_row(status=Status.COMPLETED, completed_at=5.0)
    pk = create(backend, row, *six)
    pruned = _prune(backend, pk, limit=2)
    assert pruned == Pruned(("one",), (pk,))
    assert raised(NotFoundError, lambda: backend.get_workflow("one")).pruned_at == 20.0
    for one in pruned.unfinished:
        assert do(backend, Delete("", pk=one), Deleted).done


@case
def a_pruning_takes_what_fits_into_its_limit(backend: Backend) -> None:
    """Of two entries each; what did not fit is as it was, and comes first the next time."""
    pks = [_ended(backend, id) for id in "abcd"]
    before = image(backend)
    assert _prune(backend, *pks, pks[0], limit=5) == Pruned(("a", "b"), left=(pks[2], pks[3]))
    assert image(backend).listed == before.listed[:2]
    assert _prune(backend, pks[2], limit=2) == Pruned(("c",))
    assert _prune(backend, pks[3], pks[2], limit=1) == Pruned(("d",), (pks[3],))


@case
def a_large_family_goes_in_pieces_but_at_once(backend: Backend) -> None:
    """Those of it that fit are gone, the others invisible, and a neighbour is left."""
    parent, child = _parent_and_child(backend, Status.COMPLETED, Status.FAILED)
    neighbour = _ended(backend)
    pruned = _prune(backend, parent, neighbour, limit=1)
    assert pruned == Pruned(("parent", "child"), (parent,), (neighbour,))
    assert _ids(backend) == ["one"]
    assert backend.load([parent, child]) == []
    backend.abandon()
    assert backend.open().unfinished_deletes == (parent,)


@case
def a_pruning_cut_short_is_told_to_the_next_owner(backend: Backend) -> None:
    """As a deletion is; and ids are remembered whoever owns it."""
    pk = _ended(backend)
    _prune(backend, pk, limit=1)
    backend.abandon()
    assert backend.open().unfinished_deletes == (pk,)
    refused(backend, Create(a_row(), (a_start(),)), HistoryPrunedError)


@case
def ids_are_forgotten_oldest_first(backend: Backend) -> None:
    """Those pruned before a time, and no more than asked for."""
    for at, id in ((3.0, "c"), (1.0, "a"), (2.0, "b")):
        do(backend, Prune((_ended(backend, id),), 10.0, at), Pruned)
    assert do(backend, Forget(3.0, 1), Forgotten) == Forgotten(1)
    create(backend, "a")
    refused(backend, Create(a_row("b"), (a_start(),)), HistoryPrunedError)
    assert do(backend, Forget(3.0), Forgotten) == Forgotten(1)
    create(backend, "b")
    refused(backend, Create(a_row("c"), (a_start(),)), HistoryPrunedError)


@case
def ended_ones_are_listed_in_windows(backend: Backend) -> None:
    """Newest first, and each window looks at so many whatever they are."""
    pks = [_ended(backend, "a"), create(backend, "b"), _ended(backend, "c"), _ended(backend, "d")]
    page = backend.list_ended(NEWEST, 2)
    assert [(one.pk, one.id, one.ended_at) for one in page.items] == [
        (pks[3], "d", 5.0),
        (pks[2], "c", 5.0),
    ]
    assert page.last_pk == pks[2]
    page = backend.list_ended(page.last_pk, 3)
    assert [one.id for one in page.items] == ["a"]
    assert page.last_pk == 0
    assert backend.list_ended(pks[0], 3).items == ()


@case
def half_pruned_ones_are_not_listed(backend: Backend) -> None:
    """They are gone."""
    pk = _ended(backend)
    _prune(backend, pk, limit=1)
    assert backend.list_ended(NEWEST, 9).items == ()


@case
def a_grandchild_counts_too(backend: Backend) -> None:
    """The youngest end of a family decides."""
    parent, child = _parent_and_child(backend, Status.COMPLETED, Status.COMPLETED)
    row = a_row("grandchild", parent="child", status=Status.COMPLETED, completed_at=7.0)
    create(backend, row)
    [one] = backend.list_ended(NEWEST, 9).items
    assert one.ended_at == 7.0
    assert _prune(backend, parent, before=6.0) == Pruned(())
    assert len(_prune(backend, parent, before=8.0).ids) == 3
    assert child > parent


@case
def space_is_given_back_until_there_is_none(backend: Backend) -> None:
    """And nothing is lost by it."""
    big = tuple(a_message(payload=b'"' + b"x" * 20_000 + b'"') for _ in range(20))
    row = a_row("big", status=Status.COMPLETED, completed_at=5.0)
    pk = create(backend, row, *big)
    create(backend, "one")
    before = image(backend)
    _prune(backend, pk)
    steps = 0
    while not do(backend, GiveBack(10), GivenBack).done:
        steps += 1
        assert steps < 1_000
    assert image(backend).listed == tuple(one for one in before.listed if one.row.id == "one")
