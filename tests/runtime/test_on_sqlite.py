"""The same life on a real file, with worker threads and a real clock."""

from __future__ import annotations

import pytest
import trio

from claw_actors import (
    Context,
    Restart,
    Retry,
    RuntimeConfig,
    SQLiteStorage,
    Status,
    TaskFailedError,
    open_runtime,
    task,
    task_info,
    workflow,
)
from claw_actors._runtime.environment import Environment
from claw_actors.errors import (
    NotFoundError,
    WorkflowCancelledError,
    WorkflowClosedError,
    WorkflowFailedError,
    WorkflowQuarantinedError,
)

PASSIVE_SOON = RuntimeConfig(idle_after=0.05)


@pytest.fixture
def place(tmp_path):
    return tmp_path / "data" / "claw.db"


async def until(look):
    """Ask again and again, each time in a worker thread, until the answer is not empty."""
    with trio.fail_after(10):
        while True:
            if answer := await look():
                return answer


async def test_recorded_tasks_run_once_over_restarts(place, calls):
    """Each opening goes on where the last one stood."""
    reached = trio.Event()

    @task
    def note(n: int) -> int:
        calls.append(n)
        return n

    @task
    async def block() -> None:
        reached.set()
        await trio.sleep_forever()

    @workflow(name="count")
    async def blocked(ctx: Context) -> int:
        total = await ctx.run(note, 1) + await ctx.run(note, 2)
        await ctx.run(block)
        return total

    @workflow
    async def count(ctx: Context) -> int:
        total = await ctx.run(note, 1) + await ctx.run(note, 2)
        return total + await ctx.run(note, 3)

    config = RuntimeConfig(grace=0)
    async with open_runtime(place, workflows=[blocked], config=config) as runtime:
        await runtime.start(blocked, id="a")
        await reached.wait()
    async with open_runtime(SQLiteStorage(place), workflows=[count]) as runtime:
        assert await runtime.result("a") == 6
        assert runtime.statistics().replayed == 2
    assert calls == [1, 2, 3]


async def test_attempts_outlive_the_process(place):
    """The count, the due time and the failure are in the file."""
    tries = []
    tried = trio.Event()

    @task(retry=Retry(max_attempts=2, initial=0.01, jitter=0))
    def fail() -> None:
        tries.append(task_info().attempt)
        raise ConnectionError(f"down {len(tries)}")

    @task(name="fail", retry=Retry(max_attempts=2, initial=3_600))
    async def fail_first() -> None:
        tries.append(task_info().attempt)
        tried.set()
        raise ConnectionError("down")

    def make(body):
        @workflow(name="run")
        async def run(ctx: Context) -> str:
            try:
                await ctx.run(body)
            except TaskFailedError as error:
                return f"{error.attempts} {error.is_(OSError)} {error.error.message}"
            return "not reached"

        return run

    first, second = make(fail_first), make(fail)
    async with open_runtime(place, workflows=[first]) as runtime:
        handle = await runtime.start(first, id="a")
        await tried.wait()
        [open_task] = await until(handle.tasks)
        assert open_task.attempt == 1
        assert open_task.due_at is not None
        await handle.cancel()
        with pytest.raises(WorkflowCancelledError):
            await handle.result()
        other = await runtime.start(first, id="b")
        await until(other.tasks)
    async with open_runtime(
        place, workflows=[second], environment=_later_than(open_task.due_at + 60)
    ) as runtime:
        assert await runtime.result("b") == "2 True down 3"
    assert tries == [1, 1, 2]


def _later_than(when):
    """A world in which the wall clock stands past a point in time."""
    return Environment(wall=lambda: when)


