"""Durable nurseries: children side by side, and the same again on every replay."""

from __future__ import annotations

import functools

import pytest
import trio

from claw_actors import Context, Restart, WorkflowFailure, task, workflow
from claw_actors.errors import (
    DefinitionError,
    InstanceSealed,
    TaskFailedError,
    WorkflowCancelledError,
    WorkflowFailedError,
    WorkflowQuarantinedError,
)


@task
async def lasting(seconds: float, value: int = 0) -> int:
    await trio.sleep(seconds)
    return value


@task
async def failing(seconds: float) -> None:
    await trio.sleep(seconds)
    raise ValueError(f"after {seconds:g}")


def ops(entries):
    """The ids in a journal, without its start and its end."""
    return [entry.op for entry in entries if entry.op not in ("", "/end")]


async def test_children_run_side_by_side(open_claw_runtime, storage):
    """Three tasks of different lengths take as long as the longest."""

    @workflow
    async def run(ctx: Context) -> list[int]:
        async def child(ctx: Context, seconds: float, value: int) -> None:
            got.append(await ctx.run(lasting, seconds, value))

        got: list[int] = []
        async with ctx.open_nursery() as nursery:
            nursery.start_soon(child, 3, 1)
            nursery.start_soon(child, 1, 2)
            nursery.start_soon(child, 2, 3)
            got.append(0)
        return got

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await (await runtime.start(run)).result() == [0, 2, 3, 1]
        assert trio.current_time() == pytest.approx(3, abs=0.1)


async def test_ids_are_structural(open_claw_runtime, storage, journal_of):
    """A nursery, its children and their operations are named by place, name and occurrence."""

    async def pack(ctx: Context, deep: bool = False) -> None:
        await ctx.run(lasting, 0.1)
        await ctx.sleep(0.1)
        await ctx.run(lasting, 0.1)
        if deep:
            async with ctx.open_nursery() as inner:
                inner.start_soon(pack)

    @workflow(name="named")
    async def other(ctx: Context) -> None:
        await ctx.run(lasting, 1)

    @workflow
    async def run(ctx: Context) -> None:
        async with ctx.open_nursery() as nursery:
            nursery.start_soon(pack)
            nursery.start_soon(pack, True)
            nursery.start_soon(other)
            nursery.start_soon(functools.partial(pack))
            nursery.start_soon(lambda ctx: pack(ctx, False))
            nursery.start_soon(pack, id="by_hand")
            nursery.run_soon(lasting, 5)
            nursery.run_soon(lasting.options(id="long"), 5)
        async with ctx.open_nursery() as nursery:
            nursery.run_soon(lasting, 0)
        async with ctx.open_nursery(id="third") as nursery:
            nursery.run_soon(lasting, 0)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await (await runtime.start(run, id="a")).result()
    parts = ("lasting", "sleep", "lasting#2")
    children = ("pack", "pack#2", "pack#2/nursery/pack", "child", "child#2", "by_hand")
    assert sorted(ops(journal_of(storage, "a"))) == sorted(
        [f"nursery/{child}/{part}" for child in children for part in parts]
        + ["nursery/named/lasting", "nursery/lasting", "nursery/long"]
        + ["nursery#2/lasting", "third/lasting"]
    )


async def test_children_share_variables_and_a_replay_does_the_same(resume_everywhere, calls):
    """Whatever prefix of the journal is left, the trace is that of the first run."""

    @workflow
    async def run(ctx: Context) -> list[int]:
        async def child(ctx: Context, me: int) -> None:
            for step in range(3):
                calls.append(("before", me, len(calls)))
                await ctx.run(lasting, (me * 7 + step * 5) % 4, me)
                calls.append(("after", me, len(calls), ctx.now() if step == 0 else 0))
                if len(calls) % 2:
                    await ctx.sleep(1)

        async with ctx.open_nursery() as nursery:
            for me in range(4):
                nursery.start_soon(child, me)
            await ctx.sleep(2)
            calls.append("the block waits, too")
        return [len(calls)]

    await resume_everywhere(run, trace=calls, same_result=False)


