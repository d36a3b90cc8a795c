"""Deleting workflows: ended ones, and running ones by force."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors import Context, Restart, task, workflow
from claw_actors.errors import (
    InvalidTransitionError,
    NotFoundError,
    WorkflowQuarantinedError,
)


@workflow
async def sleeper(ctx: Context, seconds: float) -> str:
    await ctx.sleep(seconds)
    return "slept"


async def test_an_ended_workflow_is_deleted_with_all_that_hangs_on_it(open_claw_runtime, storage):
    """Its id is free again."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        handle = await runtime.start(sleeper, 1, id="a")
        await handle.result()
        await runtime.delete("a")
        for call in (handle.status, handle.tasks, handle.result, handle.state):
            with pytest.raises(NotFoundError):
                await call()
        assert await (await runtime.start(sleeper, 2, id="a", on_existing="raise")).result()


async def test_a_running_one_is_refused_without_force(open_claw_runtime, storage):
    """It goes on."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        handle = await runtime.start(sleeper, 1, id="a")
        with pytest.raises(InvalidTransitionError, match="cancel it first, or force=True"):
            await runtime.delete("a")
        assert await handle.result() == "slept"


async def test_with_force_no_code_of_it_runs_any_more(open_claw_runtime, storage, calls):
    """Its body is cut off, its clean-up records nothing, and who waits for it is told."""

    @task
    async def body() -> None:
        try:
            await trio.sleep(100)
        finally:
            calls.append("cut off")

    @workflow
    async def run(ctx: Context) -> None:
        try:
            await ctx.run(body)
        finally:
            await ctx.run(body)  # noqa: ASYNC102
            calls.append("not reached")

    told = []

    async def wait() -> None:
        try:
            await handle.result()
        except NotFoundError as error:
            told.append(error.id)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.sleep(5)
            await runtime.delete("a", force=True)
        assert told == ["a"]
        assert runtime.statistics().active == 0
        assert (await runtime.list()).items == ()
    assert calls == ["cut off"]


async def test_one_that_waits_unloaded_is_deleted_by_force(open_claw_runtime, storage):
    """And does not come back when it would have been due."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        await runtime.start(sleeper, 50, id="a")
        await trio.sleep(5)
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        await runtime.delete("a", force=True)
        await trio.sleep(100)
        assert runtime.statistics().active == 0
        assert (await runtime.list()).items == ()


async def test_one_that_waits_for_its_respawn_is_deleted_by_force(open_claw_runtime, storage):
    """And is not respawned."""
    lives = []

    @workflow(restart=Restart(initial=10))
    async def run(ctx: Context) -> None:
        lives.append(ctx.attempt)
        raise ValueError

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await wait_all_tasks_blocked()
        await runtime.delete("a", force=True)
        await trio.sleep(50)
    assert lives == [1]


async def test_a_quarantined_one_needs_no_force(open_claw_runtime, storage):
    """Nothing of it runs."""

    @workflow(restart=Restart(max_restarts=0))
    async def run(ctx: Context) -> None:
        raise ValueError

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        with pytest.raises(WorkflowQuarantinedError):
            await handle.result()
        await runtime.delete("a")
        with pytest.raises(NotFoundError):
            await handle.status()


async def test_one_deleted_behind_the_back_of_its_incarnation_ends_quietly(
    open_claw_runtime, storage
):
    """Its next write is refused, and it leaves memory."""

    @task
    async def body() -> None:
        await trio.sleep(5)

    @workflow
    async def run(ctx: Context) -> None:
        while True:
            await ctx.run(body)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(2)
        await runtime.storage.delete_workflow("a")
        await trio.sleep(20)
        assert runtime.statistics().active == 0
        assert runtime.statistics().attempts == 1
        assert runtime.statistics().crashes == 0
