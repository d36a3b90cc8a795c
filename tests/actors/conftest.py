"""A child that does what a test tells it to, and notes what happens to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
import pytest
import trio

from claw_actors.actors import Actor, Backoff, ChildSpec, Instrument

STEADY = Backoff(initial=1, factor=2, maximum=8, jitter=0, reset_after=60)


class Puppet(Actor):
    """Calls what it is sent, with itself; its answer is what that returns."""

    def __init__(self, log, name, on_start=None, on_stop=None):
        self.log, self.name = log, name
        self._on_start, self._on_stop = on_start, on_stop

    def note(self, what):
        self.log.append(f"{self.name} {what}")

    async def on_start(self):
        self.note("starts")
        if self._on_start is not None:
            await self._on_start(self)

    async def receive(self, message):
        if callable(message):
            answer = message(self)
            return await answer if isinstance(answer, Awaitable) else answer
        self.note(message)
        return message

    async def on_stop(self):
        self.note("stops")
        if self._on_stop is not None:
            await self._on_stop(self)

    async def on_down(self, down):
        self.note(f"sees {down.path} down, {'final' if down.final else 'not final'}")


@attrs.define
class Stage:
    """Makes specs of puppets that share one log."""

    log: list = attrs.field(factory=list)

    def puppet(self, id="a", *, on_start=None, on_stop=None, **options):
        options.setdefault("backoff", STEADY)
        return ChildSpec(id, lambda: Puppet(self.log, id, on_start, on_stop), **options)

    def take(self):
        """Return what was noted since the last time."""
        noted = list(self.log)
        self.log.clear()
        return noted


def crash(_):
    """Sent to a puppet, it crashes."""
    raise ValueError("as told")


def sleep(seconds) -> Callable[[Puppet], Awaitable[None]]:
    """Sent to a puppet, it is busy that long."""

    async def be_busy(puppet):
        puppet.note("is busy")
        await trio.sleep(seconds)
        puppet.note("is done")

    return be_busy


class Recorder(Instrument):
    """Keeps everything that it is told."""

    def __init__(self):
        self.crashes, self.stuck, self.letters = [], [], []
        self.told = []

    def child_spawned(self, path, incarnation):
        self.told.append(f"spawned {path} {incarnation}")

    def child_started(self, path, incarnation):
        self.told.append(f"started {path} {incarnation}")

    def child_asked_to_stop(self, path, incarnation, reason):
        self.told.append(f"asked {path} {incarnation}: {reason}")

    def child_exited(self, path, incarnation, error):
        self.told.append(f"exited {path} {incarnation}: {error!r}")

    def child_crashed(self, report):
        self.crashes.append(report)

    def child_stuck(self, report):
        self.stuck.append(report)

    def dead_letter(self, letter):
        self.letters.append(letter)

    def breaker_opened(self, path, until):
        self.told.append(f"breaker of {path!r} open until {until:g}")


@pytest.fixture
def stage():
    """Make puppets."""
    return Stage()


@pytest.fixture
def recorder():
    """See what happens."""
    return Recorder()


@pytest.fixture
def told():
    """What to tell a puppet."""
    return Told


class Told:
    """What to tell a puppet."""

    crash = staticmethod(crash)
    sleep = staticmethod(sleep)
