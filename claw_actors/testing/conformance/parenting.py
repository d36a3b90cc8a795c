"""The children that an ``Advance`` starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..._core.journal import EntryStatus
from ..._core.lifecycle import Status
from ...errors import DuplicateKeyError, StaleWriteError
from ...storage.model import WorkflowFilter
from ...storage.operations import Advance, Advanced, Create, Created, Delete, Deleted, Send, Sent
from ...storage.refusals import decode_refusal
from .case import case
from .driving import create, delete_all, do, load_one, refused
from .samples import a_child, a_child_entry, a_message, a_row, a_send, a_start, an_outcome

if TYPE_CHECKING:
    from ...storage.backend import Backend


def _starting(pk: int, *children: Create, id: str = "one", life: int = 0) -> Advance:
    """Make a workflow start these, each with its entry."""
    entries = tuple(a_child_entry(f"pack#{n}") for n in range(len(children)))
    return Advance(pk, id, life, entries, children=children)


@case
def a_child_is_started_with_its_parents_progress(backend: Backend) -> None:
    """It is there as it was given, with its parent; the parent's entries are stored as given."""
    one = create(backend, "one")
    child = a_child()
    entries = (an_outcome("a"), a_child_entry(), an_outcome("b"))
    answer = do(backend, Advance(one, "one", 0, entries, children=(child,)), Advanced)
    [created] = answer.children
    assert isinstance(created, Created)
    assert answer == Advanced(3, children=(Created(created.pk, 0),))
    stored = load_one(backend, created.pk)
    assert stored.row == attrs.evolve(child.row, pk=created.pk)
    assert stored.entries == child.entries
    expected = tuple(attrs.evolve(entry, n=n) for n, entry in enumerate(entries, start=1))
    assert load_one(backend, one).entries[1:] == expected


@case
def several_children_are_started_in_order(backend: Backend) -> None:
    """Their keys ascend, they are listed by their parent, and nobody else's are among them."""
    one, two = create(backend, "one"), create(backend, "two")
    first = _starting(one, a_child("a"), a_child("b"))
    second = _starting(two, a_child("c", parent="two"), id="two")
    results = backend.commit([first, second])
    keys: list[int] = []
    for result in results:
        assert isinstance(result, Advanced)
        for created in result.children:
            assert isinstance(created, Created)
            keys.append(created.pk)
    assert keys == sorted(set(keys))
    listed = backend.list_workflows(WorkflowFilter(parent="one")).items
    assert [item.row.id for item in listed] == ["b", "a"]


@case
def a_taken_id_refuses_the_child_alone(backend: Backend) -> None:
    """Its entry has failed and says what differs; the other children are started."""
    one = create(backend, "one")
    create(backend, "taken")
    answer = do(backend, _starting(one, a_child("taken"), a_child("free")), Advanced)
    error, created = answer.children
    assert isinstance(error, DuplicateKeyError)
    assert (error.id, error.differs) == ("taken", ("workflow", "arguments", "parent"))
    assert isinstance(created, Created)
    assert answer.refused_children == (error, None)
    failed, ok = load_one(backend, one).entries[1:]
    assert (failed.status, ok.status) == (EntryStatus.FAILED, EntryStatus.OK)
    assert failed.value is not None
    decoded = decode_refusal(failed.value)
    assert (type(decoded), vars(decoded)) == (type(error), vars(error))


@case
def a_child_that_was_started_before_is_that_one(backend: Backend) -> None:
    """The same again, by the same run of the same parent, does nothing, in a group of one, too."""
    one = create(backend, "one")
    [first, second] = backend.commit([_starting(one, a_child()), _starting(one, a_child(op="x"))])
    assert isinstance(first, Advanced)
    assert isinstance(second, Advanced)
    [created] = first.children
    assert isinstance(created, Created)
    assert second.children == (Created(created.pk, 0, existed=True),)
    do(backend, Advance(created.pk, "child", 1, (an_outcome(),)), Advanced)
    again = do(backend, _starting(one, a_child()), Advanced)
    assert again.children == (Created(created.pk, 0, existed=True),)
    assert [entry.n for entry in load_one(backend, created.pk).entries] == [0, 1]
    assert load_one(backend, one).entries[3].status is EntryStatus.OK


