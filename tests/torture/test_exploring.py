"""The crash explorer at length: the examples' workflows, and every feature, over many seeds."""

from __future__ import annotations

import contextlib
import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest
import trio

from claw_actors import Context, Restart, Retry, Runtime, errors, task, task_info, workflow
from claw_actors.testing import Exploration, explore

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"
SEEDS = range(20)


@pytest.fixture
def example(monkeypatch):
    """Import an example with its neighbours, as Python does for a program that it is given."""

    def load(name: str) -> ModuleType:
        monkeypatch.syspath_prepend(str(EXAMPLES))
        module = importlib.import_module(name)
        monkeypatch.delitem(sys.modules, name)
        return module

    return load


def figures(report: Exploration) -> str:
    return (
        f"{report.crashes} deaths at {report.commits} commits of {report.seeds} schedules,"
        f" {report.attempts} task bodies"
    )


def test_hello_survives_every_crash_over_many_seeds(example, is_long, tell):
    """Dying before, inside and after each commit of the README's example."""
    breakfast = example("hello").breakfast

    async def scenario(runtime: Runtime) -> object:
        return await (await runtime.start(breakfast, 3, id="monday")).result()

    report = explore(scenario, workflows=[breakfast], seeds=SEEDS if is_long else range(10))
    tell(f"hello: {figures(report)}")
    assert report.crashes > 2 * report.commits


def test_the_backup_survives_every_crash_over_many_seeds(
    example, is_long, tell, tmp_path, monkeypatch
):
    """Its workflows as they are, on a small tree; their worker has no parent process here."""
    backup = example("backup")
    monkeypatch.setattr(backup, "tell", lambda line, *, wait=False: None)
    source, into = tmp_path / "source", tmp_path / "into"
    (source / "deep").mkdir(parents=True)
    into.mkdir()
    for name in ("a", "b", "deep/c"):
        (source / name).write_text(name * 100)
    job = backup.Job(source=str(source), into=str(into), exclude=())

    async def scenario(runtime: Runtime) -> object:
        plan = await (await runtime.start(backup.plan_backup, job, id="plan")).result()
        copies = [
            await runtime.start(backup.copy_shard, job, listing, id=f"copy-{n}")
            for n, listing in enumerate(plan.listings)
        ]
        parts = [await copy.result() for copy in copies]
        await (await runtime.start(backup.seal_backup, job, parts, id="seal")).result()
        return parts

    workflows = [backup.plan_backup, backup.copy_shard, backup.seal_backup]
    report = explore(scenario, workflows=workflows, seeds=SEEDS if is_long else range(6))
    tell(f"backup: {figures(report)}")
    assert report.crashes > 2 * report.commits
    assert (into / "manifest.json").exists()


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


@workflow(restart=Restart(max_restarts=5, initial=0.1))
async def every_feature(ctx: Context, n: int) -> int:
    total = 0
    for step in range(n):
        total = await ctx.run(add, total, step)
    await ctx.sleep(100)
    total = await ctx.run(flaky, total)
    if ctx.attempt % 2:
        raise RuntimeError("a crash in workflow code")
    await ctx.sleep(0.5)
    return await ctx.run(in_a_thread, total)


@workflow
async def waits_to_be_cancelled(ctx: Context) -> None:
    await ctx.run(add, 1, 1)
    await ctx.sleep(1_000_000)


def test_every_feature_survives_every_crash(is_long, tell):
    """Tasks, retries, sleeps, respawns and a cancellation, in several instances at once."""

    async def scenario(runtime: Runtime) -> object:
        handles = [await runtime.start(every_feature, n, id=f"n{n}") for n in (1, 2, 3)]
        doomed = await runtime.start(waits_to_be_cancelled, id="doomed")
        results: list[object] = [await handle.result() for handle in handles]
        with contextlib.suppress(errors.WorkflowClosedError):  # in an earlier life
            await doomed.cancel("enough")
        with pytest.raises(errors.WorkflowCancelledError, match="enough"):
            await doomed.result()
        return results

    seeds = range(40) if is_long else range(3)
    report = explore(scenario, workflows=[every_feature, waits_to_be_cancelled], seeds=seeds)
    tell(f"every feature: {figures(report)}")
    assert report.crashes > 2 * report.commits
