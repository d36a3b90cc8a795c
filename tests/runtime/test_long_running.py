"""Task bodies that run for long: what is noted of them, when, and what that costs."""

from __future__ import annotations

import math

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors import (
    Context,
    MemoryStorage,
    Retry,
    RuntimeConfig,
    SQLiteStorage,
    TaskStatus,
    open_runtime,
    task,
    task_info,
    workflow,
)
from claw_actors._core.journal import OpenTask
from claw_actors._runtime.long_running import LongRunning
from claw_actors._runtime.outbox import Outbox
from claw_actors._runtime.timers import Timers
from claw_actors.errors import StorageUnavailableError
from claw_actors.storage.operations import Advance
from claw_actors.testing.clock import EPOCH


class Watched(MemoryStorage):
    """A memory that keeps what was written of open work, and how often; or writes nothing.

    Attributes:
        opened: each ``OpenTask`` that was written.
        closed: the ids of those that were ended.
        commits: how many groups were committed.
        full: whether there is no space at present.
    """

    def __init__(self):
        super().__init__()
        self.opened = []
        self.closed = []
        self.commits = 0
        self.full = False

    def commit(self, group):
        if self.full:
            raise StorageUnavailableError(self.where, "no space")
        self.commits += 1
        for operation in group:
            if isinstance(operation, Advance):
                self.opened += operation.opened
                self.closed += operation.closed
        return super().commit(group)


@task
async def work(seconds: float) -> int:
    await trio.sleep(seconds)
    return task_info().attempt


@workflow
async def working(ctx: Context, *lengths: float) -> int:
    return sum([await ctx.run(work, seconds) for seconds in lengths])


@pytest.fixture(params=["memory", "sqlite"])
def either_storage(request, tmp_path):
    """One backend after the other."""
    return Watched() if request.param == "memory" else SQLiteStorage(tmp_path / "claw.db")


async def test_a_body_that_runs_for_long_is_listed_as_running(open_claw_runtime, either_storage):
    """After a second; with the attempts that have ended, until its outcome takes its place."""
    async with open_claw_runtime(either_storage, workflows=[working]) as runtime:
        handle = await runtime.start(working, 0.5, 10, id="a")
        await trio.sleep(1.4)
        assert [one.status for one in await handle.tasks()] == [TaskStatus.COMPLETED]
        await trio.sleep(0.2)
        _, running = await handle.tasks()
        assert (running.id, running.status, running.attempt) == ("work#2", TaskStatus.RUNNING, 0)
        assert running.started_at == pytest.approx(EPOCH + 0.5, abs=0.1)
        assert (running.due_at, running.error) == (None, None)
        assert await handle.result() == 2
        assert [one.status for one in await handle.tasks()] == [TaskStatus.COMPLETED] * 2


async def test_a_long_body_is_noted_once(open_claw_runtime):
    """However long it takes."""
    storage = Watched()
    async with open_claw_runtime(storage, workflows=[working]) as runtime:
        handle = await runtime.start(working, 1_000, id="a")
        await trio.sleep(2)
        commits = storage.commits
        await handle.result()
        # Its outcome, and the workflow's end.
        assert storage.commits == commits + 2
    assert [one.status for one in storage.opened] == [TaskStatus.RUNNING]


async def test_short_bodies_are_not_noted_and_cost_no_commit(open_claw_runtime):
    """However many of them, and though together they take long."""
    storage = Watched()
    async with open_claw_runtime(storage, workflows=[working]) as runtime:
        handle = await runtime.start(working, *[0.9] * 20, id="a")
        await handle.result()
        # The start, the outcomes, and the end.
        assert storage.commits == 22
    assert storage.opened == []


