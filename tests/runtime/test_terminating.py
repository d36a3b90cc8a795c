"""Terminating a workflow: it ends at once, without a word to its code."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors import Context, MemoryStorage, Restart, Retry, Status, task, workflow
from claw_actors._core.journal import EntryKind
from claw_actors.errors import (
    InvalidInputError,
    InvalidTransitionError,
    NotFoundError,
    RuntimeClosedError,
    WorkflowCancelledError,
    WorkflowClosedError,
    WorkflowQuarantinedError,
)
from claw_actors.testing.conformance.steering import terminate


@workflow
async def sleeper(ctx: Context, seconds: float) -> str:
    await ctx.sleep(seconds)
    return "slept"


async def test_nothing_of_it_is_recorded_any_more(open_claw_runtime, storage, calls, journal_of):
    """Its body is cut off, its shielded clean-up does nothing, and who waits is told why."""

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
            async with ctx.shield():
                await ctx.run(body)
            calls.append("not reached")

    told = []

    async def wait() -> None:
        with pytest.raises(WorkflowCancelledError) as caught:
            await handle.result()
        told.append(caught.value.reason)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.sleep(5)
            await handle.terminate("enough")
            assert runtime.statistics().active == 0
            assert calls == ["cut off"]
        state = await handle.state()
        assert told == ["enough"]
        assert (state.status, state.reason) == (Status.CANCELLED, "enough")
        assert state.completed_at is not None
        assert await handle.tasks() == ()
    assert [entry.kind for entry in journal_of(storage, "a")] == ["start", "end"]


async def test_a_task_that_was_to_be_retried_is_open_no_more(open_claw_runtime, storage):
    """Its list of tasks promises nothing."""

    @task(retry=Retry(max_attempts=2, initial=50.0))
    async def fails() -> None:
        raise ValueError

    @workflow
    async def run(ctx: Context) -> None:
        await ctx.run(fails)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await trio.sleep(1)
        assert len(await handle.tasks()) == 1
        await handle.terminate()
        assert await handle.tasks() == ()


async def test_it_ends_wherever_it_stands(open_claw_runtime, storage):
    """Paused, quarantined, waiting for its respawn, waiting unloaded."""

    @workflow(restart=Restart(max_restarts=0))
    async def crashing(ctx: Context) -> None:
        raise ValueError

    @workflow(restart=Restart(initial=100))
    async def respawning(ctx: Context) -> None:
        raise ValueError

    workflows = [sleeper, crashing, respawning]
    async with open_claw_runtime(storage, workflows=workflows) as runtime:
        await runtime.start(sleeper, 500, id="unloaded")
        await trio.sleep(5)
    async with open_claw_runtime(storage, workflows=workflows) as runtime:
        await runtime.start(sleeper, 50, id="paused")
        await runtime.pause("paused", "lunch")
        with pytest.raises(WorkflowQuarantinedError):
            await (await runtime.start(crashing, id="quarantined")).result()
        await runtime.start(respawning, id="respawning")
        await wait_all_tasks_blocked()
        for id in ("paused", "quarantined", "respawning", "unloaded"):
            await runtime.terminate(id, "enough")
            with pytest.raises(WorkflowCancelledError, match="enough"):
                await runtime.result(id)
        await trio.sleep(1_000)
        assert {state.status for state in (await runtime.list()).items} == {Status.CANCELLED}
        assert runtime.statistics().active == 0
        assert runtime.statistics().crashes == 2


async def test_one_terminated_between_its_claim_and_its_reading_does_not_run(
    open_claw_runtime, storage, monkeypatch
):
    """Its journal says that it has ended, and in a later life."""
    load = MemoryStorage.load

    def terminating(self, pks):
        if due:
            assert self.commit([due.pop()])
        return load(self, pks)

    due = []
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        await runtime.start(sleeper, 5, id="a")
    monkeypatch.setattr(MemoryStorage, "load", terminating)
    due.append(terminate("a"))
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        with pytest.raises(WorkflowCancelledError):
            await runtime.result("a")
        await trio.sleep(50)
        assert not due
        assert runtime.statistics().active == 0
        assert runtime.statistics().crashes == 0


@pytest.mark.parametrize("ticks", range(0, 30, 3))
async def test_beside_its_completion_one_of_the_two_wins(
    open_claw_runtime, storage, ticks, journal_of
):
    """Whoever commits first; there is one end, and the other is told."""
    outcome = []

    @workflow
    async def run(ctx: Context) -> str:
        await ctx.sleep(1)
        return "done"

    async def end(runtime) -> None:
        await trio.sleep(1)
        for _ in range(ticks):
            await trio.lowlevel.checkpoint()
        try:
            await runtime.terminate("a")
            outcome.append(Status.CANCELLED)
        except WorkflowClosedError as error:
            outcome.append(error.status)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(end, runtime)
        await trio.sleep(10)
        assert outcome == [await runtime.status("a")]
        kinds = [entry.kind for entry in journal_of(storage, "a")]
        assert kinds.count(EntryKind.END) == 1
        assert runtime.statistics().crashes == 0


async def test_a_body_may_terminate_its_own_workflow(open_claw_runtime, storage, calls):
    """It is cancelled like every other, and nothing is left waiting for itself."""

    @task
    async def body() -> None:
        try:
            await runtime.terminate("a", "by itself")
        finally:
            calls.append("left")

    @workflow
    async def run(ctx: Context) -> None:
        await ctx.run(body)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        with trio.fail_after(50), pytest.raises(WorkflowCancelledError, match="by itself"):
            await handle.result()
        await trio.sleep(1)
        assert (calls, runtime.statistics().active) == (["left"], 0)


async def test_it_does_not_come_back(open_claw_runtime, storage):
    """Neither by a restart, nor by a retry, nor by a message."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        await runtime.start(sleeper, 5, id="a")
        await runtime.terminate("a")
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        assert runtime.recovery_report.recovered == ()
        with pytest.raises(InvalidTransitionError):
            await runtime.retry("a")
        for call in (runtime.cancel, runtime.terminate):
            with pytest.raises(WorkflowClosedError, match="cancelled"):
                await call("a")


async def test_what_cannot_be_terminated_is_refused(open_claw_runtime, storage):
    """Nobody; with too long a reason; by a runtime that has closed."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        await runtime.start(sleeper, 5, id="a")
        with pytest.raises(NotFoundError):
            await runtime.terminate("nobody")
        with pytest.raises(InvalidInputError, match="reason"):
            await runtime.terminate("a", "x" * 1_001)
        assert await runtime.result("a") == "slept"
    with pytest.raises(RuntimeClosedError):
        await runtime.terminate("a")
