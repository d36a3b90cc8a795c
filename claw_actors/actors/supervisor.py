"""Supervisors: they start, watch, restart and stop actors by policy.

What happens is decided by a pure machine (``_core.supervision.machine``); this is the shell that
carries it out in Trio. Its rules, each learnt from a supervisor that broke it:

- Only an ``Exception`` is a crash to decide about. ``Cancelled``, ``KeyboardInterrupt`` and
  ``SystemExit`` propagate.
- A child runs under the supervisor's own cancel scope and context variables, never under those
  of whoever happened to start it.
- Nothing here waits for one child while another needs attention: there is no loop to block.
- Who waits for a child holds no lock on it: cancelled, the caller goes and the deed goes on.
"""

from __future__ import annotations

import contextvars
import logging
import math
import random
from collections import Counter, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Never, assert_never

import attrs
import outcome
import trio

from .._core.supervision.actions import (
    Action,
    AskToStop,
    BreakerOpened,
    Cancel,
    Crashed,
    Finished,
    Gone,
    Revived,
    Spawn,
    Started,
    StartFailed,
    Stuck,
    Verdict,
)
from .._core.supervision.child import Child, Phase
from .._core.supervision.machine import SupervisorMachine
from .._core.supervision.policy import ChildCrash, Escalate, Exit, ExitDecision, RestartType
from ..errors import RestartLimitExceededError, UnknownChildError
from .behaviour import Life, Message_contra, Reply_co
from .cell import ActorState, Cell
from .nursery import open_service_nursery
from .ref import ActorRef
from .reports import CrashReport, StuckReport, await_stack
from .specs import ChildSpec, SupervisorSpec, check_significance
from .watching import Watchers

__all__ = ["ChildInfo", "Supervisor", "SupervisorStatistics", "running_supervisor"]


@attrs.frozen(kw_only=True)
class ChildInfo:
    """One child, as ``which_children`` lists it.

    Attributes:
        id: its name.
        restart: its restart type.
        state: ``"down"``, ``"waiting"`` (to be started), ``"starting"``, ``"up"``, ``"stopping"``.
        incarnation: how many lives it has had, the present one included.
        ref: reaches it.
    """

    id: str
    restart: RestartType
    state: ActorState
    incarnation: int
    ref: ActorRef[Never, object]


@attrs.frozen(kw_only=True)
class SupervisorStatistics:
    """What a supervisor has done.

    Attributes:
        path: its path; empty for the root.
        children: how many it has, by state.
        restarts: the crashes in its window, oldest first.
        crashes: of all its children, ever.
        dead_letters: of the whole tree, ever.
        breaker_until: until when crashed children are held back, in seconds of Trio's clock, or
            ``None``.
    """

    path: str
    children: dict[ActorState, int]
    restarts: tuple[ChildCrash, ...]
    crashes: int
    dead_letters: int
    breaker_until: float | None


@attrs.define(eq=False)
class _Held:
    """A child, as the shell holds it."""

    spec: ChildSpec[Never, object]
    child: Child
    cell: Cell
    nested: Supervisor | None = None
    last_life: Life | None = None
    # Who waits for its first start, and for its being down.
    on_started: Callable[[outcome.Outcome[None]], None] | None = None
    down: trio.Event = attrs.field(factory=trio.Event)

    @property
    def life(self) -> Life:
        """Its last incarnation; there is one."""
        assert self.last_life is not None
        return self.last_life


