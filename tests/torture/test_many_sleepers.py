"""Many that only wait: what they cost, whether each wakes on time, and when all do so at once."""

from __future__ import annotations

import gc
import os
import sys
import time
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing

from claw_actors import (
    Context,
    Runtime,
    RuntimeConfig,
    Status,
    WorkflowFilter,
    open_runtime,
    workflow,
)
from claw_actors._runtime import wakes
from claw_actors.storage.sqlite.journal import Journal
from claw_actors.testing.clock import virtual_environment

pytestmark = pytest.mark.slow

IS_LONG = os.environ.get("CLAW_TORTURE") == "long"

SLEEPERS = 100_000 if IS_LONG else 4_000
AT_ONCE = 10_000 if IS_LONG else 2_000
STARTERS = 50
MAX_ACTIVE = 200
WARM_UP = 2 * MAX_ACTIVE

GROWTH_MB = 30.0
BLOCKS_EACH = 1.0
"""Blocks of memory that Python holds for each passive instance: not even one object."""
MS_EACH = 20.0
"""Processor time to bring one back, run and end it."""

CONFIG = RuntimeConfig(max_active=MAX_ACTIVE)


@attrs.define
class Woken:
    """What sleepers noted when they woke.

    Attributes:
        left: how many still sleep.
        latest: by how much the latest was late, in virtual seconds.
        most: how many instances were in memory then, at most.
        done: set when all are awake.
    """

    left: int
    runtime: Runtime | None = None
    latest: float = 0.0
    most: int = 0
    done: trio.Event = attrs.field(factory=trio.Event)

    def note(self, late: float) -> None:
        assert self.runtime is not None
        self.left -= 1
        self.latest = max(self.latest, late)
        self.most = max(self.most, self.runtime.statistics().active)
        if not self.left:
            self.done.set()


WOKEN = Woken(0)


@workflow
async def sleeper(ctx: Context, seconds: float) -> None:
    due = ctx.now() + seconds
    await ctx.sleep(seconds)
    WOKEN.note(ctx.now() - due)


def rss_mb() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


async def start_all(
    runtime: Runtime, name: str, count: int, seconds: float, step: float = 0.0
) -> None:
    """Start sleepers, many at a time, and wait until all of them are passive."""
    WOKEN.left, WOKEN.runtime, WOKEN.done = count, runtime, trio.Event()
    WOKEN.latest = WOKEN.most = 0

    async def some(first: int) -> None:
        for n in range(first, count, STARTERS):
            await runtime.start(sleeper, seconds + n * step, id=f"{name}{n}")

    async with trio.open_nursery() as nursery:
        for first in range(STARTERS):
            nursery.start_soon(some, first)
    await trio.sleep(2 * CONFIG.idle_after)
    assert runtime.statistics().active == 0


def run(place: Path, main) -> None:
    """Run something with a runtime under virtual time."""

    async def within() -> None:
        async with open_runtime(
            place, workflows=[sleeper], config=CONFIG, environment=virtual_environment()
        ) as runtime:
            await main(runtime)

    trio.run(within, clock=trio.testing.MockClock(autojump_threshold=0))


def test_those_that_sleep_cost_no_object_and_each_wakes_on_time(place, tell, monkeypatch):
    """Under virtual time, each due at another moment."""
    # What is bounded whatever their number is small here: timers, and ends of journals.
    monkeypatch.setattr(wakes, "WAKE_WINDOW", 100)
    monkeypatch.setattr(Journal.__init__, "__defaults__", (100,))

    async def main(runtime: Runtime) -> None:
        empty_mb = rss_mb()
        await start_all(runtime, "warm", WARM_UP, 1_000.0)
        await WOKEN.done.wait()
        await trio.sleep(2 * CONFIG.idle_after)
        gc.collect()
        blocks = sys.getallocatedblocks()
        began_s = time.process_time()
        await start_all(runtime, "w", SLEEPERS, 100_000.0, 0.5)
        started_s = time.process_time() - began_s
        gc.collect()
        blocks_each = (sys.getallocatedblocks() - blocks) / SLEEPERS
        growth_mb = rss_mb() - empty_mb
        waiting = await runtime.list(
            WorkflowFilter(status=Status.WAITING, include_total=True, limit=1)
        )
        assert waiting.total == SLEEPERS
        began_s = time.process_time()
        await WOKEN.done.wait()
        woken_s = time.process_time() - began_s
        tell(
            f"{SLEEPERS} sleepers: {growth_mb:.1f} MB over the empty runtime,"
            f" {blocks_each:.3f} blocks each; {started_s / SLEEPERS * 1e3:.2f} ms to start and leave,"
            f" {woken_s / SLEEPERS * 1e3:.2f} ms to come back and end; at most {WOKEN.latest:.3f} s late"
        )
        assert blocks_each < BLOCKS_EACH
        assert growth_mb < GROWTH_MB
        assert WOKEN.latest < 1.0

    run(place, main)


def test_those_that_fall_due_at_once_come_back_in_bounded_time_and_memory(place, tell):
    """In waves, with never more in memory than there is room for."""

    async def main(runtime: Runtime) -> None:
        await start_all(runtime, "w", AT_ONCE, 100_000.0)
        began_s = time.process_time()
        await WOKEN.done.wait()
        ms_each = (time.process_time() - began_s) / AT_ONCE * 1e3
        tell(f"{AT_ONCE} due at once: {ms_each:.2f} ms each, {WOKEN.most} in memory at most")
        assert WOKEN.most <= MAX_ACTIVE
        assert ms_each < MS_EACH

    run(place, main)
