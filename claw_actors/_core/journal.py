"""The journal of one run: append-only entries, numbered in commit order.

The journal is the truth of progress. Entry 0 is the input, the last one the result; between
them stands everything that was ever delivered to the workflow's code, in the order in which it
was delivered. An entry is written once and never changed; ``retry``, and a replay in which a crash
does not come again, void entries by appending one that says so (:func:`effective`).
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "CANCEL_OP",
    "CHILD_END_OP",
    "CRASH_OP",
    "DEAD_LETTER_OP",
    "END_OP",
    "MESSAGE_OP",
    "PAUSE_OP",
    "REPLY_OP",
    "RESUME_OP",
    "RETRY_OP",
    "Entry",
    "EntryKind",
    "EntryStatus",
    "OpenTask",
    "Recorded",
    "effective",
    "message",
    "note_about",
    "outlives",
]


class EntryKind(enum.StrEnum):
    """What an entry records."""

    START = "start"
    """The input; entry 0."""
    TASK = "task"
    """The outcome of a task."""
    TIMER = "timer"
    """A sleep that ended."""
    TIMEOUT = "timeout"
    """A deadline that has passed, and cancelled its scope."""
    CANCEL = "cancel"
    """A request to cancel, from outside."""
    SEND = "send"
    """A message that was sent to another workflow; failed if that one could not take it."""
    MESSAGE = "message"
    """A message, from outside; its topic is the entry's name."""
    PAUSE = "pause"
    """A request to pause, from outside; never delivered."""
    RESUME = "resume"
    """A request to go on, from outside; never delivered."""
    CHILD = "child"
    """A child workflow that was started; failed if its id was taken."""
    CHILD_END = "child_end"
    """How a child has ended, from outside; its id is the entry's name."""
    NOTE = "note"
    """Something about the journal itself; never delivered."""
    END = "end"
    """The workflow's own outcome; the last entry of a run."""


class EntryStatus(enum.StrEnum):
    """How what an entry records went."""

    OK = "ok"
    FAILED = "failed"
    CANCELLED = "cancelled"
    """A task whose body was cancelled and has unwound."""
    VOID = "void"
    """On a note: the entry ``ref`` and all that was asked after it count no more."""


CANCEL_OP = "/cancel"
CHILD_END_OP = "/child"
CRASH_OP = "/crash"
DEAD_LETTER_OP = "/dead-letter"
END_OP = "/end"
MESSAGE_OP = "/message"
PAUSE_OP = "/pause"
RESUME_OP = "/resume"
REPLY_OP = "/reply"
RETRY_OP = "/retry"

OUTSIDE = frozenset({EntryKind.CANCEL, EntryKind.CHILD_END, EntryKind.MESSAGE})
"""Entries that others write into a journal: no code has to ask for them."""

PAUSES = frozenset({EntryKind.PAUSE, EntryKind.RESUME})
"""Requests that change whether the instance runs, and nothing of what its code does."""


@attrs.frozen
class Entry:
    """One checkpoint.

    Attributes:
        op: the structural id of the operation, such as ``charge_card#2``; ``""`` for the start,
            and ids that no author can give for what no code asks for (``END_OP``, ``CANCEL_OP``,
            ``MESSAGE_OP``, ``CHILD_END_OP``).
        name: the task's name; the topic of a message; of a child, its workflow's name when it is
            started, and its id when it has ended; on the start of a fork, what it was forked
            from (``forking.origin_of``); otherwise the same as ``kind``.
        kind, status: what it records, and how it went.
        at: when it was made, in POSIX seconds.
        after: the number of the last entry delivered when the operation was asked for; ``None``
            for what was not asked for.
        life: the incarnation that wrote it; 0 for outsiders.
        attempt: for a task, how many attempts ended with this one.
        started_at: for a task, when its first attempt began.
        digest: 16 bytes over the arguments, or ``None``; on a start, over those that the workflow
            was started with, in its first run.
        ref: the number of another entry: on an ``END`` that failed, the failed task's; on a
            void ``NOTE``, the first one voided; on another note, the one it is about; on a ``TASK`` that was cancelled because of an
            exception, the last one delivered when that was raised.
        value: the encoded result, error, reason or payload.
        n: its number within the run, given by storage when it commits (0 before, and for the
            start).
    """

    op: str
    name: str
    kind: EntryKind
    status: EntryStatus
    at: float
    after: int | None = None
    life: int = 0
    attempt: int = 0
    started_at: float | None = None
    digest: bytes | None = None
    ref: int | None = None
    value: bytes | None = None
    n: int = 0


