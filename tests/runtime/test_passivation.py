"""Instances that only wait leave memory, and come back: on time, for each message, one by one."""

from __future__ import annotations

import math

import attrs
import pytest
import trio

from claw_actors import (
    Context,
    MemoryStorage,
    Runtime,
    RuntimeConfig,
    SQLiteStorage,
    Status,
    open_runtime,
    task,
    workflow,
)
from claw_actors._runtime.timers import Timers
from claw_actors._runtime.wakes import Wakes
from claw_actors.errors import (
    NotFoundError,
    StorageUnavailableError,
    WorkflowCancelledError,
)
from claw_actors.storage.executor import InlineExecutor
from claw_actors.storage.records import WakeTime
from claw_actors.testing.clock import EPOCH

SOON = RuntimeConfig(idle_after=1.0)


@workflow
async def sleeper(ctx: Context, seconds: float) -> float:
    began = ctx.now()
    await ctx.sleep(seconds)
    return ctx.now() - began


@workflow
async def receiver(ctx: Context, count: int = 1) -> list[int]:
    return [await ctx.receive("number", int) for _ in range(count)]


@pytest.fixture(params=["memory", "sqlite"])
def either_storage(request, tmp_path):
    """One backend after the other."""
    return MemoryStorage() if request.param == "memory" else SQLiteStorage(tmp_path / "claw.db")


@pytest.fixture
def open_at(claw_environment, storage, wall):
    """Open a runtime on the clock that can be set."""
    environment = attrs.evolve(claw_environment, wall=wall)

    def open_it(*workflows, storage=storage, config=SOON):
        return open_runtime(storage, workflows=workflows, environment=environment, config=config)

    return open_it


def active(runtime: Runtime) -> int:
    return runtime.statistics().active


# -- leaving and coming back ------------------------------------------------------------------------------


async def test_a_long_sleep_leaves_memory_and_ends_on_time(open_claw_runtime, either_storage):
    """Stored as waiting for its end, in one write; counted each way."""
    async with open_claw_runtime(either_storage, workflows=[sleeper], config=SOON) as runtime:
        handle = await runtime.start(sleeper, 100)
        await trio.sleep(0.9)
        assert (active(runtime), await handle.status()) == (1, Status.RUNNING)
        await trio.sleep(0.2)
        state = await handle.state()
        assert (active(runtime), state.status, state.wake_at) == (0, Status.WAITING, EPOCH + 100)
        assert runtime.statistics().storage.operations == 2
        assert await handle.result() == pytest.approx(100, abs=0.1)
        assert trio.current_time() == pytest.approx(100, abs=0.1)
        counts = runtime.statistics()
    assert (counts.passivated, counts.activated, counts.ended, counts.crashes) == (1, 1, 1, 0)


async def test_a_short_sleep_stays(open_claw_runtime, storage):
    """Replay is not worth it."""
    async with open_claw_runtime(storage, workflows=[sleeper], config=SOON) as runtime:
        await (await runtime.start(sleeper, 0.9)).result()
        assert runtime.statistics().passivated == 0


async def test_one_that_waits_for_a_message_only_has_no_time(
    open_claw_runtime, storage, row_of, either_storage
):
    """It is not loaded at the next opening either, but the message brings it back."""
    async with open_claw_runtime(either_storage, workflows=[receiver], config=SOON) as runtime:
        handle = await runtime.start(receiver, 2, id="a")
        await trio.sleep(2)
        state = await handle.state()
        assert (active(runtime), state.status, state.wake_at) == (0, Status.WAITING, None)
        await handle.send("number", 1)
        await trio.sleep(0.5)
        assert active(runtime) == 1
        await trio.sleep(5)
        assert active(runtime) == 0
    async with open_claw_runtime(either_storage, workflows=[receiver], config=SOON) as runtime:
        await trio.sleep(5)
        assert active(runtime) == 0
        await (await runtime.get("a")).send("number", 2)
        assert await runtime.result("a") == [1, 2]


