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
   ``finally`` does.

Everything here is synchronous and runs only while no code of the instance runs: in the storage
actor after a commit, in the timer task, or in a context that has just given up its turn.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import outcome
import trio

from .._core.journal import (
    CRASH_OP,
    DEAD_LETTER_OP,
    OUTSIDE,
    REPLY_OP,
    Entry,
    EntryKind,
    EntryStatus,
    note_about,
    outlives,
)
from .._core.replay import Asked, Past, compare, describe_entry
from ..errors import (
    ClawError,
    InstanceSealed,
    JournalLimitError,
    NonDeterminismError,
    NotFoundError,
    StaleWriteError,
)
from ..storage.actor import fresh
from .brood import Brood
from .inbox import Inbox
from .operation import BEGIN, Condition, Operation
from .rest import Rest
from .turns import Turns
from .waiting import Waiting
from .writes import Writes

if TYPE_CHECKING:
    from .._core.journal import OpenTask
    from ..storage.actor import StorageActor
    from ..storage.operations import Advance, Create, Result, Send
    from ..storage.records import DeadLetter, WorkflowRow
    from .idling import Idling
    from .operation import Awaited
    from .strand import Strand
    from .timers import Timer, Timers

__all__ = ["Sequencer"]

Values: TypeAlias = tuple[tuple[str, bytes], ...]
"""Encoded values, each with its key."""

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
        self.writes: Writes = Writes(
            row,
            storage,
            on_refused=self.refused,
            on_progress=on_progress,
            on_values=on_values,
            wall=wall,
        )
        self.inbox: Inbox = Inbox(past.put_aside, past.answered)
        self.brood: Brood = Brood(past.children)
        self.id: str = self.writes.id
        self.pk: int = row.pk
        self.life: int = row.life
        self.storage: StorageActor = storage
        self.timers: Timers = timers
        self.wall: Callable[[], float] = wall
        self.leave_scope: trio.CancelScope = trio.CancelScope()
        # Why the instance leaves memory; None while it lives.
        self.sealed: str | None = None
        # What the instance failed with for good (divergence and the like); latched.
        self.failure: ClawError | None = None
        # An operator has paused it: so it is sealed.
        self.paused: bool = False
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
        # What was unwinding when the code was found not to do what the journal says.
        self.diverged_in: BaseException | None = None
        # Task bodies that run, or wait for their next attempt.
        self.bodies: int = 0
        self._max_journal_entries = max_journal_entries
        self._on_progress = on_progress
        # Deadlines up to this one are over: a timer outside, which knew their length, has run.
        self._due_by = due_by
        self._queue = past.entries
        self._past_n = past.last_n
        self._recorded = past.by_op
        self._given_up: set[int] = set()
        self._waiting = Waiting()
        self._open = self._waiting.operations
        self._late: list[Operation] = []
        self.rest: Rest = Rest(self, idling)
        self._on_seal: dict[Callable[[], None], None] = {}
        storage.listen(row.pk, self)

    @property
    def is_replaying(self) -> bool:
        """Whether something of the past is still to be delivered.

        Not ``replaying``, which lasts until the next operation begins: what the code does after
        its last checkpoint may never have been done, and must not be done in silence.
        """
        return any(
            entry.n <= self._past_n and entry.n not in self._given_up for entry in self._queue
        )

    # -- what is next -----------------------------------------------------------------------------

    def pump(self) -> None:
        """Give the turn to the next. Called after a commit that concerns this instance."""
        try:
            self.pump_for(None)
        except Exception as error:
            # A defect here must not end the storage actor, which serves everybody.
            _log.exception("workflow %s: the sequencer failed", self.id)
            failure = ClawError(f"the sequencer failed: {error!r}")
            failure.__cause__ = error
            self.fail(failure)

    def pump_for(self, strand: Strand | None) -> None:
        """Give the turn to the next; ``strand`` has just given it up and has not parked yet."""
        turns = self.turns
        turns.giving_up = strand
        while turns.holder is None:
            if turns.give_to_next():
                pass
            elif self.sealed is not None:
                break
            elif self._waiting.conditions and self._resume_first_true():
                pass
            elif self._queue:
                self._consume(self._queue[0])
            elif not self.replaying or not self._catch_up():
                break
        turns.giving_up = None
        self.send_notes_if_quiescent()
        self.rest.look()

    @property
    def is_judging(self) -> bool:
        """Whether the author's code that runs is a predicate."""
        return self._waiting.is_judging

    def _resume_first_true(self) -> bool:
        """Give the turn to the first context whose condition is true, or cannot be judged."""
        found = self._waiting.first_true()
        if found is None:
            return False
        condition, judged = found
        self._waiting.remove(condition)
        condition.strand.wake = judged
        self.turns.give(condition.strand)
        return True

    def _consume(self, entry: Entry) -> None:
        if entry.n in self._given_up:
            self._queue.popleft()
            return
        operation = self._open.get(entry.op)
        if operation is None and entry.kind not in OUTSIDE:
            waiting = ", ".join(str(one.asked) for one in self.open_operations())
            self.diverge(describe_entry(entry), waiting or "nothing")
            return
        self._queue.popleft()
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
        self.close(operation)
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
        self.close(operation)
        self._strike(operation.scope, "the workflow was cancelled")

    def _strike(self, scope: trio.CancelScope, reason: str) -> None:
        """Cancel a durable scope: it marks those who wait in it, and they come in their turn."""
        scope.cancel(reason=reason)  # abort functions run in here
        strand = self.turns.giving_up
        if strand and strand.operation and trio.current_effective_deadline() == -math.inf:
            self.cancelled(strand, None)  # it has not parked, so no abort function was called

    def _catch_up(self) -> bool:
        """The past is consumed. What fell due meanwhile comes first; then effects and timers."""
        if self.writes.unsettled:
            return False
        now = max(self.wall(), self._due_by)
        late = [operation for operation in self._late if operation.id in self._open]
        if due := [one for one in late if not one.is_task and one.deadline <= now]:
            for operation in sorted(due, key=lambda one: one.deadline):
                self._late.remove(operation)
                self._post_timer(operation)
            return False
        self.replaying = False
        self._late.clear()
        for operation in late:
            self._start(operation)
        return True

    # -- operations -------------------------------------------------------------------------------

    def match(self, operation: Operation) -> None:
        """Compare what is asked for with the past, before the turn is given up.

        Raises:
            NonDeterminismError: the first run asked for something else here.
            JournalLimitError: there is no room for one more entry.
        """
        operation.entry = self._recorded.pop(operation.id, None)
        if operation.entry is not None:
            mismatch = compare(operation.entry, operation.asked)
            if mismatch is not None:
                raise self.diverge(mismatch.expected, mismatch.got)
        elif self.committed_n >= self._max_journal_entries:
            full = JournalLimitError(self.id, self._max_journal_entries)
            self.fail(full)
            raise full

    def asked(self, op: str, name: str, kind: EntryKind) -> Asked:
        """Say what is asked for, and when in the order of things."""
        return Asked(op, name, kind, self.delivered)

    def ask(self, awaited: Awaited) -> None:
        """Have an operation begin: now, or once the past is over, if it is not in the past."""
        self._waiting.add(awaited)
        if isinstance(awaited, Condition):
            return
        if awaited.entry is None and awaited.asked.kind is not EntryKind.CANCEL:
            if self.replaying:
                self._late.append(awaited)
            else:
                self._start(awaited)

    def close(self, awaited: Awaited) -> None:
        """It is over, or nobody wants it any more: stop it, withdraw its write, or give it up."""
        if not self._waiting.remove(awaited) or isinstance(awaited, Condition):
            return
        if awaited.entry is not None:
            self._given_up.add(awaited.entry.n)
        write = awaited.write
        if write is not None and not awaited.is_task and self.writes.withdraw(write):
            awaited.write = None
        if awaited.timer is not None:
            awaited.timer.cancel()

    def _start(self, operation: Operation) -> None:
        if operation.is_task:
            operation.begun = True
            operation.strand.wake = outcome.Value(BEGIN)
            self.turns.wake(operation.strand)  # without the turn
        elif operation.begin is not None:
            operation.begin(operation)
        else:
            # What had passed of it when this life began has passed, if the clock was set back since.
            length = min(operation.length, operation.deadline - self._due_by)
            operation.timer = self.timers.at(
                operation.deadline, lambda: self._timer_due(operation), length=length
            )

    def _timer_due(self, operation: Operation) -> None:
        operation.timer = None
        if operation.id in self._open and self.sealed is None:
            self._post_timer(operation)

    def _post_timer(self, operation: Operation) -> None:
        # Not before its deadline, whatever the wall clock says: `ctx.now()` never disappoints.
        at = max(self.wall(), operation.deadline)
        asked = operation.asked
        self.post(
            operation,
            Entry(
                asked.op, asked.name, asked.kind, EntryStatus.OK, at, asked.after, life=self.life
            ),
        )

    def void(self, cut_off: Entry) -> None:
        """Have a task that was cut off count as not done, with all that followed from it.

        It was cancelled because of an exception that this life has not seen.
        """
        gone = {entry.n for entry in self._queue if not outlives(entry, cut_off.n)}
        self._queue = deque(entry for entry in self._queue if entry.n not in gone)
        self._recorded = {op: one for op, one in self._recorded.items() if one.n not in gone}
        for operation in self._open.values():
            if operation.entry is not None and operation.entry.n in gone:
                operation.entry = None
                self._late.append(operation)
        note = Entry(
            CRASH_OP,
            "note",
            EntryKind.NOTE,
            EntryStatus.VOID,
            max(self.wall(), self.now),
            life=self.life,
            ref=cut_off.n,
        )
        self.writes.post(self.writes.advance(entries=(note,), with_notes=False), self.writes.settle)

    def put_aside(self, message: Entry, letter: DeadLetter, reply: Values = ()) -> None:
        """Make a message a dead letter: once, because a note of that is in the same commit.

        Args:
            message: its entry.
            letter: what is kept of it.
            reply: what who asked by it is told, if it was a request.
        """
        note = note_about(DEAD_LETTER_OP, message.n, letter.at, self.life)
        self._post_note(note, values=reply, dead_letters=(letter,))

    def answer(self, request: Entry, reply: Values) -> None:
        """Store the reply to a request: once, because a note of that is in the same commit."""
        at = max(self.wall(), self.now)
        self._post_note(note_about(REPLY_OP, request.n, at, self.life), values=reply)

    def _post_note(
        self, note: Entry, *, values: Values, dead_letters: tuple[DeadLetter, ...] = ()
    ) -> None:
        write = self.writes.advance(entries=(note,), values=values, dead_letters=dead_letters)
        self.writes.post(write, self.writes.settle)

    def open_operations(self) -> list[Operation]:
        """Return what contexts wait for, of what ends by an entry."""
        return self._waiting.unscoped()

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
        while self._queue and self.sealed is None:
            if until_cancelled and self.cancel_requested:
                break
            self._consume(self._queue[0])
        self.turns.holder = holder
        return self.cancel_requested

    # -- writes -----------------------------------------------------------------------------------

    def post(
        self,
        operation: Operation,
        entry: Entry,
        *,
        closed: tuple[str, ...] = (),
        sends: tuple[Send, ...] = (),
        children: tuple[Create, ...] = (),
        then: Callable[[Result], None] = lambda _: None,
    ) -> None:
        """Send an operation's own entry to storage; it is delivered when it is committed.

        Args:
            operation: whose.
            entry: its entry.
            closed: open work that ends with it.
            sends, children: what goes with it, in the same commit.
            then: called with the answer of storage, before anything is delivered.
        """
        if operation.begin is not None:
            self.writes.send_notes()  # what was to be known before this is
        operation.write = self.writes.post(
            # A write that is no task's may be withdrawn, and what goes with it would be lost.
            self.writes.advance(
                entries=(entry,),
                closed=closed,
                sends=sends,
                children=children,
                with_notes=operation.is_task,
            ),
            lambda result: self._settle(operation, result, then),
        )

    def _settle(self, operation: Operation, result: Result, then: Callable[[Result], None]) -> None:
        operation.write = None
        then(result)
        self.writes.settle(result)

    def advance(self, opened: tuple[OpenTask, ...]) -> Advance:
        """Make a write of open work."""
        return self.writes.advance(opened=opened)

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
            )
        self._on_progress()
        if entry.kind in OUTSIDE:
            self._queue.append(entry)
        elif entry.kind is EntryKind.PAUSE:
            self.paused = True
            self.seal("it is paused")
        elif entry.kind is EntryKind.END and entry.life != self.life:
            self.seal("it was terminated", at_once=True)
        elif operation := self._open.get(entry.op):
            operation.entry = entry
            self._queue.append(entry)

    async def wait_settled(self) -> None:
        """Wait until storage has answered every write: then nothing of this life is under way."""
        await self.writes.wait_settled()

    def refused(self, error: ClawError) -> None:
        """A write of this incarnation was refused, so it is not the one that may write any more."""
        if isinstance(error, StaleWriteError) and error.what == "life":
            why = "another incarnation has taken over"
        elif isinstance(error, NotFoundError):
            why = "it was deleted"
        else:
            why = f"storage failed: {error}"
        self.seal(why, at_once=True)

    @property
    def is_idle(self) -> bool:
        """Whether every context waits, and nothing runs or is on its way: not even a write."""
        return not (
            self.turns.holder
            or self.bodies
            or self.writes.unsettled
            or self._waiting.tasks
            or self._queue
            or self.replaying
            or self.sealed
            or self.writes.notes
        )

    def next_deadline(self) -> float:
        """Return when something that is waited for is due, in POSIX seconds; or infinity."""
        return self._waiting.next_deadline()

    def timers_set(self) -> list[Timer]:
        """Return the timers of everything that is waited for."""
        operations = self._open.values()
        return [one.timer for one in operations if one.timer is not None]

    def put_note(self, task: OpenTask) -> None:
        """Note how a task stands: that goes with the next write."""
        self.writes.notes.put(task)

    def withdraw_note(self, op: str) -> bool:
        """Take back a note about a task; ``False`` if there is none, or it is on its way."""
        return self.writes.notes.withdraw(op)

    def send_notes(self) -> None:
        """Write the notes now, unless the instance cannot go on."""
        if self.failure is None:
            self.writes.send_notes()

    def send_notes_if_quiescent(self) -> None:
        """Write the notes now, if nothing else of the instance will take them along."""
        if not (self.turns.holder or self.sealed or self.writes.unsettled):
            self.writes.send_notes()

    def show(self, key: str, value: bytes) -> None:
        """Have a value stored with the next write, or when the instance is quiescent."""
        self.writes.notes.show(key, value)

    def note_healthy(self) -> None:
        """It has run for a while after a recovery: that recovery counts no more."""
        if self.sealed is None:
            self.writes.note_healthy()

    # -- cancellation, leaving, failing -------------------------------------------------------------

    def cancelled(self, strand: Strand, wake: outcome.Outcome[object] | None) -> None:
        """``strand`` will see ``Cancelled`` when its turn comes.

        Called by Trio while it walks its own sets: marks only, runs nothing.
        """
        awaited = strand.operation
        assert awaited is not None
        if isinstance(awaited, Operation) and self.sealed is None and self._is_final(awaited):
            return  # it ends by its own entry
        strand.marked, strand.wake = True, wake
        self.close(awaited)
        self.turns.queue(strand)

    def _is_final(self, operation: Operation) -> bool:
        """Tell whether only its own entry can end an operation; a write may yet be taken back."""
        if operation.is_task or operation.begin is None:
            return operation.is_task
        if operation.write is not None and self.writes.withdraw(operation.write):
            operation.write = None
        return operation.write is not None or operation.entry is not None

    def seal(self, why: str, *, at_once: bool = False) -> None:
        """Nothing starts and nothing is delivered from now on.

        Task bodies that run may end and be recorded, until :meth:`leave` cancels them.
        """
        if self.sealed is None:
            self.sealed = why
            for notify in list(self._on_seal):
                notify()
        if at_once or not self.bodies:
            # Never from inside a commit's answers or an abort function, where others are mid-step.
            trio.lowlevel.current_trio_token().run_sync_soon(self.leave)

    def on_seal(self, notify: Callable[[], None]) -> Callable[[], None]:
        """Have ``notify`` called when the instance is sealed; returns how to take that back."""
        self._on_seal[notify] = None
        if self.sealed is not None:
            notify()
        return lambda: self._on_seal.pop(notify, None)

    def leave(self) -> None:
        """Unwind the instance's code; it is sealed."""
        assert self.sealed is not None
        self.leave_scope.cancel(reason=self.sealed)
        for awaited in self._waiting.awaited():
            # What waits behind a shield of the author's, or for its own entry.
            if awaited.strand.parked:
                is_task = isinstance(awaited, Operation) and awaited.is_task
                wake = None if is_task else outcome.Error(InstanceSealed(self.sealed))
                self.cancelled(awaited.strand, wake)
        self.pump_for(None)

    def fail(self, error: ClawError) -> None:
        """The instance cannot go on, for a reason that a respawn would not mend. Latched."""
        self.failure = self.failure or error
        self.seal(str(error), at_once=True)
        for awaited in self._waiting.awaited():
            if isinstance(awaited, Condition) or not awaited.begun:
                # Each its own: an exception that is raised must not be shared by two Trio tasks.
                self.cancelled(awaited.strand, outcome.Error(fresh(error)))

    def diverge(self, expected: str, got: str) -> NonDeterminismError:
        """The code does not do what the journal says. Returns the error, for who can raise it."""
        error = NonDeterminismError(self.id, expected, got)
        if self.unwinding and self.failure is None:
            _, self.diverged_in = next(iter(self.unwinding.values()))
        self.fail(error)
        return error
