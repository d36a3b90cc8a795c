"""Dying before, inside and after every commit of a workflow changes nothing: feature by feature."""

# flake8: noqa: ASYNC102 - the linter does not know that ctx.shield() shields

from __future__ import annotations

import contextlib

import pytest
import trio

from claw_actors import (
    Channel,
    Context,
    Restart,
    Runtime,
    TaskFailedError,
    errors,
    task,
    task_info,
    workflow,
)
from claw_actors.testing import explore


@task
async def lasting(seconds: float, value: int = 0) -> int:
    await trio.sleep(seconds)
    return value


@task
async def failing(seconds: float) -> int:
    await trio.sleep(seconds)
    raise ValueError("always")


@task
async def hanging() -> int:
    await trio.sleep_forever()
    return 0


async def add(ctx: Context, total: list[int], seconds: float, value: int) -> None:
    total.append(await ctx.run(lasting, seconds, value))
    await ctx.sleep(value)
    total.append(await ctx.run(lasting, seconds, value))


@workflow
async def nurseries(ctx: Context) -> int:
    """Children in children, tasks beside them."""
    total: list[int] = []

    async def deeper(ctx: Context) -> None:
        async with ctx.open_nursery() as nursery:
            nursery.start_soon(add, total, 2, 4)
            nursery.run_soon(lasting, 1)

    async with ctx.open_nursery() as nursery:
        nursery.start_soon(add, total, 1, 1)
        nursery.start_soon(deeper)
        await add(ctx, total, 1, 2)
    return sum(total)


@workflow
async def failures(ctx: Context) -> list[str]:
    """A child fails, the others are cancelled and clean up."""
    seen: list[str] = []

    async def child(ctx: Context, name: str) -> None:
        try:
            await ctx.run(hanging)
        finally:
            async with ctx.shield():
                seen.append(f"{name} {await ctx.run(lasting, 1, len(seen))}")

    try:
        async with ctx.open_nursery() as nursery:
            nursery.start_soon(child, "a")
            nursery.run_soon(failing, 2)
            nursery.start_soon(child, "b")
    except* TaskFailedError as group:
        seen.append(str(len(group.exceptions)))
    return sorted(seen)


@workflow(restart=Restart(max_restarts=5, initial=0.1))
async def crashes(ctx: Context) -> int:
    """A child crashes in every other life, while others run."""
    total: list[int] = []

    async def fragile(ctx: Context) -> None:
        await ctx.run(lasting, 1)
        if ctx.attempt % 2:
            raise ValueError("a bug")

    async with ctx.open_nursery() as nursery:
        nursery.start_soon(add, total, 3, 1)
        nursery.start_soon(fragile)
        nursery.start_soon(add, total, 2, 2)
    return sum(total)


@workflow
async def maps(ctx: Context) -> list[int]:
    """One with a limit, one that collects failures."""

    @task
    async def odd(number: int) -> int:
        await trio.sleep(number)
        if number % 2 == 0:
            raise ValueError(number)
        return number

    limited = await ctx.map(odd, [5, 1, 3], limit=2)
    both = await ctx.map(odd, [2, 3], return_exceptions=True)
    return [*limited, *(-1 if isinstance(one, TaskFailedError) else one for one in both)]


@workflow
async def races(ctx: Context) -> list[int]:
    """The first, the first to succeed."""
    first = await ctx.race(
        lambda ctx: ctx.run(hanging),
        lambda ctx: ctx.run(lasting, 2, 7),
        lambda ctx: ctx.run(hanging),
    )
    second = await ctx.race(
        lambda ctx: ctx.run(failing, 1), lambda ctx: ctx.run(lasting, 3, 8), first_success=True
    )
    return [first, second]


@workflow
async def coordinated(ctx: Context) -> int:
    """A channel, a lock, a semaphore and an event."""
    work: Channel[int] = ctx.channel(1)
    lock, places, done = ctx.lock(), ctx.semaphore(2), ctx.event()
    got: list[int] = []

    async def worker(ctx: Context) -> None:
        async for item in work:
            async with places:
                value = await ctx.run(lasting, item % 3, item)
            async with lock:
                await ctx.sleep(0.5)
                got.append(value)
        if len(got) == 5:
            done.set()

    async with ctx.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(worker)
        for item in range(5):
            await work.send(item)
        work.close()
        await done.wait()
    return sum(got)


@workflow
async def deadlines(ctx: Context) -> list[bool]:
    """Nested ones, one that raises, one that is not needed."""
    with ctx.move_on_after(50) as outer:
        with ctx.move_on_after(3):  # after a long downtime both have passed
            await ctx.run(hanging)
        with contextlib.suppress(errors.DeadlineExceededError), ctx.fail_after(2):
            await ctx.sleep(1_000_000)
        async with ctx.open_nursery() as nursery:
            nursery.run_soon(hanging)
            await ctx.wait_until(lambda: False)
    with ctx.move_on_at(ctx.now() + 1_000_000_000) as unneeded:
        await ctx.run(lasting, 1)
    return [outer.cancelled_caught, unneeded.cancelled_caught]


@workflow
async def shielded(ctx: Context) -> None:
    """Cancelled from outside, it cleans up durably."""
    try:
        async with ctx.open_nursery() as nursery:
            nursery.run_soon(hanging)
            await ctx.sleep(1_000_000)
    finally:
        async with ctx.shield():
            await ctx.map(lasting, [1.0, 2.0])
            await ctx.sleep(1)


async def scenario_of(definition, runtime: Runtime) -> object:
    handle = await runtime.start(definition, id="one")
    if definition is not shielded:
        return await handle.result()
    with contextlib.suppress(errors.WorkflowClosedError):  # in an earlier life
        await handle.cancel("enough")
    with pytest.raises(errors.WorkflowCancelledError):
        await handle.result()
    return [state.id for state in await handle.tasks() if state.status == "completed"]


FEATURES = [nurseries, failures, crashes, maps, races, coordinated, deadlines, shielded]


@pytest.mark.parametrize("definition", FEATURES, ids=lambda one: one.name)
def test_a_feature_survives_every_crash(definition):
    """The result is that of the uninterrupted run, and no recorded task runs again."""
    report = explore(
        lambda runtime: scenario_of(definition, runtime), workflows=[definition], seeds=[1]
    )
    assert report.crashes > 2 * report.commits


@pytest.mark.slow
@pytest.mark.parametrize("definition", FEATURES, ids=lambda one: one.name)
def test_a_feature_survives_every_crash_over_many_seeds(definition, is_long):
    """The same, with other schedules."""
    explore(
        lambda runtime: scenario_of(definition, runtime),
        workflows=[definition],
        seeds=range(2, 22 if is_long else 4),
    )


def test_the_tasks_have_keys_of_their_own() -> None:
    """Children's tasks are as different to the outside world as their ids are."""
    keys: list[str] = []

    @task
    async def note(n: int) -> None:
        keys.append(task_info().idempotency_key)

    @workflow
    async def run(ctx: Context) -> None:
        await ctx.map(note, range(3))

    async def scenario(runtime: Runtime) -> object:
        keys.clear()
        await (await runtime.start(run, id="one")).result()
        return len({key.rpartition("/map/")[2] for key in keys})

    report = explore(scenario, workflows=[run], seeds=[1], crashes=[])
    assert report.attempts == 6
