"""Pausing a workflow, wherever it stands, and resuming it."""

from __future__ import annotations

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors import (
    Context,
    MemoryStorage,
    Restart,
    Retry,
    RuntimeConfig,
    Status,
    task,
    workflow,
)
from claw_actors._core.journal import EntryKind
from claw_actors.errors import (
    InvalidInputError,
    InvalidTransitionError,
    NotFoundError,
    RuntimeClosedError,
    UnknownWorkflowError,
    WorkflowCancelledError,
    WorkflowClosedError,
    WorkflowQuarantinedError,
)


@workflow
async def sleeper(ctx: Context, seconds: float) -> str:
    await ctx.sleep(seconds)
    return "slept"


def two_steps(calls):
    """Make a workflow of two tasks that take ten seconds each."""

    @task
    async def step(n: int) -> int:
        calls.append(f"begin {n}")
        await trio.sleep(10)
        calls.append(f"end {n}")
        return n

    @workflow
    async def run(ctx: Context) -> int:
        return await ctx.run(step, 1) + await ctx.run(step, 2)

    return run


async def test_the_running_body_ends_and_nothing_else_begins(
    open_claw_runtime, storage, calls, journal_of
):
    """Its outcome is recorded; then the workflow leaves memory until it is resumed."""
    run = two_steps(calls)
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await trio.sleep(3)
        await handle.pause("lunch")
        state = await handle.state()
        assert (state.status, state.reason) == (Status.PAUSED, "lunch")
        await trio.sleep(100)
        assert calls == ["begin 1", "end 1"]
        assert runtime.statistics().active == 0
        assert [entry.kind for entry in journal_of(storage, "a")] == ["start", "pause", "task"]
        await handle.resume()
        assert await handle.result() == 3
        assert calls == ["begin 1", "end 1", "begin 2", "end 2"]
        assert (await handle.state()).reason is None


async def test_a_retry_does_not_begin(open_claw_runtime, storage, calls):
    """The attempt that ran counts; the next one is made after the resume."""

    @task(retry=Retry(max_attempts=2, initial=0.0))
    async def fails() -> None:
        calls.append(1)
        await trio.sleep(10)
        if len(calls) == 1:
            raise ValueError

    @workflow
    async def run(ctx: Context) -> None:
        await ctx.run(fails)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await trio.sleep(3)
        await handle.pause()
        await trio.sleep(100)
        assert (calls, runtime.statistics().active) == ([1], 0)
        await handle.resume()
        await handle.result()
    assert calls == [1, 1]


async def test_a_retry_that_is_due_later_waits_for_the_resume(open_claw_runtime, storage, calls):
    """One that only waits for its next attempt leaves at once."""

    @task(retry=Retry(max_attempts=2, initial=50.0, jitter=0.0))
    async def fails() -> None:
        calls.append(trio.current_time())
        if len(calls) == 1:
            raise ValueError

    @workflow
    async def run(ctx: Context) -> None:
        await ctx.run(fails)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await trio.sleep(3)
        await handle.pause()
        await wait_all_tasks_blocked()
        assert runtime.statistics().active == 0
        await trio.sleep(100)
        assert len(calls) == 1
        await handle.resume()
        await handle.result()
        assert len(calls) == 2


@pytest.mark.parametrize("away", [1.0, 100.0])
async def test_timers_keep_their_instants(open_claw_runtime, storage, away):
    """A sleep that is over meanwhile is over at the resume; another one goes on to its end."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        handle = await runtime.start(sleeper, 50, id="a")
        begun = trio.current_time()
        await trio.sleep(5)
        await handle.pause()
        await trio.sleep(away)
        assert await handle.status() is Status.PAUSED
        await handle.resume()
        assert await handle.result() == "slept"
        assert trio.current_time() - begun == pytest.approx(max(50, 5 + away), abs=0.1)


async def test_a_deadline_that_passes_meanwhile_is_delivered_after_the_resume(
    open_claw_runtime, storage, calls
):
    """It cuts short what it would have cut short."""

    @workflow
    async def run(ctx: Context) -> bool:
        with ctx.move_on_after(20) as scope:
            await ctx.sleep(1_000)
        calls.append("after")
        return scope.cancelled_caught

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await handle.pause()
        await trio.sleep(100)
        assert calls == []
        await handle.resume()
        assert await handle.result() is True


async def test_it_stays_paused_over_a_restart(open_claw_runtime, storage):
    """Recovery leaves it alone; it can be resumed in the next process, and waits there for that."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        await runtime.start(sleeper, 5, id="a")
        await runtime.pause("a")
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        assert runtime.recovery_report.recovered == ()
        await trio.sleep(100)
        handle = await runtime.get("a")
        assert await handle.status() is Status.PAUSED
        await runtime.recover()
        assert runtime.statistics().active == 0
        await handle.resume()
        assert await handle.result() == "slept"