async def test_a_clock_that_jumps_makes_no_body_long(claw_environment, wall):
    """What counts is the time that it has run for."""
    storage = Watched()
    environment = attrs.evolve(claw_environment, wall=wall, clock_check_s=0.01)
    async with open_runtime(storage, workflows=[working], environment=environment) as runtime:
        handle = await runtime.start(working, 0.9, 1.1)
        for jump in (10_000, -20_000):
            await trio.sleep(0.2)
            wall.offset += jump
        await trio.sleep(0.6)
        assert storage.opened == []
        await handle.result()
    assert [one.op for one in storage.opened] == ["work#2"]


async def test_each_attempt_has_a_note_of_its_own(open_claw_runtime):
    """With what the last one failed with, and when the first one began."""
    storage = Watched()

    @task(retry=Retry(max_attempts=3, initial=30, backoff=1, jitter=0))
    async def flaky() -> int:
        await trio.sleep(0.5 if task_info().attempt == 2 else 5)
        if task_info().attempt < 3:
            raise ConnectionError("down")
        return task_info().attempt

    @workflow
    async def trying(ctx: Context) -> int:
        return await ctx.run(flaky)

    async with open_claw_runtime(storage, workflows=[trying]) as runtime:
        handle = await runtime.start(trying)
        await trio.sleep(67)
        [running] = await handle.tasks()
        assert (running.status, running.attempt, running.due_at) == (TaskStatus.RUNNING, 2, None)
        assert running.error is not None
        assert running.error.message == "down"
        assert await handle.result() == 3
        [done] = await handle.tasks()
        assert (done.status, done.attempt, done.error) == (TaskStatus.COMPLETED, 3, None)
    assert [(one.status, one.attempt) for one in storage.opened] == [
        ("running", 0),
        ("retrying", 1),
        ("retrying", 2),
        ("running", 2),
    ]
    assert {one.started_at for one in storage.opened} == {EPOCH}


# -- the end of the process -----------------------------------------------------------------------------


async def crash(open_claw_runtime, run, after):
    """Run something for a while, and return what a crash leaves then."""
    storage = MemoryStorage()
    async with open_claw_runtime(
        storage, workflows=[run], config=RuntimeConfig(grace=0)
    ) as runtime:
        await runtime.start(run, 10, id="a")
        await trio.sleep(after)
        left = storage.snapshot()
    copy = Watched()
    copy._table, copy._epoch, copy._clean = left._table, left._epoch, left._clean
    return copy


async def test_a_body_that_was_noted_runs_again_after_a_crash(open_claw_runtime):
    """As the same attempt, listed all the while; its note still holds, and is not written again."""
    storage = await crash(open_claw_runtime, working, 5)
    async with open_claw_runtime(storage, workflows=[working]) as runtime:
        handle = await runtime.get("a")
        for _ in range(3):
            [running] = await handle.tasks()
            assert (running.status, running.attempt) == (TaskStatus.RUNNING, 0)
            assert running.started_at == EPOCH
            await trio.sleep(2)
        assert await handle.result() == 1
        [done] = await handle.tasks()
        assert (done.status, done.attempt) == (TaskStatus.COMPLETED, 1)
        assert done.started_at == EPOCH
        assert done.completed_at == pytest.approx(EPOCH + 15, abs=0.1)
    assert storage.opened == []


async def test_an_attempt_that_was_noted_is_not_paused_for_again(open_claw_runtime):
    """Its pause was over when it began; and it is still the second one."""
    began = []

    @task(retry=Retry(max_attempts=2, initial=30, jitter=0))
    async def flaky() -> int:
        began.append((task_info().attempt, trio.current_time()))
        await trio.sleep(10)
        if task_info().attempt == 1:
            raise ConnectionError("down")
        return task_info().attempt

    @workflow
    async def trying(ctx: Context, _: int) -> int:
        return await ctx.run(flaky)

    storage = await crash(open_claw_runtime, trying, 45)
    async with open_claw_runtime(storage, workflows=[trying]) as runtime:
        assert await runtime.result("a") == 2
    assert began == [
        (1, 0),
        (2, pytest.approx(40, abs=0.1)),
        (2, pytest.approx(45, abs=0.1)),
    ]


