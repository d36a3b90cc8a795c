"""Durable deadlines and shields: what timed out stays timed out, and clean-up goes on."""

# flake8: noqa: ASYNC102 - the linter does not know that ctx.shield() shields

from __future__ import annotations

import datetime

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors import Context, DeadlineExceededError, Status, task, workflow
from claw_actors.errors import (
    InstanceSealed,
    InvalidInputError,
    WorkflowCancelledError,
    WorkflowFailedError,
    WorkflowQuarantinedError,
)
from claw_actors.testing.clock import EPOCH


@task
async def lasting(seconds: float) -> float:
    await trio.sleep(seconds)
    return seconds


def kinds(entries):
    return [(entry.op, str(entry.kind), str(entry.status)) for entry in entries[1:-1]]


async def test_a_block_that_takes_too_long_is_cut_short(result_of, journal_of, storage):
    """Its task is cancelled, and the code goes on after the block; both are recorded."""

    async def run(ctx: Context) -> list[object]:
        with ctx.move_on_after(2) as scope:
            assert scope.deadline == ctx.now() + 2
            assert "open" in repr(scope)
            await ctx.run(lasting, 50)
        return [scope.cancel_called, scope.cancelled_caught, ctx.now() - EPOCH]

    called, caught, now = await result_of(run)
    assert called
    assert caught
    assert now == pytest.approx(2, abs=0.1)
    assert kinds(journal_of(storage, "a")) == [
        ("move_on_after", "timeout", "ok"),
        ("lasting", "task", "cancelled"),
    ]


async def test_a_block_that_is_done_in_time_writes_nothing(result_of, journal_of, storage):
    """Nor does its deadline, later."""

    async def run(ctx: Context) -> bool:
        with ctx.move_on_after(5) as scope:
            await ctx.run(lasting, 1)
        with ctx.fail_after(5):
            await ctx.run(lasting, 1)
        with ctx.move_on_at(ctx.now() + 5):
            await ctx.run(lasting, 1)
        await ctx.sleep(20)
        return scope.cancel_called or scope.cancelled_caught

    assert await result_of(run) is False
    ops = [entry.op for entry in journal_of(storage, "a")[1:-1]]
    assert ops == ["lasting", "lasting#2", "lasting#3", "sleep"]


async def test_too_late_can_be_a_failure(result_of):
    """``fail_after`` raises, and uncaught that fails the workflow: a replay would do the same."""

    async def run(ctx: Context) -> None:
        with pytest.raises(DeadlineExceededError) as caught, ctx.fail_after(3):
            await ctx.sleep(50)
        assert caught.value.deadline == EPOCH + 3
        async with ctx.open_nursery() as nursery:
            nursery.run_soon(lasting, 100)
            with ctx.fail_after(1):
                await ctx.wait_until(lambda: False)

    with pytest.raises(WorkflowFailedError, match="by its deadline"):
        await result_of(run)


async def test_a_point_in_time_may_be_a_deadline(result_of):
    """POSIX seconds, or a datetime with a time zone."""

    async def run(ctx: Context) -> list[float]:
        when = datetime.datetime.fromtimestamp(EPOCH + 3, datetime.UTC)
        with ctx.move_on_at(when) as scope:
            await ctx.sleep(50)
        with ctx.move_on_at(EPOCH + 5):
            await ctx.sleep(50)
        return [scope.deadline - EPOCH, ctx.now() - EPOCH]

    assert await result_of(run) == pytest.approx([3, 5], abs=0.1)


async def test_a_deadline_that_has_passed_cancels_at_once_and_writes_nothing(
    result_of, journal_of, storage
):
    """The first operation of the block raises."""
    begun = []

    async def run(ctx: Context) -> list[bool]:
        scopes = []
        for open_scope in (
            lambda: ctx.move_on_after(0),
            lambda: ctx.move_on_at(EPOCH - 5),
            lambda: ctx.move_on_at(ctx.now()),
        ):
            with open_scope() as scope:
                begun.append(1)
                await ctx.run(lasting, 1)
                begun.append("not reached")
            scopes.append(scope.cancelled_caught)
        with pytest.raises(DeadlineExceededError), ctx.fail_after(0):
            await ctx.sleep(1)
        return scopes

    assert await result_of(run) == [True] * 3
    assert begun == [1] * 3
    assert len(journal_of(storage, "a")) == 2


