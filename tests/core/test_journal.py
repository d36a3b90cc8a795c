"""What counts of a journal: voids, and voids after voids."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from claw_actors._core.identity import is_valid_name
from claw_actors._core.journal import (
    CANCEL_OP,
    CRASH_OP,
    END_OP,
    MESSAGE_OP,
    OUTSIDE,
    RETRY_OP,
    Entry,
    EntryKind,
    EntryStatus,
    effective,
    message,
)

START = Entry("", "start", EntryKind.START, EntryStatus.OK, 0.0)


def task(n, after, status=EntryStatus.OK):
    return Entry(f"t{n}", "t", EntryKind.TASK, status, float(n), after=after, n=n)


def cancel(n):
    return Entry("cancel", "cancel", EntryKind.CANCEL, EntryStatus.OK, float(n), n=n)


def void(n, ref):
    return Entry("", "note", EntryKind.NOTE, EntryStatus.VOID, float(n), ref=ref, n=n)


def end(n, after, ref=None):
    return Entry(
        "end", "end", EntryKind.END, EntryStatus.FAILED, float(n), after=after, ref=ref, n=n
    )


def numbers(entries):
    return [entry.n for entry in effective(entries)]


def test_a_journal_without_voids_counts_as_it_stands():
    """Nothing is left out, nothing is reordered."""
    journal = [START, task(1, 0), task(2, 0), cancel(3), task(4, 2)]
    assert effective(journal) == journal


def test_an_empty_journal_has_no_effect():
    """There is nothing to leave out of nothing."""
    assert effective([]) == []


def test_a_void_takes_out_its_entry_and_itself():
    """The failed task counts no more, and the note about it never did."""
    assert numbers([START, task(1, 0), task(2, 1, EntryStatus.FAILED), void(3, 2)]) == [0, 1]


def test_a_void_takes_out_what_was_asked_for_after_it():
    """The end was asked for when the fatal entry had been delivered."""
    journal = [START, task(1, 0), task(2, 1, EntryStatus.FAILED), end(3, 2, ref=2), void(4, 2)]
    assert numbers(journal) == [0, 1]


def test_a_void_keeps_later_entries_that_were_asked_for_before():
    """A sibling that ended after the fatal one, but was asked for earlier, has happened."""
    journal = [START, task(1, 0, EntryStatus.FAILED), task(2, 0), end(3, 1), void(4, 1)]
    assert numbers(journal) == [0, 2]


def test_a_void_takes_out_tasks_that_were_cancelled_later():
    """Their bodies were cut off on the way that is not taken any more; an outcome stays."""
    journal = [
        START,
        task(1, 0, EntryStatus.CANCELLED),
        task(2, 0, EntryStatus.FAILED),
        task(3, 0, EntryStatus.CANCELLED),
        task(4, 1),
        end(5, 4),
        void(6, 2),
    ]
    assert numbers(journal) == [0, 1, 4]


def test_a_void_keeps_what_outsiders_wrote():
    """Nobody asked for a request to cancel, so no retry can take it back."""
    journal = [START, task(1, 0, EntryStatus.FAILED), cancel(2), end(3, 2), void(4, 1)]
    assert numbers(journal) == [0, 2]


def test_the_retried_run_goes_on_after_the_void():
    """Entries written after the note count, though they bear the numbers after the voided ones."""
    journal = [START, task(1, 0), task(2, 1, EntryStatus.FAILED), end(3, 2), void(4, 2)]
    assert numbers([*journal, task(5, 1), task(6, 5)]) == [0, 1, 5, 6]


def test_a_second_retry_voids_only_what_hangs_on_the_second_failure():
    """Each note looks at what the earlier ones have left."""
    first = [START, task(1, 0, EntryStatus.FAILED), end(2, 1), void(3, 1)]
    second = [task(4, 0), task(5, 4, EntryStatus.FAILED), task(6, 4), end(7, 5), void(8, 5)]
    assert numbers([*first, *second]) == [0, 4, 6]
    assert numbers([*first, *second, task(9, 6)]) == [0, 4, 6, 9]


def test_a_later_retry_may_reach_back_before_an_earlier_one():
    """What the first retry brought forth goes with what it was built on."""
    journal = [
        START,
        task(1, 0),
        task(2, 1, EntryStatus.FAILED),
        void(3, 2),
        task(4, 1),
        void(5, 1),
    ]
    assert numbers(journal) == [0]


def test_a_note_that_voids_nothing_stays():
    """Only void notes take part in this."""
    note = Entry("", "note", EntryKind.NOTE, EntryStatus.OK, 1.0, n=1)
    assert effective([START, note]) == [START, note]


def test_a_void_note_must_say_what_it_voids():
    """A note without a reference is a defect of ours."""
    broken = Entry("", "note", EntryKind.NOTE, EntryStatus.VOID, 1.0, n=1)
    with pytest.raises(AssertionError):
        effective([START, broken])


def test_only_requests_to_cancel_messages_and_ends_of_children_come_from_outside():
    """Whatever is added there is no longer asked for by code."""
    assert [kind for kind in EntryKind if kind in OUTSIDE] == [
        EntryKind.CANCEL, EntryKind.MESSAGE, EntryKind.CHILD_END,
    ]  # fmt: skip


def test_a_message_bears_its_topic_as_name():
    """Whoever reads the journal sees where it belongs; the op is the same for all of them."""
    entry = message("approval", 5.0, b"true")
    assert (entry.op, entry.name, entry.kind) == (MESSAGE_OP, "approval", EntryKind.MESSAGE)
    assert (entry.at, entry.value, entry.after, entry.life) == (5.0, b"true", None, 0)


def test_a_void_keeps_messages_wherever_they_stand():
    """Before the fatal entry, after it, after the end, and even named by the note itself."""
    note = message("topic", 1.0, None)
    first, second, third = (attrs.evolve(note, n=n) for n in (1, 3, 5))
    failed = task(2, 0, EntryStatus.FAILED)
    journal = [START, first, failed, second, end(4, 3), third]
    assert numbers([*journal, void(6, 2)]) == [0, 1, 3, 5]
    assert numbers([*journal, void(6, 1)]) == [0, 1, 2, 3, 5]


@st.composite
def journals(draw):
    journal = [START]
    for n in range(1, draw(st.integers(1, 20))):
        match draw(st.integers(0, 4)):
            case 0:
                journal.append(cancel(n))
            case 1 if n > 1:
                journal.append(void(n, draw(st.integers(1, n - 1))))
            case 2:
                journal.append(attrs.evolve(message("topic", float(n), None), n=n))
            case _:
                journal.append(task(n, draw(st.integers(0, n - 1))))
    return journal


@given(journals())
def test_what_is_left_needs_nothing_that_is_gone(journal):
    """Order stays, the start and outsiders stay, and no entry hangs on a voided one."""
    left = effective(journal)
    kept = [entry.n for entry in left]
    assert kept == sorted(kept)
    assert left[0] is START
    assert {e.n for e in journal if e.kind is EntryKind.CANCEL} <= {
        *kept,
        *(e.ref for e in journal if e.status is EntryStatus.VOID),
    }
    assert {e.n for e in journal if e.kind is EntryKind.MESSAGE} <= set(kept)
    for index, note in enumerate(journal):
        if note.status is EntryStatus.VOID:
            before = {entry.n for entry in journal[:index]}
            assert not [
                e
                for e in left
                if e.n in before
                and e.kind is not EntryKind.MESSAGE
                and (e.n == note.ref or (e.after or -1) >= note.ref)
            ]


def test_what_no_code_asks_for_has_ids_that_no_author_can_give():
    """A task called ``end`` is something else than the end; these are stored, so frozen."""
    ops = (CANCEL_OP, CRASH_OP, END_OP, MESSAGE_OP, RETRY_OP)
    assert ops == ("/cancel", "/crash", "/end", "/message", "/retry")
    assert not any(map(is_valid_name, ops))