@attrs.frozen
class OpenTask:
    """A task that is not finished but worth remembering: an attempt has failed, another is due.

    Attributes:
        op, name: as in :class:`Entry`.
        status: ``TaskStatus`` as text.
        attempt: how many attempts have ended.
        started_at: when the first attempt began, in POSIX seconds.
        due_at: when the next attempt may begin, in POSIX seconds.
        depends_on: task ids that must end first.
        error: what the last attempt failed with, an encoded ``ErrorRecord``.
        details: its last heartbeat, a JSON text (``Heartbeat.to_text``).
    """

    op: str
    name: str
    status: str
    attempt: int
    started_at: float | None = None
    due_at: float | None = None
    depends_on: tuple[str, ...] = ()
    error: bytes | None = None
    details: str | None = None


def message(topic: str, at: float, payload: bytes | None, op: str = MESSAGE_OP) -> Entry:
    """Make the entry of a message.

    All messages share one op, as they share no code that asks for them: the topic is the name. A
    request has one of its own, by which its reply is known.

    Args:
        topic: what ``receive`` asks for.
        at: when it was sent, in POSIX seconds.
        payload: its encoded value.
        op: of a request: what :func:`request_op` says.
    """
    return Entry(op, topic, EntryKind.MESSAGE, EntryStatus.OK, at, value=payload)


def note_about(op: str, n: int, at: float, life: int) -> Entry:
    """Make a note of what was done with a message, so that it is done once.

    Args:
        op: what was done: ``DEAD_LETTER_OP``, ``REPLY_OP``.
        n: the number of the message's entry.
        at: when, in POSIX seconds.
        life: the incarnation that did it.
    """
    return Entry(op, "note", EntryKind.NOTE, EntryStatus.OK, at, life=life, ref=n)


def effective(entries: Iterable[Entry]) -> list[Entry]:
    """Leave out what was voided, the notes that voided it, and pauses: what is never delivered.

    A void note takes out the entry it refers to and every entry whose operation was asked for
    when that one, or a later one, had been delivered. It also takes out tasks that are recorded
    later as cancelled: their bodies were cut off on the way to where the void leads back from, and
    have had no outcome. What outsiders wrote stays: nobody asked for it. A message
    stays even if the note names it: its sender was told that it is durable.

    Args:
        entries: one run's entries in the order of their numbers.
    """
    kept: list[Entry] = []
    for entry in entries:
        if entry.kind is EntryKind.NOTE and entry.status is EntryStatus.VOID:
            assert entry.ref is not None
            first = entry.ref
            kept = [e for e in kept if outlives(e, first)]
        elif entry.kind not in PAUSES:
            kept.append(entry)
    return kept


class Recorded(Protocol):
    """What of an entry says whether it still counts."""

    @property
    def kind(self) -> EntryKind:
        """What it records."""
        ...

    @property
    def status(self) -> EntryStatus:
        """How it went."""
        ...

    @property
    def n(self) -> int:
        """Its number."""
        ...

    @property
    def after(self) -> int | None:
        """The last entry delivered when it was asked for."""
        ...


def outlives(entry: Recorded, first: int) -> bool:
    """Tell whether an entry still counts when the one numbered ``first`` is voided."""
    if entry.kind is EntryKind.MESSAGE:
        return True
    if entry.n < first or entry.after is None:
        return entry.n != first
    is_cut_off = entry.kind is EntryKind.TASK and entry.status is EntryStatus.CANCELLED
    return entry.n != first and entry.after < first and not is_cut_off
