"""Requests to cancel: durable first, then delivered in order, and never turned into a result."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors import Context, Restart, Retry, Status, TaskStatus, task, workflow
from claw_actors.errors import (
    InvalidInputError,
    TaskFailedError,
    WorkflowCancelledError,
    WorkflowClosedError,
    WorkflowFailedError,
    WorkflowFailure,
    WorkflowQuarantinedError,
)


@workflow
async def sleeper(ctx: Context, seconds: float = 100) -> str:
    await ctx.sleep(seconds)
    return "slept"


async def test_a_sleep_is_cancelled_at_once(open_claw_runtime, storage, row_of):
    """The reason is stored, and told to who waits."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        handle = await runtime.start(sleeper, id="a")
        await trio.sleep(3)
        await handle.cancel("not needed")
        with pytest.raises(WorkflowCancelledError, match="not needed") as caught:
            await handle.result()
        assert caught.value.reason == "not needed"
        assert trio.current_time() == pytest.approx(3, abs=0.1)
        row = row_of(storage, "a")
        assert (row.status, row.reason) == (Status.CANCELLED, "not needed")
        assert row.wake_at is None


async def test_a_reason_is_not_needed(open_claw_runtime, storage):
    """Nor is there one when none was given."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        handle = await runtime.start(sleeper)
        await handle.cancel()
        with pytest.raises(WorkflowCancelledError) as caught:
            await handle.result()
        assert caught.value.reason is None


@pytest.mark.parametrize("reason", [7, "x" * 1_001, b"bytes"])
async def test_a_reason_is_a_short_text(open_claw_runtime, storage, reason):
    """Anything else is refused, and nothing requested."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        handle = await runtime.start(sleeper)
        with pytest.raises(InvalidInputError):
            await handle.cancel(reason)
        assert await handle.result() == "slept"


async def test_a_running_body_is_cancelled_and_that_is_recorded(
    open_claw_runtime, storage, journal_of, calls
):
    """The body sees ``Cancelled``, the entry says so, and no attempt was used."""

    @task
    async def body() -> None:
        try:
            await trio.sleep(100)
        finally:
            calls.append("unwound")

    @workflow
    async def run(ctx: Context) -> None:
        try:
            await ctx.run(body)
        except trio.Cancelled:
            calls.append("cancelled")
            raise

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await trio.sleep(3)
        await handle.cancel()
        with pytest.raises(WorkflowCancelledError):
            await handle.result()
        [only] = await handle.tasks()
        assert (only.status, only.attempt) == (TaskStatus.CANCELLED, 0)
    assert calls == ["unwound", "cancelled"]
    assert [str(entry.kind) for entry in journal_of(storage, "a")] == [
        "start",
        "cancel",
        "task",
        "end",
    ]


async def test_a_body_that_completes_all_the_same_is_recorded(
    open_claw_runtime, storage, journal_of
):
    """Its effect has happened; the workflow still sees the cancellation."""

    @task
    async def stubborn() -> int:
        with trio.CancelScope(shield=True):
            await trio.sleep(10)
        return 7

    seen = []

    @workflow
    async def run(ctx: Context) -> None:
        seen.append(await ctx.run(stubborn))
        await ctx.sleep(1)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await trio.sleep(3)
        await handle.cancel()
        with pytest.raises(WorkflowCancelledError):
            await handle.result()
        [only] = await handle.tasks()
        assert only.result == 7
    assert seen == [7]


async def test_a_body_waiting_for_its_retry_is_cancelled(open_claw_runtime, storage):
    """Nothing more is tried."""

    @task(retry=Retry(initial=50))
    async def fail() -> None:
        raise ConnectionError

    @workflow
    async def run(ctx: Context) -> None:
        await ctx.run(fail)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run)
        await trio.sleep(3)
        await handle.cancel()
        with pytest.raises(WorkflowCancelledError):
            await handle.result()
        [only] = await handle.tasks()
        assert (only.status, only.attempt) == (TaskStatus.CANCELLED, 1)
        assert runtime.statistics().attempts == 1


async def test_a_workflow_cannot_turn_it_into_a_result(open_claw_runtime, storage):
    """Swallowed, every later operation raises it again, and the end is cancelled."""
    raised = []

    @task
    async def body() -> int:
        return 1

    @workflow
    async def run(ctx: Context) -> str:
        for _ in range(3):
            with trio.CancelScope():
                try:
                    await ctx.sleep(100)
                except trio.Cancelled:  # noqa: ASYNC103
                    raised.append("sleep")
            try:
                await ctx.run(body)
            except trio.Cancelled:  # noqa: ASYNC103
                raised.append("run")
        return "completed"

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run)
        await wait_all_tasks_blocked()
        await handle.cancel()
        with pytest.raises(WorkflowCancelledError):
            await handle.result()
    assert raised == ["sleep", "run"] * 3


