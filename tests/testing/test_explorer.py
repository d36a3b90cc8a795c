"""The crash explorer: it finds nothing in what is right, and it finds what is put in on purpose."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import pathlib
from typing import TYPE_CHECKING

import attrs
import pytest
import trio

from claw_actors import (
    Context,
    MemoryStorage,
    Restart,
    Retry,
    Runtime,
    RuntimeConfig,
    WorkflowFilter,
    WorkflowState,
    errors,
    open_storage,
    task,
    task_info,
    workflow,
)
from claw_actors._core import replay
from claw_actors._core.journal import EntryKind
from claw_actors._runtime import lives, recovery
from claw_actors._runtime.operations import Operations
from claw_actors._runtime.sequencer import Sequencer
from claw_actors.storage.model import MAX_PAGE
from claw_actors.storage.operations import Claim
from claw_actors.testing import CrashPoint, ExplorationFailed, When, explore
from claw_actors.testing.disk import FakeDisk
from claw_actors.testing.schedule import seeded_schedule
from claw_actors.testing.witness import read_everything

if TYPE_CHECKING:
    from types import ModuleType

    from claw_actors._core.journal import Entry
    from claw_actors._runtime.operation import Operation

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


@task
async def add(a: int, b: int) -> int:
    await trio.lowlevel.checkpoint()
    return a + b


@task(retry=Retry(max_attempts=3, initial=1.0, jitter=0.0))
async def flaky(n: int) -> int:
    await trio.sleep(0.3)
    if task_info().attempt < 3:
        raise ConnectionError("not yet")
    return n * 2


@task
def in_a_thread(n: int) -> int:
    return n + 1


@workflow
async def many_things(ctx: Context, n: int) -> int:
    total = 0
    for step in range(n):
        total = await ctx.run(add, total, step)
    await ctx.sleep(100)
    total = await ctx.run(flaky, total)
    await ctx.sleep(0.5)
    return await ctx.run(in_a_thread, total)


@workflow(restart=Restart(max_restarts=5, initial=0.1))
async def crashes_once_per_process(ctx: Context) -> int:
    first = await ctx.run(add, 1, 1)
    if ctx.attempt % 2:
        raise RuntimeError("a crash in workflow code")
    return await ctx.run(add, first, 1)


@workflow
async def waits_to_be_cancelled(ctx: Context) -> None:
    await ctx.run(add, 1, 1)
    await ctx.sleep(1_000_000)


async def small(runtime: Runtime) -> object:
    """Two workflows of a few steps."""
    handles = [await runtime.start(many_things, n, id=f"n{n}") for n in (1, 2)]
    return [await handle.result() for handle in handles]


async def everything(runtime: Runtime) -> object:
    """Tasks, retries, sleeps, crashes and a cancellation."""
    handles = [await runtime.start(many_things, n, id=f"n{n}") for n in (1, 3)]
    crashing = await runtime.start(crashes_once_per_process, id="crashing")
    doomed = await runtime.start(waits_to_be_cancelled, id="doomed")
    results: list[object] = [await handle.result() for handle in handles]
    results.append(await crashing.result())
    with contextlib.suppress(errors.WorkflowClosedError):  # in an earlier life
        await doomed.cancel("enough")
    try:
        await doomed.result()
    except errors.WorkflowCancelledError as error:
        results.append(error.reason)
    page = await runtime.list(WorkflowFilter(include_total=True))
    return [*results, page.total]


WORKFLOWS = [many_things, crashes_once_per_process, waits_to_be_cancelled]


def test_every_crash_of_every_feature_is_survived() -> None:
    """Dying before, inside and after each commit changes neither result nor effects."""
    report = explore(everything, workflows=WORKFLOWS, seeds=[0])
    assert report.seeds == 1
    assert report.crashes >= 3 * report.commits - 10  # some deaths come after the end
    assert report.lives > report.crashes


def load_example(name: str) -> ModuleType:
    """Import an example as a program would be: by its path."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_hello_example_survives_every_crash() -> None:
    """The workflow that README shows; over more seeds, and the backup too, in the torture."""
    breakfast = load_example("hello").breakfast

    async def scenario(runtime: Runtime) -> object:
        return await (await runtime.start(breakfast, 3, id="monday")).result()

    assert explore(scenario, workflows=[breakfast], seeds=[0]).crashes > 20


# -- what is put in on purpose, and must be found --------------------------------------------------


def must_fail(match: str) -> ExplorationFailed:
    """Explore, and expect to be told."""
    with pytest.raises(ExplorationFailed, match=match) as caught:
        explore(small, workflows=WORKFLOWS, seeds=range(2))
    return caught.value


def test_finds_a_result_handed_out_before_its_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Delivering an entry when it is posted lets the next body run on sand."""
    honest = Operations.post

    def hasty(
        self: Operations, operation: Operation, entry: Entry, *, closed: tuple[str, ...] = ()
    ) -> None:
        honest(self, operation, entry, closed=closed)
        trio.lowlevel.current_trio_token().run_sync_soon(early, self._sequencer, entry)

    def early(self: Sequencer, entry: Entry) -> None:
        self.committed(attrs.evolve(entry, n=self.committed_n + 1))
        self.pump()

    monkeypatch.setattr(Operations, "post", hasty)
    must_fail("on the strength of an entry that is not durable")


def test_finds_a_skipped_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that forgets what it acknowledged is noticed after the first death."""
    honest = FakeDisk.sync

    def lazy(self: FakeDisk) -> None:
        if self.commits % 5 != 4:
            honest(self)

    monkeypatch.setattr(FakeDisk, "sync", lazy)
    must_fail("was acknowledged, and is lost|not durable")