class Supervisor:
    """Starts, watches, restarts and stops children. Made by :func:`open_supervisor`."""

    def __init__(
        self, spec: SupervisorSpec, nursery: trio.Nursery, path: str, watchers: Watchers
    ) -> None:
        self._spec = spec
        self._nursery = nursery
        self._path = path
        self._watchers = watchers
        self._context = contextvars.copy_context()
        self._machine = SupervisorMachine(
            path=path,
            strategy=spec.strategy,
            intensity=spec.intensity,
            auto_shutdown=spec.auto_shutdown,
            stop_together=spec.stop_together,
            breaker=spec.breaker,
            grace=spec.grace,
            dice=random.random,
        )
        # Invariant: the same ids as the machine's children, but for those that are just leaving.
        self._held: dict[str, _Held] = {}
        self._crashes = 0
        self._to_do: deque[Action] = deque()
        self._alarm = trio.CancelScope()
        self._boot_done = trio.Event()
        self._finished = trio.Event()
        self._end: Finished | None = None
        # Cancelled when the supervisor ends by itself: the block that relies on it.
        self.body: trio.CancelScope = trio.CancelScope()

    def __repr__(self) -> str:
        return f"<Supervisor {self._path or '/'!r}, {len(self._machine.children)} children>"

    def __len__(self) -> int:
        return len(self._machine.children)

    @property
    def path(self) -> str:
        """Its id under those of its supervisors; empty for the root."""
        return self._path

    # -- children at run time -----------------------------------------------------------------------

    async def start_child(
        self, spec: ChildSpec[Message_contra, Reply_co]
    ) -> ActorRef[Message_contra, Reply_co]:
        """Start one more child, after the others, and wait until it has started.

        Args:
            spec: the child.

        Returns:
            Its ref.

        Raises:
            ChildStartError: it did not start, and is no child of this supervisor.
            DuplicateChildError: there is a child of this id, perhaps one that is just ending.
            SupervisorStoppedError: the supervisor is stopping.

        Cancelled, the child is started nevertheless.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        task = trio.lowlevel.current_task()
        waiting = True

        def on_started(result: outcome.Outcome[None]) -> None:
            if waiting:
                trio.lowlevel.reschedule(task, result)

        def abort(_: trio.lowlevel.RaiseCancelT) -> trio.lowlevel.Abort:
            nonlocal waiting
            waiting = False
            return trio.lowlevel.Abort.SUCCEEDED

        held = self._add(spec, on_started)
        await trio.lowlevel.wait_task_rescheduled(abort)
        return ActorRef(held.cell)

    def start_child_soon(
        self, spec: ChildSpec[Message_contra, Reply_co]
    ) -> ActorRef[Message_contra, Reply_co]:
        """Start one more child without waiting for it; if it does not start, that is logged.

        Raises:
            DuplicateChildError, SupervisorStoppedError: see :meth:`start_child`.
        """
        return ActorRef(self._add(spec, None).cell)

    def _add(
        self,
        spec: ChildSpec[Never, object],
        on_started: Callable[[outcome.Outcome[None]], None] | None,
    ) -> _Held:
        check_significance(spec, self._spec.auto_shutdown)
        held = self._hold(spec)
        actions = self._machine.add(held.child, trio.current_time())
        held.on_started = on_started
        self._held[spec.id] = held
        self._perform(actions)
        return held

    def _hold(self, spec: ChildSpec[Never, object]) -> _Held:
        child = Child(spec.id, spec.policy)
        path = f"{self._path}/{spec.id}" if self._path else spec.id

        def state() -> ActorState:
            return child.phase.value

        return _Held(spec, child, Cell(path, spec.mailbox, state, self._watchers.dead_letter))

    async def stop_child(
        self, id: str, *, reason: str = "it is not needed any more", grace: float = math.inf
    ) -> None:
        """Stop a child, and wait until it is down. A temporary child is forgotten then.

        Args:
            id: which.
            reason: why.
            grace: seconds it gets to end by itself, if less than its own.

        Raises:
            UnknownChildError: there is none of this id.

        Cancelled, the child is stopped nevertheless. A child waiting for its restart is just not
        restarted.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        held = self._find(id)
        down = held.down
        self._perform(self._machine.stop(held.child, trio.current_time(), reason, grace))
        await down.wait()

    def restart_child(self, id: str) -> None:
        """Start a child again that is down; its ref reaches it again.

        Raises:
            UnknownChildError: there is none of this id.
            ChildRunningError: it is not down.
            SupervisorStoppedError: the supervisor is stopping.
        """
        self._perform(self._machine.restart(self._find(id).child, trio.current_time()))

    def delete_child(self, id: str) -> None:
        """Forget a child that is down.

        Raises:
            UnknownChildError: there is none of this id.
            ChildRunningError: it is not down.
        """
        self._machine.delete(self._find(id).child)
        del self._held[id]

    def _find(self, id: str) -> _Held:
        held = self._held.get(id)
        if held is None:
            raise UnknownChildError(id)
        return held

    # -- looking ----------------------------------------------------------------------------------

    def __contains__(self, id: str) -> bool:
        return id in self._held

    def which_children(self) -> tuple[ChildInfo, ...]:
        """List the children, in the order in which they start."""
        return tuple(
            ChildInfo(
                id=held.spec.id,
                restart=held.spec.restart,
                state=held.child.phase.value,
                incarnation=held.child.incarnation,
                ref=ActorRef(held.cell),
            )
            for held in self._held.values()
        )

    def count_children(self) -> dict[ActorState, int]:
        """Count the children by state."""
        return dict(Counter(held.child.phase.value for held in self._held.values()))

    def find(self, path: str) -> ActorRef[Never, object]:
        """Return the ref of a child, or of one further down (``"pool/worker"``).

        The type says nothing about its messages; ``typing.cast`` what you know.

        Raises:
            UnknownChildError: there is none.
        """
        id, _, rest = path.partition("/")
        held = self._find(id)
        if not rest:
            return ActorRef(held.cell)
        if held.nested is None:
            raise UnknownChildError(path)
        return held.nested.find(rest)

    def nested(self, id: str) -> Supervisor:
        """Return the supervisor that runs as a child; each of its incarnations is another one.

        Raises:
            UnknownChildError: there is none, or it does not run now.
        """
        nested = self._find(id).nested
        if nested is None:
            raise UnknownChildError(id)
        return nested

    def statistics(self) -> SupervisorStatistics:
        """Return what it has done so far."""
        until = self._machine.breaker_until
        return SupervisorStatistics(
            path=self._path,
            children=self.count_children(),
            restarts=self._machine.history,
            crashes=self._crashes,
            dead_letters=self._watchers.dead_letters,
            breaker_until=until if until > trio.current_time() else None,
        )

    # -- its own end --------------------------------------------------------------------------------

    def request_stop(
        self, reason: str = "it was asked to stop", grace: float | None = None
    ) -> None:
        """Stop all children, last one first, and end; the block of ``open_supervisor`` is cancelled.

        Args:
            reason: why.
            grace: seconds that it takes at most; by default what the supervisor was made with.
                Said again, it can only become less: ``grace=0`` cancels all at once.
        """
        self.body.cancel(reason=reason)
        self._perform(self._machine.shut_down(trio.current_time(), reason, grace))

    async def wait_stopped(self) -> None:
        """Wait until all children are gone and none will be started."""
        await self._finished.wait()

    # -- doing what the machine says ------------------------------------------------------------------

    def _perform(self, actions: Iterable[Action]) -> None:
        if self._machine.is_stopping:
            # First of all: the block must not see its children go.
            self.body.cancel(reason="the supervisor stops")
        # One queue, as an action may call code that calls back (a dead-letter hook that stops
        # everything): what was decided first is done first.
        self._to_do.extend(actions)
        while self._to_do:
            self._do(self._to_do.popleft())
        if not self._machine.is_booting:
            self._boot_done.set()
        self._alarm.deadline = self._machine.next_deadline()

    def _do(self, action: Action) -> None:
        match action:
            case Spawn(child):
                self._spawn(self._held[child.id])
            case Started(child):
                self._answer_start(self._held[child.id], outcome.Value(None))
            case StartFailed(child, error):
                self._answer_start(self._held[child.id], outcome.Error(error))
            case AskToStop(child, reason, deadline):
                self._ask_to_stop(self._held[child.id], reason, deadline)
            case Cancel(child, reason):
                self._held[child.id].life.cancel(reason)
            case Stuck(child):
                self._report_stuck(self._held[child.id])
            case Crashed():
                self._report_crash(action)
            case Gone(child, removed):
                self._put_down(self._held[child.id], removed)
            case Revived(child):
                self._held[child.id].down = trio.Event()
                self._held[child.id].cell.is_down = False
            case BreakerOpened(until):
                self._watchers.tell("breaker_opened", self._path, until)
            case Finished():
                self._finish(action)
            case _:  # pragma: no cover - the union is closed
                assert_never(action)

    def _finish(self, end: Finished) -> None:
        self._end = end
        self._finished.set()

    def _put_down(self, held: _Held, removed: bool) -> None:
        if removed:
            del self._held[held.spec.id]
        held.cell.close()
        held.down.set()

    def _answer_start(self, held: _Held, result: outcome.Outcome[None]) -> None:
        on_started, held.on_started = held.on_started, None
        if on_started is not None:
            on_started(result)
        elif isinstance(result, outcome.Error):
            # Whoever has stopped it knows, and a boot, which stops then, raises it.
            stopped = held.child.by_hand or self._machine.is_stopping
            level = logging.INFO if stopped else logging.ERROR
            self._watchers.log.log(level, "%s", result.error, exc_info=result.error)

    def _spawn(self, held: _Held) -> None:
        cell, child = held.cell, held.child
        cell.incarnation = child.incarnation
        # Made here, not by the new Trio task: it may be asked to stop before it has run at all.
        life = held.last_life = cell.life = Life(
            cell.path, child.incarnation, self, cell, lambda: self._acknowledged(held, life)
        )
        self._watchers.tell("child_spawned", cell.path, child.incarnation)
        name = f"actor {cell.path}"
        self._context.copy().run(
            lambda: self._nursery.start_soon(self._live, held, life, name=name)
        )

    def _acknowledged(self, held: _Held, life: Life) -> None:
        if held.cell.life is life and held.child.phase is Phase.STARTING:
            self._watchers.tell("child_started", life.path, life.incarnation)
            self._perform(self._machine.acknowledged(held.child, trio.current_time()))

    def _ask_to_stop(self, held: _Held, reason: str, deadline: float) -> None:
        life, behaviour = held.life, held.cell.behaviour
        self._watchers.tell("child_asked_to_stop", life.path, life.incarnation, reason)
        if behaviour is None:  # it has not begun, or its code has returned
            life.cancel(reason)
            return
        try:
            behaviour.request_stop(life, reason, deadline)
        except Exception:
            self._watchers.log.exception("actor %s cannot be asked to stop", life.path)
            life.cancel(reason)

    async def _live(self, held: _Held, life: Life) -> None:
        """One incarnation, in a Trio task of its own."""
        cell = held.cell
        cell.trio_task = trio.lowlevel.current_task()
        error: Exception | None = None
        decision: ExitDecision | None = None
        try:
            try:
                # What is left of an exception when the incarnation's own cancellation is taken out.
                with life.scope:
                    if not life.scope.cancel_called:
                        behaviour = cell.behaviour = held.spec.factory()
                        await behaviour.run(life)
            except Exception as raised:
                error = raised
            cell.end_of_life(error)
            asked_to_stop = held.child.phase is Phase.STOPPING and not held.child.timed_out
            if held.spec.on_exit is not None and not asked_to_stop:
                error = self._machine.error_of(held.child, error)
                error, decision = await _ask_policy(held.spec.on_exit, life.incarnation, error)
        except BaseException:
            # Nobody's crash: the whole supervisor is being torn down.
            cell.end_of_life(None)
            self._perform(self._machine.shut_down(trio.current_time(), "it is torn down", 0))
            raise
        finally:
            self._exited(held, life, error, decision)

    def _exited(
        self, held: _Held, life: Life, error: Exception | None, decision: ExitDecision | None
    ) -> None:
        self._watchers.tell("child_exited", life.path, life.incarnation, error)
        now = trio.current_time()
        self._perform(self._machine.exited(held.child, error, now, decision))
        held.cell.tell_monitors(life.incarnation, error)

    # -- reports ------------------------------------------------------------------------------------

    def _report_crash(self, action: Crashed) -> None:
        held, error = self._held[action.child.id], action.error
        self._crashes += 1
        report = CrashReport(
            path=held.cell.path,
            incarnation=held.cell.incarnation,  # the machine may be one further already
            error=error,
            last_message=held.cell.last_message,
            mailbox=len(held.cell.mailbox),
            restarts=len(self._machine.history),
            decision=action.verdict.value,
            delay=action.delay,
        )
        self._watchers.tell("child_crashed", report)
        # One with a policy of its own tells its story itself.
        quiet = held.spec.on_exit is not None and action.verdict is not Verdict.ESCALATE
        self._watchers.log_crash(report, quiet=quiet)

    def _report_stuck(self, held: _Held) -> None:
        task = held.cell.trio_task
        report = StuckReport(
            path=held.cell.path,
            incarnation=held.child.incarnation,
            cancelled_for=trio.current_time() - held.life.cancelled_at,
            stack=() if task is None else await_stack(task),
        )
        self._watchers.tell("child_stuck", report)
        self._watchers.log_stuck(report)

    # -- how it is run ------------------------------------------------------------------------------

    async def boot(self) -> None:
        """Start the children it was made with, in order.

        Raises:
            ChildStartError: one did not start; those started before are stopped again.
            RestartLimitExceededError: one crashed too often meanwhile.
        """
        for spec in self._spec.children:
            self._held[spec.id] = self._hold(spec)
        children = [held.child for held in self._held.values()]
        self._perform(self._machine.boot(children, trio.current_time()))
        await self._boot_done.wait()
        if self._machine.is_stopping:
            await self._finished.wait()
            self.raise_failure()

    async def watch_deadlines(self) -> None:
        """Do what is due, until cancelled."""
        while True:
            with trio.CancelScope(deadline=self._machine.next_deadline()) as self._alarm:
                await trio.sleep_forever()
            self._perform(self._machine.tick(trio.current_time()))

    def raise_failure(self) -> None:
        """Raise what made it end, if it did not just stop.

        Raises:
            ChildStartError: it did not boot.
            RestartLimitExceededError: it gave up.
        """
        assert self._end is not None
        if self._end.error is not None:
            raise self._end.error
        if self._end.history:
            history = self._end.history
            raise RestartLimitExceededError(self._path, history) from history[-1].error

    async def run_nested(self, life: Life, spec: SupervisorSpec) -> None:
        """Run a supervisor as a child of this one; until it has stopped."""
        held = self._find(life.path.rpartition("/")[2])

        def register(nested: Supervisor) -> None:
            held.nested = nested

        try:
            async with running_supervisor(
                spec, life.path, self._watchers, register, grace_if_cancelled=0
            ) as nested:
                life.started()
                await nested.wait_stopped()
        finally:
            held.nested = None

    def nested_in(self, life: Life) -> Supervisor | None:
        """Return the supervisor that runs as this incarnation, if it has begun."""
        return self._find(life.path.rpartition("/")[2]).nested