async def test_a_message_to_one_that_nobody_runs_is_found_at_the_next_opening(
    open_claw_runtime, storage
):
    """It makes the row due."""
    async with open_claw_runtime(storage, workflows=[receiver], config=SOON) as runtime:
        await runtime.start(receiver, id="a")
        await trio.sleep(2)
    async with open_claw_runtime(storage, workflows=[]) as runtime:
        await (await runtime.get("a")).send("number", 7)
    async with open_claw_runtime(storage, workflows=[receiver], config=SOON) as runtime:
        assert await runtime.result("a") == [7]


async def test_a_message_that_it_does_not_wait_for_does_not_keep_it(
    open_claw_runtime, storage, row_of
):
    """Nor is it brought back for it again at the next opening."""
    async with open_claw_runtime(storage, workflows=[receiver], config=SOON) as runtime:
        handle = await runtime.start(receiver, id="a")
        await trio.sleep(0.5)
        await handle.send("other", 1)
        await trio.sleep(0.6)
        assert active(runtime) == 0
        assert row_of(storage, "a").wake_at is None
        await handle.send("other", 2)
        await trio.sleep(5)
        assert (active(runtime), row_of(storage, "a").wake_at) == (0, None)
        assert runtime.statistics().passivated == 2


async def test_a_parent_leaves_while_its_child_runs_and_comes_back_for_its_end(
    open_claw_runtime, storage
):
    """Without a time of its own; so does the child, and what is started by both survives."""

    @workflow
    async def parent(ctx: Context) -> float:
        return await ctx.run_child(sleeper, 100)

    config = RuntimeConfig(idle_after=1.0, max_active=1)
    async with open_claw_runtime(storage, workflows=[parent, sleeper], config=config) as runtime:
        handle = await runtime.start(parent, id="a")
        await trio.sleep(50)
        assert (active(runtime), (await handle.state()).wake_at) == (0, None)
    async with open_claw_runtime(storage, workflows=[parent, sleeper], config=config) as runtime:
        assert await runtime.result("a") == pytest.approx(100, abs=0.1)
        assert trio.current_time() == pytest.approx(100, abs=0.1)


async def test_clean_up_runs_and_records_nothing(open_claw_runtime, storage, journal_of, calls):
    """Each time that it leaves; its operations only raise."""

    @task
    async def note() -> None:
        calls.append("body")

    @workflow
    async def run(ctx: Context) -> str:
        try:
            await ctx.sleep(100)
        finally:
            calls.append("finally")
            with pytest.raises(BaseException):  # noqa: B017 - whatever it is
                await ctx.run(note)
        return "slept"

    async with open_claw_runtime(storage, workflows=[run], config=SOON) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(50)
        assert (calls, active(runtime)) == (["finally"], 0)
        assert len(journal_of(storage, "a")) == 1


async def test_one_that_runs_something_stays(open_claw_runtime, storage):
    """Though all else of it waits."""

    @task
    async def long() -> None:
        await trio.sleep(50)

    @workflow
    async def run(ctx: Context) -> None:
        async with ctx.open_nursery() as nursery:
            nursery.run_soon(long)
            await ctx.sleep(100)

    async with open_claw_runtime(storage, workflows=[run], config=SOON) as runtime:
        handle = await runtime.start(run)
        await trio.sleep(40)
        assert active(runtime) == 1
        await trio.sleep(15)
        assert active(runtime) == 0
        await handle.result()
        assert runtime.statistics().attempts == 1


async def test_the_first_of_several_waits_brings_it_back(open_claw_runtime, storage):
    """Then it leaves for the next one."""

    @workflow
    async def run(ctx: Context) -> list[float]:
        ends: list[float] = []

        async def nap(ctx: Context, seconds: float) -> None:
            await ctx.sleep(seconds)
            ends.append(ctx.now() - EPOCH)

        async with ctx.open_nursery() as nursery:
            for seconds in (300, 100, 200):
                nursery.start_soon(nap, seconds)
        return ends

    async with open_claw_runtime(storage, workflows=[run], config=SOON) as runtime:
        ends = await (await runtime.start(run)).result()
        assert runtime.statistics().activated == 3
    assert ends == [pytest.approx(at, abs=0.1) for at in (100, 200, 300)]


