"""Workflow code may await its context and nothing else: what happens when it does."""

from __future__ import annotations

import gc
import sys
import threading

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors import Context, Status, open_runtime, task, workflow
from claw_actors.errors import ForeignAwaitError, WorkflowQuarantinedError


@task
async def step() -> int:
    return 1


@task
async def long_step() -> int:
    await trio.sleep(10)
    return 1


class Shared:
    """What leaks into workflow code from outside."""

    def __init__(self) -> None:
        self.event = trio.Event()
        self.send, self.receive = trio.open_memory_channel[int](0)
        self.lock = trio.Lock()
        self.limiter = trio.CapacityLimiter(1)


async def _nursery(shared):
    async with trio.open_nursery() as nursery:  # noqa: ASYNC112
        nursery.start_soon(shared.event.wait)


async def _empty_nursery():
    async with trio.open_nursery():
        pass


FOREIGN = {
    "sleep": lambda shared: (trio.sleep, 5),
    "sleep_forever": lambda shared: (trio.sleep_forever,),
    "event": lambda shared: (shared.event.wait,),
    "checkpoint": lambda shared: (trio.lowlevel.checkpoint,),
    "shielded checkpoint": lambda shared: (trio.lowlevel.cancel_shielded_checkpoint,),
    "receive": lambda shared: (shared.receive.receive,),
    "send": lambda shared: (shared.send.send, 1),
    "lock": lambda shared: (shared.lock.acquire,),
    "nursery": lambda shared: (_nursery, shared),
    "empty nursery": lambda shared: (_empty_nursery,),
    "thread": lambda shared: (trio.to_thread.run_sync, len, "abc"),
    "wait_all_tasks_blocked": lambda shared: (wait_all_tasks_blocked,),
}


@pytest.mark.parametrize("swallow", [False, True], ids=["let through", "swallowed"])
@pytest.mark.parametrize("kind", FOREIGN)
async def test_a_foreign_await_is_refused_at_its_line_and_quarantined(
    open_claw_runtime, storage, journal_of, kind, swallow
):
    """Swallowed or not, the instance is parked, its journal as it was, the line named."""
    shared = leaked = Shared()
    caught = []

    @workflow
    async def run(ctx: Context) -> str:
        await ctx.run(step)
        call, *arguments = FOREIGN[kind](shared)
        try:
            await call(*arguments)
        except Exception as error:
            caught.append(error)
            if not swallow:
                raise
        await ctx.run(step)
        return "not reached"

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        with pytest.raises(WorkflowQuarantinedError, match="awaited something other") as raised:
            await handle.result()
        assert [entry.op for entry in journal_of(storage, "a")] == ["", "step"]
        assert runtime.statistics().quarantined == 1
        # A nursery raises when its children have been cancelled, too, and so not as an `Exception`.
        assert len(caught) == (kind != "nursery")
        assert raised.value.reason is not None
        assert "test_foreign_awaits.py" in raised.value.reason

        # Nothing of it is left registered with Trio: what it waited for happens, and harms nobody.
        leaked.event.set()
        with trio.move_on_after(1):
            await leaked.send.send(1)
        await wait_all_tasks_blocked()
        shared = Shared()
        other = await runtime.start(run, id="b")
        with pytest.raises(WorkflowQuarantinedError):
            await other.result()


async def test_a_retry_with_mended_code_goes_on(open_claw_runtime, storage, calls):
    """The journal was left alone, so the right code replays it."""

    @task
    async def note() -> int:
        calls.append("ran")
        return 7

    @workflow(name="run")
    async def wrong(ctx: Context) -> int:
        value = await ctx.run(note)
        await trio.sleep(1)
        return value

    @workflow(name="run")
    async def right(ctx: Context) -> int:
        value = await ctx.run(note)
        await ctx.sleep(1)
        return value

    async with open_claw_runtime(storage, workflows=[wrong]) as runtime:
        with pytest.raises(WorkflowQuarantinedError):
            await (await runtime.start(wrong, id="a")).result()
    async with open_claw_runtime(storage, workflows=[right]) as runtime:
        handle = await runtime.get("a")
        await handle.retry()
        assert await handle.result() == 7
    assert calls == ["ran"]


async def test_a_wait_that_cannot_be_taken_back_raises_when_it_is_over(open_claw_runtime, storage):
    """Trio's own bookkeeping comes first; the line raises all the same."""
    raised = []

    async def stubborn() -> None:
        trio.lowlevel.current_trio_token().run_sync_soon(
            trio.lowlevel.reschedule, trio.lowlevel.current_task()
        )
        await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.FAILED)
        raised.append("not reached")

    @workflow
    async def run(ctx: Context) -> None:
        try:
            await stubborn()
        except Exception as error:
            raised.append(type(error))

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        with pytest.raises(WorkflowQuarantinedError, match="awaited something other"):
            await (await runtime.start(run)).result()
    assert raised == [ForeignAwaitError]


