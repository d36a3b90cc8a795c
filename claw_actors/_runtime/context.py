"""What workflow code holds: its only way to the world."""

from __future__ import annotations

import datetime
import logging
import math
import random
import uuid
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

import trio
from outcome import Outcome, capture
from trio.lowlevel import (
    Abort,
    RaiseCancelT,
    cancel_shielded_checkpoint,
    checkpoint_if_cancelled,
    current_task,
    wait_task_rescheduled,
)

from .._core.identity import Names, derive_seed
from .._core.journal import CANCEL_OP, Entry, EntryKind, EntryStatus
from ..definitions import Task
from ..errors import (
    ClawError,
    ContextMisuseError,
    DefinitionError,
    InstanceSealed,
    InvalidInputError,
    TaskFailedError,
)
from ..storage.codec import decode_error
from ..task_context import TaskInfo, place
from .operation import BEGIN, Operation
from .signatures import Signature, signature_of

if TYPE_CHECKING:
    from .attempts import Attempts
    from .sequencer import Sequencer

__all__ = ["Context"]

P = ParamSpec("P")
R = TypeVar("R")

YIELD_EVERY = 50
"""A long replay lets others run after this many turns."""


class _ReplaySilentLogger(logging.LoggerAdapter[logging.Logger]):
    """Says nothing while the past is replayed, when everything has been said before."""

    def __init__(self, logger: logging.Logger, context: Context) -> None:
        super().__init__(logger, {"workflow_id": context.workflow_id})
        self._context = context

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the name is logging's
        return not self._context.is_replaying and super().isEnabledFor(level)


