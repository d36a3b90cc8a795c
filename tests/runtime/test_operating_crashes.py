"""Dying before, inside and after every commit of an operator's doings changes nothing."""

from __future__ import annotations

import contextlib

import pytest
import trio

from claw_actors import Context, Runtime, Status, task, workflow
from claw_actors.errors import (
    DuplicateKeyError,
    NotFoundError,
    WorkflowCancelledError,
    WorkflowClosedError,
)
from claw_actors.testing import explore


@task
async def lasting(seconds: float, value: int) -> int:
    await trio.sleep(seconds)
    return value


@workflow
async def adding(ctx: Context) -> int:
    total = await ctx.run(lasting, 2, 1)
    with ctx.move_on_after(7):
        await ctx.sleep(1_000)
    return total + await ctx.run(lasting, 2, 2)


async def paused_and_resumed(runtime: Runtime) -> object:
    """Pause it twice on its way, and go on."""
    handle = await runtime.start(adding, id="one")
    for _ in range(2):
        await trio.sleep(3)
        with contextlib.suppress(WorkflowClosedError):  # in an earlier life
            await handle.pause("lunch")
        await trio.sleep(3)
        with contextlib.suppress(WorkflowClosedError):
            await handle.resume()
    return await handle.result(), [state.status for state in await handle.tasks()]


async def terminated(runtime: Runtime) -> object:
    """End it while a body of it runs."""
    handle = await runtime.start(adding, id="one")
    await trio.sleep(1)
    with contextlib.suppress(WorkflowClosedError):  # in an earlier life
        await handle.terminate("enough")
    with pytest.raises(WorkflowCancelledError, match="enough"):
        await handle.result()
    assert runtime.statistics().active == 0
    return await handle.status()


async def forked(runtime: Runtime) -> object:
    """Fork it while it runs, and have both end."""
    handle = await runtime.start(adding, id="one")
    await trio.sleep(3)
    with contextlib.suppress(DuplicateKeyError):  # in an earlier life
        await handle.fork(at="lasting", new_id="two")
    fork = await runtime.get("two")
    return await handle.result(), await fork.result(), (await fork.state()).forked_from


@workflow
async def parent(ctx: Context) -> int:
    for n in range(2):
        await ctx.start_child(adding, id=f"child{n}")
    return await ctx.run(lasting, 20, 7)


async def deleted(runtime: Runtime) -> object:
    """Delete a family while it runs: it is there as a whole, or not at all."""
    with contextlib.suppress(NotFoundError):
        await runtime.get("one")
        await runtime.delete("one", force=True)  # begun in an earlier life
    handle = await runtime.start(parent, id="one")
    await trio.sleep(3)
    await handle.delete(force=True)
    assert runtime.statistics().active == 0
    return (await runtime.list()).items


async def steered_as_a_family(runtime: Runtime) -> object:
    """Pause it, resume it, let it end."""
    handle = await runtime.start(parent, id="one")
    await trio.sleep(3)
    with contextlib.suppress(WorkflowClosedError):
        await handle.pause()
    await trio.sleep(3)
    with contextlib.suppress(WorkflowClosedError):
        await handle.resume()
    return await handle.result(), await runtime.result("child0"), await runtime.result("child1")


async def left_paused(runtime: Runtime) -> object:
    """Pause it, and leave it there."""
    handle = await runtime.start(adding, id="one")
    await handle.pause()
    await trio.sleep(50)
    assert await handle.status() is Status.PAUSED
    assert runtime.statistics().active == 0
    return True


@pytest.mark.parametrize(
    "scenario",
    [
        *(paused_and_resumed, terminated, deleted, left_paused),
        *(pytest.param(one, marks=pytest.mark.slow) for one in (forked, steered_as_a_family)),
    ],
)
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_an_operation_survives_every_crash(scenario, seed):
    """What was asked for happens, once, whatever dies."""
    report = explore(scenario, workflows=[adding, parent], seeds=[seed])
    assert report.crashes > 2 * report.commits
