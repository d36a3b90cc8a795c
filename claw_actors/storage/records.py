"""What backends hold: the small hot row of a workflow, and changes of it.

Large values live in the journal, never in the row: an UPDATE beside a 4 MB input would write
8 MB of log. All of these are immutable, so the memory backend can hand them out as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from .._core.journal import Entry, OpenTask
from .._core.lifecycle import Status
from ..errors import StorageCorruptError

__all__ = [
    "UNCHANGED",
    "DeadLetter",
    "JournalPage",
    "Listing",
    "Loaded",
    "RowChange",
    "StoredValue",
    "StoredWorkflow",
    "Unfinished",
    "WakeTime",
    "WorkflowRow",
]


@attrs.frozen(kw_only=True)
class WorkflowRow:
    """The lifecycle of one workflow; everything but its progress.

    Attributes:
        pk: the storage's own key, in order of creation, never reused; 0 before it is created.
        id: the public id; ``None`` while it is being deleted.
        name, version: which code.
        status, reason: where it stands, and why.
        revision: counts changes of this row.
        run, run_key, seed: the generation; its random part of outside keys; what ``ctx.random``
            derives from.
        life: counts incarnations; the fence of writes.
        recoveries: recoveries after an unclean end without progress since.
        restarts: POSIX seconds of the crashes in the restart window.
        wake_at: when it is due; ``None`` unless pending or waiting.
        created_at, started_at, completed_at: POSIX seconds.
        parent: the id of the parent workflow (backends store its ``pk``).
        parent_op: which operation of which run of the parent has started it (``parent_op(run_key,
            op)``); ``None`` if no workflow has: then nobody is told of its end.
        on_close: what the parent's end does to it: ``wait``, ``cancel`` or ``abandon``.
        description, metadata: the user's.
    """

    pk: int = 0
    id: str | None
    name: str
    version: int
    status: Status
    reason: str | None = None
    revision: int = 1
    run: int = 1
    run_key: str
    seed: int
    life: int = 0
    recoveries: int = 0
    restarts: tuple[float, ...] = ()
    wake_at: float | None = None
    created_at: float
    started_at: float | None = None
    completed_at: float | None = None
    parent: str | None = None
    parent_op: str | None = None
    on_close: str = "wait"
    description: str | None = None
    metadata: Mapping[str, str] = attrs.field(factory=dict[str, str])


class _Unchanged:
    """The type of ``UNCHANGED``: ``None`` is a value here, so it cannot say "as it is"."""

    def __repr__(self) -> str:
        return "UNCHANGED"


UNCHANGED: Final = _Unchanged()


@attrs.frozen(kw_only=True)
class RowChange:
    """Some columns of a row, to be set; each defaults to staying as it is."""

    status: Status | _Unchanged = UNCHANGED
    reason: str | None | _Unchanged = UNCHANGED
    recoveries: int | _Unchanged = UNCHANGED
    restarts: tuple[float, ...] | _Unchanged = UNCHANGED
    wake_at: float | None | _Unchanged = UNCHANGED
    started_at: float | None | _Unchanged = UNCHANGED
    completed_at: float | None | _Unchanged = UNCHANGED
    description: str | None | _Unchanged = UNCHANGED
    metadata: Mapping[str, str] | _Unchanged = UNCHANGED
    name: str | _Unchanged = UNCHANGED
    version: int | _Unchanged = UNCHANGED
    life: int | _Unchanged = UNCHANGED
    run: int | _Unchanged = UNCHANGED
    run_key: str | _Unchanged = UNCHANGED
    seed: int | _Unchanged = UNCHANGED

    def apply(self, row: WorkflowRow) -> WorkflowRow:
        """Return the row with these columns set and its revision raised by one."""
        changes: dict[str, Any] = {
            field.name: value
            for field in attrs.fields(RowChange)
            if (value := getattr(self, field.name)) is not UNCHANGED
        }
        return attrs.evolve(row, revision=row.revision + 1, **changes)


@attrs.frozen(kw_only=True)
class StoredWorkflow:
    """A row with the entries that hold its payloads.

    Attributes:
        row: the row.
        start: entry 0 of its present run, if it was asked for.
        end: the last ``END`` entry of its present run that is not voided, if there is one and
            it was asked for.
    """

    row: WorkflowRow
    start: Entry | None = None
    end: Entry | None = None


@attrs.frozen(kw_only=True)
class Loaded:
    """All that an incarnation starts from.

    Attributes:
        row: the row.
        entries: the journal of the present run, entry 0 first, voided ones included.
        open_tasks: its open work.
    """

    row: WorkflowRow
    entries: tuple[Entry, ...]
    open_tasks: tuple[OpenTask, ...]


@attrs.frozen
class JournalPage:
    """Some entries of a workflow's present run, one after the other.

    Attributes:
        run: which run that is.
        entries: in the order of their numbers, without a gap.
    """

    run: int
    entries: tuple[Entry, ...]


@attrs.frozen
class StoredValue:
    """What a workflow shows of itself under a key, from its first setting to its deletion.

    Attributes:
        key: which one.
        value: the encoded value.
        at: when it was set, in POSIX seconds.
    """

    key: str
    value: bytes
    at: float


@attrs.frozen
class DeadLetter:
    """A message that its workflow could not take.

    Attributes:
        topic: where it was sent to.
        at: when it was put aside, in POSIX seconds.
        reason: why, for people.
        payload: its encoded value.
        seq: grows from one letter of a workflow to the next, with gaps perhaps; given by storage
            (0 before).
    """

    topic: str
    at: float
    reason: str
    payload: bytes | None
    seq: int = 0


@attrs.frozen(kw_only=True)
class Listing:
    """A page as a backend returns it.

    Attributes:
        items: newest first (largest ``pk`` first).
        total: how many match in all, if asked for.
        more: whether there are older ones that match.
    """

    items: tuple[StoredWorkflow, ...]
    total: int | None
    more: bool


@attrs.frozen
class WakeTime:
    """A waiting workflow, and for how long it waits.

    Attributes:
        wake_at: when it is due, in POSIX seconds.
        pk, id: the workflow.
        since: when the last entry of its present run was made, in POSIX seconds: its wait began
            then or later.
    """

    wake_at: float
    pk: int
    id: str
    since: float

    @property
    def place(self) -> tuple[float, int]:
        """Where it stands in the order of those that wait."""
        return self.wake_at, self.pk

    @property
    def length(self) -> float:
        """The longest that it may still have to wait, in seconds, whatever the clock says now."""
        return max(0.0, self.wake_at - self.since)


@attrs.frozen(kw_only=True)
class Unfinished:
    """A page of what recovery must bring back.

    Attributes:
        rows: those that can be read, in order of ``pk``.
        damaged: one error for each that cannot.
        last_pk: where the next page starts.
        more: whether there is a next page.
    """

    rows: tuple[WorkflowRow, ...]
    damaged: tuple[StorageCorruptError, ...]
    last_pk: int
    more: bool
