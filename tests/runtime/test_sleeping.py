"""Sleeps: durable, never early, and unmoved by what happens to the clock."""

from __future__ import annotations

import datetime
import math

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors import (
    Context,
    MemoryStorage,
    Restart,
    Retry,
    RuntimeConfig,
    SQLiteStorage,
    Status,
    open_runtime,
    task,
    workflow,
)
from claw_actors._runtime.timers import Timers
from claw_actors.errors import InvalidInputError, StorageUnavailableError
from claw_actors.testing.clock import EPOCH


@workflow
async def sleeper(ctx: Context, seconds: float) -> float:
    before = ctx.now()
    await ctx.sleep(seconds)
    return ctx.now() - before


@workflow
async def until(ctx: Context, when: float) -> float:
    await ctx.sleep_until(when)
    return ctx.now()


PASSIVE_SOON = RuntimeConfig(idle_after=1.0)


@pytest.fixture
def open_at(claw_environment, storage, wall):
    """Open a runtime on the clock that can be set."""
    environment = attrs.evolve(claw_environment, wall=wall, clock_check_s=60.0)

    def open_it(*workflows, storage=storage, config=PASSIVE_SOON):
        return open_runtime(storage, workflows=workflows, environment=environment, config=config)

    return open_it


@pytest.mark.parametrize("seconds", [0, 0.001, 0.5, 60, 2_592_000])
async def test_a_sleep_is_never_early(open_claw_runtime, storage, seconds):
    """And not much late."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        slept = await (await runtime.start(sleeper, seconds)).result()
        assert seconds <= slept + 1e-6 <= seconds + 0.1  # a sum of POSIX seconds is rounded
        assert trio.current_time() + 1e-6 >= seconds


async def test_a_sleep_outlives_the_process(open_claw_runtime, storage):
    """Its end is where it was, not counted again."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        await runtime.start(sleeper, 100, id="a")
        await trio.sleep(60)
    await trio.sleep(20)
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        assert await runtime.result("a") == pytest.approx(100, abs=0.1)
        assert trio.current_time() == pytest.approx(100, abs=0.1)


async def test_an_overdue_sleep_ends_at_once(open_claw_runtime, storage):
    """At the next opening; its time is then, not when it was due."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        await runtime.start(sleeper, 100, id="a")
        await trio.sleep(60)
    await trio.sleep(1_000)
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        assert await runtime.result("a") == pytest.approx(1_060, abs=0.1)
        assert trio.current_time() == pytest.approx(1_060, abs=0.1)


async def test_an_overdue_short_sleep_ends_at_once_too(open_claw_runtime, storage):
    """One that is too short to be parked for is loaded, and due."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        await runtime.start(sleeper, 0.9, id="a")
        await wait_all_tasks_blocked()
        assert await runtime.status("a") is Status.RUNNING
    await trio.sleep(100)
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        assert await runtime.result("a") == pytest.approx(100, abs=0.1)


