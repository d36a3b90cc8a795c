"""What a stored journal means to a function that runs again from the top.

The past is a queue, to be delivered in commit order, and an index by operation, to compare what
the code asks for with what it asked for the first time.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import attrs

from .journal import DEAD_LETTER_OP, OUTSIDE, REPLY_OP, Entry, EntryKind, effective
from .offspring import OnParentClose, started_by

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Asked", "Mismatch", "Past", "compare", "read_past"]


@attrs.frozen
class Asked:
    """What workflow code asks for.

    Attributes:
        op, name, kind: the operation.
        after: the number of the last entry delivered to the instance when it was asked.
    """

    op: str
    name: str
    kind: EntryKind
    after: int

    def __str__(self) -> str:
        return f"{self.kind} {self.op!r} ({self.name}) after entry {self.after}"


@attrs.frozen
class Mismatch:
    """The code does not do what the journal says: both sides, for people."""

    expected: str
    got: str


@attrs.frozen
class Past:
    """A run's journal, ready to be delivered.

    Attributes:
        start: entry 0, the input.
        entries: what is to be delivered, in order.
        by_op: the entries that code must ask for.
        put_aside: the numbers of messages that are dead letters already.
        answered: the numbers of requests that have been replied to.
        children: what the run has started, by id, with what its end does to each.
        last_n: the number of the last entry of the run, delivered or not.
    """

    start: Entry
    entries: deque[Entry]
    by_op: dict[str, Entry]
    put_aside: frozenset[int]
    answered: frozenset[int]
    children: dict[str, OnParentClose]
    last_n: int


def read_past(journal: Iterable[Entry]) -> Past:
    """Sort a stored journal (entry 0 first) into what replay needs.

    A workflow that has ended is never replayed; if it is retried, its end has been voided.
    """
    stored = tuple(journal)
    start, *rest = effective(stored)
    assert start.kind is EntryKind.START, start
    delivered = [entry for entry in rest if entry.kind is not EntryKind.NOTE]
    return Past(
        start=start,
        entries=deque(delivered),
        by_op={entry.op: entry for entry in delivered if entry.kind not in OUTSIDE},
        put_aside=_noted(rest, DEAD_LETTER_OP),
        answered=_noted(rest, REPLY_OP),
        children=started_by(stored),
        last_n=stored[-1].n,
    )


def _noted(entries: Iterable[Entry], op: str) -> frozenset[int]:
    """Return the numbers of those messages that a note says this of."""
    notes = (one for one in entries if one.kind is EntryKind.NOTE and one.op == op)
    return frozenset(one.ref for one in notes if one.ref is not None)


def describe_entry(entry: Entry) -> str:
    """Name an entry the way :class:`Asked` names what code asks for."""
    return str(Asked(entry.op, entry.name, entry.kind, entry.after or 0))


def compare(recorded: Entry, asked: Asked) -> Mismatch | None:
    """Compare what code asks for with what it asked for the first time.

    Kind, name and *after* must agree. A changed argument digest is no mismatch: code may be
    mended while instances run.
    """
    if (recorded.kind, recorded.name, recorded.after) == (asked.kind, asked.name, asked.after):
        return None
    return Mismatch(expected=describe_entry(recorded), got=str(asked))
