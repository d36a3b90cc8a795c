"""Records and the rows that hold them, each row with a checksum over all of its columns.

``PRAGMA integrity_check`` found one changed byte in ten; a checksum per row finds every one.
Whatever cannot be read back exactly is :class:`~claw_actors.errors.StorageCorruptError`, for
that record alone.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from typing import Any, Final, TypeAlias

import attrs

from ..._core.journal import Entry, EntryKind, EntryStatus, OpenTask
from ..._core.lifecycle import Status
from ...errors import StorageCorruptError
from ..records import WorkflowRow
from .faults import corrupt

__all__ = [
    "ENTRY_COLUMNS",
    "JSON_CODEC",
    "TASK_COLUMNS",
    "WORKFLOW_COLUMNS",
    "Stored",
    "damaged",
    "entry_values",
    "fit",
    "read_entry",
    "read_task",
    "read_workflow",
    "seal",
    "seconds",
    "task_values",
    "workflow_values",
]

Values: TypeAlias = tuple[Any, ...]
"""One row as SQLite takes and gives it."""

WORKFLOW_COLUMNS: Final = (
    "pk", "id", "name", "version", "status", "revision", "run", "run_key", "seed", "life",
    "recoveries", "restarts", "wake_at", "created_at", "started_at", "completed_at", "parent",
    "parent_op", "on_close", "description", "metadata", "reason", "crc",
)  # fmt: skip

ENTRY_COLUMNS: Final = (
    "wf", "run", "n", "op", "name", "kind", "status", "after", "life", "attempt", "started_at",
    "at", "digest", "ref", "codec", "value", "crc",
)  # fmt: skip

TASK_COLUMNS: Final = (
    "wf", "run", "op", "name", "status", "attempt", "due_at", "started_at", "depends_on",
    "details", "error", "crc",
)  # fmt: skip

_WORKFLOW_TYPES: Final = (
    int, str, str, int, str, int, int, str, int, int, int, str, float, float, float, float, int,
    str, str, str, str, str,
)  # fmt: skip
_ENTRY_TYPES: Final = (
    int, int, int, str, str, str, str, int, int, int, float, float, bytes, int, int,
)  # fmt: skip
_TASK_TYPES: Final = (int, int, str, str, str, int, float, float, str, str)

JSON_CODEC: Final = 0
"""What the codec column of every payload says, so far."""
NO_CHECKSUM: Final = -1
_TIMES: Final = struct.Struct("<dd")


@attrs.frozen
class Stored:
    """A workflow's row as it is stored.

    Attributes:
        row: what it says.
        parent_pk: the parent's key, kept when the parent is gone.
        values: all of its columns, to see which ones a change touches.
    """

    row: WorkflowRow
    parent_pk: int | None
    values: Values


def seal(columns: Values, payload: bytes | None = None) -> int:
    """Compute the checksum of a row: of its columns, and of its payload (the last one).

    ``ascii`` and not ``repr``: what counts as printable changes from one Python to the next.
    """
    text = ascii(columns).encode()
    if payload is None:
        return zlib.crc32(text)
    try:
        # The start value tells an empty payload from none.
        return zlib.crc32(payload, zlib.crc32(text, 1))
    except TypeError:  # no bytes: damage, or a value that its STRICT column will refuse
        return NO_CHECKSUM


# The types of rows that need no second look. Few: one per table (their rows differ in length)
# and combination of columns that are None.
_known_shapes: set[tuple[type, ...]] = set()


def fit(columns: Values, types: tuple[type, ...]) -> Values:
    """Make the values that SQLite gives back, so that the checksum is about the same ones.

    SQLite turns the number 5 into the text "5" where a column is text, an enum into what it is
    made of, ``True`` into 1. A checksum over what was given would call that damage later.

    Raises:
        TypeError: a value is not of its column's type.
    """
    shape = tuple(map(type, columns))
    if shape in _known_shapes:
        return columns
    fitted = tuple(map(_plain, columns, types))
    _known_shapes.add(tuple(map(type, fitted)))
    return fitted


def _plain(value: Any, wanted: type) -> Any:
    if value is None or type(value) is wanted:
        return value
    if not isinstance(value, wanted):
        raise TypeError(f"{value!r} where {wanted.__name__} is needed")
    # Not str(value): that is what an enum shows, not what it is.
    return str.__str__(value) if isinstance(value, str) else wanted(value)


def seconds(value: float | None) -> float | None:
    """Make the float that SQLite gives back: not an int, and never -0.0."""
    return None if value is None else float(value) + 0.0


# Made once: `json.dumps` with settings makes an encoder at every call.
_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


# -- workflows ------------------------------------------------------------------------------------


def workflow_values(row: WorkflowRow, parent_pk: int | None, *, pk: int = 0) -> Values:
    """Make the values of ``WORKFLOW_COLUMNS``; with ``pk``, under that key."""
    columns: Values = (
        pk or row.pk,
        row.id,
        row.name,
        row.version,
        row.status.value,
        row.revision,
        row.run,
        row.run_key,
        row.seed,
        row.life,
        row.recoveries,
        _compact([seconds(at) for at in row.restarts]) if row.restarts else "[]",
        seconds(row.wake_at),
        seconds(row.created_at),
        seconds(row.started_at),
        seconds(row.completed_at),
        parent_pk,
        row.parent_op,
        row.on_close,
        row.description,
        _compact(dict(row.metadata)) if row.metadata else "{}",
        row.reason,
    )
    columns = fit(columns, _WORKFLOW_TYPES)
    return (*columns, seal(columns))


def read_workflow(values: Values, where: str) -> Stored:
    """Read a row: ``WORKFLOW_COLUMNS``, then the parent's id.

    Raises:
        StorageCorruptError: it is not what was written.
    """
    *columns, crc, parent = values
    id = columns[1]
    if seal(tuple(columns)) != crc:
        raise damaged("claw_workflow", id or f"pk {columns[0]}", where)
    try:
        named: dict[str, Any] = dict(zip(WORKFLOW_COLUMNS, columns, strict=False))
        parent_pk: int | None = named["parent"]
        named["status"] = Status(named["status"])
        # As a rule there are none, and a decoder costs more than the rest of the row.
        restarts, metadata = named["restarts"], named["metadata"]
        named["restarts"] = () if restarts == "[]" else tuple(json.loads(restarts))
        named["metadata"] = {} if metadata == "{}" else json.loads(metadata)
        named["parent"] = parent
        row = WorkflowRow(**named)
    except ValueError as error:
        raise damaged("claw_workflow", id, where, str(error)) from error
    return Stored(row, parent_pk, values[:-1])


# -- the journal ----------------------------------------------------------------------------------


def entry_values(pk: int, run: int, n: int, entry: Entry) -> Values:
    """Make the values of ``ENTRY_COLUMNS``. It runs once per finished task."""
    started_at = entry.started_at
    value = entry.value
    columns: Values = (
        pk,
        run,
        n,
        entry.op,
        entry.name,
        entry.kind.value,
        entry.status.value,
        entry.after,
        entry.life,
        entry.attempt,
        None if started_at is None else float(started_at) + 0.0,
        float(entry.at) + 0.0,
        entry.digest,
        entry.ref,
        JSON_CODEC,
    )
    columns = fit(columns, _ENTRY_TYPES)
    return (*columns, value, _seal_entry(columns, value))


def _seal_entry(columns: Values, value: bytes | None) -> int:
    """Compute what :func:`seal` does, with the times as bytes: as text they cost half of it."""
    started_at, at = columns[10:12]
    try:
        times = _TIMES.pack(math.nan if started_at is None else started_at, at)
    except struct.error:  # only damage turns a time into something else
        return NO_CHECKSUM
    return seal((*columns[:10], *columns[12:], times), value)


def read_entry(values: Values, id: str, where: str) -> Entry:
    """Read a row of ``ENTRY_COLUMNS`` of the workflow with this id.

    Raises:
        StorageCorruptError: it is not what was written.
    """
    *columns, value, crc = values
    if _seal_entry(tuple(columns), value) != crc:
        raise damaged("claw_journal", id, where, f"entry {columns[2]!r} fails its checksum")
    _, _, n, op, name, kind, status, after, life, attempt, started_at, at, digest, ref, codec = (
        columns
    )
    try:
        if codec != JSON_CODEC:
            raise ValueError(f"entry {n} is in the unknown encoding {codec}")
        return Entry(
            op=op,
            name=name,
            kind=EntryKind(kind),
            status=EntryStatus(status),
            at=at,
            after=after,
            life=life,
            attempt=attempt,
            started_at=started_at,
            digest=digest,
            ref=ref,
            value=value,
            n=n,
        )
    except ValueError as error:
        raise damaged("claw_journal", id, where, str(error)) from error


# -- open work ------------------------------------------------------------------------------------


def task_values(pk: int, run: int, task: OpenTask) -> Values:
    """Make the values of ``TASK_COLUMNS``."""
    columns: Values = (
        pk,
        run,
        task.op,
        task.name,
        str(task.status),
        task.attempt,
        seconds(task.due_at),
        seconds(task.started_at),
        _compact(task.depends_on),
        task.details,
    )
    columns = fit(columns, _TASK_TYPES)
    return (*columns, task.error, seal(columns, task.error))


def read_task(values: Values, id: str, where: str) -> OpenTask:
    """Read a row of ``TASK_COLUMNS`` of the workflow with this id.

    Raises:
        StorageCorruptError: it is not what was written.
    """
    *columns, error, crc = values
    if seal(tuple(columns), error) != crc:
        raise damaged("claw_task", id, where, f"task {columns[2]!r} fails its checksum")
    _, _, op, name, status, attempt, due_at, started_at, depends_on, details = columns
    return OpenTask(
        op=op,
        name=name,
        status=status,
        attempt=attempt,
        started_at=started_at,
        due_at=due_at,
        depends_on=tuple(json.loads(depends_on)),
        error=error,
        details=details,
    )


def damaged(
    table: str, id: object, where: str, reason: str = "it fails its checksum"
) -> StorageCorruptError:
    """Make the error for a row of a workflow that is not what was written."""
    return corrupt(f"workflow {id!r} in {table} of {where}", reason)
