"""Closing a runtime: sealed before stopped."""

from __future__ import annotations

import logging

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors import Context, Retry, RuntimeConfig, Status, task, task_info, workflow
from claw_actors.errors import InstanceSealed, RuntimeClosedError

GRACE = RuntimeConfig(grace=5.0)


async def test_a_body_that_ends_within_the_grace_is_recorded(open_claw_runtime, storage, calls):
    """It does not run again at the next opening."""

    @task
    async def body() -> int:
        calls.append("body")
        await trio.sleep(4)
        return 4

    @workflow
    async def run(ctx: Context) -> int:
        value = await ctx.run(body)
        calls.append("after")
        return value

    async with open_claw_runtime(storage, workflows=[run], config=GRACE) as runtime:
        await runtime.start(run, id="a")
        await wait_all_tasks_blocked()
    assert trio.current_time() == pytest.approx(4, abs=0.1)
    assert calls == ["body"], "its outcome is recorded, and not delivered"
    assert storage._clean
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await runtime.result("a") == 4
    assert calls == ["body", "after"]


async def test_a_longer_body_is_cut_off_and_not_recorded(
    open_claw_runtime, storage, calls, journal_of
):
    """It uses no attempt, and runs again."""

    @task
    async def body() -> int:
        calls.append(task_info().attempt)
        await trio.sleep(10)
        return 4

    @workflow
    async def run(ctx: Context) -> int:
        return await ctx.run(body)

    async with open_claw_runtime(storage, workflows=[run], config=GRACE) as runtime:
        await runtime.start(run, id="a")
        await wait_all_tasks_blocked()
    assert trio.current_time() == pytest.approx(5, abs=0.1)
    assert len(journal_of(storage, "a")) == 1
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await runtime.result("a") == 4
    assert calls == [1, 1]


async def test_a_body_that_fails_within_the_grace_is_counted(open_claw_runtime, storage):
    """Its attempt ended, so that is stored; the next one follows at the next opening."""
    tries = []

    @task(retry=Retry(max_attempts=2, initial=1))
    async def body() -> int:
        tries.append(trio.current_time())
        await trio.sleep(2)
        if len(tries) == 1:
            raise ConnectionError
        return 4

    @workflow
    async def run(ctx: Context) -> int:
        return await ctx.run(body)

    async with open_claw_runtime(storage, workflows=[run], config=GRACE) as runtime:
        await runtime.start(run, id="a")
        await wait_all_tasks_blocked()
    assert trio.current_time() == pytest.approx(2, abs=0.1)
    assert len(tries) == 1
    async with open_claw_runtime(storage, workflows=[run], config=GRACE) as runtime:
        [open_task] = await runtime.storage.list_tasks("a")
        assert open_task.attempt == 1
        assert await runtime.result("a") == 4


async def test_a_body_that_waits_for_its_retry_does_not_use_the_grace(open_claw_runtime, storage):
    """There is nothing to wait for."""

    @task(retry=Retry(max_attempts=2, initial=100, jitter=0))
    async def body() -> int:
        raise ConnectionError

    @workflow
    async def run(ctx: Context) -> int:
        return await ctx.run(body)

    async with open_claw_runtime(storage, workflows=[run], config=GRACE) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(2)
    assert trio.current_time() == pytest.approx(2, abs=0.1)
    # The same again, when the wait is one that was found at the opening.
    async with open_claw_runtime(storage, workflows=[run], config=GRACE) as runtime:
        await trio.sleep(2)
        assert runtime.statistics().active == 1
    assert trio.current_time() == pytest.approx(4, abs=0.1)


async def test_finally_blocks_run_and_record_nothing(open_claw_runtime, storage, calls, journal_of):
    """In them operations only raise: shielded, swallowed, in a loop."""

    @task
    async def clean_up() -> None:
        calls.append("ran")

    @workflow
    async def run(ctx: Context) -> str:
        try:
            await ctx.sleep(100)
        finally:
            with trio.CancelScope(shield=True):
                for _ in range(3):
                    try:
                        await ctx.run(clean_up)
                    except BaseException as error:  # noqa: ASYNC103
                        calls.append(type(error))
                    try:
                        await ctx.sleep(1)
                    except BaseException as error:  # noqa: ASYNC103
                        calls.append(type(error))
        return "not recorded"

    async with open_claw_runtime(storage, workflows=[run], config=GRACE) as runtime:
        await runtime.start(run, id="a")
        await wait_all_tasks_blocked()
    assert calls == [InstanceSealed] * 6
    assert trio.current_time() < 0.1
    assert len(journal_of(storage, "a")) == 1


async def test_a_workflow_that_swallows_everything_and_returns_has_not_ended(
    open_claw_runtime, storage, row_of
):
    """What a sealed instance returns is not recorded."""

    @workflow
    async def run(ctx: Context) -> str:
        try:
            await ctx.sleep(50)
        except BaseException:  # noqa: ASYNC103
            return "swallowed"  # noqa: ASYNC104
        return "slept"

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(1)
    assert row_of(storage, "a").status is Status.RUNNING
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await runtime.result("a") == "slept"


async def test_a_shielded_operation_is_unwound_too(open_claw_runtime, storage, calls):
    """A shield of the author's cannot keep a stopped instance in memory."""

    @workflow
    async def run(ctx: Context) -> None:
        with trio.CancelScope(shield=True):
            try:
                await ctx.sleep(100)
            except InstanceSealed as error:
                calls.append(error.why)
                raise

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await wait_all_tasks_blocked()
    assert calls == ["the runtime is closing"]
    assert trio.current_time() < 0.1


