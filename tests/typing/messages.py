"""What type checkers must know of messages; checked, never run."""

from __future__ import annotations

from typing import assert_type

import attrs

from claw_actors import Context, DeadMessage, Request, Runtime, WorkflowHandle


@attrs.frozen
class Bid:
    price: int


async def a_receive_returns_the_type_asked_for(ctx: Context) -> None:
    assert_type(await ctx.receive("x"), object)
    assert_type(await ctx.receive("x", timeout=1.5), object)
    assert_type(await ctx.receive("x", bool), bool)
    assert_type(await ctx.receive("x", Bid, timeout=0), Bid)
    assert_type(await ctx.receive("x", list[Bid]), list[Bid])
    assert_type(await ctx.receive("x", int | None), object)
    await ctx.receive(7)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    await ctx.receive("x", Bid, 5)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


async def a_request_has_a_typed_payload(ctx: Context) -> None:
    request = await ctx.receive_request("x", Bid)
    assert_type(request, Request[Bid])
    assert_type(request.payload, Bid)
    request.reply(Bid(1))
    assert_type(await ctx.receive_request("x"), Request[object])
    assert_type((await ctx.receive_request("x", dict[str, int])).payload, dict[str, int])


async def a_workflow_sends_and_shows(ctx: Context) -> None:
    await ctx.send("id", "x", Bid(1))
    await ctx.send("id", "x", None, idempotency_key="k")
    await ctx.send("id", "x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    ctx.set_value("key", Bid(1))


async def what_comes_from_outside_is_typed(runtime: Runtime, handle: WorkflowHandle[str]) -> None:
    await handle.send("x", Bid(1), idempotency_key="k")
    await runtime.send("id", "x", Bid(1))
    assert_type(await handle.ask("x", 1), object)
    assert_type(await handle.ask("x", 1, Bid, idempotency_key="k"), Bid)
    assert_type(await runtime.ask("id", "x", 1, list[int]), list[int])
    assert_type(await handle.value("k"), object)
    assert_type(await handle.value("k", Bid), Bid)
    assert_type(await runtime.value("id", "k", int), int)
    assert_type(await handle.wait_value("k", str), str)
    assert_type(await runtime.wait_value("id", "k"), object)
    assert_type(await handle.values(), dict[str, object])
    assert_type(await handle.dead_letters(after=3, limit=10), tuple[DeadMessage, ...])