async def test_lengths_and_instants_are_checked(result_of):
    """At the line."""

    async def run(ctx: Context) -> None:
        for seconds in (-1, float("inf"), float("nan"), "1", True):
            for limit in (ctx.move_on_after, ctx.fail_after):
                with pytest.raises(InvalidInputError):
                    limit(seconds)
        for when in ("now", float("nan"), datetime.datetime(2030, 1, 1), True):  # noqa: DTZ001
            with pytest.raises(InvalidInputError):
                ctx.move_on_at(when)

    await result_of(run)


async def test_of_nested_deadlines_the_earlier_counts(resume_everywhere, calls):
    """Inner or outer; and the outer one reaches through."""

    @workflow
    async def run(ctx: Context) -> list[bool]:
        with ctx.move_on_after(10) as outer:
            with ctx.move_on_after(2) as inner:
                await ctx.run(lasting, 50)
            calls.append(("inner", inner.cancelled_caught, outer.cancelled_caught))
            with ctx.move_on_after(50):
                try:
                    await ctx.run(lasting, 50)
                finally:
                    calls.append("unwinds")
            calls.append("not reached")
        calls.append(("outer", outer.cancelled_caught))
        await ctx.run(lasting, 1)
        return [outer.cancelled_caught]

    assert await resume_everywhere(run, trace=calls) == [True]
    assert calls == [("inner", True, False), "unwinds", ("outer", True)]


async def test_a_deadline_around_a_nursery_cuts_all_children_short(resume_everywhere, calls):
    """In order of creation."""

    @workflow
    async def run(ctx: Context) -> bool:
        async def child(ctx: Context, number: int) -> None:
            try:
                await ctx.sleep(100 + number)
            finally:
                calls.append(number)

        with ctx.move_on_after(2) as scope:
            async with ctx.open_nursery() as nursery:
                for number in range(3):
                    nursery.start_soon(child, number)
                nursery.run_soon(lasting, 1)
        await ctx.run(lasting, 1)
        return scope.cancelled_caught

    assert await resume_everywhere(run, trace=calls) is True
    assert calls == [0, 1, 2]


async def test_a_scope_can_be_cancelled_by_hand(resume_everywhere, calls):
    """By its own block, or by a child; the deadline is not needed then."""

    @workflow
    async def run(ctx: Context) -> list[bool]:
        async def child(ctx: Context, scope) -> None:
            await ctx.run(lasting, 1)
            scope.cancel()

        async with ctx.open_nursery() as nursery:
            with ctx.move_on_after(100) as waits:
                nursery.start_soon(child, waits)
                await ctx.sleep(50)
            calls.append(ctx.now())
            with ctx.move_on_after(100) as own:
                own.cancel("by itself")
                await ctx.run(lasting, 1)
            await ctx.run(lasting, 1)
        return [waits.cancelled_caught, own.cancelled_caught]

    assert await resume_everywhere(run, trace=calls) == [True, True]


async def test_a_deadline_outlives_the_process_and_counts_for_parking(
    open_claw_runtime, storage, row_of
):
    """The workflow is stored as waiting, not loaded before it is due, and cut short then."""

    @workflow
    async def run(ctx: Context) -> list[object]:
        with ctx.move_on_after(100) as scope:
            async with ctx.open_nursery() as nursery:
                nursery.start_soon(forever)
                await ctx.sleep(5_000)
        return [scope.cancelled_caught, ctx.now() - EPOCH, ctx.attempt]

    async def forever(ctx: Context) -> None:
        await ctx.wait_until(lambda: False)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(15)
        row = row_of(storage, "a")
        assert (row.status, row.wake_at) == (Status.WAITING, EPOCH + 100)
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await trio.sleep(5)
        assert runtime.statistics().active == 0
        assert await runtime.result("a") == [True, pytest.approx(100, abs=0.1), 2]
        assert trio.current_time() == pytest.approx(100, abs=0.1)