async def test_an_attempt_that_was_paused_for_is_noted_anew(open_claw_runtime):
    """What says that it will be made gives way to what says that it is made."""

    @task(retry=Retry(max_attempts=2, initial=30, jitter=0))
    async def flaky() -> None:
        if task_info().attempt == 1:
            raise ConnectionError("down")
        await trio.sleep(10)

    @workflow
    async def trying(ctx: Context, _: int) -> None:
        await ctx.run(flaky)

    storage = await crash(open_claw_runtime, trying, 15)
    async with open_claw_runtime(storage, workflows=[trying]) as runtime:
        await runtime.result("a")
    assert [(one.status, one.attempt) for one in storage.opened] == [("running", 1)]


async def test_to_run_for_long_is_no_progress(open_claw_runtime):
    """A body that kills the process after two seconds does so no more often for its note."""

    @workflow
    async def twice(ctx: Context, seconds: float) -> None:
        await ctx.run(work, seconds)
        await ctx.run(work, seconds)

    storage = await crash(open_claw_runtime, twice, 0.5)
    config = RuntimeConfig(healthy_after=5)
    async with open_claw_runtime(storage, workflows=[twice], config=config) as runtime:
        await trio.sleep(4)
        assert len(storage.opened) == 1
        assert storage._table.find("a").row.recoveries == 1
        await trio.sleep(2)
        assert storage._table.find("a").row.recoveries == 0
        assert len(storage.opened) == 1
        await runtime.result("a")


# -- what waits -----------------------------------------------------------------------------------------


async def test_a_note_waits_for_a_write_under_way_and_is_withdrawn_when_the_body_ends_first(
    open_claw_runtime,
):
    """It would be wrong by then, and its outcome says all."""
    storage = await crash(open_claw_runtime, working, 0.5)
    config = RuntimeConfig(healthy_after=0.9)
    async with open_claw_runtime(storage, workflows=[working], config=config) as runtime:
        await trio.sleep(0.5)
        storage.full = True  # so that the note that it is healthy is under way for long
        await trio.sleep(10)
        storage.full = False
        assert await runtime.result("a") == 1
    assert (storage.opened, storage.closed) == ([], [])


async def test_a_note_that_waits_goes_when_what_was_under_way_is_settled(open_claw_runtime):
    """The instance is quiescent then."""
    storage = await crash(open_claw_runtime, working, 0.5)
    config = RuntimeConfig(healthy_after=0.9)
    async with open_claw_runtime(storage, workflows=[working], config=config) as runtime:
        await trio.sleep(0.5)
        storage.full = True
        await trio.sleep(3)
        assert storage.opened == []
        storage.full = False
        await trio.sleep(1.5)
        assert [one.status for one in storage.opened] == [TaskStatus.RUNNING]
        assert storage._table.find("a").row.recoveries == 0
        await runtime.result("a")


NOTE = OpenTask("other", "other", "running", 0, started_at=EPOCH)


async def test_a_note_that_waits_goes_with_the_next_write(open_claw_runtime):
    """It costs no commit of its own."""
    storage = Watched()

    @task
    async def noted() -> None:
        runtime._cells._cells["a"].sequencer.writes.notes.put(NOTE)

    @workflow
    async def noting(ctx: Context) -> None:
        await ctx.run(noted)

    async with open_claw_runtime(storage, workflows=[noting]) as runtime:
        await (await runtime.start(noting, id="a")).result()
        assert storage.commits == 3
    assert storage.opened == [NOTE]