async def test_waiters_wait_on_while_it_comes_and_goes(open_claw_runtime, storage):
    """They hear of its end, and of nothing before."""
    reads = []

    class Counting(MemoryStorage):
        def get_workflow(self, id):
            reads.append(id)
            return super().get_workflow(id)

    async with open_claw_runtime(Counting(), workflows=[receiver], config=SOON) as runtime:
        handle = await runtime.start(receiver, 5)
        results = []

        async def wait() -> None:
            results.append(await handle.result())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            for n in range(5):
                await trio.sleep(10)
                assert active(runtime) == 0
                await handle.send("number", n)
        assert results == [[0, 1, 2, 3, 4]]
        assert runtime.statistics().passivated == 5
        assert len(reads) == 2
        assert await runtime.start(receiver, 5, id=handle.id), "attaching needs no activation"


async def test_nothing_is_left_of_one_that_comes_and_goes_many_times(open_claw_runtime, storage):
    """Neither of its supervisor's, nor of its timers'."""

    @workflow
    async def run(ctx: Context) -> None:
        for _ in range(200):
            await ctx.sleep(10)

    async with open_claw_runtime(storage, workflows=[run], config=SOON) as runtime:
        await runtime.start(run)
        await trio.sleep(1_955)
        cells, wakes = runtime._cells, runtime._recovery._wakes
        assert runtime.statistics().passivated == 196
        assert (len(cells), len(wakes)) == (0, 1)
        assert len(cells._supervisor.nested("workflows")) == 0
        assert not cells._idling._since
        assert not cells._idling._leaving
        assert len(wakes._timers._by_wall) < 100


# -- while it is leaving ----------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["sent", "cancelled"])
@pytest.mark.parametrize("ticks", range(40))
async def test_nothing_is_lost_that_comes_while_it_leaves(open_claw_runtime, storage, ticks, first):
    """At whatever moment between its last and its next life."""

    @workflow
    async def run(ctx: Context) -> int:
        try:
            return await ctx.receive("number", int)
        finally:
            if ctx._strand.is_sealed:
                with trio.CancelScope(shield=True):
                    for _ in range(5):
                        await trio.lowlevel.checkpoint()

    async with open_claw_runtime(storage, workflows=[run], config=SOON) as runtime:
        handle = await runtime.start(run)
        await trio.sleep(1.0)
        for _ in range(ticks):
            await trio.lowlevel.checkpoint()
        with trio.fail_after(10):
            if first == "sent":
                await handle.send("number", 7)
                assert await handle.result() == 7
            else:
                await handle.cancel("enough")
                with pytest.raises(WorkflowCancelledError, match="enough"):
                    await handle.result()


@pytest.mark.parametrize("sent_at", [0.95, 1.05, 1.15, 1.25, 1.35])
async def test_what_it_shows_is_stored_though_it_was_about_to_leave(
    open_claw_runtime, storage, monkeypatch, sent_at
):
    """A message is stored while its row is on the way to say that it waits.

    That is refused then, and no commit follows that would take along what the code has noted.
    """
    write = InlineExecutor.write

    async def slow(self, fn, *args):
        await trio.sleep(0.1)
        return await write(self, fn, *args)

    @workflow
    async def show(ctx: Context) -> None:
        ctx.set_value("number", await ctx.receive("number", int))
        await ctx.receive("never", int)

    monkeypatch.setattr(InlineExecutor, "write", slow)
    async with open_claw_runtime(storage, workflows=[show], config=SOON) as runtime:
        began = trio.current_time()
        handle = await runtime.start(show)
        await trio.sleep_until(began + sent_at)
        await handle.send("number", 7)
        with trio.fail_after(0.9):
            assert await handle.wait_value("number", int) == 7
        await trio.sleep(2)
        assert (active(runtime), await handle.status()) == (0, Status.WAITING)


