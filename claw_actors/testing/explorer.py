"""The crash explorer: die before, inside and after every commit, and look whether it matters.

A scenario is run once without interruption, inline, under virtual time and a seeded schedule, and
its commits are counted. Then it is run again and again, each time dying at another moment;
what a disk would have kept is all that the next life gets, and some lives die once more. The
resumed run must end, its result must equal the uninterrupted one, and the witness must be content
(``witness``):

- what storage has acknowledged is there;
- no recorded task runs again, and nothing is recorded twice;
- no task body runs on the strength of an outcome that is not durable;
- a life is counted, and so is a recovery, before anything of it runs;
- lives never go down, and journals only grow.

The idea is that of FoundationDB's and TigerBeetle's simulation, and of SQLite's crash tests.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeAlias

import attrs
import trio
import trio.testing

from .._runtime.config import RuntimeConfig
from .._runtime.environment import AttemptBegun, Environment
from .._runtime.opening import open_runtime
from .._runtime.runtime import Runtime
from ..definitions import Workflow
from ..storage.memory import MemoryStorage
from .clock import EPOCH, virtual_environment
from .disk import CrashPoint, FakeDisk, When
from .schedule import seeded_schedule
from .witness import Witness, read_everything

__all__ = ["Exploration", "ExplorationFailed", "Scenario", "explore"]

PATIENCE_S = 10 * 365 * 86_400.0
"""Virtual seconds after which a scenario that has not ended never will."""

MAX_TICKS = 12
"""How long, in scheduler ticks, a process may live on after the commit it dies after."""

DOWNTIMES_S = (0.0, 0.5, 30.0, 100_000.0)

Scenario: TypeAlias = Callable[[Runtime], Awaitable[object]]
"""Starts workflows under fixed ids and returns what must not depend on crashes.

