"""What a runtime tells of its stop: who was interrupted, and what was cut off."""

from __future__ import annotations

import logging

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors import (
    Context,
    CutOffTask,
    MemoryStorage,
    Restart,
    Retry,
    RuntimeConfig,
    Status,
    StopReport,
    errors,
    task,
    workflow,
)
from claw_actors._runtime.stopping import MOST_NAMED, Stops
from claw_actors.errors import OutcomeUnknownError

GRACE = RuntimeConfig(grace=5)


@task
async def work(seconds: float) -> str:
    await trio.sleep(seconds)
    return "done"


@workflow
async def busy(ctx: Context, seconds: float) -> str:
    return await ctx.run(work, seconds)


@workflow
async def waiting(ctx: Context) -> bool:
    return await ctx.receive("go", bool)


@pytest.fixture
def stopped(open_claw_runtime, storage):
    """Open a runtime, do something in it, and return what it tells of its stop."""

    async def stopped(use, *workflows, config=GRACE) -> StopReport:
        workflows = workflows or (busy, waiting)
        async with open_claw_runtime(storage, workflows=workflows, config=config) as runtime:
            await use(runtime)
            assert runtime.stop_report is None
        assert runtime.stop_report is not None
        return runtime.stop_report

    return stopped


@pytest.fixture
def told(caplog):
    """The log of stops, as levels and messages."""
    caplog.set_level(logging.INFO, "claw_actors.stopping")

    def told() -> list[tuple[str, str]]:
        records = [one for one in caplog.records if one.name == "claw_actors.stopping"]
        return [(one.levelname, one.getMessage()) for one in records]

    return told


async def test_where_nothing_runs_nothing_is_interrupted(stopped, told):
    """And the log has no word of it."""

    async def use(runtime):
        await (await runtime.start(busy, 1, id="ended")).result()

    assert await stopped(use) == StopReport(reason="the runtime is closing", seconds=0)
    assert told() == []


async def test_a_task_that_the_grace_was_too_short_for_is_cut_off(
    stopped, told, caplog, open_claw_runtime, storage
):
    """It is named with its attempt, and runs again; so is who waited, and who was interrupted."""

    async def use(runtime):
        await runtime.start(busy, 100, id="a")
        await runtime.start(waiting, id="b")
        await trio.sleep(2)

    report = await stopped(use)
    assert report == StopReport(
        reason="the runtime is closing",
        seconds=pytest.approx(5, abs=0.1),
        interrupted=("a",),
        waiting=("b",),
        cut_off=(
            CutOffTask(
                workflow_id="a", task_id="work", attempt=1, seconds=pytest.approx(7, abs=0.1)
            ),
        ),
    )
    (info, summary), (warning, cut) = told()
    assert (info, warning) == ("INFO", "WARNING")
    assert summary.endswith(
        "s (the runtime is closing): 1 workflows interrupted (a), 1 waiting, 1 tasks cut off"
    )
    assert cut == "workflow a: task work was cut off in attempt 1, after 7.0 s, and runs again"
    last = caplog.records[-1]
    assert (last.workflow_id, last.task_id, last.attempt) == ("a", "work", 1)
    async with open_claw_runtime(storage, workflows=[busy, waiting]) as runtime:
        assert await runtime.result("a") == "done"
        assert runtime.statistics().attempts == 1


async def test_a_task_that_ends_within_the_grace_is_not_cut_off(stopped):
    """Its outcome is recorded. Its workflow is interrupted nevertheless: nothing else starts."""

    async def use(runtime):
        await runtime.start(busy, 3, id="a")
        await wait_all_tasks_blocked()

    report = await stopped(use)
    assert (report.interrupted, report.cut_off) == (("a",), ())
    assert report.seconds == pytest.approx(3, abs=0.1)


async def test_a_second_request_cuts_off_at_once(stopped):
    """The reason is that of the first one, and the time is counted from it."""

    async def use(runtime):
        await runtime.start(busy, 100, id="a")
        await trio.sleep(1)
        runtime.request_stop("SIGTERM was received", None)
        with trio.CancelScope(shield=True):
            await trio.sleep(2)
        runtime.request_stop("SIGTERM was received again", 0)
        await trio.sleep_forever()

    report = await stopped(use)
    assert report.reason == "SIGTERM was received"
    assert report.seconds == pytest.approx(2, abs=0.1)
    [cut] = report.cut_off
    assert cut.seconds == pytest.approx(3, abs=0.1)


async def test_a_wait_for_the_next_attempt_is_not_cut_off(stopped):
    """Nothing of it runs; its due time is stored. Its workflow is interrupted."""

    @task(retry=Retry(max_attempts=2, initial=100, jitter=0))
    async def failing() -> None:
        raise ConnectionError

    @workflow
    async def run(ctx: Context) -> None:
        await ctx.run(failing)

    async def use(runtime):
        await runtime.start(run, id="a")
        await trio.sleep(1)

    report = await stopped(use, run)
    assert (report.interrupted, report.cut_off) == (("a",), ())


