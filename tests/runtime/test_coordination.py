"""What children coordinate with: conditions, locks, events, semaphores, channels."""

from __future__ import annotations

import pytest
import trio

from claw_actors import Channel, Context, Event, Lock, Semaphore, task, workflow
from claw_actors.errors import (
    ContextMisuseError,
    DefinitionError,
    InvalidInputError,
    WorkflowCancelledError,
    WorkflowQuarantinedError,
)


@task
async def lasting(seconds: float) -> float:
    await trio.sleep(seconds)
    return seconds


# -- conditions -------------------------------------------------------------------------------------


async def test_a_condition_is_waited_for_and_nothing_is_written(result_of, journal_of, storage):
    """It is true when the wait is over."""

    async def run(ctx: Context) -> list[str]:
        async def child(ctx: Context) -> None:
            await ctx.run(lasting, 1)
            seen.append("child")

        seen: list[str] = []
        async with ctx.open_nursery() as nursery:
            nursery.start_soon(child)
            await ctx.wait_until(lambda: seen)
            seen.append("block")
        return seen

    assert await result_of(run) == ["child", "block"]
    assert len(journal_of(storage, "a")) == 3


async def test_a_condition_that_is_true_lets_others_go_first(result_of):
    """Those who were started, in order; nobody sleeps."""

    async def run(ctx: Context) -> list[str]:
        async def child(ctx: Context, name: str) -> None:
            seen.append(name)

        seen: list[str] = []
        async with ctx.open_nursery() as nursery:
            nursery.start_soon(child, "first")
            nursery.start_soon(child, "second")
            await ctx.wait_until(lambda: True)
            seen.append("block")
        return seen

    assert await result_of(run) == ["first", "second", "block"]


async def test_who_waits_first_is_served_first(result_of):
    """Of several whose condition comes true at once."""

    async def run(ctx: Context) -> list[int]:
        async def child(ctx: Context, number: int) -> None:
            await ctx.sleep(number)
            await ctx.wait_until(lambda: opened)
            seen.append(number)

        seen: list[int] = []
        opened: list[int] = []
        async with ctx.open_nursery() as nursery:
            for number in (3, 1, 2):
                nursery.start_soon(child, number)
            await ctx.sleep(5)
            opened.append(1)
        return seen

    assert await result_of(run) == [1, 2, 3]


async def test_what_a_predicate_raises_is_raised_where_it_is_waited_for(result_of):
    """And nobody else is harmed."""

    async def run(ctx: Context) -> list[str]:
        async def child(ctx: Context) -> None:
            await ctx.run(lasting, 1)
            del box[0]

        caught: list[str] = []
        box = [0]
        async with ctx.open_nursery() as nursery:
            nursery.start_soon(child)
            try:
                await ctx.wait_until(lambda: box[0])
            except IndexError:
                caught.append("here")
            with pytest.raises(ZeroDivisionError):
                await ctx.wait_until(lambda: 1 // 0)
        return caught

    assert await result_of(run) == ["here"]


async def test_a_predicate_is_a_plain_function_that_only_looks(result_of):
    """It must not use the context, nor be something to await."""
    refused = []

    async def run(ctx: Context) -> None:
        async def later() -> bool:
            return True

        for predicate in (later, 7):
            with pytest.raises(DefinitionError, match="no plain function"):
                await ctx.wait_until(predicate)
        lock = ctx.lock()
        for predicate in (ctx.now, ctx.event, lock.release):
            try:
                await ctx.wait_until(predicate)
            except ContextMisuseError as error:
                refused.append(str(error))

    await result_of(run)
    assert len(refused) == 3
    assert all("predicate" in text for text in refused)


async def test_a_wait_is_cancelled_by_a_request(open_claw_runtime, storage):
    """One for something that will never be."""

    @workflow
    async def run(ctx: Context) -> None:
        await ctx.wait_until(lambda: False)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run)
        await trio.sleep(5)
        await handle.cancel("in vain")
        with pytest.raises(WorkflowCancelledError, match="in vain"):
            await handle.result()


async def test_a_wait_is_left_at_a_close_and_taken_up_again(open_claw_runtime, storage, calls):
    """Nothing is written about it, in either life."""

    @workflow
    async def run(ctx: Context) -> float:
        async def child(ctx: Context) -> None:
            calls.append(await ctx.run(lasting, 5))

        before = len(calls)
        async with ctx.open_nursery() as nursery:
            nursery.start_soon(child)
            await ctx.wait_until(lambda: len(calls) > before)
        return calls[-1]

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await runtime.result("a") == 5


