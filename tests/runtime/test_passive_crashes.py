"""Workflows that wait, crashed at every commit while they leave memory at every wait."""

from __future__ import annotations

import contextlib

import pytest
import trio

from claw_actors import Context, Runtime, RuntimeConfig, errors, task, workflow
from claw_actors.testing import explore

AT_ONCE = RuntimeConfig(idle_after=0.0)
CROWDED = RuntimeConfig(idle_after=100.0, max_active=1)


@task
async def lasting(seconds: float, value: int = 0) -> int:
    await trio.sleep(seconds)
    return value


@workflow
async def sleeps(ctx: Context) -> list[int]:
    """One after the other, and beside each other."""
    seen: list[int] = []

    async def child(ctx: Context, n: int) -> None:
        await ctx.sleep(n)
        seen.append(await ctx.run(lasting, 0.5, n))
        await ctx.sleep(10)
        seen.append(-n)

    await ctx.sleep(5)
    async with ctx.open_nursery() as nursery:
        for n in (20, 10):
            nursery.start_soon(child, n)
    return sorted(seen)  # after a long downtime all of them are due together


@workflow
async def deadlines(ctx: Context) -> list[bool]:
    """One that passes while it is passive, one that does not, one around all of them."""
    with ctx.move_on_after(1_000) as outer:
        with ctx.move_on_after(10):
            await ctx.sleep(100)
        with contextlib.suppress(errors.DeadlineExceededError), ctx.fail_after(20):
            await ctx.wait_until(lambda: False)
        await ctx.sleep(10_000)
    with ctx.move_on_after(100_000_000) as unneeded:
        await ctx.sleep(5)
    return [outer.cancelled_caught, unneeded.cancelled_caught]


@workflow
async def cleans_up(ctx: Context) -> None:
    """Durably, with waits of its own; and each time that it leaves, not at all."""
    try:
        await ctx.sleep(1_000_000)
    finally:
        async with ctx.shield():
            await ctx.sleep(10)
            await ctx.run(lasting, 1.0)
            await ctx.sleep(10)


@workflow
async def undoes(ctx: Context) -> None:
    """Waits before it fails, and is rolled back."""
    ctx.on_rollback(lasting, 1.0)
    await ctx.sleep(10)

    @task
    async def failing() -> None:
        raise ValueError("no")

    await ctx.run(failing)


@workflow
async def receives(ctx: Context) -> list[int]:
    """Messages in their order, one with a time-out between them."""
    first = await ctx.receive("number", int)
    with ctx.move_on_after(10):
        await ctx.receive("never", int)
    second = await ctx.receive("number", int)
    await ctx.sleep(10)
    return [first, second]


@workflow
async def naps(ctx: Context, n: int) -> int:
    """Be somebody's child."""
    await ctx.sleep(n)
    return n


@workflow
async def parents(ctx: Context) -> list[int]:
    """Wait for children that wait themselves."""
    child = await ctx.start_child(naps, 30)
    first = await ctx.run_child(naps, 10)
    return [first, await child.result()]


async def scenario_of(definition, runtime: Runtime) -> object:
    handle = await runtime.start(definition, id="one")
    with contextlib.suppress(errors.WorkflowClosedError):  # in an earlier life
        if definition is receives:
            await handle.send("number", 1, idempotency_key="1")
            await trio.sleep(30)
            await handle.send("number", 2, idempotency_key="2")
        elif definition is cleans_up:
            await trio.sleep(5)
            await handle.cancel("enough")
    try:
        result = await handle.result()
    except (errors.WorkflowFailedError, errors.WorkflowCancelledError) as error:
        result = str(error)
    return result, sorted(f"{task.id} {task.status}" for task in await handle.tasks())


FEATURES = [sleeps, deadlines, cleans_up, undoes, receives, parents]


@pytest.mark.parametrize("definition", FEATURES, ids=lambda one: one.name)
def test_what_waits_survives_every_crash(definition):
    """The result is that of the uninterrupted run, which is what a run in memory gives."""
    passivated: list[int] = []

    async def scenario(runtime: Runtime) -> object:
        result = await scenario_of(definition, runtime)
        passivated.append(runtime.statistics().passivated)
        return result

    report = explore(scenario, workflows=[definition, naps], seeds=[1], config=AT_ONCE)
    assert report.crashes > 2 * report.commits
    assert sum(passivated) > 3


@pytest.mark.parametrize("first", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_those_that_have_no_room_survive_every_crash(first, is_long):
    """Two that drive each other out of memory all the time."""
    seeds = [1] if first == 1 else range(2, 6 if is_long else 4)
    passivated: list[int] = []

    async def scenario(runtime: Runtime) -> object:
        await runtime.start(receives, id="two")
        result = await scenario_of(receives, runtime)
        passivated.append(runtime.statistics().passivated)
        return result

    explore(scenario, workflows=[receives], seeds=seeds, config=CROWDED)
    assert sum(passivated) > 3


@pytest.mark.parametrize("definition", FEATURES, ids=lambda one: one.name)
def test_what_waits_ends_as_it_would_in_memory(definition):
    """Whether it comes and goes or stays."""
    results: list[object] = []

    async def scenario(runtime: Runtime) -> object:
        results.append(await scenario_of(definition, runtime))
        return results[-1]

    for config in (AT_ONCE, RuntimeConfig(idle_after=1e9)):
        explore(scenario, workflows=[definition, naps], seeds=[1], crashes=[], config=config)
    assert all(result == results[0] for result in results)
    assert results[0]


async def test_a_replay_of_one_that_comes_and_goes_does_what_the_first_run_did(
    resume_everywhere,
):
    """From every prefix of its journal, and each time that it is brought back."""
    trace: list[object] = []

    @workflow(name="shared")
    async def shared(ctx: Context) -> list[str]:
        trace.clear()  # it begins again each time that it is brought back
        order: list[str] = []

        async def child(ctx: Context, name: str, seconds: float) -> None:
            for n in range(3):
                await ctx.sleep(seconds)
                order.append(f"{name}{n}")
                trace.append((*order, ctx.now()))
                if len(order) % 3 == 0:
                    await ctx.run(lasting, 0.5)

        async with ctx.open_nursery() as nursery:
            nursery.start_soon(child, "a", 3)
            nursery.start_soon(child, "b", 2)
        return order

    result = await resume_everywhere(shared, trace=trace, same_result=False, config=AT_ONCE)
    assert sorted(result) == ["a0", "a1", "a2", "b0", "b1", "b2"]


@pytest.mark.slow
@pytest.mark.parametrize("definition", FEATURES, ids=lambda one: one.name)
def test_what_waits_survives_every_crash_over_many_seeds(definition, is_long):
    """The same, with other schedules."""
    explore(
        lambda runtime: scenario_of(definition, runtime),
        workflows=[definition, naps],
        seeds=range(2, 22 if is_long else 4),
        config=AT_ONCE,
    )
