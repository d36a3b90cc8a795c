"""Requests: asked from outside, replied to durably, the same reply for the same key."""

from __future__ import annotations

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors import Context, Request, Restart, TaskFailedError, task, workflow
from claw_actors.errors import (
    ContextMisuseError,
    DeadlineExceededError,
    DefinitionError,
    InvalidInputError,
    NotFoundError,
    RequestRefusedError,
    SerializationError,
    WorkflowClosedError,
    WorkflowFailedError,
    WorkflowQuarantinedError,
)


@attrs.frozen
class Bid:
    price: int


@task
async def lasting(seconds: float, value: int = 0) -> int:
    await trio.sleep(seconds)
    return value


@workflow
async def doubling(ctx: Context, count: int) -> None:
    """Answer so many requests, after some work."""
    for _ in range(count):
        request = await ctx.receive_request("bid", Bid)
        await ctx.run(lasting, 10)
        request.reply(Bid(2 * request.payload.price))


async def test_a_request_gets_its_reply(open_claw_runtime, storage):
    """Typed on both sides; asked side by side, each gets its own."""
    async with open_claw_runtime(storage, workflows=[doubling]) as runtime:
        handle = await runtime.start(doubling, 3, id="a")
        replies: list[tuple[int, Bid]] = []

        async def ask(price: int) -> None:
            replies.append((price, await handle.ask("bid", Bid(price), Bid)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, 1)
            nursery.start_soon(ask, 2)
        assert sorted(replies) == [(1, Bid(2)), (2, Bid(4))]
        assert await runtime.ask("a", "bid", Bid(3)) == {"price": 6}
        assert await runtime.values("a") == {}, "replies are not among the values"


async def test_the_same_key_gets_the_same_reply(open_claw_runtime, storage):
    """After crashes of either side, and after the end; the request is received once."""
    async with open_claw_runtime(storage, workflows=[doubling]) as runtime:
        handle = await runtime.start(doubling, 2, id="a")
        with trio.move_on_after(5):
            await handle.ask("bid", Bid(1), idempotency_key="bid-1")
    async with open_claw_runtime(storage, workflows=[doubling]) as runtime:
        assert await runtime.ask("a", "bid", Bid(1), Bid, idempotency_key="bid-1") == Bid(2)
        assert await runtime.ask("a", "bid", Bid(5), Bid, idempotency_key="bid-1") == Bid(2)
        assert await runtime.ask("a", "bid", Bid(7), Bid, idempotency_key="bid-2") == Bid(14)
        await runtime.result("a")
    async with open_claw_runtime(storage) as runtime:
        assert await runtime.ask("a", "bid", Bid(1), Bid, idempotency_key="bid-1") == Bid(2)
        with pytest.raises(WorkflowClosedError):
            await runtime.ask("a", "bid", Bid(1), idempotency_key="bid-3")
        with pytest.raises(NotFoundError):
            await runtime.ask("nobody", "bid", Bid(1))


async def test_a_key_of_a_request_is_none_of_a_message(open_claw_runtime, storage):
    """Who sends and who asks with the same key has done two things."""
    async with open_claw_runtime(storage, workflows=[doubling]) as runtime:
        handle = await runtime.start(doubling, 2, id="a")
        await handle.send("bid", Bid(1), idempotency_key="k")
        assert await handle.ask("bid", Bid(2), Bid, idempotency_key="k") == Bid(4)


async def test_a_reply_is_stored_before_who_asked_goes_on(open_claw_runtime, storage, journal_of):
    """With a note of it, in one commit; what was shown before it is stored by then."""

    @workflow
    async def run(ctx: Context) -> None:
        request = await ctx.receive_request("x")
        ctx.set_value("state", "replied")
        request.reply(None)
        await ctx.sleep(1_000)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        assert await handle.ask("x", 1) is None
        assert await handle.value("state") == "replied"
        notes = [(one.op, one.ref) for one in journal_of(storage, "a") if one.kind == "note"]
        assert notes == [("/reply", 1)]


async def test_the_first_reply_counts_also_if_a_retry_gives_another(open_claw_runtime, storage):
    """Who has asked was told."""

    @task
    async def fragile() -> None:
        if broken:
            raise ValueError("no")

    @workflow
    async def run(ctx: Context) -> None:
        request = await ctx.receive_request("x")
        try:
            await ctx.run(fragile)
        except TaskFailedError:
            request.reply("sorry")
            raise
        request.reply("done")

    broken = [True]
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        assert await handle.ask("x", 1, idempotency_key="k") == "sorry"
        with pytest.raises(WorkflowFailedError):
            await handle.result()
        broken.clear()
        await handle.retry()
        await handle.result()
        assert await handle.ask("x", 1, idempotency_key="k") == "sorry"


async def test_a_plain_message_can_be_replied_to_and_a_request_only_received(
    open_claw_runtime, storage
):
    """The reply to a message goes nowhere; who asked and gets none learns of the end."""

    @workflow
    async def run(ctx: Context) -> list[object]:
        request = await ctx.receive_request("x")
        request.reply("to nobody")
        return [request.payload, await ctx.receive("x")]

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await handle.send("x", 1)
        with pytest.raises(WorkflowClosedError):
            await handle.ask("x", 2)
        assert await handle.result() == [1, 2]
    assert storage._table.find("a").values == {}


async def test_a_request_that_cannot_be_read_is_refused(open_claw_runtime, storage):
    """It is a dead letter, and who asked is told why; also in a later process."""
    async with open_claw_runtime(storage, workflows=[doubling]) as runtime:
        handle = await runtime.start(doubling, 1, id="a")
        with pytest.raises(RequestRefusedError, match=r"message 'bid' \(.*Bid\)"):
            await handle.ask("bid", "ten", idempotency_key="k")
        assert len(await handle.dead_letters()) == 1
    async with open_claw_runtime(storage, workflows=[doubling]) as runtime:
        with pytest.raises(RequestRefusedError):
            await runtime.ask("a", "bid", "ten", idempotency_key="k")


async def test_who_asks_a_quarantined_workflow_is_told_and_may_ask_again(
    open_claw_runtime, storage
):
    """The request is kept."""

    @workflow(restart=Restart(max_restarts=0))
    async def run(ctx: Context) -> None:
        if broken:
            raise ValueError("a bug")
        (await ctx.receive_request("x")).reply(1)

    broken = [True]
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        with pytest.raises(WorkflowQuarantinedError):
            await handle.ask("x", 1, idempotency_key="k")
        broken.clear()
        await handle.retry()
        assert await handle.ask("x", 1, idempotency_key="k") == 1
        assert runtime.statistics().received == 1


async def test_a_request_is_answered_once_and_by_running_code(open_claw_runtime, storage):
    """A reply that cannot be stored has not been given; a timed-out receive has no request."""
    taken: list[Request[object]] = []

    @workflow
    async def run(ctx: Context) -> None:
        with pytest.raises(DeadlineExceededError):
            await ctx.receive_request("x", timeout=5)
        request = await ctx.receive_request("x")
        taken.append(request)
        assert "open" in repr(request)
        with pytest.raises(SerializationError):
            request.reply(object())
        request.reply(1)
        assert "answered" in repr(request)
        with pytest.raises(ContextMisuseError, match="twice"):
            request.reply(2)
        await ctx.sleep(1_000)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await trio.sleep(10)
        assert await handle.ask("x", 1) == 1
        with pytest.raises(ContextMisuseError):
            taken[0].reply(3)
        await wait_all_tasks_blocked()


async def test_a_request_is_checked_before_it_is_sent(open_claw_runtime, storage, journal_of):
    """Topic, key, payload, and what the reply is to be read as."""
    async with open_claw_runtime(storage, workflows=[doubling]) as runtime:
        handle = await runtime.start(doubling, 1, id="a")
        with pytest.raises(InvalidInputError):
            await handle.ask("", 1)
        with pytest.raises(InvalidInputError):
            await handle.ask("bid", 1, idempotency_key="")
        with pytest.raises(SerializationError):
            await handle.ask("bid", object())
        with pytest.raises(DefinitionError):
            await handle.ask("bid", 1, type(runtime))
        assert len(journal_of(storage, "a")) == 1
        with pytest.raises(SerializationError, match="reply to 'bid' of workflow 'a'"):
            await handle.ask("bid", Bid(1), int)
