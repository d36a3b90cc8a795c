"""Who is started, stopped and restarted, and in which order: decided here, carried out elsewhere.

A machine without Trio, clock or chance: events go in with the time, actions come out. So its rules
can be read in one place, and a test can drive it through thousands of random lives.

The rules:

- Children start in the order they were given, each acknowledged before the next; a first start
  that fails unwinds the boot in reverse. They stop in reverse.
- A restart concerns the child (``one_for_one``), all (``one_for_all``), or it and those started
  after it (``rest_for_one``). Those others are stopped first, last one first, one at a time; then
  all come back in order. They have not crashed, so they count against nobody.
- No incarnation starts before the last one is gone.
- A child that is stopped is asked first, cancelled when its grace is over, and reported while it
  does not end even so. When the whole supervisor stops, one deadline holds for all.
- A stop beats a restart: what is asked to stop while it waits to be restarted just stays down.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import assert_never

from ...errors import (
    ChildRunningError,
    ChildStartError,
    DuplicateChildError,
    SupervisorStoppedError,
    UnknownChildError,
)
from .actions import (
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
from .breaker import CrashCounter
from .child import ALIVE, Child, Phase
from .deadlines import Deadlines
from .policy import (
    AutoShutdown,
    Breaker,
    ChildCrash,
    Escalate,
    ExitDecision,
    GiveUp,
    Intensity,
    RestartAfter,
    Strategy,
    add_restart,
    delay_of,
    wants_restart,
)

__all__ = ["SupervisorMachine"]

STUCK_AFTER_S = 5.0
"""How long a cancelled child may take before it is reported, and reported again."""

DEFAULT_INTENSITY = Intensity()


class SupervisorMachine:
    """Decides what a supervisor does next.

    Each event returns the actions it leads to, to be carried out in order and at once.

    Attributes:
        children: in the order in which they start.
        history: the restarts in the window.
    """

    def __init__(
        self,
        *,
        path: str = "",
        strategy: Strategy = "one_for_one",
        intensity: Intensity = DEFAULT_INTENSITY,
        auto_shutdown: AutoShutdown = "never",
        stop_together: bool = False,
        breaker: Breaker | None = None,
        grace: float = math.inf,
        dice: Callable[[], float] = lambda: 0.5,
    ) -> None:
        """Make a machine without children.

        Args:
            path: the supervisor's, for errors; empty for the root.
            strategy, intensity, auto_shutdown, breaker: the policy.
            stop_together: stop all children at once, as they do not depend on each other.
            grace: seconds that stopping takes at most when nobody said otherwise.
            dice: random numbers in [0, 1), for jitter.
        """
        self.children: dict[str, Child] = {}
        self.history: tuple[ChildCrash, ...] = ()
        self._path = path
        self._strategy: Strategy = strategy
        self._intensity = intensity
        self._auto_shutdown = auto_shutdown
        self._together = stop_together
        self._breaker = None if breaker is None else CrashCounter(breaker, dice)
        self._grace = grace
        self._dice = dice
        self._booting = False
        # Set when the supervisor stops: its total deadline, and why.
        self._stop_by: float | None = None
        self._reason = ""
        self._asked_all = False
        self._error: ChildStartError | None = None
        self._escalated = False
        self._finished = False
        self._alive = 0
        self._deadlines = Deadlines()

    # -- events -----------------------------------------------------------------------------------

    @property
    def is_stopping(self) -> bool:
        """Whether no child starts any more."""
        return self._stop_by is not None

    @property
    def is_booting(self) -> bool:
        """Whether not all it was made with have started."""
        return self._booting

    @property
    def breaker_until(self) -> float:
        """When crashed children come back at the earliest."""
        return -math.inf if self._breaker is None else self._breaker.until

    @property
    def alive(self) -> int:
        """How many children run, the stopping ones included."""
        return self._alive

    def boot(self, children: list[Child], now: float) -> list[Action]:
        """Start these in order; if one does not start, stop the others and finish."""
        self._booting = True
        for child in children:
            child.of_boot = True
            self._enter(child, now)
        return list(self._go_on(now))

    def add(self, child: Child, now: float) -> list[Action]:
        """Start one more child, after the others.

        Raises:
            DuplicateChildError: the id is taken.
            SupervisorStoppedError: it is stopping.
        """
        if self.is_stopping:
            raise SupervisorStoppedError(self._path)
        if child.id in self.children:
            raise DuplicateChildError(child.id)
        self._enter(child, now)
        if self._is_alone:
            return [self._spawn(child, now)]
        return list(self._go_on(now))

    def acknowledged(self, child: Child, now: float) -> list[Action]:
        """It has started."""
        if child.phase is not Phase.STARTING:
            return []  # asked to stop meanwhile
        child.phase = Phase.UP
        child.up_since = now
        self._deadlines.set(child, math.inf)
        actions: list[Action] = []
        if child.first:
            child.first = False
            actions.append(Started(child))
        return [*actions, *self._go_on(now)]

    def exited(
        self,
        child: Child,
        error: Exception | None,
        now: float,
        decision: ExitDecision | None = None,
    ) -> list[Action]:
        """Its incarnation is gone.

        Args:
            child: which.
            error: what it raised.
            now: seconds.
            decision: what its own policy says, if it has one.
        """
        self._alive -= 1
        was, child.phase = child.phase, Phase.DOWN
        self._deadlines.set(child, math.inf)
        if now - child.up_since >= child.policy.backoff.reset_after:
            child.crashes = 0
        child.up_since = math.inf
        if was is Phase.STOPPING and not child.timed_out:
            return [*self._stopped(child, error, now), *self._go_on(now)]
        if was is not Phase.UP:
            error = self.error_of(child, error)
            if child.first and error is not None:
                return [*self._not_started(child, error, now), *self._go_on(now)]
        actions: list[Action] = []
        if child.first:
            child.first = False
            actions.append(Started(child))  # it was done before it could say so
        actions += self._decide(child, error, now, decision)
        return [*actions, *self._go_on(now)]

    @staticmethod
    def error_of(child: Child, error: Exception | None) -> Exception | None:
        """Return what an end counts as: whatever came out of it, a slow start is one that failed."""
        return _too_slow(child) if child.timed_out else error

    def stop(self, child: Child, now: float, reason: str, grace: float) -> list[Action]:
        """Stop one child and keep it down.

        Args:
            child: which.
            now: seconds.
            reason: why, for the child.
            grace: seconds it gets at most.
        """
        child.by_hand, child.again, child.stale = True, False, False
        if child.phase is Phase.WAITING:
            return [*self._down(child), *self._go_on(now)]
        if child.phase is Phase.DOWN:
            return []
        if child.phase is not Phase.STOPPING:
            return [self._ask(child, now, reason, now + grace), *self._go_on(now)]
        child.timed_out = False
        if not child.cancelled and now + grace < child.deadline:
            self._deadlines.set(child, now + grace)
        return list(self._go_on(now))

    def restart(self, child: Child, now: float) -> list[Action]:
        """Start a child that is down, by hand.

        Raises:
            ChildRunningError: it is not down.
            SupervisorStoppedError: it is stopping.
        """
        if self.is_stopping:
            raise SupervisorStoppedError(self._path)
        if child.phase is not Phase.DOWN:
            raise ChildRunningError(child.id)
        child.by_hand = False
        self._wait_until(child, now)
        return [Revived(child), *self._go_on(now)]

    def delete(self, child: Child) -> None:
        """Forget a child that is down.

        Raises:
            ChildRunningError: it is not down.
        """
        if child.phase is not Phase.DOWN:
            raise ChildRunningError(child.id)
        del self.children[child.id]

    def shut_down(self, now: float, reason: str, grace: float | None = None) -> list[Action]:
        """Stop all children under one deadline, and finish. Said again, it can only be sooner."""
        return [*self._begin_to_stop(now, reason, grace), *self._go_on(now)]

    def tick(self, now: float) -> list[Action]:
        """Do what is due."""
        actions: list[Action] = []
        while (child := self._deadlines.pop_due(now)) is not None:
            actions += self._due(child, now)
        if self._stop_by is not None and self._stop_by <= now and self._alive:
            actions += self._cut_off(now)
        return [*actions, *self._go_on(now)]

    def next_deadline(self) -> float:
        """Return when :meth:`tick` has something to do, at the earliest."""
        soonest = self._deadlines.soonest()
        if self._stop_by is not None and not self._asked_all and self._alive:
            soonest = min(soonest, self._stop_by)
        return soonest

    def find(self, id: str) -> Child:
        """Return a child.

        Raises:
            UnknownChildError: there is none.
        """
        child = self.children.get(id)
        if child is None:
            raise UnknownChildError(id)
        return child

    # -- one child --------------------------------------------------------------------------------

    def _enter(self, child: Child, now: float) -> None:
        self.children[child.id] = child
        self._wait_until(child, now)

    def _wait_until(self, child: Child, when: float) -> None:
        child.phase = Phase.WAITING
        child.stale = child.again = False
        self._deadlines.set(child, when)

    @property
    def _is_alone(self) -> bool:
        """Whether a child may start whatever its siblings do."""
        return self._strategy == "one_for_one" and not self._booting

    def _spawn(self, child: Child, now: float) -> Action:
        child.phase = Phase.STARTING
        child.incarnation += 1
        child.cancelled = child.timed_out = child.by_hand = False
        self._alive += 1
        self._deadlines.set(child, now + child.policy.start_timeout)
        return Spawn(child)

    def _ask(self, child: Child, now: float, reason: str, by: float = math.inf) -> Action:
        child.phase = Phase.STOPPING
        child.stale = False
        by = min(now + child.policy.grace, by, math.inf if self._stop_by is None else self._stop_by)
        self._deadlines.set(child, by)
        return AskToStop(child, reason, by)

    def _due(self, child: Child, now: float) -> list[Action]:
        match child.phase:
            case Phase.WAITING:
                if self._is_alone and not self.is_stopping:
                    return [self._spawn(child, now)]
                child.deadline = -math.inf  # due; it starts when it is its turn
                return []
            case Phase.STARTING:
                child.phase, child.timed_out = Phase.STOPPING, True
                return [self._cancel(child, now, "it took too long to start")]
            case Phase.STOPPING:
                if child.cancelled:
                    self._deadlines.set(child, now + STUCK_AFTER_S)
                    return [Stuck(child)]
                return [self._cancel(child, now, "its grace is over")]
            case Phase.UP | Phase.DOWN:  # pragma: no cover - they have no deadline
                raise AssertionError(child)
            case _:  # pragma: no cover - the enumeration is closed
                assert_never(child.phase)

    def _cancel(self, child: Child, now: float, reason: str) -> Action:
        child.cancelled = True
        self._deadlines.set(child, now + STUCK_AFTER_S)
        return Cancel(child, reason)

    def _cut_off(self, now: float) -> list[Action]:
        """The total deadline is over: cancel whoever still runs, in whatever order they stand."""
        self._asked_all = True
        actions: list[Action] = []
        for child in reversed(self.children.values()):
            if child.phase in ALIVE and not child.cancelled:
                child.phase = Phase.STOPPING
                actions.append(self._cancel(child, now, "the time to stop is over"))
        return actions

    def _down(self, child: Child) -> list[Action]:
        """It is down for good, or until somebody starts it by hand."""
        actions: list[Action] = []
        child.phase = Phase.DOWN
        self._deadlines.set(child, math.inf)
        removed = child.first or child.policy.restart == "temporary"
        if child.first:
            child.first = False
            why = ChildStartError(child.id, "it was stopped before it had started")
            actions.append(StartFailed(child, why))
        if removed:
            del self.children[child.id]
        return [*actions, Gone(child, removed)]

    def _begin_to_stop(self, now: float, reason: str, grace: float | None = None) -> list[Action]:
        by = now + (self._grace if grace is None else grace)
        if self._stop_by is None:
            self._stop_by, self._reason, self._booting = by, reason, False
        else:
            self._stop_by = min(self._stop_by, by)
        actions: list[Action] = []
        for child in list(self.children.values()):
            if child.phase is Phase.WAITING:
                actions += self._down(child)
            elif child.phase is Phase.STOPPING and not child.cancelled:
                self._deadlines.set(child, min(child.deadline, self._stop_by))
        return actions

    # -- after an exit ----------------------------------------------------------------------------

    def _stopped(self, child: Child, error: Exception | None, now: float) -> list[Action]:
        """It has ended because it was asked to."""
        actions: list[Action] = []
        if error is not None:
            actions.append(Crashed(child, error, Verdict.STOPPING))
        if child.again and not self.is_stopping and child.policy.restart != "temporary":
            self._wait_until(child, now)
            return actions
        return [*actions, *self._down(child)]

    def _not_started(self, child: Child, error: Exception, now: float) -> list[Action]:
        """Its very first start has failed: it never was a child."""
        del self.children[child.id]
        if child.timed_out:
            failure = _too_slow(child)
        else:
            failure = ChildStartError(child.id, repr(error))
            failure.__cause__ = error
        actions: list[Action] = [StartFailed(child, failure), Gone(child, removed=True)]
        if self._booting and child.of_boot:
            self._error = failure
            actions += self._begin_to_stop(now, f"child {child.id} did not start")
        return actions

    def _decide(
        self, child: Child, error: Exception | None, now: float, decision: ExitDecision | None
    ) -> list[Action]:
        """It has ended by itself: restart it, leave it, or give up."""
        if self.is_stopping:
            return self._stopped(child, error, now)
        if error is not None or decision is not None or child.policy.restart == "permanent":
            child.crashes += 1
        if decision is None and not wants_restart(child.policy.restart, error):
            decision = GiveUp()
        match decision:
            case None:
                crash = ChildCrash(child.id, child.incarnation, error, now)
                self.history, too_many = add_restart(self.history, crash, self._intensity)
                if too_many:
                    return self._escalate(child, error, now)
                delay = delay_of(child.policy.backoff, child.crashes, self._dice())
                return self._come_back(child, error, now, delay)
            case RestartAfter():
                return self._come_back(child, error, now, decision.seconds)
            case GiveUp():
                actions: list[Action] = []
                if error is not None:
                    actions.append(Crashed(child, error, Verdict.STAY_DOWN))
                if child.stale and child.policy.restart != "temporary":
                    # It has ended just before it was stopped, for a sibling's sake.
                    self._wait_until(child, now)
                    return actions
                return [*actions, *self._down(child), *self._after_end(child, now)]
            case Escalate():
                crash = ChildCrash(child.id, child.incarnation, error, now)
                self.history = (*self.history, crash)
                return self._escalate(child, error, now)
            case _:  # pragma: no cover - the union is closed
                assert_never(decision)

    def _escalate(self, child: Child, error: Exception | None, now: float) -> list[Action]:
        self._escalated = True
        return [
            Crashed(child, error, Verdict.ESCALATE),
            *self._down(child),
            *self._begin_to_stop(now, "the supervisor gave up"),
        ]

    def _after_end(self, child: Child, now: float) -> list[Action]:
        """A significant child that has ended by itself may take the supervisor with it."""
        if not child.policy.significant or self._auto_shutdown == "never":
            return []
        if self._auto_shutdown == "all_significant" and any(
            other.policy.significant and other.phase is not Phase.DOWN
            for other in self.children.values()
        ):
            return []
        return self._begin_to_stop(now, f"significant child {child.id} has ended")

    def _come_back(
        self, child: Child, error: Exception | None, now: float, delay: float
    ) -> list[Action]:
        """Restart a child, with those that its end concerns."""
        actions: list[Action] = []
        if self._breaker is not None:
            actions += self._count_crash(self._breaker, now)
            if now < self._breaker.until:
                delay = max(delay, self._breaker.after_pause() - now)
        self._wait_until(child, now + delay)
        for other in self._concerned(child):
            if other.phase in {Phase.STARTING, Phase.UP}:
                other.stale = True
            elif other.phase is Phase.WAITING:  # perhaps for longer: it has crashed itself
                self._wait_until(other, max(other.deadline, now + delay))
            elif other.phase is Phase.DOWN and not other.by_hand:
                self._wait_until(other, now + delay)
                actions.append(Revived(other))
        return [Crashed(child, error, Verdict.RESTART, delay), *actions]

    def _count_crash(self, breaker: CrashCounter, now: float) -> list[Action]:
        if not breaker.count(now):
            return []
        for child in self.children.values():
            if child.phase is Phase.WAITING and not child.first:  # it has crashed just before
                self._deadlines.set(child, max(child.deadline, breaker.after_pause()))
        return [BreakerOpened(breaker.until)]

    def _concerned(self, child: Child) -> Iterator[Child]:
        """Find the siblings that are restarted with a child."""
        match self._strategy:
            case "one_for_one":
                return
            case "one_for_all":
                yield from (one for one in self.children.values() if one is not child)
            case "rest_for_one":
                later = itertools.dropwhile(lambda one: one is not child, self.children.values())
                yield from itertools.islice(later, 1, None)
            case _:  # pragma: no cover - the literal is closed
                assert_never(self._strategy)

    # -- what comes next, in order ----------------------------------------------------------------

    def _go_on(self, now: float) -> Iterator[Action]:
        """Do the next thing that has become possible."""
        if self.is_stopping:
            yield from self._stop_next(now)
        elif self._booting or self._strategy != "one_for_one":
            yield from self._regroup(now)

    def _stop_next(self, now: float) -> Iterator[Action]:
        assert self._stop_by is not None
        if not self._alive:
            if not self._finished:
                self._finished = True
                yield Finished(self.history if self._escalated else (), self._error)
            return
        if self._asked_all:
            return
        for child in reversed(self.children.values()):
            if child.phase in {Phase.STARTING, Phase.UP}:
                yield self._ask(child, now, self._reason)
            if child.phase is Phase.STOPPING and not self._together:
                return
        self._asked_all = self._together

    def _regroup(self, now: float) -> Iterator[Action]:
        """Stop what is stale, last one first; when all of it is gone, start what waits, in order."""
        one_is_stopping = False
        for child in reversed(self.children.values()):
            if child.stale:
                if not one_is_stopping:
                    child.again = True
                    yield self._ask(child, now, "a sibling is restarted")
                return
            if child.phase is Phase.STOPPING:
                if child.again:
                    return
                one_is_stopping = True  # by hand: only those that it may rely on wait for it
        for child in self.children.values():
            if child.phase is Phase.STARTING or (child.phase is Phase.STOPPING and child.timed_out):
                return
            if child.phase is Phase.WAITING:
                if child.deadline <= now:
                    yield self._spawn(child, now)
                return
        self._booting = False


def _too_slow(child: Child) -> ChildStartError:
    return ChildStartError(child.id, f"not within {child.policy.start_timeout:g} s")
