"""``Advance``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..._core.lifecycle import Status
from ...errors import NotFoundError, StaleWriteError
from ...storage.operations import Advance, Advanced, Delete, Deleted
from ...storage.records import RowChange
from .case import case
from .driving import by_op, create, do, load_one, refused
from .samples import a_row, a_timer, an_outcome, open_work

if TYPE_CHECKING:
    from ...storage.backend import Backend


@case
def entries_are_numbered_in_commit_order(backend: Backend) -> None:
    """Entries get 1, 2, 3 … over operations and groups; the answer is the last number."""
    pk = create(backend)
    first = Advance(pk, "one", 0, (an_outcome("a"), attrs.evolve(a_timer("b"), n=40)))
    assert do(backend, first, Advanced) == Advanced(2)
    group = [Advance(pk, "one", 0, (an_outcome(op),)) for op in ("c", "d")]
    assert backend.commit(group) == [Advanced(3), Advanced(4)]
    entries = load_one(backend, pk).entries
    assert [(entry.n, entry.op) for entry in entries] == [
        (0, ""), (1, "a"), (2, "b"), (3, "c"), (4, "d"),
    ]  # fmt: skip


@case
def journals_are_numbered_apart(backend: Backend) -> None:
    """Each workflow counts its own entries."""
    one, two = create(backend, "one"), create(backend, "two")
    group = [
        Advance(one, "one", 0, (an_outcome("a"),)),
        Advance(two, "two", 0, (an_outcome("a"),)),
        Advance(one, "one", 0, (an_outcome("b"),)),
    ]
    assert backend.commit(group) == [Advanced(1), Advanced(1), Advanced(2)]


@case
def an_advance_without_entries_tells_the_last_number(backend: Backend) -> None:
    """Nothing to append is answered with the number of the last entry there."""
    pk = create(backend, "one", an_outcome())
    assert do(backend, Advance(pk, "one", 0), Advanced) == Advanced(1)


@case
def progress_alone_leaves_the_row_untouched(backend: Backend) -> None:
    """Without a change of the lifecycle the row stays as it is, revision and all."""
    pk = create(backend, a_row(status=Status.RUNNING, life=1))
    before = backend.get_workflow("one").row
    do(backend, Advance(pk, "one", 1, (an_outcome(),), (open_work("b"),), ("a",)), Advanced)
    assert backend.get_workflow("one").row == before


@case
def a_change_sets_every_column_it_names(backend: Backend) -> None:
    """All columns that may change do, and the revision is raised by one."""
    pk = create(backend, attrs.evolve(a_row(status=Status.RUNNING, life=1), revision=8))
    before = backend.get_workflow("one").row
    change = RowChange(
        status=Status.COMPLETED,
        reason="why",
        recoveries=3,
        restarts=(1.5, 2.5),
        wake_at=5.5,
        started_at=6.5,
        completed_at=7.5,
        description="new",
        metadata={"k": "v"},
        name="other",
        version=2,
        life=9,
    )
    do(backend, Advance(pk, "one", 1, change=change), Advanced)
    after = backend.get_workflow("one").row
    assert after == change.apply(before)
    assert after.revision == 9


@case
def a_change_leaves_other_columns_as_they_are(backend: Backend) -> None:
    """A column that is not named keeps its value, and ``None`` is a value to set."""
    row = attrs.evolve(
        a_row(wake_at=50.0, metadata={"k": "v"}), reason="old", description="text", restarts=(1.0,)
    )
    pk = create(backend, row)
    do(backend, Advance(pk, "one", 0, change=RowChange(wake_at=None, reason=None)), Advanced)
    expected = attrs.evolve(row, pk=pk, revision=2, wake_at=None, reason=None)
    assert backend.get_workflow("one").row == expected


@case
def another_life_is_refused(backend: Backend) -> None:
    """Neither an older incarnation nor one that is not yet may write."""
    pk = create(backend, a_row(status=Status.RUNNING, life=3))
    for life in (2, 4):
        change = RowChange(status=Status.COMPLETED)
        operation = Advance(pk, "one", life, (an_outcome(),), (open_work(),), change=change)
        error = refused(backend, operation, StaleWriteError)
        assert (error.id, error.what, error.expected, error.found) == ("one", "life", life, 3)


@case
def a_life_that_was_changed_is_the_fence_at_once(backend: Backend) -> None:
    """What sets the life fences the operations behind it, in the same group too."""
    pk = create(backend)
    change = RowChange(life=1)
    first, old, new = backend.commit(
        [
            Advance(pk, "one", 0, change=change),
            Advance(pk, "one", 0, (an_outcome("old"),)),
            Advance(pk, "one", 1, (an_outcome("new"),)),
        ]
    )
    assert first == Advanced(0)
    assert isinstance(old, StaleWriteError)
    assert new == Advanced(1)


@case
def a_journal_that_has_grown_is_refused_where_it_matters(backend: Backend) -> None:
    """With ``expect_n``, the last entry must still be that one."""
    pk = create(backend, "one", an_outcome("a"))
    for expect_n in (0, 2):
        operation = Advance(pk, "one", 0, (an_outcome("b"),), expect_n=expect_n)
        error = refused(backend, operation, StaleWriteError)
        assert (error.id, error.what) == ("one", "journal")
        assert (error.expected, error.found) == (expect_n, 1)
    operation = Advance(pk, "one", 0, (an_outcome("b"),), expect_n=1)
    assert do(backend, operation, Advanced) == Advanced(2)


@case
def the_life_is_judged_before_the_journal(backend: Backend) -> None:
    """An old incarnation is told that it is old, even where its journal is old too."""
    pk = create(backend, a_row(life=1))
    error = refused(backend, Advance(pk, "one", 0, expect_n=5), StaleWriteError)
    assert error.what == "life"


@case
def a_workflow_that_is_gone_is_refused(backend: Backend) -> None:
    """Progress of what was deleted, or never was, is refused."""
    pk = create(backend)
    do(backend, Delete("one"), Deleted)
    for gone in (pk, pk + 1):
        error = refused(backend, Advance(gone, "one", 0, (an_outcome(),)), NotFoundError)
        assert (error.kind, error.id) == ("workflow", "one")


@case
def open_work_is_inserted_and_replaced(backend: Backend) -> None:
    """Open work is kept by op; the newest is what is there."""
    pk = create(backend)
    do(backend, Advance(pk, "one", 0, opened=(open_work("a"), open_work("b"))), Advanced)
    newer = attrs.evolve(open_work("a", attempt=2), error=b"{}", depends_on=("b",))
    do(backend, Advance(pk, "one", 0, opened=(newer,)), Advanced)
    assert by_op(load_one(backend, pk).open_tasks) == (newer, open_work("b"))


@case
def open_work_is_closed_with_its_outcome(backend: Backend) -> None:
    """Work that is finished is gone, other work stays, closing what is not there is fine."""
    pk = create(backend)
    do(backend, Advance(pk, "one", 0, opened=(open_work("a"), open_work("b"))), Advanced)
    do(backend, Advance(pk, "one", 0, (an_outcome("a"),), closed=("a", "unknown")), Advanced)
    assert load_one(backend, pk).open_tasks == (open_work("b"),)


@case
def open_work_belongs_to_its_workflow(backend: Backend) -> None:
    """Work of the same op in another workflow is another's."""
    one, two = create(backend, "one"), create(backend, "two")
    group = [
        Advance(one, "one", 0, opened=(open_work("a", attempt=1),)),
        Advance(two, "two", 0, opened=(open_work("a", attempt=2),)),
        Advance(one, "one", 0, closed=("a",)),
    ]
    backend.commit(group)
    assert load_one(backend, one).open_tasks == ()
    assert load_one(backend, two).open_tasks == (open_work("a", attempt=2),)