async def test_a_long_sleep_is_stored_as_waiting_and_not_loaded_until_due(
    open_claw_runtime, storage, row_of
):
    """It costs a row, and no memory."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        await runtime.start(sleeper, 100, id="a")
        await trio.sleep(15)
        row = row_of(storage, "a")
        assert (row.status, row.wake_at) == (Status.WAITING, EPOCH + 100)
        assert row.recoveries == 0
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        assert runtime.statistics().active == 0
        await trio.sleep(80)
        assert runtime.statistics().active == 0
        await trio.sleep(10)
        assert await runtime.status("a") is Status.COMPLETED


async def test_one_that_slept_long_is_running_again_afterwards(open_claw_runtime, storage, row_of):
    """Its next checkpoint sets the row right."""

    @task
    async def step() -> None:
        await trio.sleep(10)

    @workflow
    async def run(ctx: Context) -> None:
        await ctx.sleep(10)
        await ctx.run(step)
        await ctx.run(step)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await trio.sleep(25)
        row = row_of(storage, "a")
        assert (row.status, row.wake_at) == (Status.RUNNING, None)
        await handle.result()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "at least 0"),
        (math.inf, "finite"),
        (math.nan, "finite"),
        ("5", "a number"),
        (True, "a number"),
        (None, "a number"),
    ],
)
async def test_a_wrong_length_is_refused(open_claw_runtime, storage, seconds, words):
    """At the line, and nothing has been written."""

    @workflow
    async def run(ctx: Context) -> str:
        with pytest.raises(InvalidInputError, match=words):
            await ctx.sleep(seconds)
        return "went on"

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await (await runtime.start(run)).result() == "went on"


NOON = datetime.datetime.fromtimestamp(EPOCH + 50, datetime.UTC)


@pytest.mark.parametrize(
    "when", [EPOCH + 50, int(EPOCH) + 50, NOON, NOON.astimezone(datetime.timezone.max)]
)
async def test_sleep_until_ends_at_a_point_in_time(open_claw_runtime, storage, when):
    """POSIX seconds, or a datetime in whatever time zone."""

    @workflow
    async def run(ctx: Context) -> float:
        await ctx.sleep_until(when)
        return ctx.now()

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        at = await (await runtime.start(run)).result()
    assert EPOCH + 50 <= at <= EPOCH + 50.1


async def test_a_point_in_the_past_makes_one_checkpoint(open_claw_runtime, storage, journal_of):
    """So that code may count on it."""
    async with open_claw_runtime(storage, workflows=[until]) as runtime:
        assert await (await runtime.start(until, EPOCH - 50, id="a")).result() == EPOCH
    assert [entry.op for entry in journal_of(storage, "a")][1] == "sleep"


@pytest.mark.parametrize(
    ("when", "words"),
    [
        (datetime.datetime(2024, 1, 1), "time zone"),  # noqa: DTZ001 - the point of it
        (math.inf, "POSIX seconds"),
        (math.nan, "POSIX seconds"),
        (True, "POSIX seconds"),
        ("noon", "POSIX seconds"),
    ],
)
async def test_a_wrong_point_in_time_is_refused(open_claw_runtime, storage, when, words):
    """At the line."""

    @workflow
    async def run(ctx: Context) -> str:
        with pytest.raises(InvalidInputError, match=words):
            await ctx.sleep_until(when)
        return "went on"

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await (await runtime.start(run)).result() == "went on"


# -- clocks that jump -----------------------------------------------------------------------------------


async def test_a_clock_that_jumps_forward_makes_sleeps_due(open_at, wall):
    """Within a minute, the time in which a jump may go unnoticed."""
    async with open_at(sleeper) as runtime:
        handle = await runtime.start(sleeper, 10_000)
        await trio.sleep(5)
        wall.offset += 10_000
        await handle.result()
        assert trio.current_time() <= 70


async def test_a_clock_that_jumps_back_does_not_extend_a_sleep(open_at, wall):
    """Beyond its length; and what the workflow sees as now never goes back, nor ends early."""
    async with open_at(sleeper) as runtime:
        handle = await runtime.start(sleeper, 100, id="a")
        await trio.sleep(10)
        wall.offset -= 5_000
        assert await handle.result() == 100
        assert trio.current_time() == pytest.approx(100, abs=0.1)


@pytest.fixture(params=["memory", "sqlite"])
def either_storage(request, tmp_path):
    """One backend after the other."""
    return MemoryStorage() if request.param == "memory" else SQLiteStorage(tmp_path / "claw.db")


async def test_a_clock_set_back_while_down_does_not_extend_a_sleep_that_is_parked(
    open_at, wall, either_storage
):
    """The whole length may pass again, as nobody knows how much has; and no second more."""
    async with open_at(sleeper, storage=either_storage) as runtime:
        await runtime.start(sleeper, 100, id="a")
        await trio.sleep(10)
        assert await runtime.status("a") is Status.WAITING
    wall.offset -= 5_000
    async with open_at(sleeper, storage=either_storage) as runtime:
        assert runtime.statistics().active == 0
        assert await runtime.result("a") == 100
        assert trio.current_time() == pytest.approx(110, abs=0.1)


async def test_a_clock_set_back_by_less_than_what_is_left_makes_no_sleep_longer(
    open_at, wall, either_storage
):
    """What is left by the clock counts, if it is less than the length."""
    async with open_at(sleeper, storage=either_storage) as runtime:
        await runtime.start(sleeper, 100, id="a")
        await trio.sleep(60)
    wall.offset -= 20
    async with open_at(sleeper, storage=either_storage) as runtime:
        assert await runtime.result("a") == 100
        assert trio.current_time() == pytest.approx(120, abs=0.1)


async def test_the_length_of_a_parked_sleep_counts_from_its_last_checkpoint(
    open_at, wall, either_storage
):
    """Not from the workflow's beginning: a second sleep is as long as it says."""

    @workflow(name="twice")
    async def twice(ctx: Context) -> float:
        await ctx.sleep(1_000)
        before = ctx.now()
        await ctx.sleep(50)
        return ctx.now() - before

    async with open_at(twice, storage=either_storage) as runtime:
        await runtime.start(twice, id="a")
        await trio.sleep(1_010)
    wall.offset -= 5_000
    async with open_at(twice, storage=either_storage) as runtime:
        assert await runtime.result("a") == pytest.approx(50, abs=0.1)
        assert trio.current_time() == pytest.approx(1_060, abs=0.1)


