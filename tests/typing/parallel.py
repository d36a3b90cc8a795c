"""What type checkers must know of concurrency inside a workflow; checked, never run."""

from __future__ import annotations

import datetime
from typing import assert_type

import attrs

from claw_actors import (
    CancelScope,
    Channel,
    Context,
    Event,
    Lock,
    Nursery,
    Semaphore,
    TaskFailedError,
    task,
    workflow,
)


@attrs.frozen
class Order:
    id: str


@attrs.frozen
class Parcel:
    grams: int


@task
async def charge(order: Order, amount: float = 1.0, *, note: str = "") -> float:
    raise NotImplementedError


@task
def weigh(order: Order, /) -> int:
    raise NotImplementedError


@task
async def tell(order: Order, text: str) -> None:
    raise NotImplementedError


async def pack(ctx: Context, order: Order) -> Parcel:
    raise NotImplementedError


async def wrap(ctx: Context, order: Order, layers: int = 1) -> None:
    raise NotImplementedError


async def ask(ctx: Context) -> str:
    raise NotImplementedError


@workflow
async def ship(ctx: Context, order: Order) -> Parcel:
    raise NotImplementedError


async def a_nursery_starts_functions_and_tasks(ctx: Context, order: Order) -> None:
    async with ctx.open_nursery() as nursery:
        assert_type(nursery, Nursery)
        assert_type(nursery.cancel_scope, CancelScope)
        nursery.start_soon(pack, order)
        nursery.start_soon(pack, order, id="first")
        nursery.start_soon(wrap, order)
        nursery.start_soon(wrap, order, 2)
        nursery.start_soon(ask)
        nursery.start_soon(ship, order)
        nursery.run_soon(charge, order)
        nursery.run_soon(charge, order, 2.0, note="two")
        nursery.run_soon(weigh.options(id="scales"), order)
    async with ctx.open_nursery(id="packing"):
        pass


async def a_nursery_refuses_wrong_arguments(ctx: Context, order: Order) -> None:
    async with ctx.open_nursery() as nursery:
        nursery.start_soon(pack)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        nursery.start_soon(pack, "order")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        nursery.start_soon(pack, order, 2)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        nursery.start_soon(ask, id=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        nursery.start_soon(charge, order)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        nursery.run_soon(pack, order)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
        nursery.run_soon(charge, "order")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        nursery.run_soon(charge)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def a_map_knows_its_results(ctx: Context, orders: list[Order]) -> None:
    assert_type(await ctx.map(weigh, orders), list[int])
    assert_type(await ctx.map(charge, orders), list[float])
    assert_type(await ctx.map(charge, (order for order in orders), 3), list[float])
    assert_type(await ctx.map(charge.options(id="x"), orders, limit=3), list[float])
    assert_type(await ctx.map(weigh, orders, return_exceptions=True), list[int | TaskFailedError])
    assert_type(await ctx.map(weigh, orders, None, True), list[int | TaskFailedError])


async def a_map_refuses_other_items(ctx: Context, orders: list[Order]) -> None:
    await ctx.map(weigh, ["order"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await ctx.map(pack, orders)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


async def a_race_knows_its_results(ctx: Context, order: Order) -> None:
    async def number(ctx: Context) -> int:
        return await ctx.run(weigh, order)

    assert_type(await ctx.race(ask), str)
    assert_type(await ctx.race(ask, ask), str)
    assert_type(await ctx.race(ask, number), str | int)
    assert_type(await ctx.race(ask, number, first_success=True), str | int)
    assert_type(await ctx.race(lambda ctx: pack(ctx, order), ask), Parcel | str)
    assert_type(await ctx.race(lambda ctx: ctx.run(weigh, order), number), int)
    assert_type(await ctx.race(ask, number, lambda ctx: pack(ctx, order)), str | int | Parcel)
    assert_type(await ctx.race(ask, ask, ask, ask, ask, ask), str)
    assert_type(await ctx.race(*[ask, ask]), str)


async def a_race_refuses_what_is_no_lane(ctx: Context) -> None:
    await ctx.race(pack, ask)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await ctx.race(weigh, ask)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def coordination_is_typed(ctx: Context) -> None:
    assert_type(ctx.lock(), Lock)
    assert_type(ctx.event(), Event)
    assert_type(ctx.semaphore(2), Semaphore)
    async with ctx.lock(), ctx.semaphore(1):
        await ctx.wait_until(lambda: True)
    parcels: Channel[Parcel] = ctx.channel(3)
    await parcels.send(Parcel(1))
    assert_type(await parcels.receive(), Parcel)
    async for parcel in parcels:
        assert_type(parcel, Parcel)
    await parcels.send("text")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await ctx.wait_until(True)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def limits_are_typed(ctx: Context) -> bool:
    with ctx.move_on_after(1) as scope:
        assert_type(scope, CancelScope)
        scope.cancel("enough")
    with ctx.fail_after(1.5), ctx.move_on_at(datetime.datetime.now(datetime.UTC)) as inner:
        assert_type(inner.deadline, float)
    async with ctx.shield():
        await ctx.sleep(1)
    ctx.move_on_after("1 s")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    scope.deadline = 3.0  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    return scope.cancelled_caught