async def test_a_failure_cancels_the_others_and_comes_out_in_a_group(
    open_claw_runtime, storage, journal_of
):
    """The siblings' bodies are cancelled, which is recorded; the workflow fails."""
    seen = []

    async def child(ctx: Context) -> None:
        try:
            await ctx.run(lasting, 100)
        except trio.Cancelled:
            seen.append("cancelled")
            raise

    @workflow
    async def run(ctx: Context) -> None:
        async with ctx.open_nursery() as nursery:
            nursery.start_soon(child)
            nursery.run_soon(failing, 2)
            try:
                await ctx.sleep(50)
            finally:
                seen.append("block")

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        with pytest.raises(WorkflowFailedError, match=r"nursery: .*ValueError: after 2"):
            await handle.result()
    assert seen == ["block", "cancelled"], "in order of creation, or of their entries"
    assert ops(journal_of(storage, "a")) == ["nursery/failing", "nursery/child/lasting"]


async def test_a_group_can_be_handled(resume_everywhere, calls):
    """And what comes after is the same on replay, cancelled siblings or not."""

    async def child(ctx: Context, seconds: float) -> None:
        try:
            await ctx.run(lasting, seconds)
            calls.append("done")
        finally:
            calls.append("left")

    @workflow
    async def run(ctx: Context) -> str:
        try:
            async with ctx.open_nursery() as nursery:
                nursery.start_soon(child, 5)
                nursery.start_soon(child, 1)
                nursery.run_soon(failing, 2)
        except* TaskFailedError as group:
            calls.append(len(group.exceptions))
        await ctx.run(lasting, 1)
        return "handled"

    assert await resume_everywhere(run, trace=calls) == "handled"
    assert calls == ["done", "left", "left", 1]


async def test_several_exceptions_come_in_the_order_in_which_they_ended(open_claw_runtime, storage):
    """Children by their turns, the block last."""

    class Own(WorkflowFailure):
        pass

    async def child(ctx: Context, seconds: float) -> None:
        try:
            await ctx.sleep(seconds)
        finally:
            raise Own(f"{seconds:g}")

    @workflow
    async def run(ctx: Context) -> list[str]:
        try:
            async with ctx.open_nursery() as nursery:
                for seconds in (3, 1, 2):
                    nursery.start_soon(child, seconds)
                try:
                    await ctx.sleep(10)
                finally:
                    raise Own("block")
        except* Own as group:
            texts = [str(one) for one in group.exceptions]
        return texts

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await (await runtime.start(run)).result() == ["1", "3", "2", "block"]


async def test_a_nursery_can_be_cancelled_by_its_code(resume_everywhere, calls):
    """``nursery.cancel_scope.cancel()`` in the block or in a child, and the code goes on."""

    async def child(ctx: Context, nursery, seconds: float) -> None:
        try:
            await ctx.sleep(seconds)
            nursery.cancel_scope.cancel("enough")
            calls.append("cancels")
            await ctx.run(lasting, 1)
        except trio.Cancelled:
            calls.append(("cancelled", seconds))
            raise

    @workflow
    async def run(ctx: Context) -> bool:
        async with ctx.open_nursery() as nursery:
            for seconds in (4, 2, 3):
                nursery.start_soon(child, nursery, seconds)
            await ctx.run(lasting, 1)
        assert "cancelled" in repr(nursery.cancel_scope)
        await ctx.run(lasting, 1)
        return nursery.cancel_scope.cancelled_caught

    assert await resume_everywhere(run, trace=calls) is True
    assert calls == ["cancels", ("cancelled", 2), ("cancelled", 4), ("cancelled", 3)]


async def test_a_child_that_has_not_begun_meets_the_cancellation_at_its_first_operation(
    open_claw_runtime, storage, calls
):
    """As in Trio: it begins, and its first operation raises."""

    async def child(ctx: Context) -> None:
        calls.append("began")
        await ctx.run(lasting, 1)
        calls.append("not reached")

    @workflow
    async def run(ctx: Context) -> None:
        async with ctx.open_nursery() as nursery:
            nursery.start_soon(child)
            nursery.cancel_scope.cancel()

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await (await runtime.start(run)).result()
        assert runtime.statistics().attempts == 0
    assert calls == ["began"]