async def test_a_spinning_wait_lets_others_run(open_claw_runtime, storage):
    """Code that waits for what is true already, again and again, yields now and then."""

    @workflow
    async def run(ctx: Context) -> int:
        rounds = 0
        while not stopped:
            await ctx.wait_until(lambda: True)
            rounds += 1
        return rounds

    stopped = []
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run)
        for _ in range(100):
            await trio.lowlevel.checkpoint()
        stopped.append(1)
        assert await handle.result() > 1_000


# -- locks ------------------------------------------------------------------------------------------


async def test_a_lock_is_held_by_one_at_a_time_in_the_order_of_asking(result_of):
    """Whatever happens while it is held."""

    async def run(ctx: Context) -> list[tuple[str, int]]:
        async def child(ctx: Context, number: int) -> None:
            async with lock:
                seen.append(("takes", number))
                await ctx.run(lasting, 3 - number)
                seen.append(("gives", number))

        seen: list[tuple[str, int]] = []
        lock: Lock = ctx.lock()
        assert "free" in repr(lock)
        async with ctx.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(child, number)
            await ctx.sleep(0.5)
            assert lock.locked()
            assert "held by the context 'nursery/child'" in repr(lock)
        assert not lock.locked()
        return seen

    expected = [[what, n] for n in range(3) for what in ("takes", "gives")]
    assert [list(one) for one in await result_of(run)] == expected


async def test_a_lock_is_given_back_by_who_holds_it(result_of):
    """And not taken twice: both would be a deadlock or worse."""

    async def run(ctx: Context) -> None:
        lock = ctx.lock()
        with pytest.raises(ContextMisuseError, match="does not hold"):
            lock.release()
        async with lock:
            with pytest.raises(ContextMisuseError, match="wait for itself"):
                await lock.acquire()

    await result_of(run)


async def test_who_is_cancelled_while_waiting_for_a_lock_does_not_hold_it(result_of):
    """The next one gets it."""

    async def run(ctx: Context) -> list[str]:
        async def impatient(ctx: Context) -> None:
            with ctx.move_on_after(1):
                async with lock:
                    seen.append("not reached")
            seen.append("left")

        async def patient(ctx: Context) -> None:
            async with lock:
                seen.append("got it")

        seen: list[str] = []
        lock = ctx.lock()
        async with ctx.open_nursery() as nursery:
            nursery.start_soon(impatient)
            nursery.start_soon(patient)
            async with lock:
                await ctx.sleep(5)
        return seen

    assert await result_of(run) == ["left", "got it"]


async def test_what_coordinates_belongs_to_running_workflow_code(open_claw_runtime, storage):
    """Not to task bodies, not to the world outside, not to another workflow."""
    leaked, refused = [], []

    @task
    async def meddle() -> None:
        for use in uses(leaked):
            try:
                await use()
            except ContextMisuseError as error:
                refused.append(str(error))

    def uses(things):
        lock, event, semaphore, channel, scope = things

        async def now(fn):
            fn()

        return [
            lock.acquire,
            lambda: now(lock.release),
            event.wait,
            lambda: now(event.set),
            semaphore.acquire,
            lambda: now(semaphore.release),
            lambda: channel.send(1),
            channel.receive,
            lambda: now(channel.close),
            lambda: now(scope.cancel),
        ]

    @workflow
    async def run(ctx: Context) -> None:
        async with ctx.open_nursery() as nursery:
            leaked[:] = [ctx.lock(), ctx.event(), ctx.semaphore(1), ctx.channel(1)]
            leaked.append(nursery.cancel_scope)
            await ctx.run(meddle)
        await ctx.sleep(10)

    @workflow
    async def other(ctx: Context) -> None:
        for use in uses(leaked):
            try:
                await use()
            except ContextMisuseError as error:
                refused.append(str(error))

    async with open_claw_runtime(storage, workflows=[run, other]) as runtime:
        first = await runtime.start(run)
        await trio.sleep(1)
        assert len(refused) == 10
        await (await runtime.start(other)).result()
        await first.result()
    assert len(refused) == 20
    assert all("outside of running workflow code" in text for text in refused)


# -- events, semaphores, channels -------------------------------------------------------------------


async def test_an_event_lets_everybody_go_on(result_of):
    """Those who wait, and those who come later."""

    async def run(ctx: Context) -> list[str]:
        async def child(ctx: Context) -> None:
            await event.wait()
            seen.append("child")

        seen: list[str] = []
        event: Event = ctx.event()
        assert "not set" in repr(event)
        async with ctx.open_nursery() as nursery:
            nursery.start_soon(child)
            nursery.start_soon(child)
            await ctx.sleep(1)
            assert not event.is_set()
            event.set()
            event.set()
        await event.wait()
        assert event.is_set()
        assert "not" not in repr(event)
        return seen

    assert await result_of(run) == ["child", "child"]


