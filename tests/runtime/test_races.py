"""What happens side by side: recovery beside starting, and storage that stumbles beside both."""

from __future__ import annotations

import contextlib
import functools
import logging
import threading

import pytest
import trio

from claw_actors import (
    Context,
    MemoryStorage,
    RuntimeConfig,
    open_runtime,
    open_storage,
    task,
    workflow,
)
from claw_actors._runtime.cells import Cells
from claw_actors.errors import StorageUnavailableError
from claw_actors.storage.operations import Claim


@task
async def effect(n: int) -> int:
    await trio.sleep(0.05)
    return n


@workflow
async def plain(ctx: Context, n: int) -> int:
    return await ctx.run(effect, n)


@workflow
async def sleeper(ctx: Context) -> str:
    await ctx.sleep(3_600)
    return "awake"


class Slow(MemoryStorage):
    """Stores the first workflow, and is slow to say so."""

    blocking = True

    def __init__(self):
        super().__init__()
        self.stored, self.may_answer = threading.Event(), threading.Event()
        self.claims = 0

    def commit(self, group):
        self.claims += sum(isinstance(operation, Claim) for operation in group)
        results = super().commit(group)
        if not self.stored.is_set():
            self.stored.set()
            assert self.may_answer.wait(10)
        return results


async def recover_while_one_is_coming(storage, patience_s=10.0):
    """Run a recovery between the commit of a workflow and its being in memory."""
    async with open_runtime(storage, workflows=[plain]) as runtime, trio.open_nursery() as nursery:
        nursery.start_soon(functools.partial(runtime.start, plain, 1, id="w"))
        await trio.to_thread.run_sync(storage.stored.wait)
        async with trio.open_nursery() as recovery:
            recovery.start_soon(runtime.recover)
            with trio.move_on_after(10):
                # Only seen from outside: that a claim is queued, or that recovery has ended.
                while not (  # noqa: ASYNC110
                    runtime.statistics().storage.queued or not recovery.child_tasks
                ):
                    await trio.lowlevel.checkpoint()
            storage.may_answer.set()
        with trio.fail_after(patience_s):
            assert await runtime.result("w") == 1


async def test_recovery_leaves_alone_what_is_just_coming():
    """Between its commit and its being in memory, an instance is nobody's to claim."""
    storage = Slow()
    await recover_while_one_is_coming(storage)
    assert storage.claims == 0


async def test_without_being_held_it_would_be_claimed(monkeypatch):
    """The negative control: the race is really there."""
    monkeypatch.setattr(Cells, "coming", lambda self, ids: contextlib.nullcontext())
    storage = Slow()
    with pytest.RaisesGroup(trio.TooSlowError, allow_unwrapped=True, flatten_subgroups=True):
        await recover_while_one_is_coming(storage, patience_s=0.3)
    assert storage.claims == 1


class Stumbling(MemoryStorage):
    """Cannot be read for a while."""

    fails = 0

    def read_rows(self, ids):
        if self.fails:
            self.fails -= 1
            raise StorageUnavailableError(self.where, "too many open files")
        return super().read_rows(ids)


async def test_what_is_due_is_tried_again_when_storage_cannot_be_read(open_claw_runtime, caplog):
    """A stumble neither loses a wake-up nor ends the runtime."""
    storage = Stumbling()
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        await runtime.start(sleeper, id="s")
        await trio.sleep(15)
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        assert runtime.statistics().active == 0
        await trio.sleep(3_000)
        storage.fails = 3
        await trio.sleep(3_000)
        assert await runtime.result("s") == "awake"
    assert caplog.text.count("too many open files; trying again") == 3


@pytest.mark.parametrize("config", [RuntimeConfig(recovery_wave=1), RuntimeConfig()])
async def test_a_suspect_that_shows_no_sign_is_not_waited_for_without_end(
    open_claw_runtime, claw_environment, config, caplog
):
    """A healthy while is a sign of life once it is stored, and the next one follows."""
    caplog.set_level(logging.INFO)

    @task
    async def long(n: int) -> int:
        await trio.sleep(1_000)
        return n

    @workflow
    async def slow(ctx: Context, n: int) -> int:
        return await ctx.run(long, n)

    storage = MemoryStorage()
    for _ in range(3):
        storage = storage.snapshot()
        async with open_claw_runtime(storage, workflows=[slow], config=config) as runtime:
            for n in range(3):
                await runtime.start(slow, n, id=f"w{n}")
            crashed = storage.snapshot()
        storage = crashed
    began = trio.current_time()
    async with open_claw_runtime(storage, workflows=[slow], config=config) as runtime:
        assert trio.current_time() - began < 3 * (config.healthy_after + 1)
        assert len(runtime.recovery_report.recovered) == 3
        assert await runtime.result("w2") == 2


async def test_a_visitor_does_not_hide_an_unclean_end(open_claw_runtime):
    """Looking into a storage after a crash leaves the counting of recoveries to who recovers."""
    storage = MemoryStorage()
    async with open_claw_runtime(storage, workflows=[plain]) as runtime:
        await runtime.start(plain, 1, id="s")
        crashed = storage.snapshot()
    async with open_storage(crashed) as visitor:
        before = await visitor.get_workflow("s")
    async with open_claw_runtime(crashed, workflows=[plain]) as runtime:
        state = await (await runtime.get("s")).state()
        assert (state.life, runtime.recovery_report.recovered) == (before.life + 1, ("s",))
        assert state.recoveries == before.recoveries + 1
