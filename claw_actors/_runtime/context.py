"""What workflow code holds: its only way to the world."""

from __future__ import annotations

import datetime
import inspect
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from typing import (
    TYPE_CHECKING,
    Concatenate,
    Literal,
    NoReturn,
    ParamSpec,
    TypeVar,
    cast,
    overload,
)

from .._core.journal import EntryKind
from .._core.rollback import ROLLBACK
from ..definitions import Task
from ..errors import DeadlineExceededError, DefinitionError, InvalidInputError, TaskFailedError
from .calls import asked_of, perform, prepare
from .channel import Channel
from .children import Children, checked_name, open_children
from .coordination import Event, Lock, Semaphore
from .instants import checked_instant, checked_length
from .nursery import Nursery
from .operation import Operation
from .parallel import Lane, map_calls, race_lanes
from .parenting import Parenting
from .scopes import CancelScope, open_deadline, open_shield

if TYPE_CHECKING:
    from .rollback import RollbackHandler
    from .strand import Strand

__all__ = ["Context"]

P = ParamSpec("P")
R = TypeVar("R")
R2 = TypeVar("R2")
R3 = TypeVar("R3")
R4 = TypeVar("R4")
T = TypeVar("T")


class Context(Parenting):
    """The durable operations of one workflow; every workflow function's first argument.

    Only the workflow's own code may use it, one operation at a time: not a task body, not a Trio
    task that the code started by itself. The children of a nursery have contexts of their own.
    """

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
        strand, attempts = self._strand, self._surroundings.attempts
        strand.check()
        call = prepare(attempts, task, args, kwargs)
        return await perform(strand, attempts, asked_of(strand, call), call)

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
        length = checked_length(seconds)
        self._strand.check()
        await self._sleep(self._sequencer.now + length, length)

    async def sleep_until(self, when: float | datetime.datetime) -> None:
        """Wait, durably, until a point in time; if it has passed, one checkpoint is made anyway.

        Args:
            when: POSIX seconds, or a datetime with a time zone.

        Raises:
            InvalidInputError: a datetime without time zone, or no finite number.
            NonDeterminismError, ContextMisuseError: see :meth:`sleep`.

        Cancelled, it ends at once.
        """
        deadline = checked_instant(when)
        self._strand.check()
        await self._sleep(deadline, max(0.0, deadline - self._sequencer.now))

    async def _sleep(self, deadline: float, length: float) -> None:
        asked = self._strand.asked("sleep", "sleep", EntryKind.TIMER)
        await self._strand.wait(Operation(self._strand, asked, deadline, length))

    # -- side by side -------------------------------------------------------------------------------

    @asynccontextmanager
    async def open_nursery(self, *, id: str | None = None) -> AsyncGenerator[Nursery]:
        """Open a durable nursery: ``async with ctx.open_nursery() as nursery:``.

        Its children run side by side, each with a context of its own. At most one of them runs at
        a time, and a replay lets them run in the same order: so they may share variables. The
        block ends when all children have ended. If one raises, or the block does, the others are
        cancelled.

        Only this context starts children in it: ``nursery.start_soon(fn, *args)`` a function
        ``(ctx, *args)``, ``nursery.run_soon(task, *args)`` a task.

        Args:
            id: a name set by hand, instead of ``nursery``; the ids of all that happens in it
                begin with it.

        Raises:
            BaseExceptionGroup: what children and block raised, also if it is one exception only;
                in the order in which they ended, the block last.
            DefinitionError: ``id`` is no name; or it is ``rollback`` in the workflow's function.
            ContextMisuseError: used from another Trio task, or in a task body.

        Waiting for the children is not cancelled: they are, and what they raise comes out.
        """
        name = "nursery" if id is None else checked_name(id, "nursery")
        if name == ROLLBACK and not self._strand.path:
            raise DefinitionError(
                f"{id!r} cannot name a nursery here: rollback handlers are named so"
            )
        async with self._open_children(name) as children:
            yield Nursery(children, self._surroundings.attempts)

    def _open_children(self, name: str) -> AbstractAsyncContextManager[Children]:
        return open_children(self._strand, name, self._surroundings.attempts, self._of_child)

    def _of_child(self, strand: Strand) -> Context:
        return Context(strand, self._surroundings)

    @overload
    async def map(
        self,
        task: Task[Concatenate[T, ...], R],
        items: Iterable[T],
        limit: int | None = None,
        return_exceptions: Literal[False] = False,
    ) -> list[R]: ...
    @overload
    async def map(
        self,
        task: Task[Concatenate[T, ...], R],
        items: Iterable[T],
        limit: int | None = None,
        *,
        return_exceptions: bool,
    ) -> list[R | TaskFailedError]: ...
    @overload
    async def map(
        self,
        task: Task[Concatenate[T, ...], R],
        items: Iterable[T],
        limit: int | None,
        return_exceptions: bool,
    ) -> list[R | TaskFailedError]: ...
    async def map(
        self,
        task: Task[Concatenate[T, ...], R],
        items: Iterable[T],
        limit: int | None = None,
        return_exceptions: bool = False,
    ) -> list[R] | list[R | TaskFailedError]:
        """Run a task for each item, side by side, and return the results in the order of items.

        The first failure cancels the others. Ids are ``map/charge``, ``map/charge#2``.

        Args:
            task: declared with ``@task``; it gets one item as its argument.
            items: any iterable; none gives ``[]``.
            limit: how many may run at a time; all by default.
            return_exceptions: put failures among the results, and run everything to its end.

        Raises:
            ExceptionGroup: of the :exc:`TaskFailedError` of a task that failed; of more than one
                if others failed while they were cancelled.
            InvalidArgumentsError, SerializationError, PayloadTooLargeError: an item does not fit;
                nothing was started.
            InvalidInputError: the limit is not possible.
            DefinitionError, NonDeterminismError, ContextMisuseError: see :meth:`run`.

        Cancelled, it cancels the tasks, and ends when they have.
        """
        self._strand.check()
        if limit is not None and (
            isinstance(limit, bool) or not isinstance(limit, int) or limit < 1
        ):
            raise InvalidInputError("limit", limit, "a whole number, at least 1, or None")
        attempts = self._surroundings.attempts
        calls = [prepare(attempts, cast("Task[..., R]", task), (item,), {}) for item in items]
        await self._strand.checkpoint()
        opening = self._open_children("map")
        return await map_calls(self._strand, opening, calls, limit, return_exceptions)

    # Two to four lanes of different results give their union, which a checker would not infer from
    # the last signature. That begins at five: mypy gives up where two signatures fit a lambda.
    @overload
    async def race(self, lane: Lane[R], /, *, first_success: bool = False) -> R: ...
    @overload
    async def race(
        self, lane: Lane[R], second: Lane[R2], /, *, first_success: bool = False
    ) -> R | R2: ...
    @overload
    async def race(
        self, lane: Lane[R], second: Lane[R2], third: Lane[R3], /, *, first_success: bool = False
    ) -> R | R2 | R3: ...
    @overload
    async def race(
        self,
        lane: Lane[R],
        second: Lane[R2],
        third: Lane[R3],
        fourth: Lane[R4],
        /,
        *,
        first_success: bool = False,
    ) -> R | R2 | R3 | R4: ...
    @overload
    async def race(
        self,
        lane: Lane[R],
        second: Lane[R],
        third: Lane[R],
        fourth: Lane[R],
        fifth: Lane[R],
        /,
        *lanes: Lane[R],
        first_success: bool = False,
    ) -> R: ...
    async def race(self, *lanes: Lane[object], first_success: bool = False) -> object:
        """Run functions side by side; the first to end decides, and the others are cancelled.

        A lane is an async function of a context, as in
        ``await ctx.race(ask_ada, lambda ctx: ctx.run(ask, "bob"))``.
        Ids are ``race/ask_ada``, ``race/child``.

        Args:
            lanes: at least one.
            first_success: a lane that fails decides nothing, as long as another runs.

        Returns:
            What the first to end has returned, when the others have unwound.

        Raises:
            ExceptionGroup: of the failure that decided; with ``first_success``, of the failures
                of all lanes, in their order. A lane fails with what would fail the workflow
                (:exc:`TaskFailedError`, :exc:`DeadlineExceededError`, :exc:`WorkflowFailure`, the
                end of a child and what ``@workflow(failures=...)`` names). Any other exception of a lane is a
                mistake: it cancels the race in either case, and is not hidden by who has won.
            InvalidInputError: there is no lane.
            DefinitionError, ContextMisuseError: see ``Nursery.start_soon``.

        Cancelled, it cancels the lanes, and ends when they have.
        """
        self._strand.check()
        if not lanes:
            raise InvalidInputError("lanes", (), "at least one function (ctx)")
        await self._strand.checkpoint()
        opening = self._open_children("race")
        return await race_lanes(opening, lanes, self._surroundings.failures, first_success)

    async def wait_until(self, predicate: Callable[[], object]) -> None:
        """Wait until a condition is true; it still is when this returns.

        Nothing is written. The predicate is asked after each step of the instance, while no code
        of it runs; of those who wait, the first whose condition is true goes on.

        Args:
            predicate: a plain function that looks at variables, which other children change. It
                must not use ``ctx``. If it raises, that is raised here.

        Raises:
            DefinitionError: it is an async function.
            ContextMisuseError: used from another Trio task, or in a task body.

        Cancelled, it ends at once.
        """
        self._strand.check()
        if not callable(predicate) or inspect.iscoroutinefunction(predicate):
            raise DefinitionError(f"{predicate!r} is no plain function without arguments")
        await self._strand.wait_until(predicate)

    def lock(self) -> Lock:
        """Make a lock for children to hold in turn: ``async with lock:``."""
        self._strand.check()
        return Lock(self._sequencer)

    def event(self) -> Event:
        """Make an event for children to wait for."""
        self._strand.check()
        return Event(self._sequencer)

    def semaphore(self, value: int) -> Semaphore:
        """Make a semaphore with that many places: ``async with semaphore:``.

        Raises:
            InvalidInputError: a negative number.
        """
        self._strand.check()
        return Semaphore(self._sequencer, value)

    def channel(self, capacity: int) -> Channel[T]:  # pyright: ignore[reportInvalidTypeVarUse]
        """Make a channel between children: ``parcels: Channel[Parcel] = ctx.channel(10)``.

        Args:
            capacity: how many values may be in it; 0 hands each from sender to receiver.

        Raises:
            InvalidInputError: a negative number.
        """
        self._strand.check()
        return Channel(self._sequencer, capacity)

    # -- limits -------------------------------------------------------------------------------------

    def move_on_after(self, seconds: float) -> AbstractContextManager[CancelScope]:
        """Limit a block, durably: ``with ctx.move_on_after(60) as scope:``.

        When the time is up, the block is cancelled, and the code goes on after it;
        ``scope.cancelled_caught`` tells. The deadline is ``ctx.now()`` plus that length. It
        outlives the process, and what was cut short once is cut short again on every replay.

        Args:
            seconds: how long the block may take, from the workflow's last checkpoint. With 0 it
                is cancelled from the start.

        Raises:
            InvalidInputError: a negative or infinite length.
            NonDeterminismError: the journal says that something else came here.
            ContextMisuseError: used from another Trio task, or in a task body.
        """
        length = checked_length(seconds)
        self._strand.check_open()
        return open_deadline(self._strand, "move_on_after", self._sequencer.now + length, length)

    def move_on_at(self, when: float | datetime.datetime) -> AbstractContextManager[CancelScope]:
        """Limit a block until a point in time; see :meth:`move_on_after`.

        Args:
            when: POSIX seconds, or a datetime with a time zone. If that has passed at the last
                checkpoint, the block is cancelled from the start.

        Raises:
            InvalidInputError: a datetime without time zone, or no finite number.
            NonDeterminismError, ContextMisuseError: see :meth:`move_on_after`.
        """
        deadline = checked_instant(when)
        self._strand.check_open()
        length = max(0.0, deadline - self._sequencer.now)
        return open_deadline(self._strand, "move_on_at", deadline, length)

    def fail_after(self, seconds: float) -> AbstractContextManager[CancelScope]:
        """Limit a block, and raise if it was cut short; see :meth:`move_on_after`.

        Raises:
            DeadlineExceededError: after the block, if it was cut short.
            InvalidInputError, NonDeterminismError, ContextMisuseError: see :meth:`move_on_after`.
        """
        length = checked_length(seconds)
        self._strand.check_open()
        deadline = self._sequencer.now + length
        return _failing(open_deadline(self._strand, "fail_after", deadline, length))

    # -- the next run -------------------------------------------------------------------------------

    async def continue_as_new(self, *args: object) -> NoReturn:
        """End this run, and begin the next one of the same workflow, with an empty journal.

        For a workflow that goes on for ever, whose journal would: the id stays, and with it
        values, labels, the parent, and who waits for the result. Messages that nobody has received
        go along, and no message is lost or taken twice on the way. The next run has the newest
        version of the workflow that is registered, these arguments, random numbers and idempotency
        keys of its own. The journal of this run is dropped, and so are its rollback handlers: what
        it has done is done.

        It does not return, and what the code still does on its way out is not recorded, as when
        the instance leaves memory. A request to cancel or a deadline that is committed before wins.

        Args:
            args: the arguments of the next run, after ``ctx``.

        Raises:
            InvalidArgumentsError, SerializationError, PayloadTooLargeError: the arguments do not
                fit; this run goes on.
            ContextMisuseError: used by a child, while a nursery is open, or shielded from a
                cancellation; from another Trio task, or in a task body.
            NonDeterminismError: the journal says that something else came here.
            InstanceSealed: the next run has begun; never catch it.
        """
        self._strand.check_open()
        await self._surroundings.next_run.begin(self._strand, args)

    # -- failure ------------------------------------------------------------------------------------

    def on_rollback(
        self, task: Task[P, object], *args: P.args, **kwargs: P.kwargs
    ) -> RollbackHandler:
        """Register a task that undoes something, if the workflow fails or is cancelled.

        Then, when the function has ended, the handlers run one after the other, the one that was
        registered last first; each is a durable task with an id of its own,
        ``rollback/refund``, ``rollback/refund#2``. Nothing interrupts them, not a request to
        cancel either. A handler that is out of retries stops the rollback, and the workflow is
        quarantined. A crash runs none: the workflow goes on from its checkpoint. What the handlers
        return is recorded, and dropped.

        Args:
            task: declared with ``@task``; give it a policy of retries that has patience.
                ``task.options(id=...)`` names it by hand.
            args, kwargs: its arguments, encodable by their annotations.

        Returns:
            What takes it back: ``handler.discard()``.

        Raises:
            InvalidArgumentsError, SerializationError, PayloadTooLargeError: the arguments do not
                fit; nothing was registered.
            DefinitionError: ``task`` is not declared with ``@task``.
            ContextMisuseError: used from another Trio task, or in a task body.
            InstanceSealed: the instance leaves memory.
        """
        self._strand.check_open()
        call = prepare(self._surroundings.attempts, task, args, kwargs)
        return self._surroundings.rollback.register(call)

    @asynccontextmanager
    async def shield(self) -> AsyncGenerator[None]:
        """Protect durable clean-up: ``async with ctx.shield():``.

        In the block operations go on although the workflow, a scope or a nursery around it has
        been cancelled. Scopes inside of the block work as ever: give it a deadline. When the
        instance leaves memory (at a shutdown, say) the block is left, too: nothing is recorded
        any more, and the next incarnation does it again.

        Raises:
            InstanceSealed: the instance leaves memory.
            ContextMisuseError: used from another Trio task, or in a task body.
        """
        self._strand.check_open()
        with open_shield(self._strand):
            yield


@contextmanager
def _failing(opening: AbstractContextManager[CancelScope]) -> Generator[CancelScope]:
    with opening as scope:
        yield scope
    if scope.cancelled_caught:
        raise DeadlineExceededError(scope.deadline)