async def test_what_fell_due_while_nobody_ran_comes_in_order_of_deadline(
    open_claw_runtime, storage, journal_of, calls
):
    """After the past is over, and before any body."""

    @workflow
    async def run(ctx: Context) -> None:
        async def child(ctx: Context, seconds: float, limit: float) -> None:
            with ctx.move_on_after(limit):
                await ctx.sleep(seconds)
                calls.append(("slept", seconds))
                return
            calls.append(("cut short", limit))

        async with ctx.open_nursery() as nursery:
            nursery.run_soon(lasting, 1)
            nursery.run_soon(lasting, 1_000)
            for seconds, limit in ((40, 90), (90, 30), (20, 90), (90, 10)):
                nursery.start_soon(child, seconds, limit)
            await ctx.sleep(1_000)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(5)
        crashed = storage.snapshot()
    record = crashed._table.find("a")
    crashed._table._records[record.row.pk] = attrs.evolve(
        record, row=attrs.evolve(record.row, status=Status.RUNNING)
    )
    calls.clear()
    await trio.sleep(100)
    async with open_claw_runtime(crashed, workflows=[run]) as runtime:
        await trio.sleep(1)
        assert runtime.statistics().attempts == 1
        assert calls == [("cut short", 10), ("slept", 20), ("cut short", 30), ("slept", 40)]


async def test_a_deadline_and_an_outcome_in_one_commit_are_delivered_in_its_order(
    open_claw_runtime, storage, journal_of
):
    """Whichever comes first; the other is given up, and a replay does the same."""

    @workflow
    async def run(ctx: Context) -> bool:
        with ctx.move_on_after(5) as scope:
            await ctx.sleep(5)
        seen.append(scope.cancelled_caught)
        await ctx.sleep(20)
        return scope.cancelled_caught

    seen = []
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await trio.sleep(7)
        crashed = storage.snapshot()
        result = await handle.result()
    assert len({entry.op for entry in journal_of(storage, "a")}) >= 4
    async with open_claw_runtime(crashed, workflows=[run]) as runtime:
        assert await runtime.result("a") == result
    assert seen[0] == seen[1]


@pytest.mark.parametrize("what", ["wrong kind", "unasked"])
async def test_a_deadline_that_the_code_does_not_set_is_divergence(
    open_claw_runtime, storage, what
):
    """An entry of a time-out is compared like any other."""

    @workflow(name="run")
    async def first(ctx: Context) -> None:
        with ctx.move_on_after(1):
            await ctx.sleep(50)
        await ctx.sleep(100)

    @workflow(name="run")
    async def changed(ctx: Context) -> None:
        if what == "wrong kind":
            await ctx.run(lasting.options(id="move_on_after"), 1)
        await ctx.sleep(50)

    async with open_claw_runtime(storage, workflows=[first]) as runtime:
        await runtime.start(first, id="a")
        await trio.sleep(5)
    async with open_claw_runtime(storage, workflows=[changed]) as runtime:
        await runtime.cancel("a")
        with pytest.raises(WorkflowQuarantinedError, match="expected timeout 'move_on_after'"):
            await runtime.result("a")


# -- shields ----------------------------------------------------------------------------------------


