"""Dying before, inside and after every commit loses no message, and takes none twice."""

from __future__ import annotations

from contextlib import suppress

import attrs
import pytest
import trio

from claw_actors import Context, Runtime, task, workflow
from claw_actors.errors import DeadlineExceededError, NotFoundError, RequestRefusedError
from claw_actors.testing import explore


@attrs.frozen
class Order:
    number: int


@task
async def lasting(seconds: float, value: int = 0) -> int:
    await trio.sleep(seconds)
    return value


@workflow
async def clerk(ctx: Context, count: int) -> list[int]:
    """Take orders; what is none becomes a dead letter."""
    taken: list[int] = []

    async def desk(ctx: Context) -> None:
        while len(taken) < count:
            with ctx.move_on_after(2):
                taken.append((await ctx.receive("order", Order)).number)
                continue
            await ctx.run(lasting, 0.3)

    async with ctx.open_nursery() as nursery:
        nursery.start_soon(desk)
        nursery.start_soon(desk)
    return sorted(taken)


async def orders(runtime: Runtime) -> object:
    """Send three orders and two other things from outside, each once however often this is run."""
    handle = await runtime.start(clerk, 3, id="clerk")
    for key, payload in enumerate([Order(1), "none", Order(2), {"number": "3"}, Order(3)]):
        await trio.sleep(0.7)
        with suppress(Exception):  # it has ended in an earlier life
            await handle.send("order", payload, idempotency_key=str(key))
    letters = await handle.dead_letters()
    return await handle.result(), [one.payload for one in letters]


@workflow
async def customer(ctx: Context, to: str, count: int) -> list[str]:
    """Send orders to another, to nobody, and to itself."""
    said: list[str] = []
    for number in range(count):
        await ctx.send(to, "order", Order(number))
        try:
            await ctx.send("nobody", "order", Order(number))
        except NotFoundError as error:
            said.append(str(error))
        await ctx.send(ctx.workflow_id, "reminder", number)
    return said + [str(await ctx.receive("reminder", int)) for _ in range(count)]


async def between(runtime: Runtime) -> object:
    """Two customers, one clerk."""
    receiver = await runtime.start(clerk, 4, id="clerk")
    senders = [await runtime.start(customer, "clerk", 2, id=id) for id in ("ada", "bob")]
    return await receiver.result(), [await sender.result() for sender in senders]


@workflow
async def showing(ctx: Context) -> None:
    """Show values with and without checkpoints between."""
    ctx.set_value("first", 1)
    ctx.set_value("state", "begun")
    await ctx.run(lasting, 1)
    ctx.set_value("state", "half")
    await ctx.sleep(1)
    ctx.set_value("state", "waiting")
    try:
        await ctx.receive("never", timeout=3)
    except DeadlineExceededError:
        ctx.set_value("state", "done")


async def values(runtime: Runtime) -> object:
    """Read them when they are there, and at the end."""
    handle = await runtime.start(showing, id="one")
    first = await handle.wait_value("first", int)
    await handle.result()
    return first, await handle.values()


@workflow
async def oracle(ctx: Context, count: int) -> int:
    """Answer requests after some work."""
    total = 0
    for _ in range(count):
        request = await ctx.receive_request("ask", int)
        await ctx.run(lasting, 0.5)
        total += request.payload
        ctx.set_value("total", total)
        request.reply(total)
        await ctx.sleep(0.5)
    return total


async def requests(runtime: Runtime) -> object:
    """Ask for things in turn; the same key gets the same reply in every life."""
    handle = await runtime.start(oracle, 3, id="one")
    replies: list[object] = []
    for key, payload in enumerate([1, "one", 2, 3]):
        try:
            replies.append(await handle.ask("ask", payload, int, idempotency_key=str(key)))
        except RequestRefusedError as error:
            replies.append(str(error))
        else:
            assert await handle.value("total", int) >= 1
    return replies, await handle.result(), len(await handle.dead_letters())


SCENARIOS = [orders, between, values, requests]
WORKFLOWS = [clerk, customer, showing, oracle]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_messages_survive_every_crash(scenario):
    """The result is that of the uninterrupted run; dead letters and replies are made once."""
    report = explore(scenario, workflows=WORKFLOWS, seeds=[1])
    assert report.crashes > 2 * report.commits


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda one: one.__name__)
def test_messages_survive_every_crash_over_many_seeds(scenario, is_long):
    """The same, with other schedules."""
    explore(scenario, workflows=WORKFLOWS, seeds=range(2, 22 if is_long else 4))
