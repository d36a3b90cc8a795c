"""A context belongs to one strand of code: every other use is refused, with what to do instead."""

from __future__ import annotations

import signal

import pytest
import trio
import trio.testing

from claw_actors import Context, MemoryStorage, open_runtime, task, workflow
from claw_actors.errors import ContextMisuseError, WorkflowQuarantinedError
from claw_actors.testing import virtual_environment


@task
async def lasting(seconds: float) -> float:
    await trio.sleep(seconds)
    return seconds


async def uses(ctx: Context, refused: list[str]) -> None:
    """Use a context in every way, and note what is said about it."""

    async def nursery() -> None:
        async with ctx.open_nursery():
            refused.append("not refused")

    async def shield() -> None:
        async with ctx.shield():
            refused.append("not refused")

    for operation in (
        lambda: ctx.run(lasting, 1),
        lambda: ctx.sleep(1),
        lambda: ctx.sleep_until(1),
        lambda: ctx.map(lasting, [1]),
        lambda: ctx.race(lambda ctx: ctx.run(lasting, 1)),
        lambda: ctx.wait_until(lambda: True),
        nursery,
        shield,
    ):
        try:
            await operation()
        except ContextMisuseError as error:
            refused.append(str(error))
    for read in (
        ctx.now,
        ctx.uuid4,
        lambda: ctx.random,
        ctx.lock,
        ctx.event,
        lambda: ctx.semaphore(1),
        lambda: ctx.channel(1),
        lambda: ctx.move_on_after(1),
        lambda: ctx.fail_after(1),
        lambda: ctx.move_on_at(1),
    ):
        try:
            read()
        except ContextMisuseError as error:
            refused.append(str(error))


WAYS = 18


async def test_a_child_must_not_use_its_parents_context(result_of, journal_of, storage):
    """In no way; it has one of its own, which works."""
    refused: list[str] = []

    async def run(ctx: Context) -> float:
        async def child(own: Context) -> None:
            await uses(ctx, refused)
            results.append(await own.run(lasting, 1))

        results: list[float] = []
        async with ctx.open_nursery() as nursery:
            nursery.start_soon(child)
        return results[0]

    assert await result_of(run) == 1
    assert len(refused) == WAYS
    [text] = set(refused)
    assert text.startswith("the context of workflow 'a' was used by the code of the context")
    assert text.endswith("uses the ctx that it was given as its first argument, and no other")
    assert len(journal_of(storage, "a")) == 3


async def test_a_parent_must_not_use_its_childs_context(result_of):
    """While the child lives, or after it has ended; nor one child another's."""
    refused: list[str] = []

    async def run(ctx: Context) -> None:
        async def child(own: Context) -> None:
            leaked.append(own)
            await own.sleep(5)

        async def other(own: Context) -> None:
            await uses(leaked[0], refused)

        leaked: list[Context] = []
        async with ctx.open_nursery() as nursery:
            nursery.start_soon(child)
            nursery.start_soon(other)
            await ctx.sleep(1)
            await uses(leaked[0], refused)
        await uses(leaked[0], refused)

    await result_of(run)
    assert len(refused) == 3 * WAYS
    assert all("the context 'nursery/child' of" in text for text in refused)


async def test_only_who_opened_a_nursery_starts_children_in_it(result_of):
    """And only in its block; children open their own."""
    refused: list[str] = []

    async def run(ctx: Context) -> None:
        async def grandchild(own: Context) -> None:
            refused.append("started")

        async def child(own: Context) -> None:
            start(nursery)

        def start(nursery) -> None:
            for begin in (
                lambda: nursery.start_soon(grandchild),
                lambda: nursery.run_soon(lasting, 1),
            ):
                try:
                    begin()
                except ContextMisuseError as error:
                    refused.append(str(error))

        async with ctx.open_nursery() as nursery:
            nursery.start_soon(child)
            await ctx.sleep(1)
        assert repr(nursery) == "<Nursery 'nursery' of workflow 'a'>"
        start(nursery)

    await result_of(run)
    assert len(refused) == 4
    assert all("children open nurseries of their own" in text for text in refused[:2])
    assert all("after its block" in text for text in refused[2:])


async def test_a_body_beside_running_code_must_not_use_any_context(result_of):
    """Neither its own workflow's nor a child's."""
    refused: list[str] = []
    contexts: list[Context] = []

    @task
    async def meddle() -> None:
        for ctx in contexts:
            await uses(ctx, refused)

    async def run(ctx: Context) -> None:
        async def child(own: Context) -> None:
            contexts.extend([ctx, own])
            await own.run(meddle)

        async with ctx.open_nursery() as nursery:
            nursery.start_soon(child)

    await result_of(run)
    assert len(refused) == 2 * WAYS
    assert set(refused) == {
        "a task body used the context of a workflow; return a value, and let the workflow decide"
    }


async def test_a_trio_task_of_its_own_must_not_use_a_childs_context(result_of, open_claw_runtime):
    """The error names what there is for things side by side."""
    refused: list[str] = []

    async def run(ctx: Context) -> None:
        async def child(own: Context) -> None:
            outside.start_soon(uses, own, refused)
            await own.sleep(5)

        async with ctx.open_nursery() as nursery:
            nursery.start_soon(child)

    async with trio.open_nursery() as outside:
        await result_of(run)
    assert len(refused) == WAYS
    assert all("from another Trio task" in text for text in refused)
    assert all("ctx.open_nursery()" in text for text in refused)


async def test_a_raw_scope_around_a_childs_operation_is_refused(open_claw_runtime, storage):
    """The durable one is named. A durable scope that was cancelled is no excuse for siblings."""

    @workflow
    async def run(ctx: Context) -> None:
        async def child(ctx: Context) -> None:
            with trio.move_on_after(1):
                await ctx.sleep(50)

        async with ctx.open_nursery() as nursery:
            nursery.start_soon(child)
            with ctx.move_on_after(0.5):
                await ctx.sleep(10)
            await ctx.sleep(50)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        with pytest.raises(WorkflowQuarantinedError, match=r"use ctx\.move_on_after"):
            await (await runtime.start(run)).result()


@pytest.mark.parametrize("beside", ["sleeping", "unwinding"])
def test_an_interrupt_in_a_body_leaves_with_the_turn(beside):
    """Other children are unwound in their turns, and the interrupt comes out of it all."""
    seen: list[str] = []

    @task
    async def interrupted() -> None:
        await trio.sleep(1)
        signal.raise_signal(signal.SIGINT)
        await trio.lowlevel.checkpoint()

    @workflow
    async def run(ctx: Context) -> None:
        async def child(ctx: Context) -> None:
            try:
                await ctx.sleep(50)
            finally:
                seen.append("child")
                if beside == "unwinding":
                    with pytest.raises(trio.Cancelled):
                        await ctx.run(lasting, 1)  # noqa: ASYNC102

        async def doomed(ctx: Context) -> None:
            try:
                await ctx.run(interrupted)
            except KeyboardInterrupt:
                seen.append("interrupted")
                raise

        async with ctx.open_nursery() as nursery:
            nursery.start_soon(child)
            nursery.start_soon(doomed)

    async def main() -> None:
        environment = virtual_environment()
        async with open_runtime(MemoryStorage(), workflows=[run], environment=environment) as rt:
            await (await rt.start(run)).result()

    with pytest.raises(BaseExceptionGroup) as caught:
        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert caught.value.split(KeyboardInterrupt)[0] is not None
    assert sorted(seen) == ["child", "interrupted"]
