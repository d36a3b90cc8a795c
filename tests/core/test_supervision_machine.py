"""Random lives under the supervision machine, against a model that knows no order of events.

The model is what a reader of the documentation would expect: what state each child is in, until
when it may take for what it does, and what must never happen. It has neither queues nor passes
over children, and finds out what the machine does only from its actions. After every event, with
the machine woken at its own deadlines only:

- each child is in the state that the model has for it;
- no incarnation begins before the last one is gone, before its delay is over, or out of turn;
- nobody is asked to stop out of turn, or twice, or with another deadline than its own;
- nothing is late: no grace, no time to start, no restart, no stop whose turn has come.

At the end, when everybody has done what was asked and time has passed, all that must be up is.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import get_args

import attrs
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from claw_actors._core.supervision import actions as act
from claw_actors._core.supervision.child import Child
from claw_actors._core.supervision.machine import STUCK_AFTER_S, SupervisorMachine
from claw_actors._core.supervision.policy import (
    AutoShutdown,
    Backoff,
    Breaker,
    ChildPolicy,
    Escalate,
    GiveUp,
    Intensity,
    RestartAfter,
    RestartType,
    Strategy,
)

BACKOFF = Backoff(initial=1, factor=2, maximum=8, jitter=0, reset_after=20)
BREAKER = Breaker(max_crashes=2, within=10, pause=30)

seconds = st.sampled_from((0, 0, 1, 2, 5, 10, 40))
graces = st.sampled_from((0, 1, 5, 20, math.inf))
errors = st.sampled_from((None, ValueError("bad"), ValueError("worse")))
some_decision = st.sampled_from(
    (None, None, None, None, None, None, RestartAfter(0), RestartAfter(3), GiveUp(), Escalate())
)
policies = st.builds(
    ChildPolicy,
    restart=st.sampled_from(("permanent", "permanent", *get_args(RestartType))),
    grace=graces,
    start_timeout=st.sampled_from((0, 3, 30, 30, 30, math.inf, math.inf)),
    significant=st.booleans(),
    backoff=st.just(BACKOFF),
)
restart_windows = st.sampled_from(
    (Intensity(max_restarts=1_000), Intensity(max_restarts=1_000), Intensity(max_restarts=2))
)


@attrs.define(eq=False)
class One:
    """A child, as the model has it.

    Attributes:
        state: "down", "waiting" (to be started), "starting", "up".
        asked: why it was asked to stop: "hand", "sibling", "all".
        late: whether it was cancelled as it took too long to start.
        doomed: whether it is to be stopped, and started again, for a sibling's sake.
        due: when it is cancelled, at the latest.
        ready: when it may start, at the earliest.
    """

    child: Child
    state: str = "waiting"
    asked: str | None = None
    late: bool = False
    cancelled: float | None = None
    doomed: bool = False
    by_hand: bool = False
    first: bool = True
    of_boot: bool = False
    due: float = math.inf
    ready: float = -math.inf
    up_since: float = math.inf
    streak: int = 0
    lives: int = 0

    @property
    def id(self):
        return self.child.id

    @property
    def policy(self):
        return self.child.policy

    @property
    def alive(self):
        return self.state in {"starting", "up"}

    @property
    def phase(self):
        return "stopping" if self.alive and (self.asked or self.late) else self.state


class Lives(RuleBasedStateMachine):
    """A supervisor's machine that is told what happens, and the model beside it."""

    make_machine = SupervisorMachine

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.all: dict[str, One] = {}
        self.numbers = iter(range(1_000_000))
        self.crashes: list[float] = []
        self.breaking: list[float] = []
        self.breaker_until = -math.inf
        self.booting = True
        self.stop_by = None
        self.finished = False
        self.seen: Counter[str] = Counter()

    @initialize(
        strategy=st.sampled_from(get_args(Strategy)),
        children=st.lists(policies, min_size=1, max_size=5),
        window=restart_windows,
        auto_shutdown=st.sampled_from(("never", "never", *get_args(AutoShutdown))),
        together=st.booleans(),
        breaker=st.sampled_from((None, BREAKER)),
        grace=graces,
        booted=st.sampled_from((True, True, False)),
    )
    def boot(self, strategy, children, window, auto_shutdown, together, breaker, grace, booted):
        self.strategy, self.window, self.auto_shutdown = strategy, window, auto_shutdown
        self.together, self.breaker, self.grace = together, breaker, grace
        self.machine = self.make_machine(
            strategy=strategy,
            intensity=window,
            auto_shutdown=auto_shutdown,
            stop_together=together,
            breaker=breaker,
            grace=grace,
            dice=lambda: 0.0,
        )
        made = [One(Child(f"c{next(self.numbers)}", policy), of_boot=True) for policy in children]
        self.all = {one.id: one for one in made}
        self.carry_out(self.machine.boot([one.child for one in made], self.now))
        if booted:  # there is most to be seen of what runs
            self.acknowledge_all()

    # -- what happens -------------------------------------------------------------------------------

    def pick(self, data, *phases):
        """Draw a child in one of these states, or nobody."""
        fit = [one for one in self.all.values() if one.phase in phases]
        return data.draw(st.sampled_from(fit)) if fit else None

    @rule(data=st.data())
    def acknowledge(self, data):
        one = self.pick(data, "starting", "starting", "stopping")
        if one is not None:
            self.does_acknowledge(one)

    @rule()
    def acknowledge_all(self):
        for one in self.all.values():
            if one.phase == "starting":
                self.does_acknowledge(one)

    def does_acknowledge(self, one):
        if one.phase == "starting":
            one.state, one.up_since, one.due, one.first = "up", self.now, math.inf, False
        self.carry_out(self.machine.acknowledged(one.child, self.now))

    @rule(data=st.data(), error=errors, decision=some_decision)
    def end(self, data, error, decision):
        one = self.pick(data, "starting", "up", "stopping")
        if one is not None:
            self.does_end(one, error, decision)

    @rule(data=st.data(), error=errors)
    def crash_or_obey(self, data, error):
        one = self.pick(data, "up", "stopping")
        if one is not None:
            self.does_end(one, None if one.phase == "stopping" else error, None)

    def does_end(self, one, error, decision):
        self.is_gone(one, error is not None, decision)
        self.carry_out(self.machine.exited(one.child, error, self.now, decision))

    @rule(data=st.data(), really=st.integers(0, 2), grace=graces)
    def stop(self, data, really, grace):
        one = really == 0 and self.pick(data, "starting", "up", "stopping", "waiting", "down")
        if not one:
            return
        one.by_hand, one.doomed = True, False
        if one.phase == "waiting":
            self.is_down(one)
        elif one.phase == "stopping":
            one.asked, one.late = "hand", False
            one.due = min(one.due, self.now + grace)
        self.carry_out(self.machine.stop(one.child, self.now, "by hand", grace), grace)

    @precondition(lambda self: self.stop_by is None)
    @rule(data=st.data())
    def restart(self, data):
        one = self.pick(data, "down")
        if one is not None:
            one.by_hand, one.state, one.ready = False, "waiting", self.now
            self.carry_out(self.machine.restart(one.child, self.now))

    @rule(data=st.data())
    def delete(self, data):
        one = self.pick(data, "down")
        if one is not None:
            del self.all[one.id]
            self.machine.delete(one.child)

    @precondition(lambda self: self.stop_by is None)
    @rule(policy=policies)
    def add(self, policy):
        one = One(Child(f"c{next(self.numbers)}", policy), ready=self.now)
        self.all[one.id] = one
        self.carry_out(self.machine.add(one.child, self.now))

    @rule(seconds=seconds)
    def wait(self, seconds):
        self.pass_time(self.now + seconds)

    @rule(really=st.integers(0, 30), grace=st.none() | graces)
    def shut_down(self, really, grace):
        if really == 0 or self.stop_by is not None:
            self.is_stopping(self.grace if grace is None else grace)
            self.carry_out(self.machine.shut_down(self.now, "enough", grace))

    # -- what the model expects of it ---------------------------------------------------------------

    def is_gone(self, one, failed, decision):
        """An incarnation has ended."""
        if self.now - one.up_since >= BACKOFF.reset_after:
            one.streak = 0
        was_starting = one.state == "starting"
        asked, one.asked = one.asked, None
        late, one.late = one.late, False
        failed = failed or late
        one.up_since = one.due = math.inf
        one.cancelled, one.state = None, "gone"
        if asked is not None:
            if asked == "sibling" and one.policy.restart != "temporary" and self.stop_by is None:
                one.state, one.ready = "waiting", self.now
            else:
                self.is_down(one)
        elif was_starting and one.first and failed:
            del self.all[one.id]
            if self.booting and one.of_boot:
                self.is_stopping(self.grace)
        else:
            one.first = False
            self.has_ended_by_itself(one, failed, decision)

    def has_ended_by_itself(self, one, failed, decision):
        doomed, one.doomed = one.doomed, False
        restart = one.policy.restart
        if self.stop_by is not None:
            self.is_down(one)
            return
        if failed or decision is not None or restart == "permanent":
            one.streak += 1
        if decision is None and not (restart == "permanent" or (restart == "transient" and failed)):
            decision = GiveUp()
        if isinstance(decision, GiveUp) and doomed and restart != "temporary":
            one.state, one.ready = "waiting", self.now
        elif isinstance(decision, GiveUp):
            self.is_down(one)
            others = [two for two in self.all.values() if two.policy.significant]
            left = [two for two in others if two is not one and two.state != "down"]
            last = self.auto_shutdown == "any_significant" or not left
            if one.policy.significant and self.auto_shutdown != "never" and last:
                self.is_stopping(self.grace)
        elif isinstance(decision, Escalate) or (decision is None and self.is_too_much()):
            self.is_down(one)
            self.is_stopping(self.grace)
        else:
            delay = min(8, 2 ** (one.streak - 1)) if decision is None else decision.seconds
            self.comes_back(one, delay)

    def is_too_much(self):
        self.crashes = [at for at in self.crashes if self.now - at < self.window.within]
        self.crashes.append(self.now)
        return len(self.crashes) > self.window.max_restarts

    def comes_back(self, one, delay):
        one.state, one.ready = "waiting", self.now + delay
        if self.breaker is not None:
            self.breaking = [at for at in self.breaking if self.now - at < BREAKER.within]
            self.breaking.append(self.now)
            if len(self.breaking) > BREAKER.max_crashes:
                self.breaking, self.breaker_until = [], self.now + BREAKER.pause
                for two in self.all.values():
                    if two.state == "waiting" and not two.first:
                        two.ready = max(two.ready, self.breaker_until)
            one.ready = max(one.ready, self.breaker_until)
        ids = list(self.all)
        for two in self.all.values():
            later = ids.index(two.id) > ids.index(one.id)
            if two is one or self.strategy == "one_for_one":
                continue
            if self.strategy == "rest_for_one" and not later:
                continue
            if two.phase in {"starting", "up"}:
                two.doomed = True
            elif two.phase == "waiting":
                two.ready = max(two.ready, one.ready)
            elif two.phase == "down" and not two.by_hand:
                two.state, two.ready = "waiting", one.ready

    def is_down(self, one):
        one.state, one.doomed = "down", False
        if one.first or one.policy.restart == "temporary":
            del self.all[one.id]

    def is_stopping(self, grace):
        by = self.now + grace
        self.stop_by = by if self.stop_by is None else min(by, self.stop_by)
        self.booting = False
        for one in list(self.all.values()):
            one.doomed = False
            if one.state == "waiting":
                self.is_down(one)
            elif one.asked and one.cancelled is None:
                one.due = min(one.due, self.stop_by)

    # -- what it sees the machine do ----------------------------------------------------------------

    def carry_out(self, actions, grace=math.inf):
        self.see(actions, grace)
        self.settle()

    def see(self, actions, grace=math.inf):
        for action in actions:
            assert not self.finished, f"{action} after the end"
            name = type(action).__name__
            self.seen[name] += 1
            one = self.all.get(action.child.id) if hasattr(action, "child") else None
            if name == "AskToStop":
                self.sees_ask(action, one, grace)
            elif hasattr(self, f"sees_{name.lower()}"):
                getattr(self, f"sees_{name.lower()}")(action, one)
        if self.booting and not self.machine.is_booting:
            self.booting = False
            assert self.stop_by is not None or not self.in_the_way("waiting", "starting")
        elif self.booting:
            assert self.in_the_way("waiting", "starting", "stopping"), "the boot does not end"

    def in_the_way(self, *phases):
        return any(one.phase in phases for one in self.all.values())

    def settle(self):
        """Wake the machine for what it says is due, and for nothing else."""
        for _ in range(100):
            if self.machine.next_deadline() > self.now:
                return
            self.see(self.machine.tick(self.now))
        raise AssertionError("it asks to be woken again and again")

    def pass_time(self, until):
        while self.machine.next_deadline() <= until:
            self.now = max(self.now, self.machine.next_deadline())
            self.settle()
        self.now = until
        assert self.machine.tick(self.now) == [], "something was due, and no deadline said so"

    def sees_spawn(self, _, one):
        assert one.state == "waiting", f"{one.id} is {one.phase}"
        assert self.stop_by is None
        assert self.now >= one.ready, "its delay was cut short"
        if self.booting or self.strategy != "one_for_one":
            for two in self.all.values():
                if two is one:
                    break
                assert two.phase in {"up", "down"} or two.asked == "hand", f"before {two.id}"
            assert not any(two.doomed or two.asked == "sibling" for two in self.all.values())
        one.state, one.due = "starting", self.now + one.policy.start_timeout
        one.lives += 1
        one.by_hand = False
        assert one.child.incarnation == one.lives

    def sees_ask(self, action, one, grace):
        assert one.phase in {"starting", "up"}, f"{one.id} is {one.phase}"
        later = list(self.all.values())[list(self.all).index(one.id) + 1 :]
        by = math.inf if self.stop_by is None else self.stop_by
        if action.reason == "by hand":
            one.asked, by = "hand", min(by, self.now + grace)
        elif self.stop_by is not None:
            one.asked = "all"
            assert self.together or not any(two.alive for two in later)
        else:
            assert one.doomed
            assert not any(two.doomed or two.phase == "stopping" for two in later)
            one.asked, one.doomed = "sibling", False
        one.due = min(by, self.now + one.policy.grace)
        assert action.deadline == one.due

    def sees_cancel(self, _, one):
        assert one.alive
        assert one.cancelled is None
        cut_off = self.stop_by is not None and self.now >= self.stop_by
        assert self.now == one.due or cut_off
        if one.phase == "starting" and self.now == one.due:
            one.late = True
        elif one.asked is None:
            one.asked = "all"
        one.doomed, one.cancelled = False, self.now

    def sees_stuck(self, _, one):
        assert one.alive
        assert one.cancelled is not None
        assert self.now >= one.cancelled + STUCK_AFTER_S
        assert (self.now - one.cancelled) % STUCK_AFTER_S == 0

    def sees_revived(self, _, one):
        assert one.state == "waiting"

    def sees_finished(self, *_):
        assert self.stop_by is not None
        assert not any(one.alive for one in self.all.values())
        self.finished = True

    # -- what always holds --------------------------------------------------------------------------

    @invariant()
    def every_child_is_where_it_should_be(self):
        if not hasattr(self, "machine"):
            return
        expected = {one.id: one.phase for one in self.all.values()}
        found = {child.id: child.phase.value for child in self.machine.children.values()}
        assert found == expected
        assert self.machine.alive == sum(one.alive for one in self.all.values())
        assert self.machine.is_booting == self.booting

    @invariant()
    def nothing_is_late(self):
        self.seen["looks"] += 1
        children = list(self.all.values())
        for one in children:
            if one.alive and one.cancelled is None:
                assert one.due > self.now, f"{one.id} should be cancelled"
        alive = [one for one in children if one.alive]
        if self.stop_by is not None:
            assert self.finished == (not alive)
            assert (
                not alive
                or self.stop_by > self.now
                or all(one.cancelled is not None for one in alive)
            )
            if alive:
                assert alive[-1].asked or alive[-1].late
            if self.together:
                assert all(one.asked or one.late for one in alive)
            return
        waiting = [one for one in children if one.state == "waiting"]
        if self.strategy == "one_for_one" and not self.booting:
            assert all(one.ready > self.now for one in waiting), "one should be up again"
            return
        doomed = [one for one in children if one.doomed]
        being_stopped = [one for one in alive if one.asked == "sibling"]
        starting = [one for one in children if one.phase == "starting" or one.late]
        if doomed:
            assert any(one.phase == "stopping" for one in alive), "nobody is being stopped"
        elif waiting and not being_stopped and not starting:
            assert waiting[0].ready > self.now, "the next one should be starting"

    # -- the end ------------------------------------------------------------------------------------

    def teardown(self):
        if not hasattr(self, "machine"):
            return
        self.come_to_rest()
        found = {child.id for child in self.machine.children.values() if child.phase.value == "up"}
        expected = {one.id for one in self.all.values() if one.state != "down"}
        assert found == expected, "a child was lost"
        self.is_stopping(0)
        self.carry_out(self.machine.shut_down(self.now, "the end", 0))
        self.come_to_rest()
        assert self.finished
        assert self.machine.next_deadline() == math.inf

    def come_to_rest(self):
        """Have everybody do what is asked, and let time pass, until nothing happens any more."""
        for _ in range(10_000):
            self.every_child_is_where_it_should_be()
            self.nothing_is_late()
            busy = [one for one in self.all.values() if one.phase in {"starting", "stopping"}]
            if busy and busy[0].phase == "starting":
                self.does_acknowledge(busy[0])
            elif busy:
                self.does_end(busy[0], None, None)
            elif self.machine.next_deadline() < math.inf:
                self.pass_time(self.machine.next_deadline())
            else:
                return
        raise AssertionError("it does not come to rest")