async def test_a_semaphore_lets_in_as_many_as_it_has_places(result_of):
    """And counts them."""

    async def run(ctx: Context) -> int:
        async def child(ctx: Context) -> None:
            async with semaphore:
                inside.append(1)
                most.append(len(inside))
                await ctx.run(lasting, 1)
                inside.pop()

        inside: list[int] = []
        most: list[int] = []
        semaphore: Semaphore = ctx.semaphore(0)
        async with ctx.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(child)
            await ctx.sleep(1)
            assert not most
            semaphore.release()
            semaphore.release()
        assert semaphore.value == 2
        assert "2 free" in repr(semaphore)
        return max(most)

    assert await result_of(run) == 2


@pytest.mark.parametrize("capacity", [0, 1, 3])
async def test_a_channel_hands_on_every_value_in_order(result_of, capacity):
    """No more are in it than it has room for."""

    async def run(ctx: Context) -> list[int]:
        async def produce(ctx: Context, values: range) -> None:
            for value in values:
                await channel.send(value)
                most.append(len(channel))

        async def consume(ctx: Context) -> None:
            async for value in channel:
                got.append(value)
                if value % 2:
                    await ctx.sleep(1)

        got: list[int] = []
        most: list[int] = []
        channel: Channel[int] = ctx.channel(capacity)
        async with ctx.open_nursery() as consumers:
            consumers.start_soon(consume)
            consumers.start_soon(consume)
            async with ctx.open_nursery() as producers:
                producers.start_soon(produce, range(5))
            channel.close()
            channel.close()
            assert "closed" in repr(channel)
            with pytest.raises(trio.ClosedResourceError):
                await channel.send(9)
        with pytest.raises(trio.EndOfChannel):
            await channel.receive()
        assert max(most) <= max(1, capacity)
        return got

    assert await result_of(run) == [0, 1, 2, 3, 4]


async def test_who_is_cancelled_at_a_channel_has_neither_sent_nor_taken(result_of):
    """The value is there for the next one."""

    async def run(ctx: Context) -> list[object]:
        channel: Channel[str] = ctx.channel(0)
        with ctx.move_on_after(1) as sending:
            await channel.send("nobody is there")
        with ctx.move_on_after(1) as receiving:
            await channel.receive()
        assert len(channel) == 0
        buffered: Channel[str] = ctx.channel(1)
        await buffered.send("kept")
        with ctx.move_on_after(1) as full:
            await buffered.send("no room")
        caught = [scope.cancelled_caught for scope in (sending, receiving, full)]
        return [*caught, await buffered.receive(), len(buffered)]

    assert await result_of(run) == [True, True, True, "kept", 0]


async def test_sizes_are_whole_numbers(result_of):
    """And not negative."""

    async def run(ctx: Context) -> None:
        for make in (ctx.semaphore, ctx.channel):
            for size in (-1, True, 1.5, "1"):
                with pytest.raises(InvalidInputError):
                    make(size)

    await result_of(run)


async def test_coordination_is_the_same_on_replay(resume_everywhere, calls):
    """From every prefix, with locks and channels that were in use."""

    @workflow
    async def run(ctx: Context) -> int:
        async def worker(ctx: Context, name: str) -> None:
            async for item in work:
                await ctx.run(lasting, item % 3)
                async with lock:
                    calls.append((name, item, len(calls)))
                    await ctx.run(lasting, 0.5)

        work: Channel[int] = ctx.channel(1)
        lock = ctx.lock()
        async with ctx.open_nursery() as nursery:
            for name in "abc":
                nursery.start_soon(worker, name)
            for item in range(7):
                await work.send(item)
            work.close()
        return len(calls)

    assert await resume_everywhere(run, trace=calls) == 7


async def test_an_await_of_trio_in_a_child_is_refused_at_its_line(open_claw_runtime, storage):
    """The error names the line, and what to use instead; the workflow is quarantined."""

    @workflow
    async def run(ctx: Context) -> None:
        async def child(ctx: Context) -> None:
            await event.wait()

        event = trio.Event()
        async with ctx.open_nursery() as nursery:
            nursery.start_soon(child)
            nursery.run_soon(lasting, 5)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        with pytest.raises(WorkflowQuarantinedError, match=r"ctx\.event\(\)") as caught:
            await (await runtime.start(run)).result()
        assert "test_coordination.py" in str(caught.value.reason)
        assert " in child" in str(caught.value.reason)
