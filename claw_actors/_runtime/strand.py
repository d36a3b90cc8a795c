"""A strand: one sequence of operations inside an instance, as the runtime sees it.

The workflow's function is one, and so is each child of a nursery. Code holds a ``Context``, which
is the public face of its strand. A strand does one thing at a time, and only while it has the
turn: it gives up the turn by waiting in an operation, by joining its children, or by ending.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio
from outcome import Outcome, Value, capture
from trio.lowlevel import (
    Abort,
    RaiseCancelT,
    cancel_shielded_checkpoint,
    checkpoint_if_cancelled,
    current_task,
    wait_task_rescheduled,
)

from .._core.identity import Names
from .._core.journal import CANCEL_OP, EntryKind
from .._core.replay import Asked
from ..errors import ClawError, ContextMisuseError, InstanceSealed
from ..task_context import TaskInfo, place
from .operation import Awaited, Condition, Operation

if TYPE_CHECKING:
    from .sequencer import Sequencer

__all__ = ["Strand"]

YIELD_EVERY = 50
"""A long replay lets others run after this many turns."""


class Strand:
    """What the sequencer, the driver and the attempts know of a context."""

    def __init__(
        self, sequencer: Sequencer, path: str = "", scopes: tuple[trio.CancelScope, ...] = ()
    ) -> None:
        """Make a strand.

        Args:
            sequencer: of its incarnation.
            path: what its operations' ids begin with; the root's is empty.
            scopes: the durable scopes around it.
        """
        self.sequencer: Sequencer = sequencer
        self.names: Names = Names(path)
        # The order of creation decides among those that were started or cancelled.
        self.order: int = sequencer.turns.number()
        # How it begins to run, with its first turn; None once it has begun.
        self.start: Callable[[], None] | None = None
        self.trio_task: trio.lowlevel.Task | None = None
        self.operation: Awaited | None = None
        # What it will be woken with.
        self.wake: Outcome[object] | None = None
        # It was cancelled, and will see that when its turn comes.
        self.marked: bool = False
        self.parked: bool = False
        # It got the turn back, or may begin a task's body, before it had parked.
        self.resumed: bool = False
        # Its code stands in an operation of its context, so what it awaits is ours.
        self.inside: bool = False
        # How many nurseries it has open.
        self.nurseries: int = 0
        # The durable scopes whose cancellation reaches it; those outside of a shield do not.
        self.scopes: tuple[trio.CancelScope, ...] = scopes

    def __repr__(self) -> str:
        where = f"context {self.path!r} of " if self.path else "context of "
        return f"{where}workflow {self.sequencer.id!r}"

    @property
    def path(self) -> str:
        """What the ids of its operations begin with."""
        return self.names.path

    @property
    def is_sealed(self) -> bool:
        """Whether the instance leaves memory, so that nothing is recorded any more."""
        return self.sequencer.leaving.sealed is not None

    @property
    def is_cancelled(self) -> bool:
        """Whether its next operation will raise ``Cancelled``; to be asked in its own Trio task."""
        return trio.current_effective_deadline() == -math.inf

    @property
    def unwinds_since(self) -> int | None:
        """The last entry delivered when an exception began to cancel it; ``None`` if none did."""
        unwinding = self.sequencer.unwinding
        return min((unwinding[one][0] for one in self.scopes if one in unwinding), default=None)

    def sealed_error(self) -> InstanceSealed:
        """Make what a sealed instance's operations raise."""
        return InstanceSealed(self.sequencer.leaving.sealed or "it ended")

    def fail(self, error: ClawError) -> None:
        """Latch an error that the instance cannot go on after."""
        self.sequencer.leaving.fail(error)

    # -- who may use it -----------------------------------------------------------------------------

    def check(self) -> None:
        """Refuse a use from anywhere but its own code.

        Raises:
            ContextMisuseError: it says what to do instead.
            InstanceSealed: the instance leaves memory, and this is not its own code.
        """
        # A task body has not got the turn, so this looks at its place only when it must.
        if self.sequencer.turns.holder is not self or current_task() is not self.trio_task:
            self._refuse()

    def check_open(self) -> None:
        """Refuse to begin something that is recorded once the instance is sealed, too.

        Raises:
            ContextMisuseError: see :meth:`check`.
            InstanceSealed: the instance leaves memory.
        """
        self.check()
        if self.is_sealed:
            raise self.sealed_error()

    def _refuse(self) -> None:
        if isinstance(place.get(), TaskInfo):
            raise ContextMisuseError(
                "a task body used the context of a workflow; return a value, and let the workflow"
                " decide"
            )
        if self.is_sealed:
            raise self.sealed_error()
        if self.sequencer.is_judging:
            raise ContextMisuseError(
                f"a predicate used the {self}; a predicate may look at variables, and at nothing"
                " else: change them in workflow code"
            )
        holder = self.sequencer.turns.holder
        if holder is not None and current_task() is holder.trio_task:
            raise ContextMisuseError(
                f"the {self} was used by the code of the {holder}; a function uses the ctx that it"
                " was given as its first argument, and no other"
            )
        raise ContextMisuseError(
            f"the {self} was used from another Trio task; one context does one thing at a time:"
            " for things side by side use `async with ctx.open_nursery()`"
        )

    # -- operations ---------------------------------------------------------------------------------

    def begin(self, scope: trio.CancelScope) -> None:
        """Start the root in the current Trio task; ``scope`` is what a cancel request cancels."""
        self.trio_task = current_task()
        self.scopes = (scope,)
        self.sequencer.turns.holder = self
        cancel = Operation(
            self, self.sequencer.operations.asked(CANCEL_OP, "cancel", EntryKind.CANCEL)
        )
        cancel.scope = scope
        self.sequencer.operations.ask(cancel)

    def asked(self, id: str, name: str, kind: EntryKind) -> Asked:
        """Say what its next operation of that name is."""
        return self.sequencer.operations.asked(self.names.next(id), name, kind)

    async def enter(self) -> None:
        """Begin an operation.

        Raises:
            trio.Cancelled: it is cancelled already; it keeps the turn, and asks for nothing.
            InstanceSealed: the instance leaves memory.
        """
        try:
            await checkpoint_if_cancelled()
        except trio.Cancelled:
            self.check_durable()
            raise
        if self.is_sealed:
            raise self.sealed_error()

    async def checkpoint(self) -> None:
        """Raise if it is cancelled, or the instance is sealed; otherwise do nothing."""
        self.inside = True
        try:
            await self.enter()
        finally:
            self.inside = False

    async def wait(self, operation: Operation) -> object:
        """Ask for something, and return the entry that says how it ended."""
        self.inside = True
        try:
            await self.enter()
            self.sequencer.operations.match(operation)
            return await self.give_up_turn(operation)
        finally:
            self.operation = None
            self.inside = False

    async def wait_until(self, predicate: Callable[[], object], group: object = None) -> None:
        """Wait until something is true. It still is when this returns.

        Args:
            predicate: tells whether it is true.
            group: who waits in the same group gives an equal predicate.
        """
        self.inside = True
        try:
            await self.enter()
            await self.give_up_turn(Condition(self, predicate, group))
        finally:
            self.operation = None
            self.inside = False

    @contextmanager
    def within(self, scopes: tuple[trio.CancelScope, ...]) -> Generator[None]:
        """For the length of the block, be reached by the cancellation of these scopes."""
        outer, self.scopes = self.scopes, scopes
        try:
            yield
        finally:
            self.scopes = outer

    # -- the turn -----------------------------------------------------------------------------------

    async def give_up_turn(self, awaited: Awaited) -> object:
        """Ask for something, let others run, and come back when woken: perhaps without parking."""
        sequencer = self.sequencer
        turns = sequencer.turns
        self.operation, self.wake = awaited, None
        self.marked = self.resumed = False
        turns.holder = None
        turns.giving_up = self  # a task may begin while it is being asked for
        sequencer.operations.ask(awaited)
        sequencer.pump_for(self)
        if not self.resumed:
            self.parked = True
            return await wait_task_rescheduled(self._abort)
        if turns.count % YIELD_EVERY == 0:
            await cancel_shielded_checkpoint()
        if self.wake is None:
            await checkpoint_if_cancelled()  # raises: it was cancelled before it had parked
        assert self.wake is not None
        return self.wake.unwrap()

    async def join(self) -> None:
        """Give up the turn until it is queued for it; nothing else ends that."""
        self.sequencer.turns.holder = None
        await self._wait_for_turn()

    async def give_way(self) -> None:
        """Get the turn, to leave: it runs outside of it, where it must not raise."""
        self.sequencer.turns.queue(self)
        await self._wait_for_turn()

    async def _wait_for_turn(self) -> None:
        self.operation, self.wake = None, None
        self.marked = self.resumed = False
        self.sequencer.pump_for(self)
        if not self.resumed:
            self.parked = True
            await wait_task_rescheduled(_refuse_abort)

    async def wait_for_entry(self) -> object:
        """Wait for the entry of a task whose body has ended; nothing but that entry ends it."""
        self.parked = True
        return await wait_task_rescheduled(_refuse_abort)

    async def wait_for_answer(self, withdraw: Callable[[], bool]) -> object:
        """Wait for an entry, which comes with the turn, or for :meth:`answer`, without it.

        Args:
            withdraw: takes back what was asked for, when this is cancelled; ``False`` if it is too
                late, and will be answered.
        """

        def abort(_: RaiseCancelT) -> Abort:
            if not withdraw():
                return Abort.FAILED
            self.parked = False
            return Abort.SUCCEEDED

        self.parked = True
        return await wait_task_rescheduled(abort)

    def answer(self, value: object) -> None:
        """End :meth:`wait_for_answer`, unless it is about to get the turn."""
        if self.parked and not self.marked:
            self.wake = Value(value)
            self.sequencer.turns.wake(self)

    def end(self) -> None:
        """Give up the turn for good."""
        self.sequencer.turns.holder = None
        self.sequencer.pump()

    def _abort(self, raise_cancel: RaiseCancelT) -> Abort:
        if self.marked:
            self.wake = self.wake or capture(raise_cancel)
        else:
            self.check_durable()
            self.sequencer.cancelled(self, capture(raise_cancel))
        return Abort.FAILED  # the sequencer wakes it in its turn

    def check_durable(self) -> None:
        """Note a cancellation by a Trio scope, which a replay would not repeat."""
        if self.is_sealed or any(scope.cancel_called for scope in self.scopes):
            return
        self.fail(
            ContextMisuseError(
                f"an operation of workflow {self.sequencer.id!r} was cancelled by a Trio cancel"
                " scope, which a replay could not repeat; use ctx.move_on_after(...), or limit a"
                " task with @task(timeout=...)"
            )
        )


def _refuse_abort(_: RaiseCancelT) -> Abort:
    return Abort.FAILED