async def test_clean_up_may_await_what_it_likes(open_claw_runtime, storage, calls):
    """Code that is unwound records nothing, so nothing there can diverge."""

    @workflow
    async def run(ctx: Context) -> None:
        try:
            await ctx.sleep(100)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(1)
                calls.append("awaited")

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await wait_all_tasks_blocked()
    assert calls == ["awaited"]
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await runtime.status("a") is Status.RUNNING


async def test_errors_of_clean_up_are_logged_alone_and_in_groups(
    open_claw_runtime, storage, caplog, row_of
):
    """A group with a cancellation in it is taken apart; nothing of it is a crash."""

    @workflow
    async def alone(ctx: Context) -> None:
        try:
            await ctx.sleep(100)
        finally:
            raise KeyError("alone")

    @workflow
    async def together(ctx: Context) -> None:
        try:
            await ctx.sleep(100)
        except trio.Cancelled as error:
            raise BaseExceptionGroup("both", [error, KeyError("together")]) from None  # noqa: ASYNC104

    @workflow
    async def sealed(ctx: Context) -> None:
        with trio.CancelScope(shield=True):
            try:
                await ctx.sleep(100)
            except InstanceSealed as error:
                raise BaseExceptionGroup("only ours", [error]) from None

    workflows = [alone, together, sealed]
    async with open_claw_runtime(storage, workflows=workflows) as runtime:
        for one in workflows:
            await runtime.start(one, id=one.name)
        await wait_all_tasks_blocked()
    logged = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert sorted(logged) == [
        "workflow alone: its clean-up failed: KeyError('alone')",
        "workflow together: its clean-up failed: KeyError('together')",
    ]
    assert all(row_of(storage, one.name).restarts == () for one in workflows)


async def test_waiting_for_a_result_ends_when_the_runtime_closes(open_claw_runtime, storage):
    """``RuntimeClosedError``; and what is asked in the grace is refused the same way."""

    @task
    async def body() -> None:
        await trio.sleep(3)

    @workflow
    async def run(ctx: Context) -> None:
        await ctx.run(body)

    told = []

    async def wait() -> None:
        try:
            await handle.result()
        except RuntimeClosedError:
            told.append(trio.current_time())
        try:
            await runtime.start(run)
        except RuntimeClosedError:
            told.append("start")

    async with (
        trio.open_nursery() as nursery,
        open_claw_runtime(storage, workflows=[run], config=GRACE) as runtime,
    ):
        handle = await runtime.start(run)
        nursery.start_soon(wait)
        await trio.sleep(1)
    assert told == [pytest.approx(1, abs=0.1), "start"]


async def test_a_body_cut_off_that_swallows_and_returns_is_recorded(
    open_claw_runtime, storage, calls
):
    """Its effect has happened, so its outcome is kept: it ended, if late."""

    @task
    async def body() -> int:
        calls.append("body")
        try:
            await trio.sleep(100)
        except trio.Cancelled:  # noqa: ASYNC103
            return 1  # noqa: ASYNC104
        return 2

    @workflow
    async def run(ctx: Context) -> int:
        return await ctx.run(body)

    async with open_claw_runtime(storage, workflows=[run], config=GRACE) as runtime:
        await runtime.start(run, id="a")
        await wait_all_tasks_blocked()
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await runtime.result("a") == 1
    assert calls == ["body"]


async def test_the_end_of_a_workflow_that_is_being_written_counts(
    open_claw_runtime, storage, row_of
):
    """What was on its way to storage when the runtime closed is there afterwards."""

    @workflow
    async def run(ctx: Context) -> str:
        return "done"

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        for _ in range(3):
            await trio.lowlevel.checkpoint()
    assert row_of(storage, "a").status in (Status.COMPLETED, Status.RUNNING)
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await runtime.result("a") == "done"


@pytest.mark.parametrize("ticks", range(8))
async def test_closing_at_any_moment_loses_nothing(open_claw_runtime, storage, calls, ticks):
    """Whatever is under way, the next opening goes on, and a recorded task ran once."""

    @task
    async def step(n: int) -> int:
        calls.append(n)
        return n

    @workflow
    async def run(ctx: Context) -> int:
        total = 0
        for n in (1, 2, 3):
            total += await ctx.run(step, n)
        return total

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        for _ in range(ticks):
            await trio.lowlevel.checkpoint()
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await runtime.result("a") == 6
    assert calls == [1, 2, 3], "within the grace every body is recorded"


async def test_a_task_that_was_timed_out_and_has_not_begun_is_left_as_it_is(
    open_claw_runtime, storage, cut_after, caplog
):
    """Its instance is closed while the past is caught up with: it sees that, and nothing else."""

    @task
    async def hanging() -> None:
        await trio.sleep_forever()

    async def limited(ctx: Context) -> None:
        with ctx.move_on_after(3):
            await ctx.run(hanging)

    async def sleeping(ctx: Context) -> None:
        await ctx.sleep(10)

    @workflow
    async def run(ctx: Context) -> None:
        async with ctx.open_nursery() as nursery:
            nursery.start_soon(limited)
            nursery.start_soon(sleeping)

    class ClosedMeanwhile(type(storage)):
        def commit(self, group):
            entries = [entry for one in group for entry in getattr(one, "entries", ())]
            if any(entry.op.endswith("sleep") for entry in entries):
                sequencer = runtime._cells._cells["a"].sequencer
                sequencer.leaving.seal("the test wants it", at_once=True)
                sequencer.leaving.leave()
            return super().commit(group)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(5)
    crashed = ClosedMeanwhile()
    crashed._table = cut_after(storage, 2)._table
    await trio.sleep(50)
    async with open_claw_runtime(crashed, workflows=[run]) as runtime:
        await wait_all_tasks_blocked()
        assert "a" not in runtime._cells._cells
    assert "clean-up failed" not in caplog.text
