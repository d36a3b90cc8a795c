"""Heartbeats: how far a body has come, for who looks, and for the attempt that follows."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import attrs
import pytest
import trio

from claw_actors import (
    Context,
    MemoryStorage,
    Retry,
    Runtime,
    RuntimeConfig,
    SQLiteStorage,
    TaskInfo,
    TaskStatus,
    errors,
    open_runtime,
    task,
    task_info,
    workflow,
)
from claw_actors._runtime.sequencer import Sequencer
from claw_actors.storage.operations import Advance
from claw_actors.testing import explore
from claw_actors.testing.clock import EPOCH


@attrs.frozen
class Progress:
    done: int
    last: str = ""


class Watched(MemoryStorage):
    """A memory that counts its commits."""

    def __init__(self):
        super().__init__()
        self.commits = 0
        self.opened = []

    def commit(self, group):
        self.commits += 1
        self.opened += [o for one in group if isinstance(one, Advance) for o in one.opened]
        return super().commit(group)


@pytest.fixture(params=["memory", "sqlite"])
def either_storage(request, tmp_path):
    """One backend after the other."""
    return MemoryStorage() if request.param == "memory" else SQLiteStorage(tmp_path / "claw.db")


def counting(calls, **options):
    """A workflow of one task that counts to ten, a second each, from where it stood."""

    @task(**options)
    async def count() -> int:
        progress = task_info().details_as(Progress) or Progress(0)
        calls.append(progress.done)
        for done in range(progress.done + 1, 11):
            await trio.sleep(1)
            task_info().heartbeat(Progress(done, f"page {done}"))
        return progress.done

    @workflow(name="counting")
    async def run(ctx: Context) -> int:
        return await ctx.run(count)

    return run


async def test_a_restart_goes_on_from_the_last_heartbeat(open_claw_runtime, either_storage, calls):
    """And ``tasks()`` shows it, while the body runs."""
    run = counting(calls)
    at_once = RuntimeConfig(grace=0)
    async with open_claw_runtime(either_storage, workflows=[run], config=at_once) as runtime:
        handle = await runtime.start(run, id="a")
        await trio.sleep(5.5)
        [state] = await handle.tasks()
        assert (state.status, state.attempt) == (TaskStatus.RUNNING, 0)
        told = state.details
        assert told in [{"done": done, "last": f"page {done}"} for done in (4, 5)]
        assert state.heartbeat_at == pytest.approx(EPOCH + told["done"], abs=0.1)
    async with open_claw_runtime(either_storage, workflows=[run]) as runtime:
        assert await runtime.result("a") == 5, "what was cut off in good order has told all"
        [state] = await (await runtime.get("a")).tasks()
        assert (state.status, state.attempt, state.details) == (TaskStatus.COMPLETED, 1, None)
    assert calls == [0, 5]


async def test_a_killed_process_loses_a_second_of_them(open_claw_runtime, calls):
    """What was stored is there; it is the last or the one before."""
    storage = MemoryStorage()
    run = counting(calls)
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(5.5)
        killed = storage.snapshot()
    async with open_claw_runtime(killed, workflows=[run]) as runtime:
        assert await runtime.result("a") in (4, 5)


async def test_an_attempt_that_follows_a_failure_finds_them(open_claw_runtime, storage, calls):
    """All of them: they are stored with the failure. Also after a restart between the two."""

    @task(retry=Retry(max_attempts=3, initial=10, jitter=0))
    async def work() -> list[object]:
        info = task_info()
        calls.append((info.attempt, info.details, info.details_as(Progress)))
        if info.attempt == 1:
            info.heartbeat(Progress(1))
            info.heartbeat(Progress(2))
            assert info.details is None, "only of attempts before this one"
        if info.attempt < 3:
            raise ConnectionError("down")
        return []

    @workflow
    async def run(ctx: Context) -> list[object]:
        return await ctx.run(work)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await trio.sleep(5)
        [state] = await handle.tasks()
        assert (state.status, state.details) == (TaskStatus.RETRYING, {"done": 2, "last": ""})
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.result("a")
    told = ({"done": 2, "last": ""}, Progress(2))
    assert calls == [(1, None, None), (2, *told), (3, *told)]


async def test_many_heartbeats_cost_a_commit_a_second_at_most(open_claw_runtime):
    """And none if the body ends before, or something else is written meanwhile."""
    storage = Watched()

    @task
    async def busy(seconds: float) -> None:
        for _ in range(int(seconds * 100)):
            task_info().heartbeat()
            await trio.sleep(0.01)

    @workflow
    async def run(ctx: Context, *lengths: float) -> None:
        for seconds in lengths:
            await ctx.run(busy, seconds)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await (await runtime.start(run, 0.9, 0.9, 0.9)).result()
        assert storage.commits == 5, "the start, three outcomes, and the end"
        assert storage.opened == []
        await (await runtime.start(run, 10)).result()
        assert storage.commits == pytest.approx(5 + 3 + 10, abs=2)
        await (await runtime.start(run, 1.5)).result()
    assert all(not record.open_tasks for record in storage._table._records.values())


async def test_details_that_cannot_be_stored_are_refused_at_that_line(
    open_claw_runtime, storage, calls
):
    """The body goes on with it as it likes; what was told before stays."""

    @task
    async def work() -> None:
        info = task_info()
        info.heartbeat([1])
        for wrong in (object(), float("nan"), "x" * 2_000_000):
            with pytest.raises((errors.SerializationError, errors.PayloadTooLargeError)) as caught:
                info.heartbeat(wrong)
            calls.append(str(caught.value))
        await trio.sleep(2)
        raise RuntimeError

    @workflow
    async def run(ctx: Context) -> None:
        await ctx.run(work)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run)
        await trio.sleep(1.5)
        assert [state.details for state in await handle.tasks()] == [[1]]
    assert all("details of task 'work'" in one for one in calls)
    assert len(calls) == 3


async def test_details_that_do_not_fit_the_type_asked_for_are_refused(open_claw_runtime, storage):
    """Code has changed between two attempts."""

    @task(retry=Retry(initial=0, max_attempts=2))
    async def work() -> str:
        if task_info().attempt == 1:
            task_info().heartbeat({"pages": 3})
            raise ConnectionError
        with pytest.raises(errors.SerializationError, match="details of task 'work'"):
            task_info().details_as(Progress)
        return str(task_info().details)

    @workflow
    async def run(ctx: Context) -> str:
        return await ctx.run(work)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await (await runtime.start(run)).result() == "{'pages': 3}"


@pytest.mark.parametrize("timeout", [None, 20.0])
async def test_a_silent_attempt_has_timed_out(open_claw_runtime, storage, calls, timeout):
    """The error says so; a body that beats goes on for as long as its other limit allows."""

    @task(heartbeat_timeout=3, timeout=timeout, retry=Retry(max_attempts=2, initial=0))
    async def work() -> None:
        start = trio.current_time()
        try:
            for _ in range(5):
                await trio.sleep(2)
                task_info().heartbeat()
            await trio.sleep(100)
        finally:
            calls.append(round(trio.current_time() - start))

    @workflow
    async def run(ctx: Context) -> None:
        await ctx.run(work)

    @workflow
    async def hasty(ctx: Context) -> None:
        await ctx.run(work.options(timeout=7, heartbeat_timeout=4))

    async with open_claw_runtime(storage, workflows=[run, hasty]) as runtime:
        with pytest.raises(errors.WorkflowFailedError, match="sent no heartbeat for 3 s") as caught:
            await (await runtime.start(run)).result()
        assert caught.value.error.is_(errors.TaskFailedError)
        assert calls == [13, 13]
        with pytest.raises(errors.WorkflowFailedError, match="took longer than 7 s"):
            await (await runtime.start(hasty)).result()
        assert calls == [13, 13, 7, 7]


def test_a_thread_beats_as_well(tmp_path):
    """It never waits for that, and what it tells after it was abandoned is not heard."""
    heard, late = [], []

    @task(heartbeat_timeout=5)
    def work() -> int:
        info = task_info()
        for done in range(3):
            info.heartbeat({"done": done})
        told.wait()
        return 3

    @task(timeout=0.05)
    def abandoned() -> None:
        info = task_info()
        info.heartbeat("in time")
        on_time.wait()
        info.heartbeat("late")
        late.append(info)
        is_late.set()

    @workflow
    async def run(ctx: Context) -> int:
        value = await ctx.run(work)
        try:
            await ctx.run(abandoned)
        except errors.TaskFailedError as error:
            if not error.is_(errors.TaskTimeoutError):
                raise
        await ctx.run(release)
        await ctx.run(release.options(id="again"))  # what had been heard would go with this
        return value

    @task
    def release() -> None:
        on_time.set()
        is_late.wait()

    async def main() -> None:
        async with open_runtime(SQLiteStorage(tmp_path / "a.db"), workflows=[run]) as runtime:
            handle = await runtime.start(run)
            with trio.fail_after(20):
                while not heard:  # noqa: ASYNC110 - of another thread, and of a file
                    heard.extend(one.details for one in await handle.tasks())
                    await trio.sleep(0.05)
            told.set()
            assert await handle.result() == 3
            ids = [one.id for one in await handle.tasks()]
            assert ids == ["work", "abandoned", "release", "again"], "and no open work"

    told, on_time, is_late = (threading.Event() for _ in range(3))
    trio.run(main)
    assert heard == [{"done": 2}]
    late[0].heartbeat("nobody is there any more")


def test_a_body_called_by_itself_beats_for_nobody():
    """In a unit test, with a TaskInfo made by hand."""
    info = TaskInfo(workflow_id="a", task_id="b", name="b", attempt=1, idempotency_key="a/k/b")
    info.heartbeat(object())
    assert (info.details, info.details_as(Progress)) == (None, None)


def test_heartbeats_survive_every_crash():
    """Each life begins at a heartbeat that was made, and never before one that was stored."""
    calls: list[int] = []
    run = counting(calls)

    async def scenario(runtime: Runtime) -> object:
        calls.clear()
        handle = await runtime.start(run, id="a")
        begun = await handle.result()
        assert begun <= 10
        return [one.id for one in await handle.tasks()]

    report = explore(scenario, workflows=[run], seeds=[1])
    assert report.crashes > 2 * report.commits


def test_notes_of_an_instance_that_cannot_go_on_are_not_written():
    """A heartbeat may come when it has failed for good: its journal stays as it is."""
    written: list[str] = []
    instance = SimpleNamespace(
        leaving=SimpleNamespace(failure=errors.ClawError("it diverged")),
        writes=SimpleNamespace(send_notes=lambda: written.append("notes")),
    )
    Sequencer.send_notes(instance)
    assert written == []
    instance.leaving.failure = None
    Sequencer.send_notes(instance)
    assert written == ["notes"]
