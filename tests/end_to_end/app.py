"""What is operated in these tests. Copied to where ``claw run`` imports it, as somebody's own code.

Each step is noted in a ledger that is none of the engine's: a file of the working directory.
"""

import itertools
import os
from pathlib import Path

import trio

from claw_actors import Context, Runtime, WorkflowFilter, task, workflow

STEP_S = float(os.environ.get("STEP_S", "0.005"))
STEPS = 20
STARTERS = 20


def note(deed: str) -> None:
    """Write to the ledger, in one piece."""
    with Path("ledger").open("a") as ledger:
        ledger.write(f"{deed}\n")


@task
async def step(id: str, number: int) -> int:
    await trio.sleep(STEP_S)
    note(f"{id} {number}")
    return number


@workflow
async def walk(ctx: Context, id: str) -> int:
    """Take steps, one after the other."""
    return sum([await ctx.run(step, id, number) for number in range(STEPS)])


@workflow
async def approve(ctx: Context, id: str) -> bool:
    """Take a step, wait for an answer, and take another one."""
    await ctx.run(step, id, 0)
    ctx.set_value("asked", True)
    answer = await ctx.receive("answer", bool)
    await ctx.run(step, id, 1)
    return answer


@workflow
async def stubborn(ctx: Context, id: str) -> None:
    """Be in the middle of a task for longer than anybody waits."""
    ctx.set_value("asked", True)
    await ctx.run(hang, id)


@task
async def hang(id: str) -> None:
    note(f"{id} begun")
    await trio.sleep(600)


@workflow
async def receive(ctx: Context, id: str) -> None:
    """Take one step."""
    await ctx.run(step, id, 0)


workflows = [walk, approve, stubborn, receive]
BY_NAME = {one.name: one for one in workflows}


async def serve(runtime: Runtime) -> None:
    """Start what the environment says: ``ORDERS="walk:1 approve:300"``."""
    limit = trio.CapacityLimiter(100)

    async def start(name: str, number: int) -> None:
        async with limit:
            id = f"{name}-{number:05}"
            await runtime.start(BY_NAME[name], id, id=id)

    async with trio.open_nursery() as nursery:
        for order in os.environ["ORDERS"].split():
            name, _, count = order.partition(":")
            for number in range(int(count)):
                nursery.start_soon(start, name, number)
    print("all are started", flush=True)


async def answer_all(runtime: Runtime) -> None:
    """Answer each that waits."""
    limit = trio.CapacityLimiter(100)

    async def answer(id: str) -> None:
        async with limit:
            await runtime.send(id, "answer", True, idempotency_key="answer")

    after = None
    async with trio.open_nursery() as nursery:
        while True:
            query = WorkflowFilter(name="approve", limit=1_000, after=after)
            page = await runtime.list(query)
            for one in page.items:
                nursery.start_soon(answer, one.id)
            after = page.next_after
            if after is None:
                break
    print("all are answered", flush=True)


async def flat_out(runtime: Runtime) -> None:
    """Start workflows as fast as they are accepted, and note each that was, when it was."""
    numbers = itertools.count()

    async def start_all() -> None:
        for number in numbers:
            id = f"receive-{number:06}"
            await runtime.start(receive, id, id=id)
            note(f"accepted {id}")

    async with trio.open_nursery() as nursery:
        for _ in range(STARTERS):
            nursery.start_soon(start_all)
        print("all are begun", flush=True)
