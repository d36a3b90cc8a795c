"""The order inside one instance, where several things arrive at the same moment."""

from __future__ import annotations

import contextlib

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors import (
    Context,
    MemoryStorage,
    Restart,
    RuntimeConfig,
    Status,
    WorkflowState,
    task,
    workflow,
)
from claw_actors._core.journal import CANCEL_OP, Entry, EntryKind, EntryStatus
from claw_actors.errors import NotFoundError, WorkflowCancelledError, WorkflowClosedError
from claw_actors.storage.operations import Send
from claw_actors.testing.clock import EPOCH


def request(id: str) -> Send:
    """What asks a workflow to cancel itself."""
    return Send(
        id, Entry(CANCEL_OP, "cancel", EntryKind.CANCEL, EntryStatus.OK, EPOCH, value=b"null")
    )


@workflow
async def sleeper(ctx: Context, seconds: float) -> str:
    try:
        await ctx.sleep(seconds)
    except trio.Cancelled:
        ctx.log.warning("cancelled")
        raise
    return "slept"


@task
async def step() -> None: ...


@pytest.mark.parametrize("first", ["request", "sleep"])
async def test_a_sleep_and_a_request_in_one_commit_are_delivered_in_its_order(
    open_claw_runtime, storage, first, journal_of
):
    """What comes second finds that nobody waits for it any more, or that the end has come."""

    @workflow
    async def run(ctx: Context) -> list[str]:
        seen.clear()
        try:
            await ctx.sleep(5)
            seen.append("slept")
            await ctx.sleep(100)
        except trio.Cancelled:
            seen.append("cancelled")
            crashed.append(storage.snapshot())
            raise
        return seen

    seen, crashed = [], []
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await wait_all_tasks_blocked()
        sequencer = runtime._cells._cells["a"].sequencer
        [operation] = sequencer.waiting.unscoped()
        operation.timer.cancel()
        if first == "sleep":
            sequencer.operations._timer_due(operation)
        runtime._actor.post(request("a"), lambda _: None)
        if first == "request":
            sequencer.operations._timer_due(operation)
        with pytest.raises(WorkflowCancelledError):
            await handle.result()
        assert seen == (["slept", "cancelled"] if first == "sleep" else ["cancelled"])
    kinds = [str(entry.kind) for entry in journal_of(crashed[0], "a")]
    assert kinds == ["start", *(("timer", "cancel") if first == "sleep" else ("cancel", "timer"))]
    live = list(seen)
    async with open_claw_runtime(crashed[0], workflows=[run]) as runtime:
        with pytest.raises(WorkflowCancelledError):
            await runtime.result("a")
    assert seen == live, "and a replay does the same"


@pytest.mark.parametrize("ticks", range(12))
@pytest.mark.parametrize("seconds", [0.9, 100])
async def test_a_request_at_any_moment_of_a_recovery_is_served(
    open_claw_runtime, storage, ticks, seconds
):
    """Before it is loaded, while it is, while its overdue sleep is being written."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        await runtime.start(sleeper, seconds, id="a")
        await trio.sleep(0.5)
    await trio.sleep(1_000)
    async with (
        trio.open_nursery() as nursery,
        open_claw_runtime(storage, workflows=[sleeper]) as runtime,
    ):

        async def cancel() -> None:
            for _ in range(ticks):
                await trio.lowlevel.checkpoint()
            runtime._actor.post(request("a"), results.append)

        results = []
        nursery.start_soon(cancel)
        with contextlib.suppress(WorkflowCancelledError):
            assert await runtime.result("a") == "slept"
        await trio.sleep(1)
        assert len(results) == 1


@pytest.mark.parametrize("ticks", range(12))
async def test_a_request_at_any_moment_of_waking_up_is_served(open_claw_runtime, storage, ticks):
    """While it is read, claimed and loaded; also if it is in the journal that was loaded."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        await runtime.start(sleeper, 100, id="a")
        await trio.sleep(5)
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        await trio.sleep_until(100)
        for _ in range(ticks):
            await trio.lowlevel.checkpoint()
        try:
            await runtime.cancel("a")
        except WorkflowClosedError:
            assert await runtime.result("a") == "slept"
        else:
            with pytest.raises(WorkflowCancelledError):
                await runtime.result("a")


async def test_a_request_before_the_first_line_keeps_a_body_from_running(
    open_claw_runtime, storage, journal_of, calls
):
    """The task is asked for, finds itself cancelled, and says so in the journal."""

    @task
    async def body() -> None:
        calls.append("ran")

    @workflow
    async def run(ctx: Context) -> None:
        await ctx.run(body)

    async with open_claw_runtime(storage) as runtime:
        await runtime.storage.create_workflow(
            WorkflowState(id="a", name="run", status=Status.PENDING)
        )
        await runtime.cancel("a", "too late for it")
    for _ in range(2):
        async with open_claw_runtime(storage, workflows=[run]) as runtime:
            with pytest.raises(WorkflowCancelledError, match="too late for it"):
                await runtime.result("a")
    assert calls == []
    assert [(str(one.kind), str(one.status)) for one in journal_of(storage, "a")] == [
        ("start", "ok"),
        ("cancel", "ok"),
        ("task", "cancelled"),
        ("end", "cancelled"),
    ]