async def test_the_second_attempt_is_cut_off_as_such(stopped):
    """It does not count, and so it is the second one again at the next start."""
    tries = []

    @task(retry=Retry(max_attempts=2, initial=1, jitter=0))
    async def second() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise ConnectionError
        await trio.sleep(100)

    @workflow
    async def run(ctx: Context) -> None:
        await ctx.run(second)

    async def use(runtime):
        await runtime.start(run, id="a")
        await trio.sleep(3)

    [cut] = (await stopped(use, run)).cut_off
    assert (cut.task_id, cut.attempt) == ("second", 2)


async def test_a_body_cancelled_on_purpose_is_not_cut_off(stopped):
    """The loser of a race, a time-out, a cancelled workflow: that is how they end."""

    @workflow
    async def run(ctx: Context) -> None:
        with ctx.move_on_after(1):
            await ctx.run(work, 100)
        await ctx.receive("go", bool)

    async def use(runtime):
        await runtime.start(run, id="a")
        await trio.sleep(2)

    report = await stopped(use, run)
    assert (report.waiting, report.interrupted, report.cut_off) == (("a",), (), ())


@workflow
async def brief(ctx: Context) -> None:
    await ctx.sleep(1)


@workflow(restart=Restart(max_restarts=0))
async def poison(ctx: Context) -> None:
    await ctx.sleep(1)
    raise KeyError("a bug")


def stopping_at(storage, status, definition):
    """Start a workflow that is to be stopped while it is written that it has this status."""
    commit = storage.commit

    async def use(runtime):
        def stop_meanwhile(group):
            changes = [getattr(operation, "change", None) for operation in group]
            if any(change is not None and change.status is status for change in changes):
                runtime.request_stop()
            return commit(group)

        storage.commit = stop_meanwhile
        await runtime.start(definition, id="a")
        await trio.sleep_forever()

    return use


@pytest.mark.parametrize(
    ("one", "status"), [(brief, Status.COMPLETED), (poison, Status.QUARANTINED)]
)
async def test_who_ends_or_is_parked_just_then_does_not_go_on(stopped, storage, one, status):
    """The stop begins while the end is written."""
    report = await stopped(stopping_at(storage, status, one), one)
    assert report.reason == "it was asked to stop"
    assert report.interrupted == report.waiting == ()


async def test_who_is_just_leaving_memory_waits(stopped, storage):
    """The stop begins while it is written that it waits."""
    config = RuntimeConfig(idle_after=1)
    report = await stopped(stopping_at(storage, Status.WAITING, waiting), config=config)
    assert (report.interrupted, report.waiting) == ((), ("a",))