It is called in every life of the process, so it must not mind doing its part again."""


class ExplorationFailed(AssertionError):
    """A crash was survived badly.

    Attributes:
        seed: of the schedule and of everything random.
        crashes: when the process died, life by life.
        problems: what did not hold.
    """

    def __init__(self, seed: int, crashes: Sequence[CrashPoint], problems: Sequence[str]) -> None:
        died = ", then ".join(str(crash) for crash in crashes) or "never"
        super().__init__(
            f"seed {seed}, died {died}: {'; '.join(problems)}\n"
            f"to see it again: explore(..., seeds=[{seed}], crashes={list(crashes)!r})"
        )
        self.seed = seed
        self.crashes: tuple[CrashPoint, ...] = tuple(crashes)
        self.problems: tuple[str, ...] = tuple(problems)


@attrs.frozen(kw_only=True)
class Exploration:
    """What was explored.

    Attributes:
        seeds: how many schedules.
        commits: commits of the uninterrupted runs, in all.
        lives: lives of the process, in all.
        crashes: how many of them died.
        attempts: task bodies run, in all.
    """

    seeds: int
    commits: int
    lives: int
    crashes: int
    attempts: int


@attrs.frozen
class _Life:
    """One life of the process, over."""

    witness: Witness
    result: object
    ended: bool
    error: BaseException | None
    at: float

    @property
    def died(self) -> bool:
        return self.witness.disk.is_dead

    def problems(self) -> list[str]:
        self.witness.check_survivors()
        problems = list(self.witness.problems)
        if self.error is not None and not self.died:
            problems.append(f"the scenario raised {self.error!r}")
        elif not self.ended and not self.died:
            problems.append("it never ends")
        return problems


class _Explorer:
    """Runs lives of one scenario."""

    def __init__(
        self,
        scenario: Scenario,
        workflows: Iterable[Workflow[..., object]],
        config: RuntimeConfig,
    ) -> None:
        self._scenario = scenario
        self._workflows = tuple(workflows)
        # What dies here is the process: nobody opens its storage again.
        self._config = attrs.evolve(config, max_storage_restarts=0)
        self.lives = self.crashes = self.attempts = 0

    def uninterrupted(self, seed: int) -> _Life:
        """Run the scenario without a crash.

        Raises:
            ExplorationFailed: it fails even so.
        """
        life = self._live(MemoryStorage(), None, seed, EPOCH)
        if problems := life.problems():
            raise ExplorationFailed(seed, (), problems)
        return life

    def survive(self, seed: int, crashes: Sequence[CrashPoint], expected: object) -> None:
        """Run the scenario through these crashes, and compare how it ends.

        Raises:
            ExplorationFailed: something does not hold.
        """
        rng = random.Random(f"{seed} {crashes}")
        surviving, at = MemoryStorage(), EPOCH
        # Never runs out: the last life meets no crash, so it ends, or there is a problem.
        for number, crash in enumerate((*crashes, None)):  # pragma: no branch
            life = self._live(surviving, crash, seed + 1_000_003 * number, at)
            problems = life.problems()
            if life.ended and life.result != expected:
                problems.append(f"the result is {life.result!r} instead of {expected!r}")
            if problems:
                raise ExplorationFailed(seed, crashes, problems)
            if life.ended:
                return
            surviving = life.witness.disk.surviving()
            at = life.at + rng.choice(DOWNTIMES_S)

    def _live(
        self, surviving: MemoryStorage, crash: CrashPoint | None, seed: int, start: float
    ) -> _Life:
        disk = FakeDisk(surviving, crash)
        witness = Witness(disk, read_everything(surviving), self._config.healthy_after)

        def begun(attempt: AttemptBegun) -> None:
            witness.begun(attempt, trio.current_time())

        environment = attrs.evolve(
            virtual_environment(seed, start=start),
            on_attempt=begun,
        )
        with seeded_schedule(seed):
            clock = trio.testing.MockClock(autojump_threshold=0)
            life = trio.run(self._process, environment, witness, start, clock=clock)
        self.lives += 1
        self.crashes += life.died
        self.attempts += witness.attempts
        return life

    async def _process(self, environment: Environment, witness: Witness, start: float) -> _Life:
        """What a program would do: open the runtime, and do its work in it."""
        disk = witness.disk
        result: object = None
        error: BaseException | None = None
        ended = False
        async with trio.open_nursery() as nursery:

            async def execute(ticks: int) -> None:
                for _ in range(ticks):
                    await trio.lowlevel.checkpoint()
                disk.die()
                process.cancel(reason="the process dies")

            disk.when_dying(lambda ticks: nursery.start_soon(execute, ticks))
            with trio.CancelScope(deadline=trio.current_time() + PATIENCE_S) as process:
                try:
                    async with open_runtime(
                        disk,
                        workflows=self._workflows,
                        config=self._config,
                        environment=environment,
                    ) as runtime:
                        result = await self._scenario(runtime)
                        ended = True
                except Exception as raised:  # of a dying process anything may come
                    error = raised
            nursery.cancel_scope.cancel(reason="the scenario is over")
        return _Life(witness, result, ended, error, start + trio.current_time())


def explore(
    scenario: Scenario,
    *,
    workflows: Iterable[Workflow[..., object]],
    seeds: Iterable[int] = range(20),
    crashes: Sequence[CrashPoint] | None = None,
    config: RuntimeConfig | None = None,
) -> Exploration:
    """Crash a scenario before, inside and after each of its commits, and hold it to its promises.

    Runs Trio by itself, under a mock clock; call it from a plain function.

    Args:
        scenario: an async function of a runtime; it starts workflows under fixed ids, waits for
            them, and returns what must not depend on crashes.
        workflows: what the runtime is opened with. Task bodies run inline and must not use real
            time.
        seeds: one schedule each.
        crashes: only die like this, life by life; to see one failure again.
        config: of the runtime.

    Raises:
        ExplorationFailed: something does not hold; it names the seed and the commit.
    """
    explorer = _Explorer(scenario, workflows, config or RuntimeConfig())
    seeds = list(seeds)
    commits = 0
    for seed in seeds:
        whole = explorer.uninterrupted(seed)
        total = whole.witness.disk.commits
        commits += total
        rng = random.Random(seed)
        if crashes is not None:
            explorer.survive(seed, crashes, whole.result)
            continue
        for commit in range(1, total + 1):
            for when in When:
                ticks = rng.randint(0, MAX_TICKS) if when is When.AFTER else 0
                plan = [CrashPoint(commit, when, ticks)]
                if rng.random() < 0.25:  # and once more, in the life that recovers
                    plan.append(CrashPoint(rng.randint(1, total), rng.choice(list(When))))
                explorer.survive(seed, plan, whole.result)
    return Exploration(
        seeds=len(seeds),
        commits=commits,
        lives=explorer.lives,
        crashes=explorer.crashes,
        attempts=explorer.attempts,
    )