async def test_a_failure_after_a_cancel_is_a_failure(open_claw_runtime, storage):
    """Code may answer a cancellation by failing on purpose; the cause is not hidden."""

    @workflow
    async def run(ctx: Context) -> None:
        try:
            await ctx.sleep(100)
        except trio.Cancelled:
            raise WorkflowFailure("could not stop") from None  # noqa: ASYNC104

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run)
        await wait_all_tasks_blocked()
        await handle.cancel()
        with pytest.raises(WorkflowFailedError, match="could not stop"):
            await handle.result()


async def test_clean_up_that_awaits_is_refused_and_quarantines(open_claw_runtime, storage, calls):
    """A cancelled workflow still goes on record; operations in its clean-up only raise."""

    @workflow
    async def run(ctx: Context) -> None:
        try:
            await ctx.sleep(100)
        finally:
            with pytest.raises(trio.Cancelled):
                await ctx.sleep(1)  # noqa: ASYNC102 - the point of it
            calls.append("raised")
            with trio.CancelScope(shield=True):
                await trio.sleep(1)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run)
        await wait_all_tasks_blocked()
        await handle.cancel()
        with pytest.raises(WorkflowQuarantinedError, match="ForeignAwaitError"):
            await handle.result()
    assert calls == ["raised"]


async def test_a_crash_after_a_cancel_is_respawned_and_then_cancelled(
    open_claw_runtime, storage, calls
):
    """The request is in the journal, so the next incarnation meets it in the same place."""

    @workflow(restart=Restart(initial=1))
    async def run(ctx: Context) -> None:
        try:
            await ctx.sleep(100)
        finally:
            calls.append(ctx.attempt)
            if ctx.attempt == 1:
                raise ValueError("broken clean-up")

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run)
        await wait_all_tasks_blocked()
        await handle.cancel()
        with pytest.raises(WorkflowCancelledError):
            await handle.result()
    assert calls == [1, 2]


async def test_one_that_waits_and_is_not_loaded_is_woken(open_claw_runtime, storage):
    """A request makes the stored row due by itself."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        await runtime.start(sleeper, 1_000, id="a")
        await trio.sleep(15)
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        assert runtime.statistics().active == 0
        handle = await runtime.get("a")
        await handle.cancel("woken")
        with pytest.raises(WorkflowCancelledError, match="woken"):
            await handle.result()
        assert trio.current_time() < 20


async def test_a_request_that_the_process_did_not_outlive_is_found_at_the_next_start(
    open_claw_runtime, storage
):
    """It is in the journal, and the row was made due with it."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        await runtime.start(sleeper, 1_000, id="a")
        await trio.sleep(15)
    async with open_claw_runtime(storage, workflows=[]) as runtime:
        await runtime.cancel("a", "while away")
        await trio.sleep(5)
        assert await runtime.status("a") is Status.WAITING, "its code is not registered here"
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        with pytest.raises(WorkflowCancelledError, match="while away"):
            await runtime.result("a")
        assert trio.current_time() < 30


async def test_it_is_delivered_in_its_place_on_replay(open_claw_runtime, storage, calls):
    """The replay of a cancelled workflow that did not end does what the first run did."""

    @task
    async def step(n: int) -> int:
        calls.append(n)
        return n

    @task
    async def cut_off() -> None:
        crashed.append(storage.snapshot())
        await trio.sleep(50)

    crashed = []

    @workflow
    async def run(ctx: Context) -> None:
        await ctx.run(step, 1)
        try:
            await ctx.run(cut_off)
        finally:
            calls.append("cancelled")
            crashed.append(storage.snapshot())

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await trio.sleep(5)
        await handle.cancel()
        with pytest.raises(WorkflowCancelledError):
            await handle.result()
    assert calls == [1, "cancelled"]
    before, after = crashed[0], crashed[1]
    async with open_claw_runtime(after, workflows=[run]) as runtime:
        with pytest.raises(WorkflowCancelledError):
            await runtime.result("a")
        assert runtime.statistics().attempts == 0, "the cancelled body does not run again"
    assert calls == [1, "cancelled", "cancelled"]
    async with open_claw_runtime(before, workflows=[run]) as runtime:
        await runtime.cancel("a", "again")
        with pytest.raises(WorkflowCancelledError, match="again"):
            await runtime.result("a")
    assert calls[:1] == [1]
    assert 1 not in calls[1:]


