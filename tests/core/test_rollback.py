"""What a journal says about a rollback."""

from __future__ import annotations

import attrs

from claw_actors._core.journal import RETRY_OP, Entry, EntryKind, EntryStatus
from claw_actors._core.rollback import has_begun, stopped_at

START = Entry("", "start", EntryKind.START, EntryStatus.OK, 0.0)


def ended(n: int, op: str, status: EntryStatus = EntryStatus.OK) -> Entry:
    return Entry(op, op.rpartition("/")[2], EntryKind.TASK, status, 0.0, n - 1, n=n)


def void(n: int, ref: int) -> Entry:
    note = ended(n, RETRY_OP, EntryStatus.VOID)
    return attrs.evolve(note, kind=EntryKind.NOTE, after=None, ref=ref)


def test_it_has_begun_with_the_first_outcome_of_a_handler():
    """Whatever else is called alike is no handler."""
    others = [START, ended(1, "rollback"), ended(2, "nursery/rollback/refund"), ended(3, "refund")]
    assert not has_begun(others)
    assert has_begun([*others, ended(4, "rollback/refund")])
    assert has_begun([*others, ended(4, "rollback/refund#2", EntryStatus.FAILED)])


def test_a_voided_handler_does_not_count():
    """A retry has taken it back."""
    failed = ended(1, "rollback/refund", EntryStatus.FAILED)
    assert not has_begun([START, failed, void(2, 1)])


def test_it_has_stopped_at_the_handler_that_failed():
    """By the number of its entry, so that a retry can void that."""
    failed = ended(3, "rollback/refund", EntryStatus.FAILED)
    journal = [START, ended(1, "charge", EntryStatus.FAILED), ended(2, "rollback/ship"), failed]
    assert stopped_at(journal[:3]) is None
    assert stopped_at(journal) == 3
    assert stopped_at([*journal, void(4, 3)]) is None
    again = attrs.evolve(failed, n=5, after=2)
    assert stopped_at([*journal, void(4, 3), again]) == 5