class OfAnotherLoop:
    """What asyncio's futures look like to Trio."""

    def __await__(self):
        yield "something that Trio does not know"


async def test_awaits_of_another_event_loop_are_refused(open_claw_runtime, storage, calls):
    """In workflow code by us, in code that is unwound by Trio."""

    @workflow
    async def run(ctx: Context) -> None:
        await OfAnotherLoop()

    @workflow
    async def unwound(ctx: Context) -> None:
        try:
            await ctx.sleep(100)
        finally:
            try:
                await OfAnotherLoop()  # noqa: ASYNC102
            except TypeError as error:
                calls.append(str(error))

    async with open_claw_runtime(storage, workflows=[run, unwound]) as runtime:
        with pytest.raises(WorkflowQuarantinedError, match="awaited something other"):
            await (await runtime.start(run)).result()
        await runtime.start(unwound)
        await wait_all_tasks_blocked()
    assert len(calls) == 1
    assert "unrecognized yield" in calls[0]


async def test_threads_are_refused_without_a_mock_clock(tmp_path):
    """A worker thread that was abandoned ends by itself, and its answer goes nowhere."""
    release = threading.Event()

    @workflow
    async def run(ctx: Context) -> None:
        await trio.to_thread.run_sync(release.wait, abandon_on_cancel=True)

    async with open_runtime(tmp_path / "claw.db", workflows=[run]) as runtime:
        with pytest.raises(WorkflowQuarantinedError, match="awaited something other"):
            await (await runtime.start(run)).result()
        release.set()


async def test_a_raw_cancel_scope_around_a_sleep_is_refused(open_claw_runtime, storage):
    """A replay could not repeat the moment at which it struck."""

    @workflow
    async def run(ctx: Context) -> str:
        with trio.move_on_after(1):
            await ctx.sleep(5)
        return "too early"

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        with pytest.raises(WorkflowQuarantinedError, match="cancel scope"):
            await (await runtime.start(run)).result()


async def test_a_raw_cancel_scope_around_a_task_is_refused(open_claw_runtime, storage, journal_of):
    """The body is cancelled, and not recorded as if somebody had asked for it durably."""

    @workflow
    async def run(ctx: Context) -> str:
        with trio.move_on_after(1):
            await ctx.run(long_step)
        return "too early"

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        with pytest.raises(WorkflowQuarantinedError, match="cancel scope"):
            await (await runtime.start(run, id="a")).result()
        assert len(journal_of(storage, "a")) == 1


async def test_a_raw_cancel_scope_that_was_cancelled_before_is_refused(open_claw_runtime, storage):
    """Even if the operation has not begun."""

    @workflow
    async def run(ctx: Context) -> str:
        with trio.CancelScope() as scope:
            scope.cancel()
            await ctx.sleep(5)
        return "too early"

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        with pytest.raises(WorkflowQuarantinedError, match="cancel scope"):
            await (await runtime.start(run)).result()


async def test_a_raw_cancel_scope_that_does_not_strike_is_no_harm(open_claw_runtime, storage):
    """Only a cancellation is refused."""

    @workflow
    async def run(ctx: Context) -> int:
        with trio.move_on_after(5):
            return await ctx.run(step)
        return 0

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await (await runtime.start(run)).result() == 1


async def test_a_cancelled_workflow_may_not_await_something_else(open_claw_runtime, storage):
    """Clean-up of a cancelled workflow is workflow code: a foreign await quarantines it."""

    @workflow
    async def run(ctx: Context) -> None:
        try:
            await ctx.sleep(100)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(1)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run)
        await wait_all_tasks_blocked()
        await handle.cancel()
        with pytest.raises(WorkflowQuarantinedError, match="awaited something other"):
            await handle.result()


async def test_nothing_is_left_behind_for_the_garbage_collector(open_claw_runtime, storage):
    """A coroutine that was refused is closed, so Python has nothing to complain about."""
    complaints = []
    before = sys.unraisablehook
    sys.unraisablehook = complaints.append
    try:

        @workflow
        async def run(ctx: Context) -> None:
            await trio.sleep(5)

        async with open_claw_runtime(storage, workflows=[run]) as runtime:
            with pytest.raises(WorkflowQuarantinedError):
                await (await runtime.start(run)).result()
            assert await runtime.status((await runtime.list()).items[0].id) is Status.QUARANTINED
        gc.collect()
    finally:
        sys.unraisablehook = before
    assert complaints == []