async def test_a_length_is_right_though_the_clock_was_set_back_before_the_sleep(
    open_at, wall, either_storage
):
    """Checkpoints never go back in time, so the last one tells where a sleep began."""

    @task(name="step")
    async def step() -> None:
        wall.offset -= 1_000

    @workflow(name="late")
    async def late(ctx: Context) -> None:
        await ctx.run(step)
        await ctx.sleep(50)

    async with open_at(late, storage=either_storage) as runtime:
        await runtime.start(late, id="a")
        await trio.sleep(10)
    wall.offset -= 5_000
    async with open_at(late, storage=either_storage) as runtime:
        await runtime.result("a")
        assert trio.current_time() == pytest.approx(60, abs=0.1)


async def test_those_past_the_first_window_are_looked_for_though_the_clock_was_set_back(
    open_at, wall, monkeypatch
):
    """When it is the last one's turn by its length; then theirs begins."""
    monkeypatch.setattr("claw_actors._runtime.wakes.WAKE_WINDOW", 2)
    async with open_at(sleeper) as runtime:
        for n in range(3):
            await runtime.start(sleeper, 100, id=f"w{n}")
        await trio.sleep(10)
    wall.offset -= 5_000
    async with open_at(sleeper) as runtime:
        await runtime.result("w1")
        assert trio.current_time() == pytest.approx(110, abs=0.1)
        await runtime.result("w2")
        assert trio.current_time() == pytest.approx(210, abs=0.1)


async def test_a_sleep_is_brought_back_for_when_storage_can_be_read_again(open_at, wall):
    """What fell due by its length stays due while its instance cannot be loaded."""
    storage = Unreadable()
    async with open_at(sleeper, storage=storage) as runtime:
        await runtime.start(sleeper, 100, id="a")
        await trio.sleep(10)
    wall.offset -= 5_000
    async with open_at(sleeper, storage=storage) as runtime:
        await trio.sleep(99)
        storage.readable = False
        await trio.sleep(6)
        storage.readable = True
        assert await runtime.result("a") == 100
        assert trio.current_time() == pytest.approx(116, abs=1.1)


class Unreadable(MemoryStorage):
    """A memory whose workflows cannot be read at times."""

    readable = True

    def read_rows(self, ids):
        if not self.readable:
            raise StorageUnavailableError(self.where, "not now")
        return super().read_rows(ids)


async def test_a_clock_set_back_while_down_does_not_extend_the_pause_after_a_crash(
    open_at, wall, either_storage
):
    """Beyond the longest pause that the workflow asks for."""
    crashes = []

    @workflow(name="crashing", restart=Restart(initial=30, maximum=40))
    async def crashing(ctx: Context) -> str:
        crashes.append(trio.current_time())
        if len(crashes) == 1:
            raise KeyError("a mistake")
        return "done"

    async with open_at(crashing, storage=either_storage) as runtime:
        await runtime.start(crashing, id="a")
        await trio.sleep(10)
    wall.offset -= 5_000
    async with open_at(crashing, storage=either_storage) as runtime:
        assert runtime.recovery_report.delayed == ("a",)
        assert await runtime.result("a") == "done"
    assert crashes == [pytest.approx(0, abs=0.1), pytest.approx(50, abs=0.1)]


async def test_a_clock_set_back_while_down_does_not_extend_the_pause_before_an_attempt(
    open_at, wall, either_storage
):
    """Beyond the time from the task's first attempt to its next one."""
    attempts = []

    @task(name="flaky", retry=Retry(max_attempts=2, initial=30, jitter=0))
    async def flaky() -> str:
        attempts.append(trio.current_time())
        if len(attempts) == 1:
            raise ConnectionError("down")
        return "done"

    @workflow(name="trying")
    async def trying(ctx: Context) -> str:
        return await ctx.run(flaky)

    async with open_at(trying, storage=either_storage) as runtime:
        await runtime.start(trying, id="a")
        await trio.sleep(10)
    wall.offset -= 5_000
    async with open_at(trying, storage=either_storage) as runtime:
        assert await runtime.result("a") == "done"
    assert attempts == [pytest.approx(0, abs=0.1), pytest.approx(40, abs=0.1)]


async def test_a_clock_set_back_while_down_does_not_extend_a_sleep_that_is_loaded(open_at, wall):
    """Its length is known from the code, so it sleeps that long at most from now on."""
    async with open_at(sleeper) as runtime:
        await runtime.start(sleeper, 0.9, id="a")
        await wait_all_tasks_blocked()
    wall.offset -= 5_000
    async with open_at(sleeper) as runtime:
        assert await runtime.result("a") == pytest.approx(0.9, abs=1e-3)
        assert trio.current_time() == pytest.approx(0.9, abs=0.1)


