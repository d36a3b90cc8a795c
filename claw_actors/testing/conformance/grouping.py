"""Several operations in one commit, and ``Atomic``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..._core.lifecycle import Status
from ...errors import DuplicateKeyError, NotFoundError, StaleWriteError
from ...storage.operations import (
    Advance,
    Advanced,
    Atomic,
    Claim,
    Create,
    Created,
    Delete,
    Deleted,
    Saved,
    SaveTask,
    SaveWorkflow,
    Send,
    Sent,
)
from ...storage.records import RowChange
from .case import case
from .driving import create, do, do_all, image, load_one, refused
from .samples import a_cancel, a_row, a_start, an_outcome, open_work

if TYPE_CHECKING:
    from ...storage.backend import Backend
    from ...storage.operations import Operation


@case
def answers_come_in_the_order_of_the_operations(backend: Backend) -> None:
    """Each operation of a group is answered in its place, and sees those before it."""
    first = create(backend, "first")
    results = backend.commit(
        [
            Create(a_row("two"), (a_start(),)),
            Send("two", a_cancel()),
            Advance(first, "first", 0, (an_outcome(),)),
            SaveWorkflow("two", 1, RowChange(reason="r")),
            Delete("first"),
        ]
    )
    assert isinstance(results[0], Created)
    two = results[0].pk
    assert results[1:] == [Sent(two, 1), Advanced(1), Saved(2), Deleted(first, done=True)]


@case
def an_empty_group_is_answered_empty(backend: Backend) -> None:
    """A commit of nothing does nothing."""
    create(backend)
    before = image(backend)
    assert backend.commit([]) == []
    assert image(backend) == before


@case
def a_refused_operation_fails_alone(backend: Backend) -> None:
    """Wherever in the group it stands, its neighbours commit as if it were not there."""
    bad: Operation = Create(a_row("taken"), (a_start(),))
    create(backend, "taken")
    for position in range(4):
        ids = [f"{position}-{number}" for number in range(3)]
        group: list[Operation] = [Create(a_row(id), (a_start(), an_outcome())) for id in ids]
        group.insert(position, bad)
        results = backend.commit(group)
        assert isinstance(results.pop(position), DuplicateKeyError)
        assert all(isinstance(result, Created) for result in results)
        for id in ids:
            assert load_one(backend, backend.get_workflow(id).row.pk).entries[-1].n == 1


@case
def a_refused_operation_of_any_kind_fails_alone(backend: Backend) -> None:
    """Each kind of refusal leaves the group around it sound."""
    pk = create(backend, "one")
    bad: tuple[tuple[Operation, type[Exception]], ...] = (
        (Create(a_row("child", parent="nobody"), (a_start(),)), NotFoundError),
        (Advance(pk, "one", 5, (an_outcome(),)), StaleWriteError),
        (Send("nobody", a_cancel()), NotFoundError),
        (SaveWorkflow("one", 5, RowChange()), StaleWriteError),
        (SaveTask("nobody", opened=open_work()), NotFoundError),
        (Delete("nobody"), NotFoundError),
        (Atomic((Delete("one"), Delete("one"))), NotFoundError),
    )
    for n, (operation, error) in enumerate(bad):
        before = Advance(pk, "one", 0, (an_outcome(f"before#{n}"),))
        after = Advance(pk, "one", 0, (an_outcome(f"after#{n}"),))
        results = backend.commit([before, operation, after])
        assert results[0] == Advanced(2 * n + 1)
        assert isinstance(results[1], error), operation
        assert results[2] == Advanced(2 * n + 2)
    assert len(load_one(backend, pk).entries) == 2 * len(bad) + 1


@case
def a_group_of_refusals_changes_nothing(backend: Backend) -> None:
    """If every operation is refused, each has its error and nothing has happened."""
    create(backend)
    before = image(backend)
    results = backend.commit([Delete("a"), Send("b", a_cancel()), Delete("c")])
    errors = [result for result in results if isinstance(result, NotFoundError)]
    assert [error.id for error in errors] == ["a", "b", "c"]
    assert image(backend) == before


@case
def atomic_answers_with_all_answers(backend: Backend) -> None:
    """Its parts happen in order, each sees those before it, and the answer is theirs."""
    operation = Atomic(
        (
            Create(a_row("parent"), (a_start(),)),
            Create(a_row("child", parent="parent"), (a_start(),)),
            SaveTask("child", opened=open_work()),
            SaveWorkflow("child", 1, RowChange(reason="r")),
            Send("child", a_cancel()),
            Delete("parent"),
        )
    )
    parent, child, task, saved, sent, deleted = do_all(backend, operation)
    assert isinstance(parent, Created)
    assert isinstance(child, Created)
    assert (task, saved, sent) == (Saved(1), Saved(2), Sent(child.pk, 1))
    assert deleted == Deleted(parent.pk, done=True)


@case
def an_empty_atomic_is_answered_empty(backend: Backend) -> None:
    """All of nothing is nothing."""
    assert do_all(backend, Atomic(())) == ()


@case
def atomic_is_all_or_nothing(backend: Backend) -> None:
    """If one part is refused, wherever it stands, every part is taken back."""
    create(backend, a_row("waiting", status=Status.WAITING, wake_at=5_000.0), an_outcome("a"))
    create(backend, a_row("child", parent="waiting"))
    do(backend, SaveTask("waiting", opened=open_work("b")), Saved)
    good = (
        Create(a_row("new", parent="waiting"), (a_start(), an_outcome())),
        SaveTask("waiting", entry=an_outcome("b")),
        SaveTask("waiting", opened=open_work("c")),
        Send("waiting", a_cancel(at=10.0)),
        SaveWorkflow("child", 1, RowChange(status=Status.FAILED, metadata={"k": "v"})),
        Delete("waiting"),
    )
    for position in range(len(good) + 1):
        parts = (*good[:position], Send("nobody", a_cancel()), *good[position:])
        error = refused(backend, Atomic(parts), NotFoundError)
        assert error.id == "nobody"


@case
def the_first_refusal_answers_for_an_atomic(backend: Backend) -> None:
    """Of several parts that would be refused, the first one's error is the answer."""
    create(backend)
    parts = (SaveWorkflow("one", 9, RowChange()), Delete("nobody"))
    error = refused(backend, Atomic(parts), StaleWriteError)
    assert error.what == "revision"