async def _ask_policy(
    on_exit: Callable[[Exit], Awaitable[ExitDecision | None]],
    incarnation: int,
    error: Exception | None,
) -> tuple[Exception | None, ExitDecision | None]:
    """Ask a child's own policy; if that fails, nobody knows what to do with the child."""
    try:
        return error, await on_exit(Exit(incarnation, error))
    except Exception as failure:
        return failure, Escalate()


@asynccontextmanager
async def running_supervisor(
    spec: SupervisorSpec,
    path: str,
    watchers: Watchers,
    register: Callable[[Supervisor], None] = lambda _: None,
    *,
    grace_if_cancelled: float | None = None,
) -> AsyncGenerator[Supervisor]:
    """Boot a supervisor, and stop it at the end of the block.

    Args:
        spec: what it is.
        path: its id under those of its supervisors.
        watchers: who is told.
        register: called with it before it boots, so that it can be stopped meanwhile.
        grace_if_cancelled: seconds that stopping takes at most when the block is cancelled, or
            while it boots; ``None``: as ever. Under another supervisor the grace is over by then.

    Raises:
        ChildStartError, RestartLimitExceededError: see :meth:`Supervisor.raise_failure`.
    """
    async with open_service_nursery() as nursery:
        supervisor = Supervisor(spec, nursery, path, watchers)
        register(supervisor)
        nursery.start_soon(supervisor.watch_deadlines)
        try:
            await supervisor.boot()
            yield supervisor
        except trio.Cancelled:
            supervisor.request_stop("it was cancelled", grace_if_cancelled)
            raise
        finally:
            try:
                supervisor.request_stop("the block has ended")
                # Its machine has a deadline for this.
                with trio.CancelScope(shield=True):
                    await supervisor.wait_stopped()
            finally:
                # Else a second Ctrl-C, which interrupts even this, would leave it waiting for ever.
                nursery.cancel_scope.cancel(reason="the supervisor has ended")
    supervisor.raise_failure()
