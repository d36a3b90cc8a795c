"""Records to write: small, valid, and different where it matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from ..._core.identity import digest, parent_op
from ..._core.journal import Entry, EntryKind, EntryStatus, OpenTask, message
from ..._core.lifecycle import Status
from ...storage.operations import Create
from ...storage.records import WorkflowRow

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "BEGUN",
    "a_cancel",
    "a_child",
    "a_child_entry",
    "a_message",
    "a_row",
    "a_send",
    "a_start",
    "a_timer",
    "a_void",
    "an_end",
    "an_outcome",
    "open_work",
]

BEGUN = 1_000.0
"""The instant at which the samples begin, in POSIX seconds."""


def a_row(
    id: str = "one",
    *,
    name: str = "checkout",
    version: int = 1,
    status: Status = Status.PENDING,
    created_at: float = BEGUN,
    completed_at: float | None = None,
    wake_at: float | None = None,
    parent: str | None = None,
    life: int = 0,
    metadata: Mapping[str, str] | None = None,
) -> WorkflowRow:
    """Make a row to create; ``attrs.evolve`` it for what has no parameter here."""
    return WorkflowRow(
        id=id,
        name=name,
        version=version,
        status=status,
        run_key="k-" + id[:8],
        seed=7,
        life=life,
        created_at=created_at,
        completed_at=completed_at,
        wake_at=wake_at,
        parent=parent,
        metadata={} if metadata is None else metadata,
    )


def a_start(value: bytes | None = b"[]") -> Entry:
    """Make the first entry of a journal."""
    return Entry("", "start", EntryKind.START, EntryStatus.OK, BEGUN, value=value)


def an_outcome(
    op: str = "charge",
    *,
    status: EntryStatus = EntryStatus.OK,
    at: float = BEGUN + 1,
    after: int = 0,
    value: bytes | None = b"1",
) -> Entry:
    """Make the entry of a task that ended."""
    name = op.partition("#")[0]
    return Entry(op, name, EntryKind.TASK, status, at, after=after, attempt=1, value=value)


def a_timer(op: str = "sleep", *, after: int = 0) -> Entry:
    """Make the entry of a sleep that ended."""
    return Entry(op, "timer", EntryKind.TIMER, EntryStatus.OK, BEGUN + 2, after=after)


def a_cancel(at: float = BEGUN + 3, value: bytes | None = b'"enough"') -> Entry:
    """Make an entry from outside: a request to cancel."""
    return Entry("cancel", "cancel", EntryKind.CANCEL, EntryStatus.OK, at, value=value)


def a_message(
    topic: str = "approval", *, at: float = BEGUN + 3, payload: bytes | None = b"true"
) -> Entry:
    """Make an entry from outside: a message."""
    return message(topic, at, payload)


def a_send(op: str = "send", *, after: int = 0) -> Entry:
    """Make the entry of a message that was sent to another workflow."""
    return Entry(op, "send", EntryKind.SEND, EntryStatus.OK, BEGUN + 3, after=after)


def a_child(
    id: str = "child",
    *,
    parent: str = "one",
    op: str = "pack",
    name: str = "pack",
    value: bytes = b"{}",
    on_close: str = "wait",
    run_key: str | None = None,
    status: Status = Status.RUNNING,
) -> Create:
    """Make what starts a child of a parent made by :func:`a_row`."""
    run_key = a_row(parent).run_key if run_key is None else run_key
    row = a_row(id, name=name, parent=parent, life=1, status=status)
    row = attrs.evolve(row, parent_op=parent_op(run_key, op), on_close=on_close)
    return Create(row, (attrs.evolve(a_start(value), digest=digest(value)),))


def a_child_entry(op: str = "pack", *, after: int = 0) -> Entry:
    """Make the entry of a child that was started."""
    return Entry(op, "pack", EntryKind.CHILD, EntryStatus.OK, BEGUN + 3, after=after, value=b"1")


def an_end(
    value: bytes | None = b'"done"', *, status: EntryStatus = EntryStatus.OK, after: int = 0
) -> Entry:
    """Make the last entry of a run."""
    return Entry("end", "end", EntryKind.END, status, BEGUN + 4, after=after, value=value)


def a_void(ref: int) -> Entry:
    """Make a note that voids the entry ``ref`` and all that was asked for after it."""
    return Entry("", "note", EntryKind.NOTE, EntryStatus.VOID, BEGUN + 5, ref=ref)


def open_work(op: str = "charge", *, attempt: int = 1) -> OpenTask:
    """Make a task that waits for its next attempt."""
    return OpenTask(
        op, op.partition("#")[0], "retrying", attempt, started_at=BEGUN, due_at=BEGUN + 60
    )