async def test_one_that_waits_unloaded_is_paused(open_claw_runtime, storage):
    """Its time comes, and nothing happens."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        await runtime.start(sleeper, 50, id="a")
        await trio.sleep(5)
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        await runtime.pause("a")
        await trio.sleep(100)
        assert await runtime.status("a") is Status.PAUSED
        assert runtime.statistics().active == 0
        await runtime.resume("a")
        assert await runtime.result("a") == "slept"


async def test_one_that_waits_for_its_respawn_leaves_and_comes_back_at_the_resume(
    open_claw_runtime, storage
):
    """Not at the end of its back-off, and not before it is resumed."""
    lives = []

    @workflow(restart=Restart(initial=1_000.0, maximum=1_000.0))
    async def run(ctx: Context) -> str:
        lives.append(trio.current_time())
        if len(lives) == 1:
            raise ValueError
        return "done"

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await wait_all_tasks_blocked()
        assert await handle.status() is Status.PENDING
        await handle.pause()
        await wait_all_tasks_blocked()
        assert runtime.statistics().active == 0
        await trio.sleep(5_000)
        assert len(lives) == 1
        await handle.pause()
        await handle.resume()
        assert await handle.result() == "done"


async def test_a_crash_that_meets_a_pause_is_counted_and_stays_paused(
    open_claw_runtime, storage, row_of
):
    """Its incarnation has crashed before it was told."""
    lives = []

    @workflow(restart=Restart(initial=1.0))
    async def run(ctx: Context) -> str:
        await ctx.sleep(5)
        lives.append(1)
        if len(lives) == 1:
            nursery.start_soon(runtime.pause, "a")
            raise ValueError
        return "done"

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        async with trio.open_nursery() as nursery:
            await runtime.start(run, id="a")
            await trio.sleep(100)
        assert row_of(storage, "a").status is Status.PAUSED
        assert row_of(storage, "a").wake_at is None
        assert len(row_of(storage, "a").restarts) == 1
        assert runtime.statistics().active == 0
        await runtime.resume("a")
        assert await runtime.result("a") == "done"


async def test_who_waits_for_the_result_goes_on_waiting(open_claw_runtime, storage):
    """Over pause and resume."""
    results = []

    async with (
        open_claw_runtime(storage, workflows=[sleeper]) as runtime,
        trio.open_nursery() as nursery,
    ):
        handle = await runtime.start(sleeper, 5, id="a")

        @nursery.start_soon
        async def _() -> None:
            results.append(await handle.result())

        await handle.pause()
        await trio.sleep(100)
        assert results == []
        await handle.resume()
        await trio.sleep(1)
        assert results == ["slept"]


async def test_a_request_to_cancel_is_kept_and_delivered_after_the_resume(
    open_claw_runtime, storage, calls
):
    """Its clean-up runs then."""

    @task
    async def clean_up() -> None:
        calls.append("clean")

    @workflow
    async def run(ctx: Context) -> None:
        try:
            await ctx.sleep(1_000)
        finally:
            async with ctx.shield():
                await ctx.run(clean_up)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await handle.pause()
        await handle.cancel("enough")
        await trio.sleep(100)
        assert (await handle.status(), calls) == (Status.PAUSED, [])
        await handle.resume()
        with pytest.raises(WorkflowCancelledError, match="enough"):
            await handle.result()
    assert calls == ["clean"]


async def test_paused_and_resumed_twice_is_once(open_claw_runtime, storage, journal_of):
    """The second request of each kind leaves no trace, and the first reason stays."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        handle = await runtime.start(sleeper, 5, id="a")
        await handle.resume()
        await handle.pause("first")
        await handle.pause("second")
        assert (await handle.state()).reason == "first"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(handle.resume)
            nursery.start_soon(handle.resume)
        assert await handle.result() == "slept"
        kinds = [entry.kind for entry in journal_of(storage, "a")]
        assert kinds.count(EntryKind.PAUSE) == kinds.count(EntryKind.RESUME) == 1
        assert runtime.statistics().crashes == 0