@case
def a_refused_atomic_fails_alone(backend: Backend) -> None:
    """What it took back does not stand in the way of the rest of its group."""
    old = create(backend, "old", an_outcome())
    refusal, created, sent = backend.commit(
        [
            Atomic((Create(a_row("new"), (a_start(),)), Delete("old"), Delete("nobody"))),
            Create(a_row("new", name="second"), (a_start(),)),
            Send("old", a_cancel()),
        ]
    )
    assert isinstance(refusal, NotFoundError)
    assert isinstance(created, Created)
    assert sent == Sent(old, 2)
    assert backend.get_workflow("new").row.name == "second"


def _one_of_each_kind(pk: int) -> list[Operation]:
    return [
        Create(a_row("two", metadata={"k": "v"}), (a_start(), an_outcome())),
        Advance(pk, "one", 0, (an_outcome("a"),), (open_work("b"),), ("c",), RowChange(version=2)),
        Send("one", a_cancel()),
        SaveWorkflow("one", 2, RowChange(metadata={"k": "v"})),
        SaveTask("one", entry=an_outcome("d")),
        Claim(((pk, 0),), 1.0, counted=True),
        Atomic((Create(a_row("three"), (a_start(),)), Delete("nobody"))),
        Delete("two"),
    ]


@case
def operations_are_not_changed(backend: Backend) -> None:
    """A backend leaves its arguments as they were given."""
    pk = create(backend)
    group = _one_of_each_kind(pk)
    backend.commit(group)
    assert group == _one_of_each_kind(pk)


@case
def what_is_stored_does_not_change_with_its_source(backend: Backend) -> None:
    """A mapping that its author changes later is stored as it was at the commit."""
    labels = {"k": "created"}
    create(backend, a_row("one", metadata=labels))
    labels["k"] = "changed"
    assert backend.get_workflow("one").row.metadata == {"k": "created"}
    labels["k"] = "saved"
    do(backend, SaveWorkflow("one", 1, RowChange(metadata=labels)), Saved)
    labels["k"] = "changed"
    assert backend.get_workflow("one").row.metadata == {"k": "saved"}