SETTINGS = settings(
    max_examples=120,
    stateful_step_count=30,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def test_random_lives_are_supervised_as_documented():
    """Whatever children do, whoever interferes."""
    run_state_machine_as_test(Lives, settings=SETTINGS)


@pytest.mark.slow
def test_very_many_random_lives_are_supervised_as_documented(is_long, tell):
    """The same for 20,000 steps at least, and 200,000 in the long form."""
    seen: Counter[str] = Counter()

    class Counted(Lives):
        def teardown(self):
            super().teardown()
            seen.update(self.seen)

    examples = 10_000 if is_long else 500
    run_state_machine_as_test(
        Counted, settings=settings(SETTINGS, max_examples=examples, stateful_step_count=50)
    )
    tell(f"supervision: {', '.join(f'{what} {n:,}' for what, n in sorted(seen.items()))}")
    assert seen["looks"] > (200_000 if is_long else 20_000)
    assert {kind.__name__ for kind in get_args(act.Action)} <= set(seen), "one never happened"


class StopsInOrder(SupervisorMachine):
    """Stops first what was started first."""

    def _stop_next(self, now):
        self.children = dict(reversed(self.children.items()))
        yield from super()._stop_next(now)
        self.children = dict(reversed(self.children.items()))


class Oversleeps(SupervisorMachine):
    """Does not say that a cancelled child may be stuck, nor when anything else is due then."""

    def next_deadline(self):
        return (
            math.inf
            if any(child.cancelled for child in self.children.values())
            else (super().next_deadline())
        )


class StartsTooEarly(SupervisorMachine):
    """Does not wait until those to be stopped for a sibling's sake are gone."""

    def _regroup(self, now):
        for child in self.children.values():
            if child.phase.value == "waiting" and child.deadline <= now:
                yield self._spawn(child, now)
        yield from super()._regroup(now)


class Insists(SupervisorMachine):
    """Restarts what has been asked to stop meanwhile."""

    def stop(self, child, now, reason, grace):
        actions = super().stop(child, now, reason, grace)
        child.again = child.phase.value == "stopping"
        return actions


@pytest.mark.parametrize(
    "broken",
    [StopsInOrder, Oversleeps, StartsTooEarly, Insists],
    ids=lambda it: it.__name__,
)
def test_a_mistake_of_the_machine_is_found(broken):
    """The same search, with a mistake planted, does not pass."""

    class Mistaken(Lives):
        make_machine = broken

    no_report = settings(SETTINGS, max_examples=2_000, phases=(Phase.generate,), print_blob=False)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Mistaken, settings=no_report)