async def test_clean_up_goes_on_in_a_shield_after_a_request(open_claw_runtime, storage, journal_of):
    """Tasks, sleeps and nurseries; outside of it everything still raises."""
    done = []

    @workflow
    async def run(ctx: Context) -> None:
        try:
            await ctx.sleep(1_000)
        finally:
            async with ctx.shield():
                done.append(await ctx.run(lasting, 1))
                await ctx.sleep(1)
                async with ctx.open_nursery() as nursery:
                    nursery.run_soon(lasting, 1)
            with pytest.raises(trio.Cancelled):
                await ctx.run(lasting, 1)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await trio.sleep(1)
        await handle.cancel("enough")
        with pytest.raises(WorkflowCancelledError, match="enough"):
            await handle.result()
    assert done == [1]
    ops = [entry.op for entry in journal_of(storage, "a")]
    assert ops == ["", "/cancel", "lasting", "sleep#2", "nursery/lasting", "/end"]


async def test_clean_up_in_a_shield_is_resumed_where_it_stood(resume_everywhere, calls):
    """After a time-out, with a deadline of its own, and the same on every replay."""

    @workflow
    async def run(ctx: Context) -> list[bool]:
        with ctx.move_on_after(1) as scope:
            try:
                await ctx.run(lasting, 100)
            finally:
                async with ctx.shield():
                    calls.append(await ctx.run(lasting, 2))
                    with ctx.move_on_after(1) as inner:
                        await ctx.run(lasting, 100)
                    calls.append(inner.cancelled_caught)
                    calls.append(await ctx.run(lasting, 1))
                calls.append("unwound")
        return [scope.cancelled_caught, inner.cancelled_caught]

    assert await resume_everywhere(run, trace=calls) == [True, True]
    assert calls == [2, True, 1, "unwound"]


async def test_a_shield_does_not_keep_an_instance_in_memory(open_claw_runtime, storage, calls):
    """A close ends it, wherever it stands; the next life does it again, recorded parts aside."""

    @workflow
    async def run(ctx: Context) -> None:
        try:
            await ctx.sleep(1_000)
        finally:
            try:
                async with ctx.shield():
                    calls.append(await ctx.run(lasting, 1))
                    await ctx.sleep(10)
                    calls.append("done")
            except BaseException as error:
                calls.append(type(error))
                if ctx.is_sealed:
                    with pytest.raises(InstanceSealed):
                        async with ctx.shield():  # noqa: ASYNC120
                            calls.append("not reached")
                    for limit in (ctx.move_on_after, ctx.fail_after, ctx.move_on_at):
                        with pytest.raises(InstanceSealed):
                            limit(5)
                    with pytest.raises(InstanceSealed):
                        async with ctx.open_nursery():  # noqa: ASYNC120
                            calls.append("not reached")
                raise

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await handle.cancel()
        await trio.sleep(5)
    assert calls == [1, InstanceSealed]
    calls.clear()
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        with pytest.raises(WorkflowCancelledError):
            await runtime.result("a")
        assert runtime.statistics().attempts == 0
    assert calls == [1, "done"]


async def test_a_raw_scope_within_a_shield_is_refused_as_anywhere(open_claw_runtime, storage):
    """That the workflow was cancelled outside of it is no excuse."""

    @workflow
    async def run(ctx: Context) -> None:
        try:
            await ctx.sleep(1_000)
        finally:
            async with ctx.shield():
                with trio.move_on_after(1):
                    await ctx.sleep(5)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run)
        await wait_all_tasks_blocked()
        await handle.cancel()
        with pytest.raises(WorkflowQuarantinedError, match=r"ctx\.move_on_after"):
            await handle.result()


async def test_a_request_that_arrives_within_a_shield_waits_for_its_end(
    open_claw_runtime, storage, calls
):
    """Then the next operation raises."""

    @workflow
    async def run(ctx: Context) -> None:
        async with ctx.shield():
            await ctx.run(lasting, 5)
            calls.append(ctx.now() - EPOCH)
        await ctx.run(lasting, 5)
        calls.append("not reached")

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run)
        await trio.sleep(1)
        await handle.cancel()
        with pytest.raises(WorkflowCancelledError):
            await handle.result()
    assert calls == [pytest.approx(5, abs=0.1)]