async def test_an_exception_that_is_no_failure_is_a_crash(open_claw_runtime, storage, calls):
    """The workflow is respawned, and may be mended: cancelled siblings do not count."""

    async def child(ctx: Context) -> None:
        calls.append(await ctx.run(lasting, 1, 7))
        if ctx.attempt == 1:
            raise ValueError("a bug")

    @workflow(restart=Restart(initial=1))
    async def run(ctx: Context) -> list[int]:
        results: list[int] = []

        async def other(ctx: Context) -> None:
            results.append(await ctx.run(lasting, 3, 8))

        async with ctx.open_nursery() as nursery:
            nursery.start_soon(child)
            nursery.start_soon(other)
        return results

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await (await runtime.start(run)).result() == [8]
        assert runtime.statistics().crashes == 1
        assert runtime.statistics().attempts == 3
    assert calls == [7, 7]


async def test_a_retry_lets_the_siblings_of_the_failed_task_run_again(open_claw_runtime, storage):
    """They were cancelled because it failed; once it does not, they end as they would have."""
    broken = [True]

    @task
    async def perhaps() -> int:
        await trio.sleep(2)
        if broken:
            raise OSError("out of paper")
        return 1

    @workflow
    async def run(ctx: Context) -> list[int]:
        async def child(ctx: Context, which, *args) -> None:
            results.append(await ctx.run(which, *args))

        results: list[int] = []
        async with ctx.open_nursery() as nursery:
            nursery.start_soon(child, lasting, 1, 10)
            nursery.start_soon(child, perhaps)
            nursery.start_soon(child, lasting, 3, 30)
        return results

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run)
        with pytest.raises(WorkflowFailedError):
            await handle.result()
        broken.clear()
        await handle.retry()
        assert await handle.result() == [10, 1, 30]
        assert runtime.statistics().attempts == 5


async def test_a_request_to_cancel_reaches_every_child(open_claw_runtime, storage, calls):
    """Running bodies, sleeps, joins, and nurseries in nurseries."""

    async def deep(ctx: Context, levels: int) -> None:
        try:
            async with ctx.open_nursery() as nursery:
                nursery.run_soon(lasting, 100)
                if levels:
                    nursery.start_soon(deep, levels - 1)
                await ctx.sleep(100)
        finally:
            calls.append(levels)

    @workflow
    async def run(ctx: Context) -> None:
        await deep(ctx, 3)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run)
        await trio.sleep(1)
        await handle.cancel("enough")
        with pytest.raises(WorkflowCancelledError, match="enough"):
            await handle.result()
    assert calls == [0, 1, 2, 3]


async def test_closing_unwinds_all_children_and_records_nothing(
    open_claw_runtime, storage, journal_of, calls
):
    """Their operations only raise; the next life goes on as if nothing had happened."""

    async def child(ctx: Context, seconds: float) -> None:
        try:
            await ctx.run(lasting, seconds)
            await ctx.sleep(seconds)
        finally:
            calls.append(type(await attempt(lambda: ctx.run(lasting, 1))))  # noqa: ASYNC102

    async def attempt(operation) -> BaseException | None:
        try:
            await operation()
        except BaseException as error:  # noqa: ASYNC103
            return error  # noqa: ASYNC104
        return None

    @workflow
    async def run(ctx: Context) -> int:
        async with ctx.open_nursery() as nursery:
            nursery.start_soon(child, 1)
            nursery.start_soon(child, 10)
            nursery.start_soon(child, 11)
        return len(calls)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(1.5)
    assert ops(journal_of(storage, "a")) == ["nursery/child/lasting"]
    assert len(calls) == 3
    assert set(calls) <= {trio.Cancelled, InstanceSealed}
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await runtime.result("a") == 6


