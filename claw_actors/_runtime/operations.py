"""The life of an operation, from the moment when code asks for it until its entry is on its way.

It is compared with the past when it is asked for. If the past knows its end, it waits for that
entry; otherwise it begins once the past is over: a body is told to run, a timer is set, a write
is posted. What ends otherwise takes back all that it has begun. Which entry is delivered next is
no concern of this module: that is the sequencer's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import outcome

from .._core.journal import Entry, EntryKind, EntryStatus
from .._core.replay import Asked, compare
from ..errors import JournalLimitError
from .operation import BEGIN, Condition, Operation

if TYPE_CHECKING:
    from ..storage.operations import Create, Result, Send
    from .operation import Awaited
    from .sequencer import Sequencer
    from .timers import Timer, Timers

__all__ = ["Operations"]


class Operations:
    """How the operations of one incarnation begin and end."""

    def __init__(
        self, sequencer: Sequencer, timers: Timers, *, max_journal_entries: int, due_by: float
    ) -> None:
        self._sequencer = sequencer
        self._writes = sequencer.writes
        self._waiting = sequencer.waiting
        self._timers = timers
        self._max_journal_entries = max_journal_entries
        # Deadlines up to this one are over: a timer outside, which knew their length, has run.
        self._due_by = due_by
        # What was asked for while the past lasts, and which it says nothing about.
        self._late: list[Operation] = []

    # -- asked for --------------------------------------------------------------------------------

    def asked(self, op: str, name: str, kind: EntryKind) -> Asked:
        """Say what is asked for, and when in the order of things."""
        return Asked(op, name, kind, self._sequencer.delivered)

    def match(self, operation: Operation) -> None:
        """Compare what is asked for with the past, before the turn is given up.

        Raises:
            NonDeterminismError: the first run asked for something else here.
            JournalLimitError: there is no room for one more entry.
        """
        sequencer = self._sequencer
        operation.entry = sequencer.upcoming.match(operation.id)
        if operation.entry is not None:
            mismatch = compare(operation.entry, operation.asked)
            if mismatch is not None:
                raise sequencer.leaving.diverge(mismatch.expected, mismatch.got)
        elif sequencer.committed_n >= self._max_journal_entries:
            full = JournalLimitError(sequencer.id, self._max_journal_entries)
            sequencer.leaving.fail(full)
            raise full

    def ask(self, awaited: Awaited) -> None:
        """Have an operation begin: now, or once the past is over, if it is not in the past."""
        self._waiting.add(awaited)
        if isinstance(awaited, Condition):
            return
        if awaited.entry is None and awaited.asked.kind is not EntryKind.CANCEL:
            if self._sequencer.replaying:
                self._late.append(awaited)
            else:
                self._start(awaited)

    def ask_again(self, operation: Operation) -> None:
        """Have it begin after all once the past is over: what ended it counts no more."""
        operation.entry = None
        self._late.append(operation)

    # -- begun ------------------------------------------------------------------------------------

    def start_late(self) -> bool:
        """Begin what the past says nothing about; it is consumed.

        Returns:
            ``False`` if deadlines have passed meanwhile: their entries are on their way, and come
            first.
        """
        now = max(self._sequencer.wall(), self._due_by)
        late = [operation for operation in self._late if operation.id in self._waiting.operations]
        if due := [one for one in late if not one.is_task and one.deadline <= now]:
            for operation in sorted(due, key=lambda one: one.deadline):
                self._late.remove(operation)
                self._post_timer(operation)
            return False
        self._sequencer.replaying = False
        self._late.clear()
        for operation in late:
            self._start(operation)
        return True

    def _start(self, operation: Operation) -> None:
        if operation.is_task:
            operation.begun = True
            operation.strand.wake = outcome.Value(BEGIN)
            self._sequencer.turns.wake(operation.strand)  # without the turn
        elif operation.begin is not None:
            operation.begin(operation)
        else:
            # What had passed of it when this life began has passed, if the clock was set back since.
            length = min(operation.length, operation.deadline - self._due_by)
            operation.timer = self._timers.at(
                operation.deadline, lambda: self._timer_due(operation), length=length
            )

    def _timer_due(self, operation: Operation) -> None:
        operation.timer = None
        if operation.id in self._waiting.operations and self._sequencer.leaving.sealed is None:
            self._post_timer(operation)

    def _post_timer(self, operation: Operation) -> None:
        # Not before its deadline, whatever the wall clock says: `ctx.now()` never disappoints.
        at = max(self._sequencer.wall(), operation.deadline)
        self.post(operation, self.entry(operation, at))

    def timers_set(self) -> list[Timer]:
        """Return the timers of everything that is waited for."""
        operations = self._waiting.operations.values()
        return [one.timer for one in operations if one.timer is not None]

    # -- ended ------------------------------------------------------------------------------------

    def entry(
        self,
        operation: Operation,
        at: float,
        *,
        digest: bytes | None = None,
        value: bytes | None = None,
    ) -> Entry:
        """Make the entry that ends an operation as it was asked for.

        Args:
            operation: whose.
            at: when that is, in POSIX seconds.
            digest: over what it was asked with.
            value: what the entry holds.
        """
        asked = operation.asked
        return Entry(
            asked.op,
            asked.name,
            asked.kind,
            EntryStatus.OK,
            at,
            asked.after,
            self._sequencer.life,
            digest=digest,
            value=value,
        )

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
            self._sequencer.send_notes()  # what was to be known before this is
        operation.write = self._writes.post(
            # A write that is no task's may be withdrawn, and what goes with it would be lost.
            self._writes.advance(
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
        self._writes.settle(result)

    def close(self, awaited: Awaited) -> None:
        """It is over, or nobody wants it any more: stop it, withdraw its write, or give it up."""
        if not self._waiting.remove(awaited) or isinstance(awaited, Condition):
            return
        if awaited.entry is not None:
            self._sequencer.upcoming.give_up(awaited.entry)
        write = awaited.write
        if write is not None and not awaited.is_task and self._writes.withdraw(write):
            awaited.write = None
        if awaited.timer is not None:
            awaited.timer.cancel()

    def is_final(self, operation: Operation) -> bool:
        """Tell whether only its own entry can end an operation; a write may yet be taken back."""
        if operation.is_task or operation.begin is None:
            return operation.is_task
        if operation.write is not None and self._writes.withdraw(operation.write):
            operation.write = None
        return operation.write is not None or operation.entry is not None
