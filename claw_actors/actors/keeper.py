"""The keeper: what carries out a supervisor's decisions in Trio.

What happens is decided by a pure machine (``_core.supervision.machine``). The rules of carrying it
out, each learnt from a supervisor that broke it:

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
import random
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Never, assert_never

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
from .._core.supervision.policy import Escalate, Exit, ExitDecision
from ..errors import RestartLimitExceededError, UnknownChildError
from .behaviour import Life
from .cell import ActorState, Cell
from .held import Held
from .nursery import open_service_nursery
from .specs import ChildSpec, SupervisorSpec, check_significance
from .supervisor import Supervisor
from .watching import Watchers

__all__ = ["Keeper", "running_keeper"]


class Keeper:
    """Starts, watches, restarts and stops children, as the machine says.

    Attributes:
        path: the supervisor's id under those of its supervisors; empty for the root.
        supervisor: what its users see of it.
        machine: decides.
        watchers: who is told.
        held: the children, in the order in which they start.
        crashes: of all children, ever.
        finished: set when all children are gone, and none will be started.
        body: the block that relies on it; cancelled when the supervisor ends by itself.
    """

    def __init__(
        self, spec: SupervisorSpec, nursery: trio.Nursery, path: str, watchers: Watchers
    ) -> None:
        self._spec = spec
        self._nursery = nursery
        self.path: str = path
        self.watchers: Watchers = watchers
        self._context = contextvars.copy_context()
        self.machine: SupervisorMachine = SupervisorMachine(
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
        self.held: dict[str, Held] = {}
        self.crashes: int = 0
        self._to_do: deque[Action] = deque()
        self._alarm = trio.CancelScope()
        self._boot_done = trio.Event()
        self.finished: trio.Event = trio.Event()
        self._end: Finished | None = None
        self.body: trio.CancelScope = trio.CancelScope()
        self.supervisor: Supervisor = Supervisor(self)

    # -- children at run time ---------------------------------------------------------------------

    def add(
        self,
        spec: ChildSpec[Never, object],
        on_started: Callable[[outcome.Outcome[None]], None] | None,
    ) -> Held:
        """Start one more child, after the others; ``on_started`` is told how that went.

        Raises:
            DuplicateChildError, SupervisorStoppedError: see :meth:`Supervisor.start_child`.
        """
        check_significance(spec, self._spec.auto_shutdown)
        held = self._hold(spec)
        actions = self.machine.add(held.child, trio.current_time())
        held.on_started = on_started
        self.held[spec.id] = held
        self._perform(actions)
        return held

    def _hold(self, spec: ChildSpec[Never, object]) -> Held:
        child = Child(spec.id, spec.policy)
        path = f"{self.path}/{spec.id}" if self.path else spec.id

        def state() -> ActorState:
            return child.phase.value

        return Held(spec, child, Cell(path, spec.mailbox, state, self.watchers.dead_letter))

    def find(self, id: str) -> Held:
        """Return a child.

        Raises:
            UnknownChildError: there is none of this id.
        """
        held = self.held.get(id)
        if held is None:
            raise UnknownChildError(id)
        return held

    def stop(self, held: Held, reason: str, grace: float) -> None:
        """Stop a child and keep it down; ``held.down`` tells when it is."""
        self._perform(self.machine.stop(held.child, trio.current_time(), reason, grace))

    def restart(self, held: Held) -> None:
        """Start a child again that is down."""
        self._perform(self.machine.restart(held.child, trio.current_time()))

    def delete(self, held: Held) -> None:
        """Forget a child that is down."""
        self.machine.delete(held.child)
        del self.held[held.spec.id]

    def shut_down(self, reason: str, grace: float | None) -> None:
        """Stop all children, and end."""
        self.body.cancel(reason=reason)
        self._perform(self.machine.shut_down(trio.current_time(), reason, grace))

    # -- doing what the machine says ------------------------------------------------------------------

    def _perform(self, actions: Iterable[Action]) -> None:
        if self.machine.is_stopping:
            # First of all: the block must not see its children go.
            self.body.cancel(reason="the supervisor stops")
        # One queue, as an action may call code that calls back (a dead-letter hook that stops
        # everything): what was decided first is done first.
        self._to_do.extend(actions)
        while self._to_do:
            self._do(self._to_do.popleft())
        if not self.machine.is_booting:
            self._boot_done.set()
        self._alarm.deadline = self.machine.next_deadline()

    def _do(self, action: Action) -> None:
        match action:
            case Spawn(child):
                self._spawn(self.held[child.id])
            case Started(child):
                self._answer_start(self.held[child.id], outcome.Value(None))
            case StartFailed(child, error):
                self._answer_start(self.held[child.id], outcome.Error(error))
            case AskToStop(child, reason, deadline):
                self._ask_to_stop(self.held[child.id], reason, deadline)
            case Cancel(child, reason):
                self.held[child.id].life.cancel(reason)
            case Stuck(child):
                self._report_stuck(self.held[child.id])
            case Crashed():
                self._report_crash(action)
            case Gone(child, removed):
                self._put_down(self.held[child.id], removed)
            case Revived(child):
                self.held[child.id].down = trio.Event()
                self.held[child.id].cell.is_down = False
            case BreakerOpened(until):
                self.watchers.tell("breaker_opened", self.path, until)
            case Finished():
                self._finish(action)
            case _:  # pragma: no cover - the union is closed
                assert_never(action)

    def _finish(self, end: Finished) -> None:
        self._end = end
        self.finished.set()

    def _put_down(self, held: Held, removed: bool) -> None:
        if removed:
            del self.held[held.spec.id]
        held.cell.close()
        held.down.set()

    def _answer_start(self, held: Held, result: outcome.Outcome[None]) -> None:
        on_started, held.on_started = held.on_started, None
        if on_started is not None:
            on_started(result)
        elif isinstance(result, outcome.Error):
            # Whoever has stopped it knows, and a boot, which stops then, raises it: one traceback of
            # a database that cannot be opened is enough, and `claw run` needs none.
            stopped = held.child.by_hand or self.machine.is_stopping
            level = logging.DEBUG if stopped else logging.ERROR
            self.watchers.log.log(level, "%s", result.error, exc_info=result.error)

    def _spawn(self, held: Held) -> None:
        cell, child = held.cell, held.child
        cell.incarnation = child.incarnation
        # Made here, not by the new Trio task: it may be asked to stop before it has run at all.
        life = held.last_life = cell.life = Life(
            cell.path, child.incarnation, self, cell, lambda: self._acknowledged(held, life)
        )
        self.watchers.tell("child_spawned", cell.path, child.incarnation)
        name = f"actor {cell.path}"
        self._context.copy().run(
            lambda: self._nursery.start_soon(self._live, held, life, name=name)
        )

    def _acknowledged(self, held: Held, life: Life) -> None:
        if held.cell.life is life and held.child.phase is Phase.STARTING:
            self.watchers.tell("child_started", life.path, life.incarnation)
            self._perform(self.machine.acknowledged(held.child, trio.current_time()))

    def _ask_to_stop(self, held: Held, reason: str, deadline: float) -> None:
        life, behaviour = held.life, held.cell.behaviour
        self.watchers.tell("child_asked_to_stop", life.path, life.incarnation, reason)
        if behaviour is None:  # it has not begun, or its code has returned
            life.cancel(reason)
            return
        try:
            behaviour.request_stop(life, reason, deadline)
        except Exception:
            self.watchers.log.exception("actor %s cannot be asked to stop", life.path)
            life.cancel(reason)

    async def _live(self, held: Held, life: Life) -> None:
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
                error = self.machine.error_of(held.child, error)
                error, decision = await _ask_policy(held.spec.on_exit, life.incarnation, error)
        except BaseException:
            # Nobody's crash: the whole supervisor is being torn down.
            cell.end_of_life(None)
            self._perform(self.machine.shut_down(trio.current_time(), "it is torn down", 0))
            raise
        finally:
            self._exited(held, life, error, decision)

    def _exited(
        self, held: Held, life: Life, error: Exception | None, decision: ExitDecision | None
    ) -> None:
        self.watchers.tell("child_exited", life.path, life.incarnation, error)
        now = trio.current_time()
        self._perform(self.machine.exited(held.child, error, now, decision))
        held.cell.tell_monitors(life.incarnation, error)

    # -- reports ------------------------------------------------------------------------------------

    def _report_crash(self, action: Crashed) -> None:
        self.crashes += 1
        held = self.held[action.child.id]
        report = held.report_crash(action, restarts=len(self.machine.history))
        self.watchers.tell("child_crashed", report)
        # One with a policy of its own tells its story itself.
        quiet = held.spec.on_exit is not None and action.verdict is not Verdict.ESCALATE
        self.watchers.log_crash(report, quiet=quiet)

    def _report_stuck(self, held: Held) -> None:
        report = held.report_stuck(trio.current_time())
        self.watchers.tell("child_stuck", report)
        self.watchers.log_stuck(report)

    # -- how it is run ------------------------------------------------------------------------------

    async def boot(self) -> None:
        """Start the children it was made with, in order.

        Raises:
            ChildStartError: one did not start; those started before are stopped again.
            RestartLimitExceededError: one crashed too often meanwhile.
        """
        for spec in self._spec.children:
            self.held[spec.id] = self._hold(spec)
        children = [held.child for held in self.held.values()]
        self._perform(self.machine.boot(children, trio.current_time()))
        await self._boot_done.wait()
        if self.machine.is_stopping:
            await self.finished.wait()
            self.raise_failure()

    async def watch_deadlines(self) -> None:
        """Do what is due, until cancelled."""
        while True:
            with trio.CancelScope(deadline=self.machine.next_deadline()) as self._alarm:
                await trio.sleep_forever()
            self._perform(self.machine.tick(trio.current_time()))

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
            raise RestartLimitExceededError(self.path, history) from history[-1].error

    async def run_nested(self, life: Life, spec: SupervisorSpec) -> None:
        """Run a supervisor as a child of this one; until it has stopped."""
        held = self.find(life.path.rpartition("/")[2])

        def register(nested: Keeper) -> None:
            held.nested = nested

        try:
            async with running_keeper(
                spec, life.path, self.watchers, register, grace_if_cancelled=0
            ) as nested:
                life.started()
                await nested.finished.wait()
        finally:
            held.nested = None

    def nested_in(self, life: Life) -> Keeper | None:
        """Return the supervisor that runs as this incarnation, if it has begun."""
        return self.find(life.path.rpartition("/")[2]).nested


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
async def running_keeper(
    spec: SupervisorSpec,
    path: str,
    watchers: Watchers,
    register: Callable[[Keeper], None] = lambda _: None,
    *,
    grace_if_cancelled: float | None = None,
) -> AsyncGenerator[Keeper]:
    """Boot a supervisor, and stop it at the end of the block.

    Args:
        spec: what it is.
        path: its id under those of its supervisors.
        watchers: who is told.
        register: called with it before it boots, so that it can be stopped meanwhile.
        grace_if_cancelled: seconds that stopping takes at most when the block is cancelled, or
            while it boots; ``None``: as ever. Under another supervisor the grace is over by then.

    Raises:
        ChildStartError, RestartLimitExceededError: see :meth:`Keeper.raise_failure`.
    """
    async with open_service_nursery() as nursery:
        keeper = Keeper(spec, nursery, path, watchers)
        supervisor = keeper.supervisor
        register(keeper)
        nursery.start_soon(keeper.watch_deadlines)
        try:
            await keeper.boot()
            yield keeper
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
    keeper.raise_failure()
