"""``Send``, and the keys that make it happen once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..._core.lifecycle import TERMINAL, Status
from ...errors import NotFoundError, WorkflowClosedError
from ...storage.operations import Advance, Advanced, Atomic, Delete, Deleted, Send, Sent
from ...storage.records import RowChange, WakeTime
from .case import case
from .driving import EARLIEST, create, delete_all, do, image, load_one, refused
from .samples import a_cancel, a_message, a_row, an_outcome

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


@case
def messages_are_kept_in_the_order_of_their_commits(backend: Backend) -> None:
    """First in, first out, with topic and payload, in one operation each or in a group."""
    pk = create(backend)
    sent = [a_message("a", payload=b"1"), a_message("b", payload=None), a_message("a", payload=b"")]
    assert do(backend, Send("one", sent[0]), Sent) == Sent(pk, 1)
    group = [Send("one", entry) for entry in sent[1:]]
    assert backend.commit(group) == [Sent(pk, 2), Sent(pk, 3)]
    expected = tuple(attrs.evolve(entry, n=n) for n, entry in enumerate(sent, start=1))
    assert load_one(backend, pk).entries[1:] == expected


@case
def a_key_is_taken_once(backend: Backend) -> None:
    """A second message with it, however different, does nothing: no entry, and nobody is due."""
    pk = create(backend, a_row(status=Status.WAITING, wake_at=9_000.0))
    first = Send("one", a_message(at=500.0), key="click-9")
    assert do(backend, first, Sent) == Sent(pk, 1)
    do(backend, Advance(pk, "one", 0, change=RowChange(wake_at=9_000.0)), Advanced)
    before = image(backend)
    for entry in (a_message(at=500.0), a_message("other", at=700.0, payload=b"2")):
        again = do(backend, Send("one", entry, key="click-9"), Sent)
        assert again == Sent(pk, 0, duplicate=True)
    assert image(backend) == before


@case
def a_key_is_taken_once_in_a_group_too(backend: Backend) -> None:
    """The first of a group that bears a key is taken, the others are duplicates."""
    pk = create(backend)
    group = [Send("one", a_message(str(n)), key="k") for n in range(3)]
    group.append(Send("one", a_message("3"), key="l"))
    duplicate = Sent(pk, 0, duplicate=True)
    assert backend.commit(group) == [Sent(pk, 1), duplicate, duplicate, Sent(pk, 2)]
    assert [entry.name for entry in load_one(backend, pk).entries] == ["start", "0", "3"]


@case
def keys_belong_to_their_workflow(backend: Backend) -> None:
    """Another workflow has not heard of it, and without one every message is new."""
    one, two = create(backend, "one"), create(backend, "two")
    group = [Send(id, a_message(), key="k") for id in ("one", "two")]
    group += [Send("one", a_message()) for _ in range(2)]
    assert backend.commit(group) == [Sent(one, 1), Sent(two, 1), Sent(one, 2), Sent(one, 3)]


@case
def keys_are_compared_as_they_are(backend: Backend) -> None:
    """Case, spaces, accents and composition tell keys apart; 200 characters are not too long."""
    pk = create(backend)
    keys = ["k", "K", " k", "k ", "é", "e\u0301", "e", "%", "_", "ß", "ss", "k" * 200, "𝄞" * 200]
    answers = backend.commit([Send("one", a_message(), key=key) for key in keys])
    assert answers == [Sent(pk, n) for n in range(1, len(keys) + 1)]
    again = backend.commit([Send("one", a_message(), key=key) for key in keys])
    assert again == [Sent(pk, 0, duplicate=True)] * len(keys)


@case
def a_key_is_remembered_after_the_end(backend: Backend) -> None:
    """Who did not hear the answer is told it was taken; a new message is refused."""
    pk = create(backend, a_row(status=Status.RUNNING))
    do(backend, Send("one", a_message(), key="k"), Sent)
    do(backend, Advance(pk, "one", 0, change=RowChange(status=Status.COMPLETED)), Advanced)
    again = do(backend, Send("one", a_message(), key="k"), Sent)
    assert again == Sent(pk, 0, duplicate=True)
    refused(backend, Send("one", a_message(), key="l"), WorkflowClosedError)
    refused(backend, Send("one", a_message()), WorkflowClosedError)


@case
def keys_survive_the_owner(backend: Backend) -> None:
    """Who opens it next still knows them."""
    pk = create(backend)
    do(backend, Send("one", a_message(), key="k"), Sent)
    backend.close()
    backend.open()
    assert do(backend, Send("one", a_message(), key="k"), Sent) == Sent(pk, 0, duplicate=True)


@case
def a_refused_message_takes_no_key(backend: Backend) -> None:
    """Neither alone nor with the rest of an ``Atomic``: it may be sent again."""
    pk = create(backend, a_row(status=Status.FAILED))
    keyed = Send("one", a_message(), key="k")
    refused(backend, keyed, WorkflowClosedError)
    do(backend, Advance(pk, "one", 0, change=RowChange(status=Status.PENDING)), Advanced)
    refused(backend, Atomic((keyed, Delete("nobody"))), NotFoundError)
    assert do(backend, keyed, Sent) == Sent(pk, 1)


@case
def keys_are_deleted_with_their_workflow(backend: Backend) -> None:
    """A new workflow of the same id takes the same key as new."""
    create(backend)
    do(backend, Send("one", a_message(), key="k"), Sent)
    delete_all(backend, "one", limit=1)
    pk = create(backend)
    assert do(backend, Send("one", a_message(), key="k"), Sent) == Sent(pk, 1)