async def test_resumed_while_its_body_still_runs_it_comes_back_when_that_has_ended(
    open_claw_runtime, storage, calls
):
    """And the body's outcome is not lost."""
    run = two_steps(calls)
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await trio.sleep(3)
        await handle.pause()
        await trio.sleep(3)
        await handle.resume()
        assert await handle.status() is Status.PENDING
        assert await handle.result() == 3
    assert calls == ["begin 1", "end 1", "begin 2", "end 2"]


@pytest.mark.parametrize("ticks", range(12))
async def test_pausing_and_resuming_at_any_moment_of_a_start_changes_nothing(
    open_claw_runtime, storage, calls, ticks
):
    """Between the commit of a start, or of a claim, and the moment when its journal is listened to."""
    run = two_steps(calls)
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runtime.start, run)
            await trio.sleep(1)
        [state] = (await runtime.list()).items
        for _ in range(3):
            await runtime.pause(state.id)
            for _ in range(ticks):
                await trio.lowlevel.checkpoint()
            await runtime.resume(state.id)
            for _ in range(ticks):
                await trio.lowlevel.checkpoint()
        assert await runtime.result(state.id) == 3
        assert (await runtime.get(state.id)).id == state.id
    assert calls == ["begin 1", "end 1", "begin 2", "end 2"]


async def test_one_paused_between_its_claim_and_its_reading_does_not_run(
    open_claw_runtime, storage, monkeypatch
):
    """It is found paused when its journal is read."""
    load = MemoryStorage.load

    def pausing(self, pks):
        if paused:
            assert self.commit([paused.pop()])
        return load(self, pks)

    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        await runtime.start(sleeper, 5, id="a")
    paused = []
    monkeypatch.setattr(MemoryStorage, "load", pausing)
    from claw_actors.testing.conformance.steering import pause

    paused.append(pause("a"))
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        await trio.sleep(50)
        assert not paused
        assert await runtime.status("a") is Status.PAUSED
        assert runtime.statistics().active == 0
        await runtime.resume("a")
        assert await runtime.result("a") == "slept"


async def test_children_go_with_their_parent(open_claw_runtime, storage):
    """Those that were abandoned do not."""

    @workflow
    async def parent(ctx: Context) -> str:
        await ctx.sleep(5)
        return "parent"

    async with open_claw_runtime(storage, workflows=[sleeper, parent]) as runtime:
        await runtime.start(parent, id="parent")
        for id in ("child", "abandoned"):
            await runtime.start(sleeper, 5, id=id)
            adopt(storage, id, "parent", "abandon" if id == "abandoned" else "wait")
        await runtime.pause("parent", "all of you")
        await trio.sleep(100)
        states = {state.id: state for state in (await runtime.list()).items}
        assert states["abandoned"].status is Status.COMPLETED
        assert states["child"].reason == states["parent"].reason == "all of you"
        assert states["child"].status is states["parent"].status is Status.PAUSED
        await runtime.resume("parent")
        assert await runtime.result("parent") == "parent"
        assert await runtime.result("child") == "slept"


def adopt(storage, id, parent, on_close):
    """Give a workflow a parent, past any runtime."""
    table = storage._table
    record, parent_pk = table.find(id), table.find(parent).row.pk
    row = attrs.evolve(record.row, parent=parent, on_close=on_close)
    table.put(row.pk, attrs.evolve(record, row=row, parent_pk=parent_pk))
    table.settle()


