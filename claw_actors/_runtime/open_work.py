"""Where the attempts of one task stand, and what is stored of that.

A row of open work is worth its commit when an attempt has failed and another is due. That a body
has been running for long, and what it tells of its progress, are notes: they go with the instance's next
write, or when it is quiescent, and are taken back if the attempt has ended before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._core.failures import describe
from .._core.journal import OpenTask
from .._core.lifecycle import TaskStatus
from ..storage.codec import encode_error

if TYPE_CHECKING:
    from .._core.heartbeat import Heartbeat
    from .sequencer import Sequencer

__all__ = ["OpenWork"]


class OpenWork:
    """One task that is being worked on."""

    def __init__(self, sequencer: Sequencer, id: str, name: str, stored: OpenTask | None) -> None:
        """Go on with what is stored of a task, if anything is."""
        self.id: str = id
        # How many attempts have ended, and since when the first one ran, in POSIX seconds.
        self.ended: int = 0
        self.started_at: float = sequencer.wall()
        if stored is not None and stored.started_at is not None:
            self.started_at = stored.started_at
        # When the next attempt may begin, as it was stored before this incarnation.
        self.due_at: float | None = None
        # The last heartbeat, of whatever attempt.
        self.details: str | None = None
        self._sequencer = sequencer
        self._name = name
        self._error: bytes | None = None
        self._stored = stored
        # What waits in the outbox, or went from there.
        self._note: OpenTask | None = None
        if stored is not None:
            self.ended, self.details, self.due_at = stored.attempt, stored.details, stored.due_at
            self._error = stored.error

    @property
    def is_stored(self) -> bool:
        """Whether there is a row that has to go when the task ends."""
        return self._stored is not None

    def mark_running(self) -> None:
        """Note that a body has been running for a while; the attempt counts when it ends."""
        mark = self._make(TaskStatus.RUNNING)
        if mark != self._stored:  # as it was when the process died in this very attempt
            self._put(mark)
            self._sequencer.send_notes_if_quiescent()

    def keep(self, beat: Heartbeat) -> None:
        """Note the last heartbeat of a running body; somebody sends the notes in a while."""
        self.details = beat.to_text()
        self._put(self._make(TaskStatus.RUNNING))

    def end_attempt(self) -> None:
        """An attempt is over: what is only noted of it is not worth a write any more.

        Unless it was cut off because the instance leaves memory: then the next one starts from
        there.
        """
        if self._sequencer.leaving.sealed is not None and self.details is not None:
            self._sequencer.send_notes()
        if not self._sequencer.writes.notes.withdraw(self.id):
            self._stored = self._note or self._stored
        self._note = None

    def retry(self, error: Exception, due_at: float) -> OpenTask:
        """An attempt has failed, and another is due: return what must be stored of that."""
        self._error = encode_error(describe(error))
        self._stored = self._make(TaskStatus.RETRYING, due_at)
        return self._stored

    def _make(self, status: TaskStatus, due_at: float | None = None) -> OpenTask:
        return OpenTask(
            op=self.id,
            name=self._name,
            status=status.value,
            attempt=self.ended,
            started_at=self.started_at,
            due_at=due_at,
            error=self._error,
            details=self.details,
        )

    def _put(self, note: OpenTask) -> None:
        if not self._sequencer.writes.notes.withdraw(self.id):
            self._stored = self._note or self._stored  # that one has gone
        self._note = note
        self._sequencer.writes.notes.put(note)
