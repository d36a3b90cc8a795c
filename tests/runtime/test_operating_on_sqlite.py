"""What operators do, on a real file, with worker threads and a real clock."""

from __future__ import annotations

import sqlite3

import pytest
import trio

from claw_actors import (
    Context,
    RuntimeConfig,
    Status,
    WorkflowFilter,
    open_runtime,
    task,
    workflow,
)
from claw_actors.errors import NotFoundError, WorkflowCancelledError


@task
def add(a: int, b: int) -> int:
    return a + b


@workflow
async def adding(ctx: Context, upto: int) -> int:
    total = 0
    for n in range(upto):
        total = await ctx.run(add, total, n)
        await ctx.receive("go")
    return total


@workflow
async def parent(ctx: Context) -> int:
    children = [await ctx.start_child(adding, 2, id=f"child{n}") for n in range(3)]
    return sum([await child.result() for child in children])


@pytest.fixture
def place(tmp_path):
    return tmp_path / "data" / "claw.db"


def opened(place):
    config = RuntimeConfig(idle_after=0.05)
    return open_runtime(place, workflows=[adding, parent], config=config)


async def until(look):
    """Ask again and again, each time in a worker thread, until the answer is true."""
    with trio.fail_after(20):
        while True:
            if await look():
                return


async def until_all_wait(runtime, count):
    """Wait until so many workflows wait for something from outside."""

    async def look() -> bool:
        query = WorkflowFilter(status=Status.WAITING)
        return len((await runtime.list(query)).items) == count

    await until(look)


async def test_a_family_is_paused_over_restarts_and_goes_on(place):
    """What was sent to its members meanwhile is there."""
    async with opened(place) as runtime:
        await runtime.start(parent, id="p")
        await until_all_wait(runtime, 4)
        await runtime.pause("p", "lunch")
    async with opened(place) as runtime:
        assert runtime.recovery_report.recovered == ()
        for n in range(3):
            assert await runtime.status(f"child{n}") is Status.PAUSED
            for _ in range(2):
                await runtime.send(f"child{n}", "go", None)
        assert (await (await runtime.get("p")).state()).reason == "lunch"
        await runtime.resume("p")
    async with opened(place) as runtime:
        with trio.fail_after(10):
            assert await runtime.result("p") == 3


async def test_a_family_is_terminated_and_deleted(place):
    """First it ends, in all its members; then nothing is left of it in any table."""
    async with opened(place) as runtime:
        handle = await runtime.start(parent, id="p")
        await until_all_wait(runtime, 4)
        await handle.terminate("enough")
        for id in ("p", "child0", "child1", "child2"):
            with pytest.raises(WorkflowCancelledError, match="enough"):
                await runtime.result(id)
        await handle.delete()
        for id in ("p", "child0"):
            with pytest.raises(NotFoundError):
                await runtime.status(id)
        again = await runtime.start(parent, id="p")
        await until_all_wait(runtime, 4)
        await again.delete(force=True)
        assert (await runtime.list()).items == ()
        assert runtime.statistics().active == 0
    connection = sqlite3.connect(place)
    for table in ("claw_workflow", "claw_journal", "claw_task", "claw_key", "claw_tag"):
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table
    connection.close()


async def test_a_fork_lives_beside_its_origin(place):
    """From its task on it goes ways of its own, also over a restart."""
    async with opened(place) as runtime:
        handle = await runtime.start(adding, 3, id="a")
        await handle.send("go", None)
        await handle.send("go", None)

        async def look() -> bool:
            return len(await handle.tasks()) == 3

        await until(look)
        fork = await handle.fork(at="add#3", new_id="b")
    async with opened(place) as runtime:
        fork = await runtime.get("b")
        assert (await fork.state()).forked_from == "a"
        for id in ("a", "b"):
            await runtime.send(id, "go", None)
        with trio.fail_after(10):
            assert await fork.result() == await runtime.result("a") == 3