async def test_what_cannot_be_paused_is_refused_with_what_to_do(open_claw_runtime, storage):
    """Nobody, the ended, the quarantined; and too long a reason."""

    @workflow(restart=Restart(max_restarts=0))
    async def crashing(ctx: Context) -> None:
        raise ValueError

    async with open_claw_runtime(storage, workflows=[sleeper, crashing]) as runtime:
        await (await runtime.start(sleeper, 1, id="ended")).result()
        with pytest.raises(WorkflowQuarantinedError):
            await (await runtime.start(crashing, id="stuck")).result()
        for call in (runtime.pause, runtime.resume):
            with pytest.raises(NotFoundError):
                await call("nobody")
            with pytest.raises(WorkflowClosedError, match="completed"):
                await call("ended")
            with pytest.raises(InvalidTransitionError, match="retry or terminate it"):
                await call("stuck")
        with pytest.raises(InvalidInputError, match="reason"):
            await runtime.pause("stuck", "x" * 1_001)
    for call in (runtime.pause, runtime.resume):
        with pytest.raises(RuntimeClosedError):
            await call("ended")


async def test_one_without_its_code_is_not_resumed(open_claw_runtime, storage):
    """It stays paused: pending, it would only look as if it went on."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        await runtime.start(sleeper, 5, id="a")
        await runtime.pause("a")
    async with open_claw_runtime(storage) as runtime:
        with pytest.raises(UnknownWorkflowError):
            await runtime.resume("a")
        assert await runtime.status("a") is Status.PAUSED
        await runtime.pause("a")


@pytest.mark.parametrize("ticks", [*range(0, 24, 2), 40])
async def test_one_that_is_just_leaving_memory_is_paused_and_comes_back(
    open_claw_runtime, storage, ticks
):
    """At whatever moment of its passivation; a message that comes meanwhile is not lost."""

    @workflow
    async def listening(ctx: Context) -> list[int]:
        return [await ctx.receive("t", int), await ctx.receive("t", int)]

    config = RuntimeConfig(idle_after=1.0)
    async with open_claw_runtime(storage, workflows=[listening], config=config) as runtime:
        handle = await runtime.start(listening, id="a")
        await trio.sleep(1.0)
        for _ in range(ticks):
            await trio.lowlevel.checkpoint()
        await handle.pause()
        await handle.send("t", 1)
        await trio.sleep(50)
        assert (await handle.status(), runtime.statistics().active) == (Status.PAUSED, 0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(handle.resume)
            nursery.start_soon(handle.send, "t", 2)
        assert await handle.result() == [1, 2]
        assert runtime.statistics().crashes == 0


async def test_one_that_waits_for_a_message_without_being_in_memory_is_paused(
    open_claw_runtime, storage
):
    """And terminated, and continued, as any other."""

    @workflow
    async def listening(ctx: Context, n: int) -> int:
        got = await ctx.receive("t", int)
        if n < 3:
            await ctx.continue_as_new(n + 1)
        return got

    config = RuntimeConfig(idle_after=1.0)
    async with open_claw_runtime(storage, workflows=[listening], config=config) as runtime:
        for id in ("a", "b"):
            await runtime.start(listening, 1, id=id)
        await trio.sleep(50)
        assert runtime.statistics().active == 0
        await runtime.terminate("b")
        await runtime.pause("a")
        for n in range(3):
            await runtime.send("a", "t", n)
            await trio.sleep(50)
        assert await runtime.status("a") is Status.PAUSED
        await runtime.resume("a")
        assert await runtime.result("a") == 2
        assert await runtime.status("b") is Status.CANCELLED


async def test_pausing_again_takes_along_a_child_that_came_meanwhile(open_claw_runtime, storage):
    """Its start was on its way to storage when its parent was paused."""

    @workflow
    async def parent(ctx: Context) -> None:
        await ctx.start_child(sleeper, 500, id="child")
        await ctx.sleep(500)

    async with open_claw_runtime(storage, workflows=[parent, sleeper]) as runtime:
        await runtime.start(parent, id="a")
        await trio.sleep(5)
        await runtime.pause("a", "first")
        await runtime.resume("child")
        await trio.sleep(5)
        await runtime.pause("a", "second")
        states = {state.id: state for state in (await runtime.list()).items}
        assert {state.status for state in states.values()} == {Status.PAUSED}
        assert (states["a"].reason, states["child"].reason) == ("first", "second")