@pytest.mark.parametrize("ticks", range(10))
async def test_nothing_is_lost_that_comes_while_somebody_starts_it_again(
    open_claw_runtime, storage, ticks
):
    """Until storage says that it is there already, it might just be coming to life."""
    async with open_claw_runtime(storage, workflows=[receiver], config=SOON) as runtime:
        handle = await runtime.start(receiver, 2, id="a")
        await trio.sleep(5)
        with runtime._cells.coming(["a"]):
            with runtime._cells.coming(["a", "b"]):
                await handle.send("number", 1)
                await trio.sleep(0.5)
            await trio.sleep(0.5)
            assert active(runtime) == 0
        await trio.sleep(0.5)
        assert active(runtime) == 1
        await trio.sleep(5)
        await handle.send("number", 2)
        for _ in range(ticks):
            await trio.lowlevel.checkpoint()
        with runtime._cells.coming(["a"]):
            await trio.sleep(0.1)
        assert await handle.result() == [1, 2]


async def test_one_that_did_come_is_not_brought_back_again(open_claw_runtime, storage):
    """It was wanted while it was being started, and it is there."""
    async with open_claw_runtime(storage, workflows=[receiver], config=SOON) as runtime:
        with runtime._cells.coming(["a"]):
            assert runtime._cells.look_again("a")
            await runtime.start(receiver, id="a")
        await trio.sleep(5)
        assert (active(runtime), runtime.statistics().activated) == (0, 0)


@pytest.mark.parametrize("ticks", range(0, 40, 3))
async def test_lifecycle_operations_meet_one_that_leaves(open_claw_runtime, storage, ticks):
    """Pause and resume, delete: at whatever moment."""
    async with open_claw_runtime(storage, workflows=[sleeper], config=SOON) as runtime:
        for id in ("paused", "terminated", "deleted"):
            await runtime.start(sleeper, 100, id=id)
        await trio.sleep(1.0)
        for _ in range(ticks):
            await trio.lowlevel.checkpoint()
        await runtime.pause("paused")
        await runtime.terminate("terminated")
        await runtime.delete("deleted", force=True)
        await trio.sleep(10)
        assert active(runtime) == 0
        assert await runtime.status("paused") is Status.PAUSED
        assert await runtime.status("terminated") is Status.CANCELLED
        with pytest.raises(NotFoundError):
            await runtime.status("deleted")
        await trio.sleep(200)
        assert active(runtime) == 0
        await runtime.resume("paused")
        await runtime.result("paused")
        assert runtime.statistics().crashes == 0


async def test_a_deadline_that_passes_while_it_leaves_brings_it_back(open_claw_runtime, storage):
    """Its clean-up may take longer than the rest of its sleep."""

    @workflow
    async def run(ctx: Context) -> str:
        try:
            await ctx.sleep(3)
        finally:
            if ctx._strand.is_sealed:
                with trio.CancelScope(shield=True):
                    await trio.sleep(10)
        return "slept"

    async with open_claw_runtime(storage, workflows=[run], config=SOON) as runtime:
        assert await (await runtime.start(run)).result() == "slept"
        assert trio.current_time() == pytest.approx(11, abs=0.2)


# -- too many for memory ----------------------------------------------------------------------------------


async def test_the_longest_idle_leave_first_when_memory_is_crowded(open_claw_runtime, storage):
    """Those that come later stay."""
    config = RuntimeConfig(idle_after=1_000, max_active=3)
    async with open_claw_runtime(storage, workflows=[receiver], config=config) as runtime:
        for n in range(8):
            await runtime.start(receiver, id=f"w{n}")
            await trio.sleep(1)
        assert sorted(runtime._cells._cells) == ["w5", "w6", "w7"]
        await (await runtime.get("w0")).send("number", 0)
        await runtime.result("w0")
        assert sorted(runtime._cells._cells) == ["w6", "w7"]