async def test_a_note_waits_while_the_code_runs(open_claw_runtime):
    """It may be about to write something; only when it waits is the instance quiescent."""
    storage = Watched()

    @workflow
    async def noting(ctx: Context) -> None:
        sequencer = runtime._cells._cells["a"].sequencer
        sequencer.writes.notes.put(NOTE)
        sequencer.send_notes_if_quiescent()
        assert (bool(sequencer.writes.notes), sequencer.writes.unsettled) == (True, 0)
        await ctx.run(work, 0.5)

    async with open_claw_runtime(storage, workflows=[noting]) as runtime:
        handle = await runtime.start(noting, id="a")
        await trio.sleep(0.2)
        assert storage.opened == [NOTE]
        await handle.result()


async def test_a_note_does_not_go_with_what_may_be_withdrawn(open_claw_runtime):
    """A sleep that is cancelled takes its write back; the note goes by itself, and is not lost."""
    storage = Watched()

    @workflow
    async def sleeping(ctx: Context) -> None:
        await ctx.sleep(0.5)
        await ctx.sleep(0.5)

    async with open_claw_runtime(storage, workflows=[sleeping]) as runtime:
        handle = await runtime.start(sleeping, id="a")
        await wait_all_tasks_blocked()
        runtime._cells._cells["a"].sequencer.writes.notes.put(NOTE)
        await trio.sleep(0.7)
        # The start, the end of the first sleep, the note.
        assert (storage.commits, storage.opened) == (3, [NOTE])
        await handle.result()


async def test_a_sealed_instance_writes_no_notes(open_claw_runtime):
    """Its body has its grace, and after that it runs again."""
    storage = Watched()
    config = RuntimeConfig(grace=3)
    async with open_claw_runtime(storage, workflows=[working], config=config) as runtime:
        await runtime.start(working, 10, id="a")
        await trio.sleep(0.5)
    assert trio.current_time() == pytest.approx(3.5, abs=0.1)
    assert storage.opened == []


def test_an_outbox_keeps_the_last_note_of_each_task_and_value_of_each_key_in_order():
    """And gives them away once."""
    outbox = Outbox()
    assert not outbox
    first, second, third = (attrs.evolve(NOTE, op=op) for op in ("a", "b", "c"))
    for note in (attrs.evolve(first, attempt=7), second, first, third):
        outbox.put(note)
    assert outbox
    assert outbox.withdraw("c")
    assert not outbox.withdraw("c")
    for key, value in (("x", b"1"), ("y", b"2"), ("x", b"3")):
        outbox.show(key, value)
    values = (("y", b"2"), ("x", b"3"))
    assert outbox.values == values
    assert outbox.take() == ((second, first), values)
    assert outbox.take() == ((), ())
    assert not outbox
    outbox.show("x", b"4")
    assert outbox, "a value alone is something to write"


# -- the one who watches --------------------------------------------------------------------------------


async def test_those_that_have_ended_are_not_kept(autojump_clock):
    """A million short attempts leave nothing behind, and set few timers."""
    timers = Timers(trio.current_time, math.inf)
    watching = LongRunning(timers)
    for _ in range(1_000):
        watching.watch(lambda: pytest.fail("it has ended")).end()
    assert (len(watching._watched), len(timers._by_length)) == (1, 1)


async def test_those_that_run_are_told_in_order_each_after_a_second(autojump_clock):
    """Whatever began or ended beside them; and those that begin later are watched as well."""
    told = []
    timers = Timers(trio.current_time, math.inf)
    watching = LongRunning(timers)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(timers.run)
        for _ in range(2):
            began = trio.current_time()
            watched = []
            for n in range(10):
                tell = lambda n=n: told.append((n, trio.current_time() - began))  # noqa: B023, E731
                watched.append(watching.watch(tell))
                await trio.sleep(0.09)
            for n in (0, 4, 9):
                watched[n].end()
            await trio.sleep(5)
            assert told == [
                (n, pytest.approx(1 + 0.09 * n, abs=0.01)) for n in (1, 2, 3, 5, 6, 7, 8)
            ]
            told.clear()
        nursery.cancel_scope.cancel()
