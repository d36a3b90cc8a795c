"""Drives a supervisor's machine by hand, and says in words what it decides."""

from __future__ import annotations

import math

import pytest

from claw_actors._core.supervision.actions import (
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
from claw_actors._core.supervision.child import Child
from claw_actors._core.supervision.machine import SupervisorMachine
from claw_actors._core.supervision.policy import Backoff, ChildPolicy, Intensity

ALWAYS = Intensity(max_restarts=1_000)
STEADY = Backoff(initial=1, factor=2, maximum=10, jitter=0, reset_after=60)


WORDS = {
    Spawn: "spawn",
    Cancel: "cancel",
    Started: "started",
    StartFailed: "not started",
    Revived: "revived",
    Stuck: "stuck",
}


def in_words(action):
    match action:
        case Spawn() | Cancel() | Started() | StartFailed() | Revived() | Stuck():
            return f"{WORDS[type(action)]} {action.child.id}"
        case AskToStop(child, _, deadline):
            return f"ask {child.id} by {deadline:g}"
        case Crashed(child, _, Verdict.RESTART, delay):
            return f"crashed {child.id}, back in {delay:g}"
        case Crashed(child, _, verdict):
            return f"crashed {child.id}, {verdict.value}"
        case Gone(child, removed):
            return f"{'removed' if removed else 'down'} {child.id}"
        case BreakerOpened(until):
            return f"breaker open until {until:g}"
        case Finished():
            return "finished"


class Driver:
    """A machine, the time, and everything it has decided, in words."""

    def __init__(self, ids="", *, now=0.0, default=None, each=None, **policy):
        policy.setdefault("intensity", ALWAYS)
        policy.setdefault("grace", 30)
        self.machine = SupervisorMachine(**policy)
        self.now = now
        self.actions = []
        self.ids = ids.split()
        self._default = {"backoff": STEADY, **(default or {})}
        self._each = each or {}

    def make(self, id, **own):
        return Child(id, ChildPolicy(**{**self._default, **self._each.get(id, {}), **own}))

    def _done(self, actions):
        actions = list(actions)
        self.actions += actions
        return [in_words(action) for action in actions]

    def __getitem__(self, id):
        return self.machine.find(id)

    def boot(self):
        return self._done(self.machine.boot([self.make(id) for id in self.ids], self.now))

    def booted(self):
        """Start them all."""
        self.boot()
        for id in self.ids:
            self.up(id)
        assert not self.machine.is_booting
        return self

    def booted_until(self, last):
        """Start those before one, and begin with that."""
        self.boot()
        for id in self.ids[: self.ids.index(last)]:
            self.up(id)
        return self

    def add(self, id, **own):
        return self._done(self.machine.add(self.make(id, **own), self.now))

    def up(self, id):
        return self._done(self.machine.acknowledged(self[id], self.now))

    def exit(self, id, error=None, decision=None):
        return self._done(self.machine.exited(self[id], error, self.now, decision))

    def crash(self, id, decision=None):
        return self.exit(id, ValueError(id), decision)

    def stop(self, id, grace=math.inf):
        return self._done(self.machine.stop(self[id], self.now, "enough", grace))

    def restart(self, id):
        return self._done(self.machine.restart(self[id], self.now))

    def shut_down(self, grace=None):
        return self._done(self.machine.shut_down(self.now, "enough", grace))

    def wait(self, seconds):
        """Let time pass, and wake the machine at its deadlines only."""
        until, said = self.now + seconds, []
        while self.machine.next_deadline() <= until:
            self.now = max(self.now, self.machine.next_deadline())
            said += self._done(self.machine.tick(self.now))
        self.now = until
        assert self.machine.tick(self.now) == [], "something was due, and no deadline said so"
        return said

    def phases(self):
        return {child.id: child.phase.value for child in self.machine.children.values()}


@pytest.fixture
def drive():
    """Make a driver: ``drive("a b c", strategy=..., default={...}, each={"a": {...}})``."""
    return Driver