async def test_what_is_started_runs_in_any_case(open_claw_runtime, storage):
    """It leaves when it has become idle, if there are too many."""

    @task
    async def work() -> None:
        await trio.sleep(10)

    @workflow
    async def run(ctx: Context) -> None:
        await ctx.run(work)
        await ctx.sleep(100)

    config = RuntimeConfig(idle_after=1_000, max_active=2)
    async with open_claw_runtime(storage, workflows=[run], config=config) as runtime:
        for _ in range(6):
            await runtime.start(run)
        await trio.sleep(5)
        assert active(runtime) == 6
        await trio.sleep(10)
        assert active(runtime) == 2


@pytest.mark.parametrize("restarted", [False, True], ids=["in one life", "after a restart"])
async def test_those_that_fall_due_at_once_come_back_in_their_turn(
    open_claw_runtime, storage, restarted, monkeypatch
):
    """In order of time, and never more than there is room for."""
    woken: list[str] = []
    most: list[int] = []

    @task
    async def note(id: str) -> None:
        woken.append(id)
        most.append(active(runtime))
        await trio.sleep(0.1)

    @workflow
    async def run(ctx: Context, seconds: float) -> None:
        await ctx.sleep(seconds)
        await ctx.run(note, ctx.workflow_id)
        await ctx.sleep(100_000)

    monkeypatch.setattr("claw_actors._runtime.wakes.WAKE_WINDOW", 10)
    config = RuntimeConfig(idle_after=0.5, max_active=4, recovery_wave=3)
    async with open_claw_runtime(storage, workflows=[run], config=config) as runtime:
        for n in range(50):
            await runtime.start(run, 1_000 - n / 1_000, id=f"w{n:02}")
        await trio.sleep(2)
        assert active(runtime) == 0
        if not restarted:
            await trio.sleep(1_200)
    if restarted:
        await trio.sleep(1_500)
        async with open_claw_runtime(storage, workflows=[run], config=config) as runtime:
            await trio.sleep(200)
    assert len(woken) == 50
    assert max(most) <= 4
    order = [f"w{n:02}" for n in reversed(range(50))]
    late = 4 if restarted else 0  # what there is room for comes first, whenever it was due
    places = [abs(order.index(id) - place) for place, id in enumerate(woken)]
    assert max(places[late:]) <= 4 + late


async def test_busy_ones_that_wait_for_those_outside_get_them_in(open_claw_runtime, storage):
    """One by one, after a while: a limit must not become a deadlock."""
    config = RuntimeConfig(idle_after=0.5, max_active=2)

    @task
    async def asks(id: str) -> object:
        await (await runtime.get(id)).send("number", 1)
        return await runtime.result(id)

    @workflow
    async def asking(ctx: Context, id: str) -> object:
        return await ctx.run(asks, id)

    async with open_claw_runtime(storage, workflows=[receiver, asking], config=config) as runtime:
        for n in range(3):
            await runtime.start(receiver, id=f"w{n}")
        await trio.sleep(5)
        assert active(runtime) == 0
        for n in range(3):
            await runtime.start(asking, f"w{n}", id=f"a{n}")
        with trio.fail_after(10):
            for n in range(3):
                assert await runtime.result(f"a{n}") == [1]


# -- clocks that are set back -----------------------------------------------------------------------------


async def test_a_clock_set_back_makes_no_sleep_longer_that_is_passive(open_at, wall):
    """Neither the first to end, nor those after it."""

    @workflow
    async def run(ctx: Context) -> None:
        async with ctx.open_nursery() as nursery:
            for seconds in (100, 200):
                nursery.start_soon(nap, seconds)

    async def nap(ctx: Context, seconds: float) -> None:
        await ctx.sleep(seconds)
        ends.append(seconds)

    ends: list[float] = []
    async with open_at(run) as runtime:
        handle = await runtime.start(run)
        await trio.sleep(10)
        wall.offset -= 5_000
        await trio.sleep(95)
        assert set(ends) == {100}
        await handle.result()
        assert trio.current_time() == pytest.approx(200, abs=0.1)


