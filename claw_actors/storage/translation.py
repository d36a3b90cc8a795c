"""Between users' records and stored ones: pure functions, values encoded on the way."""

from __future__ import annotations

from typing import Any, cast

from .._core.forking import origin_of, start_name
from .._core.heartbeat import Heartbeat
from .._core.identity import digest
from .._core.journal import END_OP, Entry, EntryKind, EntryStatus, OpenTask
from .._core.lifecycle import TaskStatus
from ..errors import InvalidInputError
from .codec import Codec, decode_error, encode_error
from .model import JSON, TaskState, WorkflowState
from .records import RowChange, StoredWorkflow, WorkflowRow
from .validation import check_free_text

__all__ = [
    "change_of",
    "end_entries",
    "row_of",
    "start_entry",
    "state_of",
    "task_of_entry",
    "task_of_open",
    "write_of_task",
]

# Checked on the way in only: what the runtime notes, however long, can be read.
MAX_REASON_CHARS = 10_000

_OUTCOMES = {
    TaskStatus.COMPLETED: EntryStatus.OK,
    TaskStatus.FAILED: EntryStatus.FAILED,
    TaskStatus.CANCELLED: EntryStatus.CANCELLED,
}
_STATUSES = {outcome: status for status, outcome in _OUTCOMES.items()}


def _decode(codec: Codec, entry: Entry | None, what: str) -> JSON:
    if entry is None or entry.value is None:
        return None
    return cast("JSON", codec.decode(entry.value, Any, what))


def start_entry(value: bytes, at: float, forked_from: str | None = None) -> Entry:
    """Make entry 0 from the encoded input."""
    name = start_name(forked_from)
    return Entry("", name, EntryKind.START, EntryStatus.OK, at, digest=digest(value), value=value)


def end_entries(codec: Codec, state: WorkflowState, at: float) -> tuple[Entry, ...]:
    """Make the end that a user's state carries, if it carries one.

    Raises:
        InvalidInputError: a workflow that has not ended has a result or an error.
        SerializationError, PayloadTooLargeError: the result cannot be stored.
    """
    if state.result is None and state.error is None:
        return ()
    if not state.status.is_terminal:
        raise InvalidInputError("status", state.status.value, "only an ended workflow has a result")
    if state.error is not None:
        outcome, value = EntryStatus.FAILED, encode_error(state.error)
    else:
        outcome = EntryStatus.OK
        value = codec.encode(state.result, Any, f"result of workflow {state.id!r}")
    return (Entry(END_OP, "end", EntryKind.END, outcome, at, value=value),)


def change_of(state: WorkflowState) -> RowChange:
    """Tell what ``save_workflow`` sets: the lifecycle and the user's own labels.

    Identity, input and what the runtime counts stay as they are.

    Raises:
        InvalidInputError: the reason is no text that every backend takes.
    """
    check_free_text("reason", state.reason, MAX_REASON_CHARS)
    return RowChange(
        name=state.name,
        version=state.version,
        status=state.status,
        reason=state.reason,
        description=state.description,
        metadata=state.metadata,
        started_at=state.started_at,
        completed_at=state.completed_at,
        wake_at=state.wake_at,
    )


def state_of(codec: Codec, stored: StoredWorkflow) -> WorkflowState:
    """Make a user's state from what is stored.

    Raises:
        SerializationError: a stored value is no JSON.
    """
    row, end = stored.row, stored.end
    assert row.id is not None, "a workflow that is being deleted is never handed out"
    failed = end is not None and end.status is EntryStatus.FAILED
    error = decode_error(end.value) if failed and end is not None and end.value else None
    return WorkflowState(
        id=row.id,
        name=row.name,
        version=row.version,
        status=row.status,
        reason=row.reason,
        run=row.run,
        description=row.description,
        metadata=dict(row.metadata),
        input=_decode(codec, stored.start, f"input of workflow {row.id!r}"),
        result=None if failed else _decode(codec, end, f"result of workflow {row.id!r}"),
        error=error,
        parent=row.parent,
        forked_from=None if stored.start is None else origin_of(stored.start),
        created_at=row.created_at,
        started_at=row.started_at,
        completed_at=row.completed_at,
        wake_at=row.wake_at,
        revision=row.revision,
        life=row.life,
        recoveries=row.recoveries,
    )


def row_of(state: WorkflowState, *, run_key: str, seed: int, created_at: float) -> WorkflowRow:
    """Make the row of a new workflow from a user's state.

    Raises:
        InvalidInputError: the reason is no text that every backend takes.
    """
    check_free_text("reason", state.reason, MAX_REASON_CHARS)
    return WorkflowRow(
        id=state.id,
        name=state.name,
        version=state.version,
        status=state.status,
        reason=state.reason,
        run=state.run,
        run_key=run_key,
        seed=seed,
        wake_at=state.wake_at,
        created_at=created_at,
        started_at=state.started_at,
        completed_at=state.completed_at,
        parent=state.parent,
        description=state.description,
        metadata=dict(state.metadata),
    )


def write_of_task(codec: Codec, task: TaskState, at: float) -> Entry | OpenTask:
    """Make what is stored of a task: its outcome if it has ended, else open work.

    Raises:
        SerializationError, PayloadTooLargeError: the result cannot be stored.
    """
    error = None if task.error is None else encode_error(task.error)
    outcome = _OUTCOMES.get(task.status)
    if outcome is None:
        return OpenTask(
            op=task.id,
            name=task.name,
            status=task.status.value,
            attempt=task.attempt,
            started_at=task.started_at,
            due_at=task.due_at,
            depends_on=task.depends_on,
            error=error,
            details=_heartbeat_of(codec, task),
        )
    value = error
    if outcome is EntryStatus.OK:
        value = codec.encode(task.result, Any, f"result of task {task.id!r}")
    return Entry(
        op=task.id,
        name=task.name,
        kind=EntryKind.TASK,
        status=outcome,
        at=at if task.completed_at is None else task.completed_at,
        attempt=task.attempt,
        started_at=task.started_at,
        value=value,
    )


def _heartbeat_of(codec: Codec, task: TaskState) -> str | None:
    if task.heartbeat_at is None:
        return None
    details = codec.encode(task.details, Any, f"details of task {task.id!r}")
    return Heartbeat(task.heartbeat_at, details).to_text()


def task_of_entry(codec: Codec, entry: Entry) -> TaskState:
    """Make a user's view of a task that has ended."""
    completed = entry.status is EntryStatus.OK
    return TaskState(
        id=entry.op,
        name=entry.name,
        status=_STATUSES[entry.status],
        attempt=entry.attempt,
        started_at=entry.started_at,
        completed_at=entry.at,
        result=_decode(codec, entry, f"result of task {entry.op!r}") if completed else None,
        error=None if completed or not entry.value else decode_error(entry.value),
    )


def task_of_open(codec: Codec, task: OpenTask) -> TaskState:
    """Make a user's view of a task that has not ended."""
    beat = None if task.details is None else Heartbeat.from_text(task.details)
    what = f"details of task {task.op!r}"
    return TaskState(
        id=task.op,
        name=task.name,
        status=TaskStatus(task.status),
        attempt=task.attempt,
        depends_on=task.depends_on,
        started_at=task.started_at,
        due_at=task.due_at,
        error=None if task.error is None else decode_error(task.error),
        heartbeat_at=None if beat is None else beat.at,
        details=None if beat is None else cast("JSON", codec.decode(beat.details, Any, what)),
    )
