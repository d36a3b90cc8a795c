"""Rollback: what was done is undone, last first, when the workflow fails or is cancelled.

Handlers are registered by workflow code while it runs, so a replay registers the same ones; nothing
is written about that. They run after the function has ended, one after the other, in a strand of
their own: outside of every scope that was cancelled, so that nothing but the end of this
incarnation interrupts them. Each is a durable task, and so what a crash leaves undone is done by
the next incarnation, which comes to the same end by replay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio.lowlevel import current_task

from .._core.rollback import ROLLBACK
from ..errors import RollbackFailedError, TaskFailedError
from .calls import asked_of, perform
from .strand import Strand

if TYPE_CHECKING:
    from .attempts import Attempts
    from .sequencer import Sequencer
    from .undertaking import Call

__all__ = ["Rollback", "RollbackHandler"]


class RollbackHandler:
    """A task that undoes something, if the workflow fails; made by ``ctx.on_rollback``."""

    def __init__(self, rollback: Rollback, call: Call[object]) -> None:
        self._rollback = rollback
        self._call = call

    def __repr__(self) -> str:
        state = "registered" if self._rollback.has(self) else "discarded"
        return f"<RollbackHandler {self._call.name!r}, {state}>"

    def discard(self) -> None:
        """Take it back: what it would undo is not to be undone any more.

        Doing it again does nothing.

        Raises:
            ContextMisuseError: called by anything but running code of the workflow.
        """
        self._rollback.discard(self)


class Rollback:
    """The handlers of one incarnation."""

    def __init__(self, sequencer: Sequencer, attempts: Attempts) -> None:
        self._sequencer = sequencer
        self._attempts = attempts
        # In the order of registration, which is that of turns.
        self._handlers: dict[RollbackHandler, Call[object]] = {}

    def register(self, call: Call[object]) -> RollbackHandler:
        """Have a call run when the workflow fails or is cancelled."""
        handler = RollbackHandler(self, call)
        self._handlers[handler] = call
        return handler

    def has(self, handler: RollbackHandler) -> bool:
        """Tell whether a handler would run."""
        return handler in self._handlers

    def discard(self, handler: RollbackHandler) -> None:
        """Forget a handler; see :meth:`RollbackHandler.discard`."""
        self._sequencer.turns.running("a rollback handler")
        self._handlers.pop(handler, None)

    async def run(self) -> None:
        """Run the handlers, the last one first. The workflow's function has ended, with the turn.

        Raises:
            RollbackFailedError: one is out of retries. Latched: the instance is quarantined, and
                those before it have not run.
        """
        if not self._handlers:
            return
        strand = Strand(self._sequencer, ROLLBACK)
        strand.trio_task = current_task()
        self._sequencer.turns.holder = strand
        while self._handlers:
            _, call = self._handlers.popitem()
            asked = asked_of(strand, call)
            try:
                await perform(strand, self._attempts, asked, call)
            except TaskFailedError as error:
                stopped = RollbackFailedError(
                    self._sequencer.id, error.task_id, error.name, error.attempts, error.error
                )
                strand.fail(stopped)
                raise stopped from error