async def test_a_message_after_a_clock_was_set_back_makes_no_deadline_later(open_at, wall):
    """What had passed before has passed."""

    @workflow
    async def run(ctx: Context) -> int:
        got = await ctx.receive("number", int)
        await ctx.sleep_until(EPOCH + 100)
        return got

    @workflow
    async def within(ctx: Context) -> bool:
        with ctx.move_on_after(100) as scope:
            while True:
                await ctx.receive("number", int)
        return scope.cancelled_caught

    async with open_at(within) as runtime:
        handle = await runtime.start(within)
        await trio.sleep(50)
        assert active(runtime) == 0
        wall.offset -= 5_000
        await handle.send("number", 1)
        assert await handle.result() is True
        assert trio.current_time() == pytest.approx(100, abs=0.1)


async def test_one_that_has_seen_the_clock_set_back_stays(open_at, wall):
    """Only in memory it is known how long it was meant to sleep."""
    async with open_at(sleeper, config=RuntimeConfig(idle_after=5)) as runtime:
        handle = await runtime.start(sleeper, 100)
        await trio.sleep(1)
        wall.offset -= 5_000
        await trio.sleep(50)
        assert active(runtime) == 1
        await handle.result()
        assert trio.current_time() == pytest.approx(100, abs=0.1)


async def test_one_that_has_seen_it_makes_no_room_either(open_at, wall):
    """Another one leaves in its place."""
    async with open_at(sleeper, config=RuntimeConfig(idle_after=500, max_active=2)) as runtime:
        await runtime.start(sleeper, 100, id="a")
        await trio.sleep(1)
        wall.offset -= 5_000
        for id in ("b", "c"):
            await runtime.start(sleeper, 50, id=id)
            await trio.sleep(1)
        assert sorted(runtime._cells._cells) == ["a", "c"]
        await runtime.result("a")
        assert trio.current_time() == pytest.approx(100, abs=0.1)


# -- timers for the next ones only ------------------------------------------------------------------------


async def test_those_that_are_due_late_cost_no_timer(open_claw_runtime, storage, monkeypatch):
    """And each of them ends on time, whatever the order in which they have left."""
    monkeypatch.setattr("claw_actors._runtime.wakes.WAKE_WINDOW", 5)
    lengths = [1_000 + 37 * n % 101 for n in range(60)]
    async with open_claw_runtime(storage, workflows=[sleeper], config=SOON) as runtime:
        for n, seconds in enumerate(lengths):
            await runtime.start(sleeper, seconds, id=f"w{n}")
            if n % 7 == 0:
                await trio.sleep(2)
                assert len(runtime._recovery._wakes) <= 10
        await trio.sleep(5)
        assert active(runtime) == 0
        assert len(runtime._recovery._wakes) <= 10
        for n, seconds in enumerate(lengths):
            assert await runtime.result(f"w{n}") == pytest.approx(seconds, abs=0.2)


@attrs.define
class Kept:
    """What timers of passive instances have done."""

    woken: list[str] = attrs.field(factory=list)
    looks: int = 0

    def wake(self, id: str, due_by: float) -> None:
        self.woken.append(id)

    def look(self) -> None:
        self.looks += 1


@pytest.fixture
async def kept(wall, monkeypatch):
    """Timers of passive instances, with a small window."""
    monkeypatch.setattr("claw_actors._runtime.wakes.WAKE_WINDOW", 2)
    kept = Kept()
    timers = Timers(wall, 60.0)
    wakes = Wakes(timers, kept.wake, kept.look)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(timers.run)
        yield kept, wakes
        nursery.cancel_scope.cancel()


def wait(pk: int, wake_at: float) -> WakeTime:
    return WakeTime(EPOCH + wake_at, pk, f"w{pk}", since=EPOCH)