@case
def what_differs_is_another_child(backend: Backend) -> None:
    """Another workflow, other arguments, another run of the parent, another parent: each is told."""
    one, two = create(backend, "one"), create(backend, "two")
    do(backend, _starting(one, a_child()), Advanced)
    others = [
        (a_child(name="weigh"), one, "one", ("workflow",)),
        (a_child(value=b'{"n":2}'), one, "one", ("arguments",)),
        (a_child(run_key="another"), one, "one", ("parent",)),
        (a_child(parent="two", run_key=a_row().run_key), two, "two", ("parent",)),
    ]
    for child, pk, id, differs in others:
        answer = do(backend, _starting(pk, child, id=id), Advanced)
        [error] = answer.children
        assert isinstance(error, DuplicateKeyError)
        assert error.differs == differs


@case
def what_was_not_started_by_a_workflow_is_no_child(backend: Backend) -> None:
    """One that somebody created below the same parent is not the one that it starts."""
    one = create(backend, "one")
    child = a_child()
    row = attrs.evolve(child.row, parent_op=None)
    do(backend, Create(row, child.entries), Created)
    [error] = do(backend, _starting(one, child), Advanced).children
    assert isinstance(error, DuplicateKeyError)
    assert error.differs == ("parent",)


@case
def a_namesake_of_the_parent_has_its_own_children(backend: Backend) -> None:
    """After the parent was deleted, another of its id does not take on what it has started."""
    one = create(backend, "one")
    do(backend, _starting(one, a_child()), Advanced)
    do(backend, Delete("one"), Deleted)
    again = create(backend, "one")
    [error] = do(backend, _starting(again, a_child()), Advanced).children
    assert isinstance(error, DuplicateKeyError)
    assert error.differs == ("parent",)


@case
def a_refused_advance_starts_nobody(backend: Backend) -> None:
    """The children of an old incarnation are never there."""
    one = create(backend, a_row(life=1))
    refused(backend, _starting(one, a_child()), StaleWriteError)
    refused(backend, attrs.evolve(_starting(one, a_child(), life=1), expect_n=7), StaleWriteError)
    do(backend, _starting(one, a_child(), life=1), Advanced)
    assert backend.get_workflow("child").row.status is Status.RUNNING


@case
def children_and_messages_go_together(backend: Backend) -> None:
    """Each has the entry of its kind, in its own order."""
    one, two = create(backend, "one"), create(backend, "two")
    entries = (a_send("s#1"), a_child_entry("c#1"), a_send("s#2"), a_child_entry("c#2"))
    advance = Advance(
        one,
        "one",
        0,
        entries,
        sends=(Send("nobody", a_message()), Send("two", a_message())),
        children=(a_child("new"), a_child("two")),
    )
    answer = do(backend, advance, Advanced)
    assert answer.sent[1] == Sent(two, 1)
    statuses = [entry.status.value for entry in load_one(backend, one).entries[1:]]
    assert statuses == ["failed", "ok", "ok", "failed"]


@case
def children_outlive_a_deleted_parent(backend: Backend) -> None:
    """They go on without one, and their journals take entries as before."""
    one = create(backend, "one", an_outcome(), an_outcome("b"))
    [created] = do(backend, _starting(one, a_child()), Advanced).children
    assert isinstance(created, Created)
    delete_all(backend, "one", limit=1)
    assert backend.get_workflow("child").row.parent is None
    assert do(backend, Advance(created.pk, "child", 1, (an_outcome(),)), Advanced) == Advanced(1)


@case
def a_child_can_be_started_anew_once_it_was_deleted(backend: Backend) -> None:
    """Then its id is free."""
    one = create(backend, "one")
    do(backend, _starting(one, a_child()), Advanced)
    delete_all(backend, "child", limit=5)
    [created] = do(backend, _starting(one, a_child()), Advanced).children
    assert isinstance(created, Created)
    assert not created.existed
    assert load_one(backend, created.pk).entries[0].digest == a_child().entries[0].digest
    assert load_one(backend, created.pk).entries[0].value == a_start(b"{}").value