async def test_nothing_begins_before_a_write_of_the_replay_is_answered(open_claw_runtime, storage):
    """It has been well for a while in mid-replay, and that is being stored."""

    @workflow
    async def run(ctx: Context) -> int:
        for _ in range(120):
            await ctx.run(step)
        await ctx.sleep(5)
        return ctx.attempt

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(1)
        crashed = storage.snapshot()
    row = crashed._table.find("a").row
    crashed._table._records[row.pk] = attrs.evolve(
        crashed._table._records[row.pk], row=attrs.evolve(row, status=Status.RUNNING)
    )
    config = RuntimeConfig(healthy_after=0)
    async with open_claw_runtime(crashed, workflows=[run], config=config) as runtime:
        assert crashed._table.find("a").row.recoveries in (0, 1)
        assert await runtime.result("a") == 2
        assert runtime.statistics().attempts == 0


async def test_one_that_falls_due_in_the_grace_is_left_for_the_next_opening(
    open_claw_runtime, storage, row_of
):
    """The supervisor takes no more children; its sleep is overdue then."""

    @task
    async def long() -> None:
        await trio.sleep(4)

    @workflow
    async def busy(ctx: Context) -> None:
        await ctx.run(long)

    workflows = [sleeper, busy]
    async with open_claw_runtime(storage, workflows=workflows) as runtime:
        await runtime.start(sleeper, 100, id="a")
        await trio.sleep(5)
    async with open_claw_runtime(storage, workflows=workflows) as runtime:
        await trio.sleep(93)
        await runtime.start(busy)
        await wait_all_tasks_blocked()
    assert trio.current_time() > 101
    assert row_of(storage, "a").status in (Status.WAITING, Status.RUNNING)
    async with open_claw_runtime(storage, workflows=workflows) as runtime:
        assert await runtime.result("a") == "slept"


@pytest.mark.parametrize("ticks", range(12))
async def test_closing_while_an_instance_is_being_woken_leaves_it_for_the_next_opening(
    open_claw_runtime, storage, ticks
):
    """Claimed or not, loaded or not."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        await runtime.start(sleeper, 100, id="a")
        await trio.sleep(5)
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        await trio.sleep_until(100)
        for _ in range(ticks):
            await trio.lowlevel.checkpoint()
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        assert await runtime.result("a") == "slept"


@pytest.mark.parametrize("ticks", range(12))
async def test_deleting_while_an_instance_is_being_woken_deletes_it(
    open_claw_runtime, storage, ticks
):
    """Nothing of it comes back."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        await runtime.start(sleeper, 100, id="a")
        await trio.sleep(5)
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        await trio.sleep_until(100)
        for _ in range(ticks):
            await trio.lowlevel.checkpoint()
        await runtime.delete("a", force=True)
        await trio.sleep(10)
        assert runtime.statistics().active == 0
        with pytest.raises(NotFoundError):
            await runtime.status("a")


async def test_a_timer_that_fires_while_its_instance_is_sealed_writes_nothing(
    open_claw_runtime, storage, journal_of
):
    """Once sealed, nothing is delivered, so nothing needs to be recorded."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        await runtime.start(sleeper, 5, id="a")
        await wait_all_tasks_blocked()
        sequencer = runtime._cells._cells["a"].sequencer
        [operation] = sequencer.waiting.unscoped()
        sequencer.leaving.seal("for the test")
        sequencer.operations._timer_due(operation)
        sequencer.note_healthy()
        await wait_all_tasks_blocked()
        assert runtime.statistics().active == 0
    assert len(journal_of(storage, "a")) == 1


async def test_an_entry_that_was_loaded_is_not_taken_twice(open_claw_runtime, storage):
    """It may be announced as well, if it was committed while the journal was read."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        handle = await runtime.start(sleeper, 5, id="a")
        await wait_all_tasks_blocked()
        sequencer = runtime._cells._cells["a"].sequencer
        sequencer.committed(request("a").entry)  # its number, 0, is one that is there
        sequencer.pump()
        assert await handle.result() == "slept"


async def test_many_may_wait_for_one_result(open_claw_runtime, storage):
    """All of them are told."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        handle = await runtime.start(sleeper, 10)
        results = []

        async def wait() -> None:
            results.append(await handle.result())

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(wait)
    assert results == ["slept"] * 5


class Cancelling(MemoryStorage):
    """A storage in which a request is committed just after a journal was read."""

    meddle = False

    def load(self, pks):
        loaded = super().load(pks)
        if self.meddle:
            self.meddle = False
            self.commit([request("a")])
        return loaded


async def test_a_retry_that_meets_a_request_looks_again(open_claw_runtime):
    """It has changed since it was read, and is retried as it now is."""
    storage = Cancelling()

    @workflow
    async def run(ctx: Context) -> None:
        await ctx.run(step)
        if not mended:
            raise BaseExceptionGroup("a crash", [ValueError()])
        await ctx.sleep(100)

    mended = []
    crashing = workflow(name="run", restart=Restart(max_restarts=0))(run.fn)
    async with open_claw_runtime(storage, workflows=[crashing]) as runtime:
        handle = await runtime.start(crashing, id="a")
        with pytest.raises(Exception, match="quarantined"):
            await handle.result()
        mended.append(1)
        storage.meddle = True
        await handle.retry()
        with pytest.raises(WorkflowCancelledError):
            await handle.result()
        assert not storage.meddle
