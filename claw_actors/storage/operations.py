"""Everything that can be written: a closed union, so that every backend does the same things.

An operation is all or nothing. A group of them commits together, and one that is refused fails
alone. Backends ``match`` on these and end in ``assert_never``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import attrs

from .._core.journal import Entry, EntryKind, EntryStatus, OpenTask
from .._core.lifecycle import Event, Status, allowed
from ..errors import ClawError, StaleWriteError
from .pruning import Forget, Forgotten, GiveBack, GivenBack, Prune, Pruned
from .records import UNCHANGED, DeadLetter, RowChange, WorkflowRow
from .refusals import ChildRefusal, Refusal, SendRefusal, encode_refusal
from .saving import Saved, SaveTask, SaveWorkflow
from .steering import Reported, Steer, Steered
from .transacting import RolledBack, Transact, Transacted
from .validation import check_key

__all__ = [
    "Advance",
    "Advanced",
    "Atomic",
    "Claim",
    "Claimed",
    "Create",
    "Created",
    "Delete",
    "Deleted",
    "Forget",
    "Forgotten",
    "GiveBack",
    "GivenBack",
    "Housekeeping",
    "Operation",
    "Prune",
    "Pruned",
    "Reported",
    "Result",
    "RolledBack",
    "SaveTask",
    "SaveWorkflow",
    "Saved",
    "Send",
    "Sent",
    "Single",
    "Steer",
    "Steered",
    "Transact",
    "Transacted",
    "Trim",
    "Trimmed",
]


@attrs.frozen
class Create:
    """Insert a workflow.

    Attributes:
        row: the row; its ``pk`` is ignored, its ``revision`` is stored as given.
        entries: its first entries. The first is the start, numbered 0; the others, if any, are
            numbered from 1.
        again: whether the id may be one that was pruned; then that is forgotten.

    Refused with ``DuplicateKeyError`` if the id is taken, ``HistoryPrunedError`` if it was pruned,
    ``NotFoundError`` if ``row.parent`` names no workflow.
    """

    row: WorkflowRow
    entries: tuple[Entry, ...]
    again: bool = False


@attrs.frozen
class Created:
    """Answer to :class:`Create`.

    Attributes:
        pk: the key that storage gave.
        n: the number of the last entry.
        existed: of a child that an ``Advance`` starts: whether it had been started before, so that
            nothing was done. Then ``n`` is 0.
    """

    pk: int
    n: int
    existed: bool = False


@attrs.frozen
class Advance:
    """The progress of one incarnation: entries, open work, and the row if its lifecycle changes.

    Without ``change`` the row is not touched: a finished task is one INSERT.

    Messages to others go with it, in the same commit: all of it is durable, or none. One of them
    that is refused does not refuse the rest, as it is an outcome like any other: code may catch
    it, so it is recorded. The entry that stands for it is stored as failed, with the refusal
    (``decode_refusal``) as its value, and the answer says which it was and why.

    So it is with children that it starts. An id that is taken refuses a child with
    ``DuplicateKeyError``, which says what differs: ``workflow``, ``arguments`` or ``parent``. Where
    nothing does, the child has been started before by this run of this parent, whose journal was
    voided since: then it is that one.

    The end of a child is told to its parent in the same commit. That is an advance which sets a
    terminal status and has an entry of kind ``END``, of a workflow with a ``parent_op``: an entry of
    kind ``CHILD_END`` (``family.end_of_child``) is appended to the parent's journal, and a waiting
    parent becomes due as by a :class:`Send`. A parent that is gone, completed, cancelled, damaged,
    or in another run by now is told nothing, and refuses nothing. (A failed one is told: it may be
    retried.)

    A child that becomes quarantined, or is so no longer, is named in the ``reason`` of a parent
    that runs or waits (``family.reason_of_parent``).

    Attributes:
        pk, id: the workflow.
        life: the incarnation that writes. Refused with ``StaleWriteError("life")`` unless it is
            the stored one, ``NotFoundError`` if the workflow is gone.
        entries: to append, in order, to the present run.
        opened: open work to insert or replace.
        closed: ops whose open work is finished (no error if there is none).
        change: columns of the row to set. A paused workflow stays paused whatever this says: of
            its status, its reason and when it is due nothing changes (:meth:`change_of`).
        expect_n: if given, the number of the last entry of the run must still be this; else
            ``StaleWriteError("journal")``.
        sends: messages to other workflows, or to this one. For each there is one entry of kind
            ``SEND`` among ``entries``, in the same order, written as if it were taken. Each is
            done as a :class:`Send` right behind the rest would be.
        values: what the workflow shows of itself: pairs of a key (``check_key``) and an encoded
            value, to insert or replace; of two with the same key the last one counts. They
            belong to the workflow, not to its run, and can be read after its end.
        values_at: when they were set, in POSIX seconds; for people, nothing is decided by it.
        dead_letters: messages that it could not take, to be put aside; their ``seq`` is ignored.
        children: workflows to be created as children of this one. For each there is one entry of
            kind ``CHILD`` among ``entries``, in the same order.
        continued: if there are any, the first entries of the workflow's next run, the start first,
            numbered from 0; the answer's number is then that of the last of these. ``change`` sets
            the run, and whatever else is new. The journal and the open work of the run before count
            no more, and are dropped by :class:`Trim`.
    """

    pk: int
    id: str
    life: int
    entries: tuple[Entry, ...] = ()
    opened: tuple[OpenTask, ...] = ()
    closed: tuple[str, ...] = ()
    change: RowChange | None = None
    expect_n: int | None = None
    sends: tuple[Send, ...] = ()
    values: tuple[tuple[str, bytes], ...] = ()
    values_at: float = 0.0
    dead_letters: tuple[DeadLetter, ...] = ()
    children: tuple[Create, ...] = ()
    continued: tuple[Entry, ...] = ()

    def check(self, life: int, last_n: int) -> None:
        """Make sure that nobody else has gone on with the workflow meanwhile; for backends.

        Args:
            life: the stored one.
            last_n: the number of the last entry of the run.

        Raises:
            StaleWriteError: somebody has.
        """
        if life != self.life:
            raise StaleWriteError(self.id, "life", self.life, life)
        if self.expect_n is not None and last_n != self.expect_n:
            raise StaleWriteError(self.id, "journal", self.expect_n, last_n)

    def change_of(self, row: WorkflowRow) -> RowChange | None:
        """Say what changes of the row as it is stored; for backends."""
        if self.change is None or row.status is not Status.PAUSED:
            return self.change
        return attrs.evolve(self.change, status=UNCHANGED, reason=UNCHANGED, wake_at=UNCHANGED)

    def recorded(
        self,
        refusals: Sequence[SendRefusal | None],
        refused_children: Sequence[ChildRefusal | None] = (),
    ) -> tuple[Entry, ...]:
        """Return the entries as they are to be stored; for backends.

        Args:
            refusals: for each of ``sends``, why it was refused; ``None`` if it was not.
            refused_children: the same for each of ``children``.
        """
        assert len(refusals) == len(self.sends)
        assert len(refused_children) == len(self.children)
        entries = list(self.entries)
        _record(entries, EntryKind.SEND, refusals)
        _record(entries, EntryKind.CHILD, refused_children)
        return tuple(entries)


def _record(entries: list[Entry], kind: EntryKind, refusals: Sequence[Refusal | None]) -> None:
    """Let the entries of this kind say which of them were refused."""
    places = [i for i, entry in enumerate(entries) if entry.kind is kind]
    assert len(places) == len(refusals), "each send and each child has an entry of its own"
    for place, refusal in zip(places, refusals, strict=True):
        if refusal is not None:
            entries[place] = attrs.evolve(
                entries[place], status=EntryStatus.FAILED, value=encode_refusal(refusal)
            )


@attrs.frozen
class Advanced:
    """Answer to :class:`Advance`.

    Attributes:
        n: the number given to its last entry, or that of the last one there.
        sent: what became of each of its ``sends``, in order.
        children: what became of each of its ``children``, in order.
        reported: what its parent was told, if this was its end.
    """

    n: int
    sent: tuple[Sent | SendRefusal, ...] = ()
    children: tuple[Created | ChildRefusal, ...] = ()
    reported: Reported | None = None

    @property
    def refusals(self) -> tuple[SendRefusal | None, ...]:
        """Why each of the sends was refused; ``None`` for one that was not."""
        return tuple(None if isinstance(one, Sent) else one for one in self.sent)

    @property
    def refused_children(self) -> tuple[ChildRefusal | None, ...]:
        """Why each of the children was refused; ``None`` for one that was not."""
        return tuple(None if isinstance(one, Created) else one for one in self.children)


@attrs.frozen
class Claim:
    """Begin an incarnation of each of these, in one step, before any of them runs.

    Those that are gone, whose life is not the one given, or whose status does not allow it
    (``lifecycle.allowed(status, Event.CLAIM)``) are left out of the answer, as they are.

    A claimed row gets: life + 1, recoveries + 1 if ``counted``, status running, ``wake_at``
    ``None``, ``reason`` ``None`` if it was pending (after a crash, say), ``started_at`` ``at`` if it
    was ``None``, revision + 1.

    Attributes:
        lives: pairs of ``pk`` and the life it had when it was read.
        at: POSIX seconds.
        counted: whether this is a recovery after an unclean end.
    """

    lives: tuple[tuple[int, int], ...]
    at: float
    counted: bool

    def change_of(self, row: WorkflowRow, life: int) -> RowChange | None:
        """Say what changes of a row that is claimed; ``None`` if it is left as it is. For backends.

        Args:
            row: as it is stored.
            life: the one it had when it was read.
        """
        if row.life != life or not allowed(row.status, Event.CLAIM):
            return None
        return RowChange(
            status=Status.RUNNING,
            reason=None if row.status is Status.PENDING else row.reason,
            wake_at=None,
            life=life + 1,
            recoveries=row.recoveries + self.counted,
            started_at=self.at if row.started_at is None else row.started_at,
        )


@attrs.frozen
class Claimed:
    """Answer to :class:`Claim`: the rows as they now are, in the order asked for."""

    rows: tuple[WorkflowRow, ...]


@attrs.frozen
class Send:
    """Append an entry from outside to the present run of a workflow, whether it is in memory or not.

    If the workflow is waiting, its ``wake_at`` becomes ``entry.at`` (revision + 1), so that it
    is found due even if this process dies now. Otherwise the row is not touched: one that is
    paused or quarantined keeps the entry for later.

    With a ``key``, it happens once in the life of the workflow, whatever becomes of its runs: if
    one with this key was taken before, the answer says so, and nothing happens. That is so after
    the workflow's end, too: who did not hear the first answer gets it now.

    Refused with ``NotFoundError``, or with ``WorkflowClosedError`` if it has ended.

    Attributes:
        id: the workflow.
        entry: to append.
        key: an idempotency key, 1 to 200 characters of printable text; ``InvalidInputError`` at
            once if it is something else.
    """

    id: str
    entry: Entry
    key: str | None = attrs.field(default=None, validator=attrs.validators.optional(check_key))


@attrs.frozen
class Sent:
    """Answer to :class:`Send`.

    Attributes:
        pk: the key that storage gave the workflow.
        n: the number given to the entry; 0 for a duplicate.
        duplicate: whether one with this key was taken before, so that nothing was done.
    """

    pk: int
    n: int
    duplicate: bool = False


@attrs.frozen
class Delete:
    """Delete a workflow and all that hangs on it, in bounded pieces.

    The first step makes it invisible (its id becomes ``NULL``, and is free again) and deletes
    up to ``limit`` journal entries; if any are left the answer says so, and the caller repeats
    with ``pk`` set. The row goes last. A workflow half deleted at a crash is finished by the
    next owner. Children keep living, without a parent.

    Attributes:
        id: the workflow, on the first step. ``NotFoundError`` if it is gone.
        pk: 0 on the first step; then what the first step answered. Of a row that is gone
            already, deleting it is done.
        limit: how many journal entries to delete at most.
    """

    id: str
    pk: int = 0
    limit: int = 5_000


@attrs.frozen
class Deleted:
    """Answer to :class:`Delete`."""

    pk: int
    done: bool


@attrs.frozen
class Trim:
    """Drop a bounded piece of what a workflow's earlier runs have left; repeat it until done.

    Of a workflow that is gone there is nothing to drop: it is done.

    Attributes:
        pk: the workflow.
        limit: how many rows of each kind to delete at most.
    """

    pk: int
    limit: int = 5_000


@attrs.frozen
class Trimmed:
    """Answer to :class:`Trim`: whether nothing is left."""

    done: bool


@attrs.frozen
class Atomic:
    """Several operations, all or nothing; the first refusal is the answer to the whole."""

    operations: tuple[Create | SaveWorkflow | SaveTask | Delete | Send | Steer, ...]


Housekeeping: TypeAlias = Prune | Forget | GiveBack
"""What retention does; see ``pruning``."""

Single: TypeAlias = (
    Create
    | Advance
    | Transact
    | Claim
    | Send
    | Steer
    | Trim
    | SaveWorkflow
    | SaveTask
    | Delete
    | Housekeeping
)
"""An operation that is not made of others."""

Operation: TypeAlias = Single | Atomic

Answer: TypeAlias = (
    Created
    | Advanced
    | Transacted
    | RolledBack
    | Claimed
    | Sent
    | Steered
    | Trimmed
    | Saved
    | Deleted
    | Pruned
    | Forgotten
    | GivenBack
)

Result: TypeAlias = Answer | tuple[Answer, ...] | ClawError
"""What became of one operation; ``Atomic`` answers with a tuple; a refusal is its error, returned."""