async def test_one_that_never_ran_is_cancelled(open_claw_runtime, storage, calls):
    """The request is committed before its first line; its first operation raises."""

    @workflow
    async def run(ctx: Context) -> None:
        calls.append("began")
        await ctx.sleep(1)
        calls.append("not reached")

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await handle.cancel()
        with pytest.raises(WorkflowCancelledError):
            await handle.result()
    assert calls == ["began"]


async def test_asking_twice_is_asking_once(open_claw_runtime, storage):
    """The first reason counts."""

    @task
    async def stubborn() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(10)

    @workflow
    async def run(ctx: Context) -> None:
        await ctx.run(stubborn)
        await ctx.sleep(1)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run)
        await trio.sleep(1)
        await handle.cancel("first")
        await handle.cancel("second")
        with pytest.raises(WorkflowCancelledError, match="first"):
            await handle.result()


async def test_after_the_end_it_is_refused(open_claw_runtime, storage):
    """``WorkflowClosedError`` says how it ended."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        handle = await runtime.start(sleeper, 0)
        await handle.result()
        with pytest.raises(WorkflowClosedError) as caught:
            await handle.cancel()
        assert caught.value.status == Status.COMPLETED


async def test_one_committed_before_the_completion_wins(open_claw_runtime, storage, journal_of):
    """The end is refused if something was added to the journal since, and looks again."""

    @task
    async def last() -> int:
        nursery.start_soon(runtime.cancel, "a", "just in time")
        return 1

    @workflow
    async def run(ctx: Context) -> int:
        return await ctx.run(last)

    async with (
        open_claw_runtime(storage, workflows=[run]) as runtime,
        trio.open_nursery() as nursery,
    ):
        await runtime.start(run, id="a")
        with pytest.raises(WorkflowCancelledError, match="just in time"):
            await runtime.result("a")


@pytest.mark.parametrize("after", range(6))
async def test_cancel_and_completion_race_to_one_of_two_ends(
    open_claw_runtime, storage, journal_of, after
):
    """Committed before the completion it wins; after it, it is refused. Nothing in between."""

    @task
    async def last() -> int:
        return 1

    @workflow
    async def run(ctx: Context) -> int:
        return await ctx.run(last)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        for _ in range(after):
            await trio.lowlevel.checkpoint()
        try:
            await handle.cancel()
        except WorkflowClosedError:
            assert await handle.result() == 1
        else:
            with pytest.raises(WorkflowCancelledError):
                await handle.result()
    ends = [entry for entry in journal_of(storage, "a") if entry.kind == "end"]
    assert len(ends) == 1


async def test_a_quarantined_one_gets_it_when_it_is_retried(open_claw_runtime, storage):
    """It is kept until then."""
    fix = []

    @workflow(restart=Restart(max_restarts=0))
    async def run(ctx: Context) -> None:
        if not fix:
            raise ValueError("broken")
        await ctx.sleep(100)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run)
        with pytest.raises(WorkflowQuarantinedError):
            await handle.result()
        await handle.cancel("later")
        assert await handle.status() is Status.QUARANTINED
        fix.append(1)
        await handle.retry()
        with pytest.raises(WorkflowCancelledError, match="later"):
            await handle.result()


async def test_one_that_waits_for_its_respawn_gets_it_then(open_claw_runtime, storage):
    """The next incarnation meets it."""

    @workflow(restart=Restart(initial=50, maximum=50))
    async def run(ctx: Context) -> None:
        if ctx.attempt == 1:
            raise ValueError("once")
        await ctx.sleep(100)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run)
        await trio.sleep(5)
        await handle.cancel()
        with pytest.raises(WorkflowCancelledError):
            await handle.result()


async def test_a_task_failure_met_while_cancelled_is_still_raised(open_claw_runtime, storage):
    """A body that fails in its clean-up has failed; the code sees that, and may fail with it."""

    @task
    async def body() -> None:
        try:
            await trio.sleep(100)
        except trio.Cancelled:
            raise KeyError("while cancelled") from None  # noqa: ASYNC104

    @workflow
    async def run(ctx: Context) -> None:
        with pytest.raises(TaskFailedError):
            await ctx.run(body)
        await ctx.sleep(1)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run)
        await trio.sleep(3)
        await handle.cancel()
        with pytest.raises(WorkflowCancelledError):
            await handle.result()
