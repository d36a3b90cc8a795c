"""Asking a runtime to stop, as a signal handler does."""

from __future__ import annotations

import pytest
import trio

from claw_actors import Context, RuntimeConfig, task, workflow
from claw_actors.errors import RuntimeClosedError, StorageUnavailableError

CONFIG = RuntimeConfig(grace=20)


@pytest.fixture
def work(calls):
    """A workflow whose task takes ten seconds."""

    @task
    async def step() -> str:
        try:
            await trio.sleep(10)
        except trio.Cancelled:
            calls.append(("cut off", trio.current_time()))
            raise
        calls.append(("done", trio.current_time()))
        return "done"

    @workflow
    async def work(ctx: Context) -> str:
        return await ctx.run(step)

    return work


async def test_the_block_is_cancelled_and_ends_without_an_error(
    open_claw_runtime, storage, work, calls
):
    """Task bodies get the runtime's own grace, and are recorded."""
    async with open_claw_runtime(storage, workflows=[work], config=CONFIG) as runtime:
        await runtime.start(work, id="a")
        await trio.sleep(1)
        runtime.request_stop()
        with pytest.raises(RuntimeClosedError):
            await runtime.start(work, id="b")
        await trio.sleep_forever()
    assert calls == [("done", pytest.approx(10, abs=0.1))]
    async with open_claw_runtime(storage, workflows=[work]) as runtime:
        assert await runtime.result("a") == "done"
    assert len(calls) == 1


@pytest.mark.parametrize(("again", "cut_at"), [(None, 6), (2.0, 5), (0.0, 3)])
async def test_said_again_it_can_only_become_sooner(
    open_claw_runtime, storage, work, calls, again, cut_at
):
    """The second signal skips what is left of the grace."""

    async def ask() -> None:
        await trio.sleep(1)
        runtime.request_stop("SIGTERM was received", 5.0)
        await trio.sleep(2)
        if again is not None:
            runtime.request_stop("SIGTERM was received again", again)
        await runtime.wait_stopped()
        calls.append(("stopped", trio.current_time()))

    async with trio.open_nursery() as nursery:
        async with open_claw_runtime(storage, workflows=[work], config=CONFIG) as runtime:
            await runtime.start(work, id="a")
            nursery.start_soon(ask)
            await trio.sleep_forever()
        assert trio.current_time() == pytest.approx(max(cut_at, 3), abs=0.1)
    at = pytest.approx(cut_at, abs=0.1)
    assert calls == [("cut off", at), ("stopped", at)]
    async with open_claw_runtime(storage, workflows=[work]) as runtime:
        assert await runtime.result("a") == "done"


async def test_at_once_means_at_once_also_on_a_full_disk(open_claw_runtime, storage, calls):
    """Nobody waits for space any more."""

    @task
    async def step() -> None:
        full.append(True)

    @workflow
    async def work(ctx: Context) -> None:
        await ctx.run(step)

    full = []
    commit = storage.commit

    def refuse(group):
        if full:
            raise StorageUnavailableError("memory", "the disk is full")
        return commit(group)

    storage.commit = refuse
    async with open_claw_runtime(storage, workflows=[work], config=CONFIG) as runtime:
        await runtime.start(work, id="a")
        await trio.sleep(1)
        runtime.request_stop(grace=0)
        await trio.sleep_forever()
    assert trio.current_time() < 5
