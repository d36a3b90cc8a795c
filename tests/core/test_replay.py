"""The past as a queue and an index, and the comparison with what code asks for."""

from __future__ import annotations

import attrs
import pytest

from claw_actors._core.journal import (
    DEAD_LETTER_OP,
    REPLY_OP,
    Entry,
    EntryKind,
    EntryStatus,
    message,
    note_about,
)
from claw_actors._core.replay import Asked, Mismatch, compare, describe_entry, read_past

START = Entry("", "start", EntryKind.START, EntryStatus.OK, 0.0, value=b"{}")
CHARGE = Entry("pay/charge", "charge", EntryKind.TASK, EntryStatus.OK, 1.0, after=0, n=1)
CANCEL = Entry("cancel", "cancel", EntryKind.CANCEL, EntryStatus.OK, 2.0, n=2)
SLEEP = Entry("sleep", "timer", EntryKind.TIMER, EntryStatus.OK, 3.0, after=1, n=3)
VOID = Entry("", "note", EntryKind.NOTE, EntryStatus.VOID, 4.0, ref=3, n=4)


def test_the_past_is_delivered_in_commit_order():
    """The input stands apart; the rest is a queue."""
    past = read_past([START, CHARGE, CANCEL, SLEEP])
    assert past.start is START
    assert list(past.entries) == [CHARGE, CANCEL, SLEEP]


def test_code_must_ask_for_all_but_what_came_from_outside():
    """The index holds operations; a request to cancel is delivered unasked."""
    past = read_past([START, CHARGE, CANCEL, SLEEP])
    assert past.by_op == {"pay/charge": CHARGE, "sleep": SLEEP}


def test_messages_are_delivered_in_their_place_and_asked_for_by_nobody():
    """All share one op, so none of them may stand in the index."""
    sent = [attrs.evolve(message("topic", 1.0, b"1"), n=n) for n in (1, 2)]
    past = read_past([START, *sent])
    assert (list(past.entries), past.by_op, past.last_n) == (sent, {}, 2)


def test_notes_about_messages_are_not_delivered_but_known():
    """Which messages are dead letters, and which requests have their reply."""
    sent = [attrs.evolve(message("topic", 1.0, b"1"), n=n) for n in (1, 2, 3)]
    notes = [
        attrs.evolve(note_about(op, about, 2.0, 1), n=n)
        for n, (op, about) in enumerate(((DEAD_LETTER_OP, 1), (REPLY_OP, 3)), start=4)
    ]
    past = read_past([START, *sent, *notes])
    assert (list(past.entries), past.by_op, past.last_n) == (sent, {}, 5)
    assert (past.put_aside, past.answered) == ({1}, {3})


def test_what_was_done_with_a_message_is_not_undone_by_a_retry():
    """Its sender may have been told, so the notes outlive a void that names an earlier entry."""
    sent = attrs.evolve(message("topic", 1.0, b"1"), n=2)
    note = attrs.evolve(note_about(REPLY_OP, 2, 2.0, 1), n=3)
    void = attrs.evolve(VOID, ref=1, n=4)
    past = read_past([START, CHARGE, sent, note, void])
    assert (list(past.entries), past.answered) == ([sent], {2})


def test_voided_entries_are_no_past():
    """They are neither delivered nor compared, but their numbers stay taken."""
    past = read_past([START, CHARGE, CANCEL, SLEEP, VOID])
    assert list(past.entries) == [CHARGE, CANCEL]
    assert past.by_op == {"pay/charge": CHARGE}
    assert past.last_n == 4


def test_a_new_workflow_has_an_input_and_no_past():
    """Numbers begin with 1, so 0 is the last one."""
    past = read_past(iter([START]))
    assert (past.start, list(past.entries), past.by_op, past.last_n) == (START, [], {}, 0)


def test_a_journal_begins_with_its_start():
    """Anything else is a defect of ours."""
    with pytest.raises(AssertionError):
        read_past([CHARGE])


def test_the_same_operation_asked_at_the_same_point_agrees():
    """Status, value and digest say nothing about what was asked."""
    asked = Asked("pay/charge", "charge", EntryKind.TASK, 0)
    assert compare(CHARGE, asked) is None
    assert compare(attrs.evolve(CHARGE, digest=b"x" * 16, value=b"1"), asked) is None


@pytest.mark.parametrize(
    "change", [{"kind": EntryKind.TIMER}, {"name": "refund"}, {"after": 1}], ids=str
)
def test_another_kind_name_or_point_is_a_mismatch(change):
    """Each of the three is compared, and both sides are shown."""
    asked = attrs.evolve(Asked("pay/charge", "charge", EntryKind.TASK, 0), **change)
    mismatch = compare(CHARGE, asked)
    assert mismatch == Mismatch(expected="task 'pay/charge' (charge) after entry 0", got=str(asked))
    assert mismatch.expected != mismatch.got


def test_an_entry_that_was_not_asked_for_is_described_too():
    """The text for people needs a point, and the start is one."""
    assert describe_entry(CANCEL) == "cancel 'cancel' (cancel) after entry 0"