async def test_who_is_terminated_just_then_does_not_go_on(stopped):
    """Its body has not unwound yet, and nothing of it runs again."""

    @task
    async def unwinds_slowly() -> None:
        try:
            await trio.sleep(100)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(3)

    @workflow
    async def slow(ctx: Context) -> None:
        await ctx.run(unwinds_slowly)

    async def use(runtime):
        await runtime.start(slow, id="a")
        await trio.sleep(1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(runtime.terminate, "a")
            await trio.sleep(1)
            runtime.request_stop()
        await trio.sleep_forever()

    report = await stopped(use, slow)
    assert report.seconds == pytest.approx(2, abs=0.1)
    assert (report.interrupted, report.waiting, report.cut_off) == ((), (), ())


async def test_what_a_paused_workflow_was_doing_is_cut_off(stopped):
    """It does not go on by itself; but its task runs again when it does."""

    async def use(runtime):
        await runtime.start(busy, 100, id="a")
        await trio.sleep(1)
        await runtime.pause("a")

    report = await stopped(use)
    assert (report.interrupted, [one.workflow_id for one in report.cut_off]) == ((), ["a"])


async def test_a_workflow_that_waits_for_its_respawn_is_interrupted(stopped):
    """It has crashed, and the next start finds it."""

    @workflow(restart=Restart(initial=100))
    async def careless(ctx: Context) -> None:
        raise KeyError("a mistake")

    async def use(runtime):
        await runtime.start(careless, id="a")
        await trio.sleep(1)

    assert (await stopped(use, careless)).interrupted == ("a",)


async def test_a_workflow_that_comes_too_late_is_interrupted(stopped, storage):
    """Its start is durable, and its life begins at the next opening."""
    commit, asked = storage.commit, []

    def stop_meanwhile(group):
        if asked:
            asked.pop()()
        return commit(group)

    async def use(runtime):
        def stop():
            runtime.request_stop(grace=0)
            for _ in range(3):
                runtime._cells._supervisor.nested("workflows").request_stop("at once", 0)

        storage.commit = stop_meanwhile
        asked.append(stop)
        await runtime.start(waiting, id="a")
        await trio.sleep_forever()

    assert (await stopped(use)).interrupted == ("a",)


async def test_of_many_only_the_first_are_named_in_the_log(stopped, told):
    """The report has all of them."""
    many = MOST_NAMED + 5

    async def use(runtime):
        for number in range(many):
            await runtime.start(busy, 100, id=f"a-{number:03}")
        await trio.sleep(1)

    report = await stopped(use)
    ids = [f"a-{number:03}" for number in range(many)]
    assert list(report.interrupted) == ids
    assert [one.workflow_id for one in report.cut_off] == ids
    (_, summary), *cut, (_, more) = told()
    assert f"{many} workflows interrupted (a-" in summary
    assert " and 5 more), 0 waiting" in summary
    assert len(cut) == MOST_NAMED
    assert more == "5 more tasks were cut off"


# -- storage that fails -----------------------------------------------------------------------------


class Failing(MemoryStorage):
    """Commits end in an I/O error when they are asked to."""

    failures = 0

    def commit(self, group):
        if self.failures:
            self.failures -= 1
            raise OutcomeUnknownError("memory", "an I/O error")
        return super().commit(group)


@workflow
async def stepping(ctx: Context) -> None:
    await ctx.sleep(2)
    await ctx.run(work, 0)
    await ctx.sleep(100)


async def test_where_storage_fails_for_good_those_before_are_interrupted(open_claw_runtime):
    """By the time the runtime is closed, none of them is in memory any more."""
    storage = Failing()
    config = RuntimeConfig(max_storage_restarts=0, grace=5)
    with pytest.raises(OutcomeUnknownError):
        async with open_claw_runtime(storage, workflows=[busy, stepping], config=config) as runtime:
            await runtime.start(busy, 100, id="a")
            await runtime.start(stepping, id="b")
            await trio.sleep(1)
            storage.failures = 1
            await trio.sleep_forever()
    report = runtime.stop_report
    assert report.reason == "storage failed"
    assert (report.interrupted, report.waiting) == (("a",), ("b",))
    assert [(one.workflow_id, one.task_id) for one in report.cut_off] == [("a", "work")]


async def test_where_storage_is_opened_again_that_was_no_stop(open_claw_runtime):
    """What is told is told of the end, and of nothing before."""
    storage = Failing()
    config = RuntimeConfig(max_storage_restarts=3, grace=5)
    async with open_claw_runtime(storage, workflows=[stepping], config=config) as runtime:
        await runtime.start(stepping, id="b")
        await trio.sleep(1)
        storage.failures = 1
        await trio.sleep(5)
        assert runtime.statistics().storage.unavailable is None
    assert runtime.stop_report == StopReport(
        reason="the runtime is closing", seconds=pytest.approx(0, abs=0.1), waiting=("b",)
    )


async def test_a_stop_that_is_for_good_is_told_whatever_is_opened_again():
    """What was to pass is for good as soon as somebody has asked for it."""
    stops = Stops()
    with stops.told():
        stops.begin("storage failed", [], for_good=False)
        stops.begin("the runtime is closing", [], for_good=True)
        stops.came_too_late(2, "b")
        stops.came_too_late(1, "a")
        stops.resumed()
    assert stops.report == StopReport(
        reason="storage failed", seconds=pytest.approx(0, abs=1), interrupted=("a", "b")
    )


async def test_what_is_no_stop_is_not_told(told):
    """As where a part of the runtime has crashed, and is started again."""
    stops = Stops()
    with stops.told():
        stops.came_too_late(1, "a")
    assert stops.report is None
    assert told() == []


async def test_a_stop_asked_for_while_storage_is_closed_is_one_stop(open_claw_runtime):
    """It begins with the failure: since then nobody has been at work."""
    storage = Failing()
    config = RuntimeConfig(max_storage_restarts=3, grace=5)
    with pytest.raises(errors.ClawError):
        async with open_claw_runtime(storage, workflows=[busy, stepping], config=config) as runtime:
            await runtime.start(busy, 100, id="a")
            await runtime.start(stepping, id="b")
            await trio.sleep(1)
            storage.failures = 10**9
            while not runtime._actor.trouble:  # noqa: ASYNC110 -- another's state
                await trio.sleep(0.001)
            runtime.request_stop("SIGTERM was received")
            await trio.sleep_forever()
    report = runtime.stop_report
    assert (report.reason, report.interrupted, report.waiting) == (
        *("storage failed", ("a",)),
        ("b",),
    )
