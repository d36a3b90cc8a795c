"""A journal as its readers know it: what was recorded of a workflow, entry by entry."""

from __future__ import annotations

from typing import Any, Final, cast

import attrs

from .._core.failures import ErrorRecord, describe
from .._core.journal import Entry, EntryKind, EntryStatus
from .codec import Codec, decode_error
from .model import JSON
from .refusals import decode_refusal

__all__ = ["NOTHING_YET", "HistoryEntry", "history_of"]

NOTHING_YET: Final = (0, 0)
"""The place before the first entry of the first run."""

_REFUSED: Final = frozenset({EntryKind.SEND, EntryKind.CHILD})


@attrs.frozen(kw_only=True)
class HistoryEntry:
    """One entry of a workflow's journal: something that was recorded of it.

    Entries are never changed. What ``retry`` repeats is voided by a later entry: a note with the
    status ``void`` takes back the one numbered ``ref``, and what was asked for behind it.

    Attributes:
        run: the generation that it belongs to.
        n: its number in that run, from 0, without gaps.
        op: the path of the operation, such as ``charge_card#2`` or ``nursery/pack/weigh``; empty
            for the start, and beginning with ``/`` for what no code has asked for.
        name: of a task, its name; of a message, its topic; of a child, its workflow's name when it
            is started, and its id when it has ended.
        kind, status: what it records, and how that went.
        at: when it was made, in POSIX seconds.
        after: the number of the last entry that the code had been told of when it asked for this;
            ``None`` for what was not asked for.
        started_at: of a task, when its first attempt began, in POSIX seconds.
        attempt: of a task, how many attempts have ended.
        life: the incarnation that has written it; 0 if it was written from outside.
        ref: the number of the entry that it is about, if it is about one.
        value: what was recorded, as JSON: input, result, payload, reason; of a child that was
            started, its id and what its parent's end does to it.
        error: what it failed with.
    """

    run: int
    n: int
    op: str
    name: str
    kind: EntryKind
    status: EntryStatus
    at: float
    after: int | None = None
    started_at: float | None = None
    attempt: int = 0
    life: int = 0
    ref: int | None = None
    value: JSON = None
    error: ErrorRecord | None = None

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands among all entries of its workflow: its run and its number."""
        return self.run, self.n


def history_of(codec: Codec, workflow_id: str, run: int, entry: Entry) -> HistoryEntry:
    """Make a user's view of an entry.

    Raises:
        SerializationError: a stored value is no JSON, or no error.
    """
    value: JSON = None
    error: ErrorRecord | None = None
    if entry.value is not None:
        if entry.status is not EntryStatus.FAILED:
            what = f"entry {entry.n} of workflow {workflow_id!r}"
            value = cast("JSON", codec.decode(entry.value, Any, what))
        elif entry.kind in _REFUSED:
            error = attrs.evolve(describe(decode_refusal(entry.value)), traceback="")
        else:
            error = decode_error(entry.value)
    return HistoryEntry(
        run=run,
        n=entry.n,
        op=entry.op,
        name=entry.name,
        kind=entry.kind,
        status=entry.status,
        at=entry.at,
        after=entry.after,
        started_at=entry.started_at,
        attempt=entry.attempt,
        life=entry.life,
        ref=entry.ref,
        value=value,
        error=error,
    )