async def test_now_never_goes_back(open_at, wall):
    """Whatever the wall clock does."""

    @task
    async def step() -> None:
        wall.offset -= 1_000

    @workflow
    async def run(ctx: Context) -> tuple[float, ...]:
        times = [ctx.now()]
        for _ in range(3):
            await ctx.run(step)
            times.append(ctx.now())
        await ctx.sleep(0)
        return (*times, ctx.now())

    async with open_at(run) as runtime:
        handle = await runtime.start(run, id="a")
        times = await handle.result()
        state = await handle.state()
    assert list(times) == sorted(times)
    assert state.completed_at is not None
    assert state.completed_at >= times[-1]


# -- the one who watches ------------------------------------------------------------------------------------


async def test_timers_fire_in_order_of_their_deadlines(autojump_clock):
    """Set in any order, from anywhere; cancelled ones never."""
    fired = []
    timers = Timers(trio.current_time, 60.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(timers.run)
        for at in (3.0, 1.0, 2.0):
            timers.at(at, lambda at=at: fired.append((at, trio.current_time())))
        gone = timers.at(1.5, lambda: fired.append("cancelled"))
        gone.cancel()
        await trio.sleep(1.2)
        timers.at(1.7, lambda: fired.append("later"))
        await trio.sleep(10)
        timers.at(5, lambda: fired.append("overdue"))
        await trio.sleep(0.1)
        nursery.cancel_scope.cancel()
    assert [one if isinstance(one, str) else one[0] for one in fired] == [
        1.0,
        "later",
        2.0,
        3.0,
        "overdue",
    ]
    assert all(one[0] <= one[1] < one[0] + 0.1 for one in fired if isinstance(one, tuple))


async def test_a_timer_set_while_others_fire_is_not_missed(autojump_clock):
    """Also by what is called when one fires."""
    fired = []
    timers = Timers(trio.current_time, 60.0)

    def again() -> None:
        fired.append(trio.current_time())
        if len(fired) < 3:
            timers.at(trio.current_time() + 1, again)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(timers.run)
        timers.at(1, again)
        await trio.sleep(10)
        nursery.cancel_scope.cancel()
    assert fired == [pytest.approx(n, abs=0.1) for n in (1, 2, 3)]


async def test_cancelled_timers_do_not_pile_up(autojump_clock):
    """However far off they are; those that are left fire in their order."""
    fired = []
    timers = Timers(trio.current_time, math.inf)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(timers.run)
        for n in range(100):
            timers.at(1_000 - n, lambda n=n: fired.append(n))
        most = 0
        for _ in range(5_000):
            gone = timers.at(1e9, lambda: fired.append("cancelled"))
            gone.cancel()
            gone.cancel()  # once more does no harm
            most = max(most, len(timers._by_wall), len(timers._by_length))
        assert 200 < most <= 64 + 2 * 101
        await trio.sleep(2_000)
        nursery.cancel_scope.cancel()
    assert fired == list(range(99, -1, -1))
    assert timers._alive == 0


async def test_timers_that_fired_by_one_clock_do_not_pile_up_by_the_other(autojump_clock):
    """A wall clock that runs ahead makes them due long before their length is over."""
    wall = 0.0
    fired = []
    timers = Timers(lambda: wall, 1.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(timers.run)
        for n in range(1_000):
            timers.at(1e6 + n, lambda n=n: fired.append(n))
        wall = 1e7
        await trio.sleep(10)
        assert fired == list(range(1_000))
        assert len(timers._by_length) <= 64
        nursery.cancel_scope.cancel()


async def test_a_rest_too_small_for_the_clock_does_not_spin(autojump_clock):
    """The sleep has a shortest length, or the loop would never let time pass."""
    fired = []
    timers = Timers(lambda: EPOCH + trio.current_time(), 60.0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(timers.run)
        timers.at(EPOCH + 1e-7, lambda: fired.append(trio.current_time()))
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert len(fired) == 1


async def test_many_waiting_instances_have_timers_for_some_at_a_time(
    open_claw_runtime, storage, monkeypatch
):
    """When the window is over, the next ones are looked for; none is missed."""
    monkeypatch.setattr("claw_actors._runtime.wakes.WAKE_WINDOW", 3)
    config = RuntimeConfig(recovery_wave=2)
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        for n in range(8):
            await runtime.start(sleeper, 100 + n, id=f"w{n}")
        await runtime.start(sleeper, 107, id="twin")
        await trio.sleep(5)
    async with open_claw_runtime(storage, workflows=[sleeper], config=config) as runtime:
        await trio.sleep(200)
        assert runtime.statistics().ended == 9
        states = (await runtime.list()).items
    assert {one.status for one in states} == {Status.COMPLETED}
    for one in states:
        slept = 107 if one.id == "twin" else 100 + int(one.id[1:])
        assert one.completed_at == pytest.approx(EPOCH + slept, abs=0.2)
