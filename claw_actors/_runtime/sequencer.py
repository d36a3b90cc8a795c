"""Who has the turn, and what is delivered next: the order inside one instance.

The rules, which make a replay do what the first run did:

1. *Turn.* At most one context of an instance runs at a time. It gives up the turn only by
   waiting in an operation, or by ending. Next come contexts that were cancelled, in order of
   creation; then the owner of the next journal entry, in commit order. Task bodies run outside
   the turn.
2. The past and the live commits are one queue, served here. A task that was started ends only by
   its own entry; a sleep that ends otherwise withdraws its write, or gives up its entry. An entry
   that nobody asks for is divergence.
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

import heapq
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import outcome
import trio

from .._core.journal import Entry, EntryKind, EntryStatus
from .._core.lifecycle import Status
from .._core.replay import Asked, Past, compare, describe_entry
from ..errors import (
    ClawError,
    InstanceSealed,
    JournalLimitError,
    NonDeterminismError,
    NotFoundError,
    StaleWriteError,
)
from ..storage.operations import Advance
from ..storage.records import RowChange
from .operation import BEGIN, Operation
from .outbox import Outbox

if TYPE_CHECKING:
    from .._core.journal import OpenTask
    from ..storage.actor import StorageActor
    from ..storage.operations import Result
    from ..storage.records import WorkflowRow
    from .context import Context
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
        park_after: float,
        max_journal_entries: int,
        on_progress: Callable[[], None],
        due_by: float,
    ) -> None:
        assert row.id is not None
        self.id: str = row.id
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
        self.replaying: bool = True
        self.cancel_requested: bool = False
        self.cancel_reason: bytes | None = None
        # The time of the last entry delivered: what `ctx.now()` returns.
        self.now: float = past.start.at
        # Numbers of the last entry delivered, and of the last one committed.
        self.delivered: int = past.start.n
        self.committed_n: int = past.last_n
        self.bodies: int = 0
        self.turns: int = 0
        # Invariant: None, or the only context whose code runs.
        self.holder: Context | None = None
        # The context that gives up its turn right now, and has not parked yet.
        self.giving_up: Context | None = None
        self._outbox = Outbox()
        self._park_after = park_after
        self._max_journal_entries = max_journal_entries
        self._on_progress = on_progress
        # Deadlines up to this one are over: a timer outside, which knew their length, has run.
        self._due_by = due_by
        self._queue = past.entries
        self._past_n = past.last_n
        self._recorded = past.by_op
        self._given_up: set[int] = set()
        self._open: dict[str, Operation] = {}
        self._late: list[Operation] = []
        self._runnable: list[tuple[int, Context]] = []
        self._on_seal: dict[Callable[[], None], None] = {}
        self._unsettled = 0
        self._settled = trio.Event()
        # What the stored row says that the next write has to set right.
        self._stored_waiting = row.status is Status.WAITING
        self._recovery_counted = row.recoveries > 0
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

    # -- the turn ---------------------------------------------------------------------------------

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

    def pump_for(self, context: Context | None) -> None:
        """Give the turn to the next; ``context`` has just given it up and has not parked yet."""
        self.giving_up = context
        while self.holder is None:
            if self._runnable:
                self._turn(heapq.heappop(self._runnable)[1])
            elif self.sealed is not None:
                break
            elif self._queue:
                self._consume(self._queue[0])
            elif not self.replaying or not self._catch_up():
                break
        self.giving_up = None
        self._send_notes_if_quiescent()
        self._park_if_idle()

    def turn_for(self, context: Context) -> None:
        """Let a context run when the turn is free."""
        heapq.heappush(self._runnable, (context.order, context))

    def _turn(self, context: Context) -> None:
        self.holder = context
        self.turns += 1
        self._wake(context)

    def _wake(self, context: Context) -> None:
        if context is self.giving_up:
            context.resumed = True  # it has not parked: it goes on by itself
        else:
            context.parked = False
            wake = context.wake or outcome.Value(None)
            assert context.trio_task is not None
            trio.lowlevel.reschedule(context.trio_task, wake)

    def _consume(self, entry: Entry) -> None:
        if entry.n in self._given_up:
            self._queue.popleft()
            return
        operation = self._open.get(entry.op)
        if operation is None and entry.kind is not EntryKind.CANCEL:
            waiting = ", ".join(str(one.asked) for one in self._open.values() if not one.scope)
            self.diverge(describe_entry(entry), waiting or "nothing")
            return
        self._queue.popleft()
        self.delivered = entry.n
        self.now = max(self.now, entry.at)
        if entry.kind is EntryKind.CANCEL:
            self._cancel(operation, entry)
            return
        assert operation is not None
        operation.entry = None
        self.close(operation)
        operation.context.wake = outcome.Value(entry)
        self._turn(operation.context)

    def _cancel(self, operation: Operation | None, entry: Entry) -> None:
        if self.cancel_requested:
            return  # asked for twice
        self.cancel_requested, self.cancel_reason = True, entry.value
        assert operation is not None
        assert operation.scope is not None
        self.close(operation)
        operation.scope.cancel(reason="the workflow was cancelled")  # abort functions run in here
        context = self.giving_up
        if context and context.operation and trio.current_effective_deadline() == -float("inf"):
            self.cancelled(context, None)  # it has not parked, so no abort function was called

    def _catch_up(self) -> bool:
        """The past is consumed. What fell due meanwhile comes first; then effects and timers."""
        if self._unsettled:
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

    def ask(self, operation: Operation) -> None:
        """Have an operation begin: now, or once the past is over, if it is not in the past."""
        self._open[operation.id] = operation
        if operation.entry is None and operation.scope is None:
            if self.replaying:
                self._late.append(operation)
            else:
                self._start(operation)

    def close(self, operation: Operation) -> None:
        """It is over, or nobody wants it any more: stop it, withdraw its write, or give it up."""
        if self._open.pop(operation.id, None) is None:
            return
        if operation.entry is not None:
            self._given_up.add(operation.entry.n)
        write = operation.write
        if write is not None and not operation.is_task and self.storage.withdraw(write):
            self._settle(operation)
        if operation.timer is not None:
            operation.timer.cancel()

    def _start(self, operation: Operation) -> None:
        if operation.is_task:
            operation.begun = True
            operation.context.wake = outcome.Value(BEGIN)
            self._wake(operation.context)  # without the turn
        else:
            operation.timer = self.timers.at(
                operation.deadline, lambda: self._timer_due(operation), length=operation.length
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

    def open_operations(self) -> list[Operation]:
        """Return what contexts wait for."""
        return [operation for operation in self._open.values() if operation.scope is None]

    def drain(self) -> None:
        """Deliver what is left when the workflow's function has ended.

        A request to cancel that was committed before the end counts; any other entry is one that
        nobody asks for.
        """
        holder, self.holder = self.holder, None
        self.pump_for(None)
        self.holder = holder

    # -- writes -----------------------------------------------------------------------------------

    def post(self, operation: Operation, entry: Entry, *, closed: tuple[str, ...] = ()) -> None:
        """Send an operation's own entry to storage; it is delivered when it is committed."""
        self._unsettled += 1
        operation.write = self.storage.post(
            # A timer's write may be withdrawn, and what goes with it would be lost.
            self.advance(entries=(entry,), closed=closed, with_notes=operation.is_task),
            lambda result: self._settle(operation, result),
        )

    def advance(
        self,
        *,
        entries: tuple[Entry, ...] = (),
        opened: tuple[OpenTask, ...] = (),
        closed: tuple[str, ...] = (),
        with_notes: bool = True,
    ) -> Advance:
        """Make a write of this incarnation, with all that has been waiting for one.

        These are the corrections of the row, and the notes.
        """
        if with_notes and self._outbox:
            opened = (*self._outbox.take(), *opened)
        change: RowChange | None = None
        if self._stored_waiting:
            change = RowChange(status=Status.RUNNING, wake_at=None, recoveries=0)
        elif self._recovery_counted:
            change = RowChange(recoveries=0)
        self._stored_waiting = self._recovery_counted = False
        return Advance(self.pk, self.id, self.life, entries, opened, closed, change)

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
        if entry.kind is EntryKind.CANCEL:
            self._queue.append(entry)
        elif operation := self._open.get(entry.op):
            operation.entry = entry
            self._queue.append(entry)

    def _settle(self, operation: Operation, result: Result | None = None) -> None:
        operation.write = None
        self._settle_one(result)

    def _settle_one(self, result: Result | None) -> None:
        self._unsettled -= 1
        if not self._unsettled:
            self._settled.set()
        if isinstance(result, ClawError):
            self.refused(result)

    async def wait_settled(self) -> None:
        """Wait until storage has answered every write: then nothing of this life is under way."""
        while self._unsettled:
            self._settled = trio.Event()
            await self._settled.wait()

    def refused(self, error: ClawError) -> None:
        """A write of this incarnation was refused, so it is not the one that may write any more."""
        if isinstance(error, StaleWriteError) and error.what == "life":
            why = "another incarnation has taken over"
        elif isinstance(error, NotFoundError):
            why = "it was deleted"
        else:
            why = f"storage failed: {error}"
        self.seal(why, at_once=True)

    def _park_if_idle(self) -> None:
        """Tell storage that there is nothing to do until a time ahead, if that is so."""
        waiting = self.open_operations()
        idle = not (self.holder or self.sealed or self.replaying or self._unsettled or self.bodies)
        if not idle or self._stored_waiting or not waiting or any(one.is_task for one in waiting):
            return
        wake_at = min(operation.deadline for operation in waiting)
        if wake_at - self.wall() <= self._park_after:
            return
        self._stored_waiting, self._recovery_counted = True, False
        self._unsettled += 1
        change = RowChange(status=Status.WAITING, wake_at=wake_at, recoveries=0)
        # Only if nothing has arrived meanwhile: what arrives later makes the row due by itself.
        park = Advance(self.pk, self.id, self.life, change=change, expect_n=self.committed_n)
        self.storage.post(park, self._parked)

    def note(self, task: OpenTask) -> None:
        """Note how a task stands: with the next write, or now if the instance is quiescent."""
        self._outbox.put(task)
        self._send_notes_if_quiescent()

    def withdraw_note(self, op: str) -> bool:
        """Take back a note about a task; ``False`` if there is none, or it is on its way."""
        return self._outbox.withdraw(op)

    def _send_notes_if_quiescent(self) -> None:
        if self._outbox and not (self.holder or self.sealed or self._unsettled):
            self._unsettled += 1
            # Nothing but the notes: that a body runs for long is no sign of progress.
            notes = Advance(self.pk, self.id, self.life, opened=self._outbox.take())
            self.storage.post(notes, self._settle_one)

    def note_healthy(self) -> None:
        """It has run for a while after a recovery: that recovery counts no more."""
        if self._recovery_counted and self.sealed is None:
            self._unsettled += 1
            self.storage.post(self.advance(), self._noted)

    def _noted(self, result: Result) -> None:
        self._settle_one(result)
        self._on_progress()

    def _parked(self, result: Result) -> None:
        if isinstance(result, StaleWriteError) and result.what == "journal":
            self._stored_waiting = False
            self._settle_one(None)
        else:
            self._noted(result)

    # -- cancellation, leaving, failing -------------------------------------------------------------

    def cancelled(self, context: Context, wake: outcome.Outcome[object] | None) -> None:
        """``context`` will see ``Cancelled`` when its turn comes.

        Called by Trio while it walks its own sets: marks only, runs nothing.
        """
        operation = context.operation
        assert operation is not None
        if operation.is_task and self.sealed is None:
            return  # it ends by its own entry
        context.marked, context.wake = True, wake
        self.close(operation)
        self.turn_for(context)

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
        for operation in self.open_operations():
            context = operation.context
            # What waits behind a shield of the author's, or for its own entry.
            if context.operation is operation and context.parked and not context.marked:
                wake = None if operation.is_task else outcome.Error(InstanceSealed(self.sealed))
                self.cancelled(context, wake)
        self.pump_for(None)

    def fail(self, error: ClawError) -> None:
        """The instance cannot go on, for a reason that a respawn would not mend. Latched."""
        self.failure = self.failure or error
        self.seal(str(error), at_once=True)
        for operation in self.open_operations():
            context = operation.context
            if context.operation is operation and not operation.begun and not context.marked:
                self.cancelled(context, outcome.Error(error))

    def diverge(self, expected: str, got: str) -> NonDeterminismError:
        """The code does not do what the journal says. Returns the error, for who can raise it."""
        error = NonDeterminismError(self.id, expected, got)
        self.fail(error)
        return error
