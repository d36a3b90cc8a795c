"""What one incarnation writes: posted to storage, and counted until it is answered.

Corrections of the workflow's row that are not worth a write of their own go with the next one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import trio

from .._core.journal import DEAD_LETTER_OP, REPLY_OP, note_about
from .._core.lifecycle import Event, Status, apply
from ..errors import ClawError, StaleWriteError
from ..storage.operations import Advance, Transact
from ..storage.records import RowChange
from .outbox import Outbox

if TYPE_CHECKING:
    from .._core.journal import Entry, OpenTask
    from ..storage.actor import StorageActor
    from ..storage.operations import Create, Result, Send
    from ..storage.records import DeadLetter, WorkflowRow
    from ..storage.write_queue import Write

__all__ = ["Values", "Writes"]

Values: TypeAlias = tuple[tuple[str, bytes], ...]
"""Encoded values, each with its key."""


class Writes:
    """The writes of one incarnation."""

    def __init__(
        self,
        row: WorkflowRow,
        storage: StorageActor,
        *,
        on_refused: Callable[[ClawError], None],
        on_progress: Callable[[], None],
        on_values: Callable[[], None],
        wall: Callable[[], float],
    ) -> None:
        assert row.id is not None
        self.id: str = row.id
        self.pk: int = row.pk
        self.life: int = row.life
        # How many are under way.
        self.unsettled: int = 0
        # What the stored row says that the next write has to set right.
        self.is_parked: bool = row.status is Status.WAITING
        self._recovery_counted = row.recoveries > 0
        # What goes with the next write, or by itself when nothing else is under way.
        self.notes: Outbox = Outbox()
        self._storage = storage
        self._on_refused = on_refused
        self._on_progress = on_progress
        self._on_values = on_values
        self._wall = wall
        self._settled = trio.Event()

    def post(self, write: Advance | Transact, done: Callable[[Result], None]) -> Write:
        """Send a write; ``done`` gets its answer, and calls :meth:`settle`."""
        self.unsettled += 1

        def answered(result: Result) -> None:
            done(result)
            if not isinstance(result, ClawError):
                self._on_values()

        shows = isinstance(write, Advance) and write.values
        return self._storage.post(write, answered if shows else done)

    def settle(self, result: Result | None) -> None:
        """Take note that a write was answered (or, without a result, withdrawn)."""
        self.unsettled -= 1
        if not self.unsettled:
            self._settled.set()
        if isinstance(result, ClawError):
            self._on_refused(result)

    def withdraw(self, write: Write) -> bool:
        """Take a write back, if it is not too late."""
        if not self._storage.withdraw(write):
            return False
        self.settle(None)
        return True

    async def wait_settled(self) -> None:
        """Wait until storage has answered every write: then nothing of this life is under way."""
        while self.unsettled:
            self._settled = trio.Event()
            await self._settled.wait()

    def advance(
        self,
        *,
        entries: tuple[Entry, ...] = (),
        opened: tuple[OpenTask, ...] = (),
        closed: tuple[str, ...] = (),
        sends: tuple[Send, ...] = (),
        children: tuple[Create, ...] = (),
        values: Values = (),
        dead_letters: tuple[DeadLetter, ...] = (),
        with_notes: bool = True,
    ) -> Advance:
        """Make a write of this incarnation, with all that has been waiting for one.

        These are the corrections of the row, and what is in the outbox.
        """
        if with_notes and self.notes:
            noted, shown = self.notes.take()
            opened, values = (*noted, *opened), (*shown, *values)
        change: RowChange | None = None
        if self.is_parked:
            change = RowChange(status=Status.RUNNING, wake_at=None, recoveries=0)
        elif self._recovery_counted:
            change = RowChange(recoveries=0)
        self.is_parked = self._recovery_counted = False
        return Advance(
            self.pk,
            self.id,
            self.life,
            entries,
            opened,
            closed,
            change,
            sends=sends,
            children=children,
            values=values,
            values_at=self._wall(),
            dead_letters=dead_letters,
        )

    def put_aside(self, message: Entry, letter: DeadLetter, reply: Values = ()) -> None:
        """Make a message a dead letter: once, because a note of that is in the same commit.

        Args:
            message: its entry.
            letter: what is kept of it.
            reply: what who asked by it is told, if it was a request.
        """
        note = note_about(DEAD_LETTER_OP, message.n, letter.at, self.life)
        write = self.advance(entries=(note,), values=reply, dead_letters=(letter,))
        self.post(write, self.settle)

    def answer(self, request: Entry, reply: Values, at: float) -> None:
        """Store the reply to a request: once, because a note of that is in the same commit."""
        note = note_about(REPLY_OP, request.n, at, self.life)
        self.post(self.advance(entries=(note,), values=reply), self.settle)

    def send_notes(self) -> None:
        """Write the notes by themselves: that a body runs for long is no sign of progress."""
        if self.notes:
            opened, values = self.notes.take()
            write = Advance(
                self.pk,
                self.id,
                self.life,
                opened=opened,
                values=values,
                values_at=self._wall(),
            )
            self.post(write, self.settle)

    def park(self, wake_at: float | None, expect_n: int, done: Callable[[bool], None]) -> None:
        """Store that there is nothing to do until ``wake_at``, in POSIX seconds, if ever.

        Only if nothing has arrived meanwhile, that is, the last entry is still number
        ``expect_n``: what arrives later makes the row due by itself. ``done`` is told whether it
        is so.
        """
        self.is_parked, self._recovery_counted = True, False
        change = RowChange(status=apply(Status.RUNNING, Event.PARK), wake_at=wake_at, recoveries=0)
        park = Advance(self.pk, self.id, self.life, change=change, expect_n=expect_n)

        def answered(result: Result) -> None:
            overtaken = isinstance(result, StaleWriteError) and result.what == "journal"
            if overtaken:
                self.settle(None)  # the next write says that it runs, which is never wrong
            else:
                self._noted(result)
            done(not isinstance(result, ClawError))

        self.post(park, answered)

    def note_healthy(self) -> None:
        """It has run for a while after a recovery: that recovery counts no more."""
        if self._recovery_counted:
            # In the middle of a replay, values are those of the past.
            self.post(self.advance(with_notes=False), self._noted)

    def _noted(self, result: Result) -> None:
        self.settle(result)
        self._on_progress()
