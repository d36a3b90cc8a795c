"""How an incarnation stops: sealed first, unwound then.

Once sealed, no operation starts and nothing is delivered, whatever a ``finally`` does. So what
stops an instance (a shutdown, a pause, its rest, a failure of storage, divergence) leaves no trace
in its journal, and the next life goes on from there. Task bodies that run may still end and be
recorded, before the code is unwound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import outcome
import trio

from ..errors import (
    ClawError,
    InstanceSealed,
    NonDeterminismError,
    NotFoundError,
    StaleWriteError,
)
from ..storage.write_queue import fresh
from .operation import Condition, Operation
from .stopping import CutOffTask

if TYPE_CHECKING:
    from ..task_context import TaskInfo
    from .sequencer import Sequencer

__all__ = ["Leaving"]


class Leaving:
    """Whether one incarnation has to stop, and why."""

    def __init__(self, sequencer: Sequencer) -> None:
        self._sequencer = sequencer
        # Why the instance leaves memory; None while it lives.
        self.sealed: str | None = None
        # What the instance failed with for good (divergence and the like); latched.
        self.failure: ClawError | None = None
        # An operator has paused it: so it is sealed.
        self.paused: bool = False
        # What was unwinding when the code was found not to do what the journal says.
        self.diverged_in: BaseException | None = None
        # Tasks that were cancelled in the middle of an attempt since it was sealed.
        self.cut_off: tuple[CutOffTask, ...] = ()
        # Around all of its code.
        self.scope: trio.CancelScope = trio.CancelScope()
        self._on_seal: dict[Callable[[], None], None] = {}

    def seal(self, why: str, *, at_once: bool = False) -> None:
        """Nothing starts and nothing is delivered from now on.

        Task bodies that run may end and be recorded, until :meth:`leave` cancels them.
        """
        if self.sealed is None:
            self.sealed = why
            for notify in list(self._on_seal):
                notify()
        if at_once or not self._sequencer.bodies:
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
        sequencer = self._sequencer
        self.scope.cancel(reason=self.sealed)
        for awaited in sequencer.waiting.awaited():
            # What waits behind a shield of the author's, or for its own entry.
            if awaited.strand.parked:
                is_task = isinstance(awaited, Operation) and awaited.is_task
                wake = None if is_task else outcome.Error(InstanceSealed(self.sealed))
                sequencer.cancelled(awaited.strand, wake)
        sequencer.pump_for(None)

    def body_cancelled(self, info: TaskInfo, seconds: float) -> None:
        """A task body was cancelled, after so many seconds: cut off, if it was not on purpose."""
        if self.sealed is not None:
            self.cut_off += (
                CutOffTask(
                    workflow_id=info.workflow_id,
                    task_id=info.task_id,
                    attempt=info.attempt,
                    seconds=seconds,
                ),
            )

    def pause(self) -> None:
        """An operator has paused it."""
        self.paused = True
        self.seal("it is paused")

    def refused(self, error: ClawError) -> None:
        """A write of this incarnation was refused, so it is not the one that may write any more."""
        if isinstance(error, StaleWriteError) and error.what == "life":
            why = "another incarnation has taken over"
        elif isinstance(error, NotFoundError):
            why = "it was deleted"
        else:
            why = f"storage failed: {error}"
        self.seal(why, at_once=True)

    def fail(self, error: ClawError) -> None:
        """The instance cannot go on, for a reason that a respawn would not mend. Latched."""
        self.failure = self.failure or error
        self.seal(str(error), at_once=True)
        for awaited in self._sequencer.waiting.awaited():
            if isinstance(awaited, Condition) or not awaited.begun:
                # Each its own: an exception that is raised must not be shared by two Trio tasks.
                self._sequencer.cancelled(awaited.strand, outcome.Error(fresh(error)))

    def diverge(self, expected: str, got: str) -> NonDeterminismError:
        """The code does not do what the journal says. Returns the error, for who can raise it."""
        error = NonDeterminismError(self._sequencer.id, expected, got)
        unwinding = self._sequencer.unwinding
        if unwinding and self.failure is None:
            _, self.diverged_in = next(iter(unwinding.values()))
        self.fail(error)
        return error