async def test_one_that_leaves_while_the_next_window_is_read_is_not_forgotten(kept):
    """Before the new horizon it has a timer, whatever was read of it."""
    noted, wakes = kept

    async def read(after, limit):
        wakes.add(EPOCH + 5, 3, "w3", 5)
        wakes.add(EPOCH + 500, 4, "w4", 500)
        wakes.add(EPOCH + 8, 1, "w1", 8)
        return [wait(1, 10), wait(2, 20)]

    await wakes.look_further(read, lambda id: False)
    assert len(wakes) == 3
    await trio.sleep(9)
    assert noted.woken == ["w3", "w1"]
    await trio.sleep(12)
    assert noted.woken == ["w3", "w1", "w2"]
    assert noted.looks == 1


async def test_one_that_is_in_memory_gets_no_timer(kept):
    """It has come back while the window was read."""
    noted, wakes = kept

    async def read(after, limit):
        return [wait(1, 10)]

    await wakes.look_further(read, lambda id: id == "w1")
    assert len(wakes) == 0
    wakes.add(EPOCH + 7, 2, "w2", 7)
    assert wakes.discard("w2") == pytest.approx(EPOCH)
    assert wakes.discard("w2") == -math.inf
    await trio.sleep(20)
    assert noted.woken == []


async def test_a_window_that_cannot_be_read_moves_nothing(kept):
    """The horizon stays, and what has left meanwhile with a later time is in storage."""
    noted, wakes = kept

    async def read(after, limit):
        wakes.add(EPOCH + 5, 3, "w3", 5)
        raise StorageUnavailableError("the fake", "not now")

    with pytest.raises(StorageUnavailableError):
        await wakes.look_further(read, lambda id: False)
    assert len(wakes) == 0

    async def read_again(after, limit):
        assert after == (-math.inf, 0)
        return [wait(3, 5)]

    await wakes.look_further(read_again, lambda id: False)
    await trio.sleep(6)
    assert noted.woken == ["w3"]


async def test_windows_are_read_one_after_the_other(kept):
    """Also when somebody asks for a recovery while another one reads; nobody goes untimed."""
    noted, wakes = kept
    asked = []

    async def read(after, limit):
        asked.append(after)
        await trio.sleep(1)
        wakes.add(EPOCH + 20 + len(asked), 7 + len(asked), f"left{len(asked)}", 20)
        return [wait(1, 10), wait(2, 15)] if after == (-math.inf, 0) else []

    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(wakes.look_further, read, lambda id: False)
    assert asked == [(-math.inf, 0), (EPOCH + 15, 2)]
    await trio.sleep(40)
    assert noted.woken[:2] == ["w1", "w2"]
    assert "left2" in noted.woken


async def test_a_window_of_what_was_forgotten_meanwhile_is_read_anew(kept):
    """Storage was opened again: the first ones have lost their timers while the next were read."""
    noted, wakes = kept

    async def first(after, limit):
        return [wait(1, 10), wait(2, 20)]

    async def after_that(after, limit):
        if after != (-math.inf, 0):
            wakes.reset()
            return [wait(3, 30)]
        return [wait(1, 10), wait(2, 20)]

    await wakes.look_further(first, lambda id: False)
    await wakes.look_further(after_that, lambda id: False)
    await trio.sleep(25)
    assert noted.woken == ["w1", "w2"]


async def test_a_horizon_that_comes_nearer_is_looked_past_in_time(kept):
    """Those beyond it are read again when the last one before it is due."""
    noted, wakes = kept

    async def nobody(after, limit):
        return []

    await wakes.look_further(nobody, lambda id: False)
    for pk in range(1, 6):
        wakes.add(EPOCH + 10 * pk, pk, f"w{pk}", 10 * pk)
    assert len(wakes) == 2
    await trio.sleep(100)
    assert (noted.woken, noted.looks) == (["w1", "w2"], 1)
    wakes.reset()
    assert len(wakes) == 0