async def test_crash_quarantine_retry_cancel_and_delete(place, calls):
    """One life with everything in it."""
    mended = []

    @task
    def step() -> int:
        calls.append("step")
        return 7

    @workflow(restart=Restart(max_restarts=1, initial=0.001))
    async def run(ctx: Context, wait: float) -> int:
        value = await ctx.run(step)
        if not mended:
            raise ValueError("broken")
        await ctx.sleep(wait)
        return value

    async with open_runtime(place, workflows=[run], config=PASSIVE_SOON) as runtime:
        for id, wait in (("a", 0.0), ("b", 3_600.0)):
            handle = await runtime.start(run, wait, id=id)
            with pytest.raises(WorkflowQuarantinedError, match="ValueError: broken"):
                await handle.result()
    mended.append(1)
    async with open_runtime(place, workflows=[run], config=PASSIVE_SOON) as runtime:
        for id in "ab":
            assert await runtime.status(id) is Status.QUARANTINED
            await runtime.retry(id)
        assert await runtime.result("a") == 7
        with pytest.raises(WorkflowClosedError):
            await runtime.cancel("a")

        async def waits() -> bool:
            return await runtime.status("b") is Status.WAITING

        await until(waits)
    async with open_runtime(place, workflows=[run], config=PASSIVE_SOON) as runtime:
        assert runtime.statistics().active == 0
        await runtime.cancel("b", "enough")
        with pytest.raises(WorkflowCancelledError, match="enough"):
            await runtime.result("b")
        await runtime.delete("a")
        with pytest.raises(NotFoundError):
            await runtime.result("a")
    assert calls == ["step", "step"]


async def test_a_failed_one_is_retried_from_its_fatal_task(place, calls):
    """The void is in the file, and the replay leaves out what it voided."""

    @task
    def fragile() -> str:
        calls.append("fragile")
        if len(calls) == 1:
            raise ConnectionError("down")
        return "well"

    @workflow
    async def run(ctx: Context) -> str:
        return await ctx.run(fragile)

    async with open_runtime(place, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        with pytest.raises(WorkflowFailedError, match="down"):
            await handle.result()
        await handle.retry()
        assert await handle.result() == "well"
        assert [one.result for one in await handle.tasks()] == ["well"]


async def test_many_run_at_once(place):
    """And each gets its own results."""

    @task
    def square(n: int) -> int:
        return n * n

    @workflow
    async def run(ctx: Context, n: int) -> list[int]:
        return [await ctx.run(square, n), await ctx.run(square, n + 1)]

    async with open_runtime(place, workflows=[run]) as runtime:
        handles = [await runtime.start(run, n, id=str(n)) for n in range(30)]
        results = [await handle.result() for handle in handles]
    # Now they are all counted: a result may be read before its commit has been answered.
    assert runtime.statistics().storage.operations >= 30 * 4
    assert results == [[n * n, (n + 1) ** 2] for n in range(30)]


async def test_messages_requests_and_values_outlive_the_process(place):
    """On a file, with threads: sent while no code is there, answered in the next opening."""

    @workflow
    async def serve(ctx: Context) -> int:
        ctx.set_value("state", "open")
        number = await ctx.receive("number", int)
        await ctx.send(ctx.workflow_id, "self", number)
        request = await ctx.receive_request("ask", int)
        request.reply(request.payload + await ctx.receive("self", int))
        ctx.set_value("state", "answered")
        return number

    async with open_runtime(place, workflows=[serve]) as runtime:
        handle = await runtime.start(serve, id="a")
        assert await handle.wait_value("state", str) == "open"
    async with open_runtime(place) as runtime:
        await runtime.send("a", "number", "none", idempotency_key="k")
        await runtime.send("a", "number", "none", idempotency_key="k")
        await runtime.send("a", "number", 7)
    async with open_runtime(place, workflows=[serve]) as runtime:
        assert await runtime.ask("a", "ask", 1, int, idempotency_key="q") == 8
        assert await runtime.result("a") == 7
    async with open_runtime(place) as runtime:
        assert await runtime.ask("a", "ask", 1, int, idempotency_key="q") == 8
        assert await runtime.values("a") == {"state": "answered"}
        [letter] = await runtime.dead_letters("a")
        assert (letter.topic, letter.payload) == ("number", "none")
        with pytest.raises(WorkflowClosedError):
            await runtime.send("a", "number", 8)
