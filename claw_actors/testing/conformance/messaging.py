"""What an ``Advance`` sends to others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..._core.journal import EntryStatus
from ..._core.lifecycle import TERMINAL, Status
from ...errors import NotFoundError, StaleWriteError, WorkflowClosedError
from ...storage.operations import Advance, Advanced, Delete, Deleted, Send, Sent
from ...storage.records import RowChange, WakeTime
from ...storage.refusals import decode_refusal
from .case import case
from .driving import EARLIEST, create, do, load_one, refused
from .samples import a_cancel, a_message, a_row, a_send, an_outcome

if TYPE_CHECKING:
    from ..._core.journal import Entry
    from ...storage.backend import Backend


def _sending(pk: int, *sends: Send, change: RowChange | None = None) -> Advance:
    """Make workflow ``one`` send these, each with its entry and a task's outcome behind."""
    entries = tuple(
        entry
        for number in range(len(sends))
        for entry in (a_send(f"send#{number}"), an_outcome(f"t#{number}"))
    )
    return Advance(pk, "one", 0, entries, change=change, sends=sends)


def _journal(backend: Backend, pk: int) -> list[tuple[str, str]]:
    """Return the op and the status of each entry behind the start."""
    return [(entry.op, entry.status.value) for entry in load_one(backend, pk).entries[1:]]


def _topics(backend: Backend, pk: int) -> list[str]:
    return [entry.name for entry in load_one(backend, pk).entries[1:]]


def _recorded(backend: Backend, pk: int, n: int) -> Entry:
    entry = load_one(backend, pk).entries[n]
    assert entry.n == n
    return entry


@case
def what_an_advance_sends_arrives(backend: Backend) -> None:
    """The message is in the other journal, and the sender's entries are stored as given."""
    one, two = create(backend, "one"), create(backend, "two", an_outcome())
    entries = (an_outcome("a"), attrs.evolve(a_send(), value=b"kept"), an_outcome("b"))
    operation = Advance(one, "one", 0, entries, sends=(Send("two", a_message()),))
    assert do(backend, operation, Advanced) == Advanced(3, (Sent(two, 2),))
    assert load_one(backend, two).entries[2] == attrs.evolve(a_message(), n=2)
    expected = tuple(attrs.evolve(entry, n=n) for n, entry in enumerate(entries, start=1))
    assert load_one(backend, one).entries[1:] == expected


@case
def a_refused_message_is_recorded_as_such(backend: Backend) -> None:
    """Its entry has failed, with the refusal as its value; whatever else is in it is done."""
    one, two = create(backend, "one"), create(backend, "two")
    create(backend, a_row("ended", status=Status.CANCELLED))
    sends = [Send(id, a_message()) for id in ("nobody", "two", "ended", "two")]
    answer = do(backend, _sending(one, *sends, change=RowChange(reason="r")), Advanced)
    assert answer.n == 8
    nobody, first, ended, second = answer.sent
    assert isinstance(nobody, NotFoundError)
    assert (nobody.kind, nobody.id) == ("workflow", "nobody")
    assert isinstance(ended, WorkflowClosedError)
    assert (ended.id, ended.status) == ("ended", "cancelled")
    assert (first, second) == (Sent(two, 1), Sent(two, 2))
    assert answer.refusals == (nobody, None, ended, None)
    assert _journal(backend, one) == [
        ("send#0", "failed"), ("t#0", "ok"), ("send#1", "ok"), ("t#1", "ok"),
        ("send#2", "failed"), ("t#2", "ok"), ("send#3", "ok"), ("t#3", "ok"),
    ]  # fmt: skip
    assert backend.get_workflow("one").row.reason == "r"
    for n, error in ((1, nobody), (5, ended)):
        value = _recorded(backend, one, n).value
        assert value is not None
        decoded = decode_refusal(value)
        assert (type(decoded), vars(decoded)) == (type(error), vars(error))
    assert _recorded(backend, one, 3) == attrs.evolve(a_send("send#1"), n=3)


@case
def a_refused_message_stops_no_neighbour(backend: Backend) -> None:
    """The operations around it, in the same group, commit as if it were not there."""
    one, two = create(backend, "one"), create(backend, "two")
    before, sending, after = backend.commit(
        [
            Advance(two, "two", 0, (an_outcome("a"),)),
            _sending(one, Send("nobody", a_message())),
            Advance(two, "two", 0, (an_outcome("b"),)),
        ]
    )
    assert (before, after) == (Advanced(1), Advanced(2))
    assert isinstance(sending, Advanced)
    assert sending.n == 2


@case
def a_refused_advance_sends_nothing(backend: Backend) -> None:
    """An old incarnation's messages reach nobody, and take no key."""
    one = create(backend, a_row(life=1))
    two = create(backend, a_row("two", status=Status.WAITING, wake_at=9_000.0))
    keyed = Send("two", a_message(at=5.0), key="k")
    refused(backend, _sending(one, keyed), StaleWriteError)
    refused(backend, attrs.evolve(_sending(one, keyed), life=1, expect_n=7), StaleWriteError)
    refused(backend, _sending(two + 1, keyed), NotFoundError)
    assert do(backend, keyed, Sent) == Sent(two, 1)


