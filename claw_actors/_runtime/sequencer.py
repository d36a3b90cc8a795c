"""What is delivered next, and to whom: the order inside one instance.

The rules, which make a replay do what the first run did:

1. *Turn.* At most one context of an instance runs at a time. It gives up the turn only by
   waiting in an operation, joining its nursery, or ending. Next come contexts that were cancelled
   or started, or whose children are done, in order of creation; then those whose ``wait_until``
   came true, in the order in which they asked; then the owner of the next journal entry, in
   commit order. Task bodies run outside the turn.
2. The past and the live commits are one queue, served here. A task that was started ends only by
   its own entry: its outcome, or *cancelled* once its body has unwound. So does what is nothing but
   a write, once that is under way: before, it is taken back. A sleep or a deadline that
   ends otherwise withdraws its write, or gives up its entry. A message goes into the inbox, where
   it may stay. Any other entry that nobody asks for is divergence.
3. While the past lasts no task body and no timer starts; after it, overdue deadlines in order of
   deadline, then the bodies.
4. ``Cancelled`` enters workflow code only with the turn: abort functions answer ``FAILED``, and
   the sequencer reschedules with the captured cancellation.
5. *Sealed before stopped.* Once sealed, no operation starts and nothing is delivered, whatever a
   ``finally`` does (``leaving``).

Only the order is decided here. What contexts have asked for is in ``waiting``, how that begins and
ends in ``operations``, what is committed and not yet delivered in ``upcoming``.

Everything here is synchronous and runs only while no code of the instance runs: in the storage
actor after a commit, in the timer task, or in a context that has just given up its turn.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import outcome
import trio

from .._core.journal import CRASH_OP, OUTSIDE, Entry, EntryKind, EntryStatus
from .._core.replay import Past, describe_entry
from ..errors import ClawError
from .brood import Brood
from .inbox import Inbox
from .leaving import Leaving
from .operation import Operation
from .operations import Operations
from .rest import Rest
from .subjects import subject_of
from .turns import Turns
from .upcoming import Upcoming
from .waiting import Waiting
from .writes import Writes

if TYPE_CHECKING:
    from ..storage.actor import StorageActor
    from ..storage.records import WorkflowRow
    from .idling import Idling
    from .strand import Strand
    from .timers import Timers

__all__ = ["Sequencer"]

_log = logging.getLogger("claw_actors.workflows")

WARN_AT = 0.8
"""The part of the longest journal from which on it is worth a warning."""


class Sequencer:
    """The order of one incarnation. One is made for each life; it is never used again."""

    def __init__(
        self,
        row: WorkflowRow,
        past: Past,
        *,
        storage: StorageActor,
        timers: Timers,
        wall: Callable[[], float],
        idling: Idling,
        max_journal_entries: int,
        on_progress: Callable[[], None],
        on_values: Callable[[], None],
        due_by: float,
    ) -> None:
        self.turns: Turns = Turns()
        self.waiting: Waiting = Waiting()
        self.upcoming: Upcoming = Upcoming(past)
        self.leaving: Leaving = Leaving(self)
        self.writes: Writes = Writes(
            row,
            storage,
            on_refused=self.leaving.refused,
            on_progress=on_progress,
            on_values=on_values,
            wall=wall,
        )
        self.operations: Operations = Operations(
            self, timers, max_journal_entries=max_journal_entries, due_by=due_by
        )
        self.rest: Rest = Rest(self, idling)
        self.inbox: Inbox = Inbox(past.put_aside, past.answered)
        self.brood: Brood = Brood(past.children)
        self.id: str = self.writes.id
        self.pk: int = row.pk
        self.life: int = row.life
        self.storage: StorageActor = storage
        self.timers: Timers = timers
        self.wall: Callable[[], float] = wall
        self.replaying: bool = True
        self.cancel_requested: bool = False
        self.cancel_reason: bytes | None = None
        # The time of the last entry delivered: what `ctx.now()` returns.
        self.now: float = past.start.at
        # Numbers of the last entry delivered, and of the last one committed.
        self.delivered: int = past.start.n
        self.committed_n: int = past.last_n
        # The scopes of nurseries that an exception has cancelled and that have not ended yet, each
        # with the number of the last entry delivered when it was raised, and with the exception.
        self.unwinding: dict[trio.CancelScope, tuple[int, BaseException]] = {}
        # Task bodies that run, or wait for their next attempt.
        self.bodies: int = 0
        self._max_journal_entries = max_journal_entries
        # For the log: the storage actor calls this, too, in its own Trio task.
        self.about: Mapping[str, object] = subject_of(row).extra
        self._on_progress = on_progress
        storage.listen(row.pk, self)

    @property
    def is_replaying(self) -> bool:
        """Whether something of the past is still to be delivered.

        Not ``replaying``, which lasts until the next operation begins: what the code does after
        its last checkpoint may never have been done, and must not be done in silence.
        """
        return self.upcoming.holds_past

    def time(self) -> float:
        """Return when something is that is written now, in POSIX seconds.

        Never before what was delivered, though the wall clock may have been set back meanwhile.
        """
        return max(self.wall(), self.now)

    # -- what is next -----------------------------------------------------------------------------

    def pump(self) -> None:
        """Give the turn to the next. Called after a commit that concerns this instance."""
        try:
            self.pump_for(None)
        except Exception as error:
            # A defect here must not end the storage actor, which serves everybody.
            _log.exception("workflow %s: the sequencer failed", self.id, extra=self.about)
            failure = ClawError(f"the sequencer failed: {error!r}")
            failure.__cause__ = error
            self.leaving.fail(failure)

    def pump_for(self, strand: Strand | None) -> None:
        """Give the turn to the next; ``strand`` has just given it up and has not parked yet."""
        turns, upcoming = self.turns, self.upcoming
        turns.giving_up = strand
        while turns.holder is None:
            if turns.give_to_next():
                pass
            elif self.leaving.sealed is not None:
                break
            elif self.waiting.conditions and self._resume_first_true():
                pass
            elif upcoming.queue:
                self._consume(upcoming.queue[0])
            elif not self.replaying or not self._catch_up():
                break
        turns.giving_up = None
        self.send_notes_if_quiescent()
        self.rest.look()

    @property
    def is_judging(self) -> bool:
        """Whether the author's code that runs is a predicate."""
        return self.waiting.is_judging

    def _resume_first_true(self) -> bool:
        """Give the turn to the first context whose condition is true, or cannot be judged."""
        found = self.waiting.first_true()
        if found is None:
            return False
        condition, judged = found
        self.waiting.remove(condition)
        condition.strand.wake = judged
        self.turns.give(condition.strand)
        return True

    def _consume(self, entry: Entry) -> None:
        upcoming = self.upcoming
        if entry.n in upcoming.given_up:
            upcoming.queue.popleft()
            return
        operation = self.waiting.operations.get(entry.op)
        if operation is None and entry.kind not in OUTSIDE:
            waiting = ", ".join(str(one.asked) for one in self.waiting.unscoped())
            self.leaving.diverge(describe_entry(entry), waiting or "nothing")
            return
        upcoming.queue.popleft()
        self.delivered = entry.n
        self.now = max(self.now, entry.at)
        if entry.kind is EntryKind.MESSAGE:
            self.inbox.put(entry)
            return
        if entry.kind is EntryKind.CHILD_END:
            self.brood.end(entry)
            return
        if entry.kind is EntryKind.CANCEL:
            self._cancel(operation, entry)
            return
        assert operation is not None
        operation.entry = None
        self.operations.close(operation)
        if operation.scope is not None:
            self._strike(operation.scope, f"the deadline of {operation.id} has passed")
            return
        operation.strand.wake = outcome.Value(entry)
        self.turns.give(operation.strand)

    def _cancel(self, operation: Operation | None, entry: Entry) -> None:
        if self.cancel_requested:
            return  # asked for twice
        self.cancel_requested, self.cancel_reason = True, entry.value
        assert operation is not None
        assert operation.scope is not None
        self.operations.close(operation)
        self._strike(operation.scope, "the workflow was cancelled")

    def _strike(self, scope: trio.CancelScope, reason: str) -> None:
        """Cancel a durable scope: it marks those who wait in it, and they come in their turn."""
        scope.cancel(reason=reason)  # abort functions run in here
        strand = self.turns.giving_up
        if strand and strand.operation and trio.current_effective_deadline() == -math.inf:
            self.cancelled(strand, None)  # it has not parked, so no abort function was called

    def _catch_up(self) -> bool:
        """The past is consumed. What fell due meanwhile comes first; then effects and timers."""
        return not self.writes.unsettled and self.operations.start_late()

    def void(self, cut_off: Entry) -> None:
        """Have a task that was cut off count as not done, with all that followed from it.

        It was cancelled because of an exception that this life has not seen.
        """
        gone = self.upcoming.void(cut_off.n)
        for operation in self.waiting.operations.values():
            if operation.entry is not None and operation.entry.n in gone:
                self.operations.ask_again(operation)
        note = Entry(
            CRASH_OP,
            "note",
            EntryKind.NOTE,
            EntryStatus.VOID,
            self.time(),
            life=self.life,
            ref=cut_off.n,
        )
        self.writes.post(self.writes.advance(entries=(note,), with_notes=False), self.writes.settle)

    def drain(self, *, until_cancelled: bool = False) -> bool:
        """Deliver what is left when the workflow's function has ended.

        A request to cancel that was committed before the end counts; any other entry is one that
        nobody asks for.

        Args:
            until_cancelled: leave what follows such a request to the rollback that it begins.

        Returns:
            Whether the workflow was asked to cancel itself.
        """
        holder, self.turns.holder = self.turns.holder, None
        queue = self.upcoming.queue
        while queue and self.leaving.sealed is None:
            if until_cancelled and self.cancel_requested:
                break
            self._consume(queue[0])
        self.turns.holder = holder
        return self.cancel_requested

    def committed(self, entry: Entry) -> None:
        """Take note of an entry, own or from outside. Called by the storage actor."""
        if entry.n <= self.committed_n:
            return  # it was committed while the journal was read, and is in there
        self.committed_n = entry.n
        if entry.n == int(self._max_journal_entries * WARN_AT):
            _log.warning(
                "workflow %s: its journal has %d entries, of at most %d",
                self.id,
                entry.n,
                self._max_journal_entries,
                extra=self.about,
            )
        self._on_progress()
        if entry.kind in OUTSIDE:
            self.upcoming.queue.append(entry)
        elif entry.kind is EntryKind.PAUSE:
            self.leaving.pause()
        elif entry.kind is EntryKind.END and entry.life != self.life:
            self.leaving.seal("it was terminated", at_once=True)
        elif operation := self.waiting.operations.get(entry.op):
            operation.entry = entry
            self.upcoming.queue.append(entry)

    def cancelled(self, strand: Strand, wake: outcome.Outcome[object] | None) -> None:
        """``strand`` will see ``Cancelled`` when its turn comes.

        Called by Trio while it walks its own sets: marks only, runs nothing.
        """
        awaited = strand.operation
        assert awaited is not None
        if (
            isinstance(awaited, Operation)
            and self.leaving.sealed is None
            and self.operations.is_final(awaited)
        ):
            return  # it ends by its own entry
        strand.marked, strand.wake = True, wake
        self.operations.close(awaited)
        self.turns.queue(strand)

    @property
    def is_idle(self) -> bool:
        """Whether every context waits, and nothing runs or is on its way: not even a write."""
        return not (
            self.turns.holder
            or self.bodies
            or self.writes.unsettled
            or self.waiting.tasks
            or self.upcoming.queue
            or self.replaying
            or self.leaving.sealed
            or self.writes.notes
        )

    def send_notes(self) -> None:
        """Write the notes now, unless the instance cannot go on."""
        if self.leaving.failure is None:
            self.writes.send_notes()

    def send_notes_if_quiescent(self) -> None:
        """Write the notes now, if nothing else of the instance will take them along."""
        if not (self.turns.holder or self.leaving.sealed or self.writes.unsettled):
            self.writes.send_notes()

    def note_healthy(self) -> None:
        """It has run for a while after a recovery: that recovery counts no more."""
        if self.leaving.sealed is None:
            self.writes.note_healthy()
