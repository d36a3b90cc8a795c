"""What the tests of pictures share: a workflow, entry by entry."""

from __future__ import annotations

import itertools

import pytest

from claw_actors import (
    EntryKind,
    EntryStatus,
    ErrorRecord,
    HistoryEntry,
    Status,
    TaskState,
    TaskStatus,
    WorkflowState,
)

BEGUN = 1_000_000_000.0
"""2001-09-09T01:46:40Z."""

HEAVY = ErrorRecord(("shop.TooHeavy", "Exception"), "an anvil")


class Story:
    """Entries in the order of their numbers, at seconds from the beginning."""

    def __init__(self) -> None:
        self.entries: list[HistoryEntry] = []
        self._numbers = itertools.count()
        self.add("", EntryKind.START, 0)

    def add(
        self, op: str, kind: EntryKind, at: float, status: EntryStatus = EntryStatus.OK, **fields
    ) -> HistoryEntry:
        fields.setdefault("name", op.rpartition("/")[2] or str(kind))
        entry = HistoryEntry(
            run=1,
            n=next(self._numbers),
            op=op,
            kind=kind,
            status=status,
            at=BEGUN + at,
            **fields,
        )
        self.entries.append(entry)
        return entry

    def task(self, op: str, begin: float, end: float, status=EntryStatus.OK, **fields):
        fields = {"attempt": 1, "life": 1, "after": len(self.entries) - 1, **fields}
        return self.add(op, EntryKind.TASK, end, status, started_at=BEGUN + begin, **fields)


def a_state(status: Status = Status.RUNNING, **fields) -> WorkflowState:
    fields = {"created_at": BEGUN, **fields}
    return WorkflowState(id="order-7", name="checkout", status=status, **fields)


def an_open_task(id: str = "refund", **fields) -> TaskState:
    fields = {"status": TaskStatus.RUNNING, "started_at": BEGUN + 8, **fields}
    return TaskState(id=id, name="refund", **fields)


def a_story() -> Story:
    """Something of everything, in ten seconds."""
    story = Story()
    story.task("charge", 0, 2, attempt=3)
    story.task("nursery/weigh", 2, 4)
    story.task("nursery/pack/wrap", 2, 5)
    story.add("/message", EntryKind.MESSAGE, 5, name="address", value="Ulm")
    story.task("nursery/pack/print", 5, 6, EntryStatus.FAILED, error=HEAVY)
    story.add("sleep", EntryKind.TIMER, 8, after=5, life=2)
    story.add("ship", EntryKind.CHILD, 8, after=6, life=2, value=["parcel-7", "wait"], name="ship")
    story.add("/child", EntryKind.CHILD_END, 9, name="parcel-7", value=None)
    return story


@pytest.fixture
def story() -> Story:
    return a_story()