@case
def messages_take_their_place_among_others(backend: Backend) -> None:
    """In the order in which they are sent, behind what came before and before what comes after."""
    one, two = create(backend, "one"), create(backend, "two")
    sends = [Send("two", a_message(topic)) for topic in ("b", "c")]
    results = backend.commit(
        [Send("two", a_message("a")), _sending(one, *sends), Send("two", a_message("d"))]
    )
    sent = (Sent(two, 2), Sent(two, 3))
    assert results == [Sent(two, 1), Advanced(4, sent), Sent(two, 4)]
    assert _topics(backend, two) == ["a", "b", "c", "d"]


@case
def a_waiting_recipient_becomes_due(backend: Backend) -> None:
    """As if it had been sent from outside; twice, at the last one's time."""
    one = create(backend, "one")
    two = create(backend, a_row("two", status=Status.WAITING, wake_at=9_000.0))
    sends = [Send("two", a_message(at=at)) for at in (500.0, 600.0)]
    do(backend, _sending(one, *sends), Advanced)
    row = backend.get_workflow("two").row
    assert (row.wake_at, row.revision) == (600.0, 3)
    assert backend.list_wake_times(EARLIEST, 2) == [WakeTime(600.0, two, "two", since=600.0)]


@case
def one_that_is_paused_or_quarantined_keeps_messages(backend: Backend) -> None:
    """Only the end refuses them."""
    one = create(backend, "one")
    for status in Status:
        pk = create(backend, a_row(status.value, status=status))
        answer = do(backend, _sending(one, Send(status.value, a_message())), Advanced)
        if status in TERMINAL:
            assert isinstance(answer.sent[0], WorkflowClosedError)
        else:
            assert answer.sent == (Sent(pk, 1),)


@case
def a_key_drops_a_message_that_was_sent_before(backend: Backend) -> None:
    """From outside, by an advance before, or by the same one; a duplicate is no failure."""
    one, two = create(backend, "one"), create(backend, "two")
    keyed = [Send("two", a_message(key), key=key) for key in ("a", "b", "b", "c")]
    do(backend, keyed[0], Sent)
    duplicate = Sent(two, 0, duplicate=True)
    answer = do(backend, _sending(one, *keyed), Advanced)
    assert answer.sent == (duplicate, Sent(two, 2), duplicate, Sent(two, 3))
    assert {status for _, status in _journal(backend, one)} == {EntryStatus.OK}
    assert do(backend, _sending(one, keyed[3]), Advanced).sent == (duplicate,)
    assert do(backend, keyed[1], Sent) == duplicate
    assert _topics(backend, two) == ["a", "b", "c"]


@case
def one_that_sends_to_itself_is_told_behind_its_own_entries(backend: Backend) -> None:
    """The answer is still the number of the last entry of its own."""
    one = create(backend, "one")
    answer = do(backend, _sending(one, Send("one", a_message("m"))), Advanced)
    assert answer == Advanced(2, (Sent(one, 3),))
    assert [op for op, _ in _journal(backend, one)] == ["send#0", "t#0", a_message().op]
    do(backend, Advance(one, "one", 0, (an_outcome("next"),), expect_n=3), Advanced)


@case
def one_that_sends_to_itself_is_told_as_what_it_becomes(backend: Backend) -> None:
    """If it goes to sleep it is due; if it ends, that refuses the message."""
    one = create(backend, a_row(status=Status.RUNNING))
    itself = Send("one", a_message(at=500.0))
    sleep = RowChange(status=Status.WAITING, wake_at=9_000.0)
    do(backend, _sending(one, itself, change=sleep), Advanced)
    assert backend.get_workflow("one").row.wake_at == 500.0
    end = RowChange(status=Status.COMPLETED)
    answer = do(backend, _sending(one, itself, change=end), Advanced)
    assert isinstance(answer.sent[0], WorkflowClosedError)
    assert [status for _, status in _journal(backend, one)][-2:] == ["failed", "ok"]


@case
def two_that_send_to_each_other_agree_on_the_order(backend: Backend) -> None:
    """In one group, each sees what came before it."""
    one, two = create(backend, "one"), create(backend, "two")
    there = _sending(one, Send("two", a_message("there")))
    back = Advance(two, "two", 0, (a_send(),), sends=(Send("one", a_message("back")),))
    results = backend.commit([there, back, attrs.evolve(there, expect_n=3)])
    assert results[0] == Advanced(2, (Sent(two, 1),))
    assert results[1] == Advanced(2, (Sent(one, 3),))
    assert results[2] == Advanced(5, (Sent(two, 3),))


@case
def requests_can_be_sent_along_too(backend: Backend) -> None:
    """Whatever comes from outside may, such as a request to cancel; not to one that is gone."""
    one, two = create(backend, "one"), create(backend, "two")
    cancel = _sending(one, Send("two", a_cancel()))
    assert do(backend, cancel, Advanced).sent == (Sent(two, 1),)
    do(backend, Delete("two"), Deleted)
    assert isinstance(do(backend, cancel, Advanced).sent[0], NotFoundError)