class Context:
    """The durable operations of one workflow; every workflow function's first argument.

    Only the workflow's own code may use it, one operation at a time: not a task body, not a Trio
    task that the code started by itself.
    """

    def __init__(self, sequencer: Sequencer, attempts: Attempts, seed: int, order: int = 0) -> None:
        # How the sequencer, the driver and the attempts see a context.
        self.order = order
        self.trio_task: trio.lowlevel.Task | None = None
        self.operation: Operation | None = None
        self.wake: Outcome[object] | None = None
        self.marked: bool = False
        self.parked: bool = False
        self.resumed: bool = False
        self.inside: bool = False
        self.scopes: tuple[trio.CancelScope, ...] = ()
        self._sequencer = sequencer
        self._attempts = attempts
        self._names = Names()
        self._random = random.Random(derive_seed(seed, "", "random"))
        self._uuids = random.Random(derive_seed(seed, "", "uuid"))
        self._log = _ReplaySilentLogger(logging.getLogger("claw_actors.workflow"), self)

    def __repr__(self) -> str:
        return f"<Context of workflow {self.workflow_id!r}>"

    # -- what it knows ------------------------------------------------------------------------------

    @property
    def workflow_id(self) -> str:
        """The workflow's id."""
        return self._sequencer.id

    @property
    def attempt(self) -> int:
        """Which incarnation of the workflow this is, from 1."""
        return self._sequencer.life

    @property
    def is_replaying(self) -> bool:
        """Whether the code repeats what it did before. Never decide by it; it is for logging.

        What follows the last checkpoint counts as new: nobody knows whether it was done before.
        """
        return self._sequencer.is_replaying

    @property
    def is_sealed(self) -> bool:
        """Whether the instance leaves memory, so that nothing is recorded any more."""
        return self._sequencer.sealed is not None

    @property
    def journal_length(self) -> int:
        """How many entries of the journal have been delivered."""
        return self._sequencer.delivered

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger that is silent while the past is replayed.

        What is said after the last checkpoint before a restart may be said twice, never not at all.
        """
        return self._log

    def now(self) -> float:
        """Return the time of the workflow's last checkpoint, in POSIX seconds.

        It stands still between checkpoints and is the same on every replay.

        Raises:
            ContextMisuseError: used from another Trio task, or in a task body.
        """
        self._check()
        return self._sequencer.now

    @property
    def random(self) -> random.Random:
        """Random numbers that are the same on every replay, and differ between workflows.

        Raises:
            ContextMisuseError: used from another Trio task, or in a task body.
        """
        self._check()
        return self._random

    def uuid4(self) -> uuid.UUID:
        """Return a random UUID that is the same on every replay.

        Raises:
            ContextMisuseError: used from another Trio task, or in a task body.
        """
        self._check()
        return uuid.UUID(int=self._uuids.getrandbits(128), version=4)

    # -- what it does -------------------------------------------------------------------------------

    async def run(self, task: Task[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a task and return its result; or, if it is recorded already, just that.

        The task's outcome is durable before this returns. What is returned has been through
        storage: it is what a replay would get.

        Args:
            task: declared with ``@task``. ``task.options(id=...)`` names it by hand.
            args, kwargs: its arguments, encodable by their annotations.

        Raises:
            TaskFailedError: it used up its retries; the same live and on replay.
            InvalidArgumentsError, SerializationError, PayloadTooLargeError: the arguments do not
                fit; nothing was started.
            DefinitionError: ``task`` is not declared with ``@task``.
            NonDeterminismError: the journal says that something else came here.
            ContextMisuseError: used from another Trio task, or in a task body.

        Cancelled (by a request to cancel the workflow), the body is cancelled and nothing but
        that is recorded.
        """
        self._check()
        if not isinstance(task, Task):
            raise DefinitionError(f"{task!r} is no task; declare it with @task")
        signature = signature_of(task.fn, task.name)
        data = signature.encode_arguments(self._attempts.codec, args, kwargs)
        operation = Operation(self, self._asked(task.id or task.name, task.name, EntryKind.TASK))
        self.inside = True
        try:
            await self._enter()
            self._sequencer.match(operation)
            entry = await self._give_up_turn(operation, self._abort)
            if entry is BEGIN:
                entry = await self._attempts.perform(self, operation, task, signature, data)
            else:
                self._attempts.note_replayed(cast("Entry", entry), data)
            return cast("R", await self._outcome_of(entry, operation, task.name, signature))
        finally:
            self.operation = None
            self.inside = False

    async def _outcome_of(
        self, entry: object, operation: Operation, name: str, signature: Signature
    ) -> object:
        """Return a task's result, or raise what its entry says."""
        if isinstance(entry, Entry) and not self.is_sealed:
            if entry.status is EntryStatus.OK:
                what = f"result of task {operation.id!r}"
                return self._attempts.codec.decode(entry.value or b"null", signature.returns, what)
            if entry.status is EntryStatus.FAILED:
                error = decode_error(entry.value or b"")
                raise TaskFailedError(operation.id, name, entry.attempt, error, entry_n=entry.n)
        await checkpoint_if_cancelled()
        if self.is_sealed:
            raise self._sealed_error()
        raise self._sequencer.diverge(f"{operation.asked}, cancelled", "no cancellation here")

    async def sleep(self, seconds: float) -> None:
        """Wait, durably: the end of the sleep outlives the process, and is never early.

        Args:
            seconds: how long, from the workflow's last checkpoint (``ctx.now()``).

        Raises:
            InvalidInputError: a negative or infinite length.
            NonDeterminismError: the journal says that something else came here.
            ContextMisuseError: used from another Trio task, or in a task body.

        Cancelled, it ends at once.
        """
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise InvalidInputError("seconds", seconds, "a number")
        if not 0 <= seconds < math.inf:
            raise InvalidInputError("seconds", seconds, "a finite number, at least 0")
        self._check()
        await self._sleep(self._sequencer.now + seconds, float(seconds))

    async def sleep_until(self, when: float | datetime.datetime) -> None:
        """Wait, durably, until a point in time; if it has passed, one checkpoint is made anyway.

        Args:
            when: POSIX seconds, or a datetime with a time zone.

        Raises:
            InvalidInputError: a datetime without time zone, or no finite number.
            NonDeterminismError, ContextMisuseError: see :meth:`sleep`.

        Cancelled, it ends at once.
        """
        if isinstance(when, datetime.datetime):
            if when.tzinfo is None:
                raise InvalidInputError("when", when, "a datetime with a time zone")
            when = when.timestamp()
        if isinstance(when, bool) or not isinstance(when, int | float) or not math.isfinite(when):
            raise InvalidInputError("when", when, "POSIX seconds, or a datetime with a time zone")
        deadline = float(when)
        self._check()
        await self._sleep(deadline, max(0.0, deadline - self._sequencer.now))

    async def _sleep(self, deadline: float, length: float) -> None:
        asked = self._asked("sleep", "sleep", EntryKind.TIMER)
        operation = Operation(self, asked, deadline, length)
        self.inside = True
        try:
            await self._enter()
            self._sequencer.match(operation)
            await self._give_up_turn(operation, self._abort)
        finally:
            self.operation = None
            self.inside = False

    # -- how the runtime uses it ----------------------------------------------------------------------

    def begin(self, scope: trio.CancelScope) -> None:
        """Start to be used by the current Trio task; ``scope`` is what a cancel request cancels."""
        self.trio_task = current_task()
        self.scopes = (scope,)
        self._sequencer.holder = self
        cancel = Operation(self, self._sequencer.asked(CANCEL_OP, "cancel", EntryKind.CANCEL))
        cancel.scope = scope
        self._sequencer.ask(cancel)

    def fail(self, error: ClawError) -> None:
        """Latch an error that the instance cannot go on after."""
        self._sequencer.fail(error)

    async def wait_for_entry(self) -> object:
        """Wait for the entry of a task whose body has ended; nothing but that entry ends it."""
        self.parked = True
        return await wait_task_rescheduled(_refuse_abort)

    async def give_way(self) -> None:
        """Wait for the turn, to leave."""
        self._sequencer.turn_for(self)
        await self._give_up_turn(None, _refuse_abort)

    def check_durable(self) -> None:
        """Note a cancellation by a Trio scope, which a replay would not repeat."""
        if self.is_sealed or any(scope.cancel_called for scope in self.scopes):
            return
        self.fail(
            ContextMisuseError(
                f"an operation of workflow {self.workflow_id!r} was cancelled by a Trio cancel"
                " scope, which a replay could not repeat; limit a task with @task(timeout=...)"
            )
        )

    # -- the turn -----------------------------------------------------------------------------------

    def _check(self) -> None:
        """Refuse a use from anywhere but the workflow's own code."""
        if isinstance(place.get(), TaskInfo):
            raise ContextMisuseError(
                "a task body used the context of a workflow; return a value, and let the workflow"
                " decide"
            )
        if current_task() is not self.trio_task or self._sequencer.holder is not self:
            if self.is_sealed:
                raise self._sealed_error()
            raise ContextMisuseError(
                f"the context of workflow {self.workflow_id!r} was used from another Trio task;"
                " one context does one thing at a time"
            )

    def _asked(self, id: str, name: str, kind: EntryKind) -> Any:
        return self._sequencer.asked(self._names.next(id), name, kind)

    def _sealed_error(self) -> InstanceSealed:
        return InstanceSealed(self._sequencer.sealed or "it ended")

    async def _enter(self) -> None:
        try:
            await checkpoint_if_cancelled()  # already cancelled: keeps the turn, asks for nothing
        except trio.Cancelled:
            self.check_durable()
            raise
        if self.is_sealed:
            raise self._sealed_error()

    async def _give_up_turn(self, operation: Operation | None, abort: Any) -> object:
        """Ask for something, let others run, and come back when woken: perhaps without parking."""
        sequencer = self._sequencer
        self.operation, self.wake = operation, None
        self.marked = self.resumed = False
        sequencer.holder = None
        if operation is not None:
            sequencer.giving_up = self  # a task may begin while it is being asked for
            sequencer.ask(operation)
        sequencer.pump_for(self)
        if not self.resumed:
            self.parked = True
            return await wait_task_rescheduled(abort)
        if sequencer.turns % YIELD_EVERY == 0:
            await cancel_shielded_checkpoint()
        if self.wake is None:
            await checkpoint_if_cancelled()  # cancelled before it had parked
            return None
        return self.wake.unwrap()

    def _abort(self, raise_cancel: RaiseCancelT) -> Abort:
        if self.marked:
            self.wake = self.wake or capture(raise_cancel)
        else:
            self.check_durable()
            self._sequencer.cancelled(self, capture(raise_cancel))
        return Abort.FAILED  # the sequencer wakes it in its turn


def _refuse_abort(_: RaiseCancelT) -> Abort:
    return Abort.FAILED