async def test_arguments_that_do_not_fit_are_refused_at_the_line(open_claw_runtime, storage):
    """And so is what is no child; nothing was started."""
    caught = []

    async def child(ctx: Context, number: int) -> None:
        raise AssertionError("not reached")

    @workflow
    async def run(ctx: Context) -> None:
        async with ctx.open_nursery() as nursery:
            for start, *args in (
                (nursery.start_soon, child),
                (nursery.start_soon, child, 1, 2),
                (nursery.start_soon, lasting, 1),
                (nursery.start_soon, 7),
                (nursery.run_soon, child, 1),
                (nursery.run_soon, lasting, "long"),
                (functools.partial(nursery.start_soon, id="no/name"), child, 1),
            ):
                try:
                    start(*args)
                except Exception as error:
                    caught.append(type(error).__name__)
        with pytest.raises(DefinitionError, match="cannot name a nursery"):
            async with ctx.open_nursery(id="#"):
                caught.append("not reached")

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await (await runtime.start(run)).result()
    assert caught == [
        "InvalidArgumentsError",
        "InvalidArgumentsError",
        "DefinitionError",
        "DefinitionError",
        "DefinitionError",
        "SerializationError",
        "DefinitionError",
    ]


async def test_a_child_that_is_no_coroutine_is_a_mistake(open_claw_runtime, storage):
    """A plain function has no operations; the error says so."""

    @workflow(restart=Restart(max_restarts=0))
    async def run(ctx: Context) -> None:
        async with ctx.open_nursery() as nursery:
            nursery.start_soon(lambda ctx: 7)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        with pytest.raises(WorkflowQuarantinedError, match="is no async function"):
            await (await runtime.start(run)).result()


@pytest.mark.parametrize("how", ["crashes", "fails"])
async def test_an_exception_before_the_past_of_the_others_is_consumed(
    open_claw_runtime, storage, how
):
    """A crash is a crash, and may be over in the next life; a failure was not there before."""

    @workflow(restart=Restart(initial=1))
    async def run(ctx: Context) -> list[int]:
        results: list[int] = []

        async def fragile(ctx: Context) -> None:
            await ctx.run(lasting, 1)
            if ctx.attempt == 2:
                raise ValueError("a bug") if how == "crashes" else WorkflowFailure("new")

        async def other(ctx: Context, times: int, seconds: float) -> None:
            for _ in range(times):
                value = await ctx.run(lasting, seconds, times)
                results.append(value)

        async with ctx.open_nursery() as nursery:
            nursery.start_soon(fragile)
            nursery.start_soon(other, 3, 2)
            nursery.start_soon(other, 1, 7)
            await ctx.sleep(50)
        return results

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(20)
        crashed = storage.snapshot()
    await trio.sleep(50)
    async with open_claw_runtime(crashed, workflows=[run]) as runtime:
        if how == "crashes":
            assert await runtime.result("a") == [3, 3, 3, 1]
            assert runtime.statistics().attempts == 0
            assert runtime.statistics().crashes == 1
        else:
            with pytest.raises(WorkflowQuarantinedError, match="diverged"):
                await runtime.result("a")


async def test_parallel_work_survives_in_sqlite(open_claw_runtime, tmp_path, calls):
    """Every kind of entry is stored and read back: closed and opened in the middle."""

    @workflow
    async def run(ctx: Context) -> list[object]:
        with ctx.move_on_after(30) as scope:
            async with ctx.open_nursery() as nursery:
                nursery.run_soon(lasting, 4)
                nursery.run_soon(lasting, 1_000)
                await ctx.sleep(20)
                calls.append("slept")
        return [scope.cancelled_caught, await ctx.map(lasting, [1.0, 2.0])]

    path = tmp_path / "claw.db"
    async with open_claw_runtime(path, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(25)
    for attempts in (2, 0):  # the deadline has passed meanwhile, so that body does not begin again
        async with open_claw_runtime(path, workflows=[run]) as runtime:
            assert await runtime.result("a") == [True, [0, 0]]
            assert runtime.statistics().attempts == attempts
    assert calls == ["slept"] * 2