def test_finds_a_task_that_runs_again_after_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replay that forgets the last outcome repeats an effect."""

    def forgetful(journal: tuple[Entry, ...]) -> replay.Past:
        past = replay.read_past(journal)
        if past.entries and past.entries[-1].kind is EntryKind.TASK:
            del past.by_op[past.entries.pop().op]
        return past

    monkeypatch.setattr(lives, "read_past", forgetful)
    must_fail("runs again after its record")


def test_finds_a_recovery_that_is_counted_after_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A poison instance would kill the process before anybody counts."""

    def uncounted(lives: tuple[tuple[int, int], ...], at: float, counted: bool) -> Claim:
        return Claim(lives, at, counted=False)

    monkeypatch.setattr(recovery, "Claim", uncounted)
    must_fail("runs before its recovery is counted")


def test_finds_a_result_that_depends_on_crashes() -> None:
    """A workflow that decides by how often it was interrupted."""

    @workflow
    async def whimsical(ctx: Context) -> int:
        await ctx.run(add, 1, 1)
        return ctx.attempt

    async def scenario(runtime: Runtime) -> object:
        return await (await runtime.start(whimsical, id="w")).result()

    with pytest.raises(ExplorationFailed, match="the result is 2 instead of 1"):
        explore(scenario, workflows=[whimsical], seeds=[1])


def test_finds_a_scenario_that_never_ends() -> None:
    """Ten virtual years are enough."""

    @workflow
    async def stuck(ctx: Context) -> None:
        await ctx.sleep(100 * 365 * 86_400.0)

    async def scenario(runtime: Runtime) -> object:
        return await (await runtime.start(stuck, id="s")).result()

    with pytest.raises(ExplorationFailed, match=r"seed 1, died never: it never ends"):
        explore(scenario, workflows=[stuck], seeds=[1])


def test_tells_what_the_scenario_raised() -> None:
    """A scenario that fails without any crash is no scenario."""

    async def scenario(runtime: Runtime) -> object:
        raise ValueError("a typo")

    with pytest.raises(ExplorationFailed, match="the scenario raised ValueError"):
        explore(scenario, workflows=[], seeds=[1])


def test_a_failure_can_be_seen_again_from_what_it_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seed and crash points are enough."""
    monkeypatch.setattr(
        recovery, "Claim", lambda lives, at, counted: Claim(lives, at, counted=False)
    )
    failure = must_fail("recovery")
    assert f"seeds=[{failure.seed}]" in str(failure)
    with pytest.raises(ExplorationFailed) as again:
        explore(small, workflows=WORKFLOWS, seeds=[failure.seed], crashes=failure.crashes)
    assert again.value.problems == failure.problems


def test_one_crash_plan_can_be_run_alone() -> None:
    """A plan that is survived is survived again."""
    plan = [CrashPoint(2, When.INSIDE), CrashPoint(1, When.BEFORE)]
    report = explore(small, workflows=WORKFLOWS, seeds=[5], crashes=plan)
    assert report.crashes == 2
    assert report.lives == 4


def test_the_same_seed_gives_the_same_schedule() -> None:
    """Trio shuffles ready tasks; here it shuffles them alike."""

    async def order() -> list[int]:
        seen: list[int] = []
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(note, seen, number)
        return seen

    async def note(seen: list[int], number: int) -> None:
        await trio.lowlevel.checkpoint()
        seen.append(number)

    def run(seed: int) -> list[int]:
        with seeded_schedule(seed):
            return trio.run(order)

    assert run(1) == run(1)
    assert len({tuple(run(seed)) for seed in range(5)}) > 1


def test_a_config_can_be_given() -> None:
    """The runtime under exploration may have other limits."""
    config = RuntimeConfig(recovery_wave=1)
    one = functools.partial(explore, small, workflows=WORKFLOWS, seeds=[1], config=config)
    assert one(crashes=[CrashPoint(3, When.AFTER, ticks=2)]).crashes == 1


async def test_everything_is_read_however_much_there_is() -> None:
    """The witness pages through a storage of more than one page."""
    storage = MemoryStorage()
    async with open_storage(storage) as client, client.transaction() as transaction:
        for number in range(MAX_PAGE + 1):
            transaction.create_workflow(WorkflowState(id=f"w{number}", name="many"))
    assert len(read_everything(storage)) == MAX_PAGE + 1


def test_a_fake_disk_counts_until_it_dies() -> None:
    """Like every read: the dead answer nothing."""
    disk = FakeDisk(MemoryStorage(), None)
    disk.open()
    assert disk.count_workflows().total == 0
    disk.die()
    with pytest.raises(errors.StorageUnavailableError):
        disk.count_workflows()
