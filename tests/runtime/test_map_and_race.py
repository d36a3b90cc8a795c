"""``ctx.map`` and ``ctx.race``: who decides, what comes out, and the same on every replay."""

from __future__ import annotations

import pytest
import trio

from claw_actors import Context, WorkflowFailure, task, workflow
from claw_actors.errors import (
    InvalidInputError,
    SerializationError,
    TaskFailedError,
    WorkflowCancelledError,
    WorkflowFailedError,
    WorkflowQuarantinedError,
)


@task
async def square(number: int) -> int:
    """Take the longer, the smaller the number is."""
    running.append(number)
    most.append(len(running))
    try:
        await trio.sleep(10 - number)
    finally:
        running.remove(number)
    if number < 0:
        raise ValueError(f"{number} is negative")
    return number * number


@task
async def takes(seconds: float) -> float:
    await trio.sleep(seconds)
    return seconds


@task
async def fails(seconds: float) -> float:
    await trio.sleep(seconds)
    raise ValueError(f"{seconds:g}")


@task
async def cleans_up_badly() -> None:
    try:
        await trio.sleep(100)
    finally:
        raise ConnectionError("while it was cancelled")


running: list[int] = []
most: list[int] = []


@pytest.fixture(autouse=True)
def nobody_runs():
    running.clear()
    most.clear()


# -- map --------------------------------------------------------------------------------------------


async def test_map_returns_results_in_the_order_of_items(result_of):
    """Though the last one ends first; all of them run side by side."""

    async def run(ctx: Context) -> list[int]:
        return await ctx.map(square, iter(range(5)))

    assert await result_of(run) == [0, 1, 4, 9, 16]
    assert max(most) == 5


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
async def test_map_runs_at_most_so_many_at_a_time(result_of, limit):
    """And never fewer, as long as there are items."""

    async def run(ctx: Context) -> list[int]:
        return await ctx.map(square, range(5), limit)

    assert await result_of(run) == [0, 1, 4, 9, 16]
    assert max(most) == min(limit, 5)


async def test_map_of_nothing_is_an_empty_list(result_of, journal_of, storage):
    """And writes nothing."""

    async def run(ctx: Context) -> list[int]:
        return await ctx.map(square, [])

    assert await result_of(run) == []
    assert len(journal_of(storage, "a")) == 2


async def test_the_ids_of_a_map_are_those_of_its_items(result_of, journal_of, storage):
    """Whatever the limit is, item by item; a second map has a number."""

    async def run(ctx: Context) -> list[int]:
        await ctx.map(square, [3, 1, 2], limit=2)
        return await ctx.map(square.options(id="again"), [5])

    await result_of(run)
    ids = sorted(entry.op for entry in journal_of(storage, "a")[1:-1])
    assert ids == ["map#2/again", "map/square", "map/square#2", "map/square#3"]


async def test_a_map_fails_fast(result_of):
    """The first failure cancels the others, and comes out in a group."""

    async def run(ctx: Context) -> str:
        try:
            await ctx.map(square, [9, -1, 0])
        except* TaskFailedError as group:
            text = str(group.exceptions[0])
        assert not running
        return text

    assert "-1 is negative" in await result_of(run)


async def test_a_map_can_collect_failures(result_of):
    """Everything runs to its end, and each failure stands in its place."""

    async def run(ctx: Context) -> list[str]:
        results = await ctx.map(square, [2, -1, 3, -2], 2, return_exceptions=True)
        return [str(one.task_id if isinstance(one, TaskFailedError) else one) for one in results]

    assert await result_of(run) == ["4", "map/square#2", "9", "map/square#4"]


async def test_a_map_checks_every_item_before_it_starts_any(result_of):
    """The argument is named, and no body has run."""

    async def run(ctx: Context) -> str:
        with pytest.raises(SerializationError) as caught:
            await ctx.map(square, [1, 2, "three"])
        for limit in (0, -1, True, "2", 1.5):
            with pytest.raises(InvalidInputError):
                await ctx.map(square, [1], limit)
        return caught.value.what

    assert await result_of(run) == "argument 'number' of square"
    assert most == []


async def test_a_cancelled_map_starts_nothing_more(open_claw_runtime, storage):
    """Those that wait for the limit are not started."""

    @workflow
    async def run(ctx: Context) -> None:
        try:
            await ctx.map(square, range(9), limit=2)
        finally:
            with pytest.raises(trio.Cancelled):
                await ctx.map(square, [1])  # noqa: ASYNC102

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run)
        await trio.sleep(1)
        await handle.cancel()
        with pytest.raises(WorkflowCancelledError):
            await handle.result()
        assert runtime.statistics().attempts == 2
        assert running == []


async def test_a_map_is_resumed_where_it_stood(resume_everywhere, calls):
    """From every prefix of its journal."""

    @workflow
    async def run(ctx: Context) -> list[int]:
        calls.append(await ctx.map(square, [1, 5, 3, 2], limit=2))
        return calls[-1]

    assert await resume_everywhere(run, trace=calls) == [1, 25, 9, 4]


async def test_a_map_of_a_thousand_items_is_run(result_of):
    """It takes no more than one child each."""

    @task
    async def same(number: int) -> int:
        return number

    async def run(ctx: Context) -> int:
        return sum(await ctx.map(same, range(1_000), limit=100))

    assert await result_of(run) == 499_500


# -- race -------------------------------------------------------------------------------------------


def lane(which, *arguments):
    """Make a lane that runs one task."""

    async def run(ctx: Context):
        return await ctx.run(which, *arguments)

    return run


async def test_the_first_to_end_wins_and_the_others_are_cancelled(result_of, journal_of, storage):
    """It takes as long as the fastest."""

    async def fast(ctx: Context) -> str:
        await ctx.sleep(1)
        return "fast"

    async def slow(ctx: Context) -> int:
        return int(await ctx.run(takes, 50))

    async def run(ctx: Context) -> tuple[str, float]:
        return str(await ctx.race(slow, fast, lambda ctx: ctx.run(takes, 60))), ctx.now()

    before = trio.current_time()
    assert (await result_of(run))[0] == "fast"
    assert trio.current_time() - before == pytest.approx(1, abs=0.1)
    assert {entry.op for entry in journal_of(storage, "a")} == {
        "",
        "race/fast/sleep",
        "race/slow/takes",
        "race/child/takes",
        "/end",
    }


async def test_the_first_failure_decides_a_race_too(result_of):
    """It comes out in a group; the others are cancelled."""

    async def run(ctx: Context) -> str:
        try:
            await ctx.race(lane(takes, 5), lane(fails, 1))
        except* TaskFailedError as group:
            text = str(group)
        return text

    assert "ValueError: 1" in await result_of(run)


async def test_a_race_for_success_goes_on_after_failures(result_of):
    """Until one succeeds."""

    async def run(ctx: Context) -> float:
        lanes = lane(fails, 1), lane(takes, 5), lane(fails, 2)
        return await ctx.race(*lanes, first_success=True)

    assert await result_of(run) == 5


async def test_a_race_for_success_that_all_have_lost_raises_all_failures(result_of):
    """In the order of the lanes, not of time."""

    async def own(ctx: Context) -> float:
        raise WorkflowFailure("own")

    async def run(ctx: Context) -> list[str]:
        try:
            await ctx.race(lane(fails, 3), own, lane(fails, 1), first_success=True)
        except* (TaskFailedError, WorkflowFailure) as group:
            texts = [str(one).rpartition(": ")[2] for one in group.exceptions]
        return texts

    assert await result_of(run) == ["3", "own", "1"]


async def test_what_fails_a_workflow_fails_a_lane(result_of):
    """Also a class that ``@workflow(failures=...)`` names."""

    class NotToday(Exception):
        pass

    async def lazy(ctx: Context) -> float:
        raise NotToday

    async def run(ctx: Context) -> float:
        return await ctx.race(lazy, lane(takes, 2), first_success=True)

    assert await result_of(run, failures=(NotToday,)) == 2


@pytest.mark.parametrize("first_success", [False, True])
async def test_a_mistake_in_a_lane_is_not_hidden_by_who_wins(result_of, first_success):
    """It crashes the workflow, at once or when the loser unwinds."""

    async def mistaken(ctx: Context) -> float:
        try:
            return await ctx.run(takes, 50)
        finally:
            raise KeyError("a bug in clean-up")

    async def run(ctx: Context) -> float:
        return await ctx.race(mistaken, lane(takes, 1), first_success=first_success)

    with pytest.raises(WorkflowQuarantinedError, match="a bug in clean-up"):
        await result_of(run)


async def test_a_loser_that_fails_while_it_is_cancelled_changes_nothing(result_of):
    """Who has won has won, however deep the failure comes from."""

    async def deep(ctx: Context) -> float:
        async with ctx.open_nursery() as nursery:
            nursery.run_soon(cleans_up_badly)
            nursery.run_soon(takes, 70)
        return 0

    async def run(ctx: Context) -> float:
        return await ctx.race(deep, lane(cleans_up_badly), lane(takes, 1))

    assert await result_of(run) == 1


async def test_only_the_first_winner_counts(result_of):
    """A body that ends well though it was cancelled comes too late."""

    @task
    async def stubborn() -> float:
        with trio.CancelScope(shield=True):
            await trio.sleep(3)
        return 3

    async def run(ctx: Context) -> float:
        return await ctx.race(lane(stubborn), lane(takes, 1))

    assert await result_of(run) == 1


async def test_a_race_needs_a_lane(result_of):
    """And a lane is a function of a context."""
    names = []

    async def run(ctx: Context) -> None:
        for lanes in ((), (takes,), (7,), (lambda: 7,), (lambda ctx, more: 7,)):
            try:
                await ctx.race(*lanes)
            except Exception as error:
                names.append([type(one).__name__ for one in getattr(error, "exceptions", [error])])

    await result_of(run)
    assert names == [
        ["InvalidInputError"],
        ["DefinitionError"],
        ["DefinitionError"],
        ["InvalidArgumentsError"],
        ["InvalidArgumentsError"],
    ]


async def test_a_race_of_one_is_what_that_one_does(result_of):
    """One lane is enough."""

    async def run(ctx: Context) -> float:
        return await ctx.race(lane(takes, 2))

    assert await result_of(run) == 2


async def test_a_race_within_a_cancelled_scope_is_cancelled(result_of):
    """Even if somebody has won in the same moment."""
    won = []

    async def run(ctx: Context) -> bool:
        with ctx.move_on_after(1) as scope:
            won.append(await ctx.race(lane(takes, 9), lane(cleans_up_badly)))
        return scope.cancelled_caught

    with pytest.raises(WorkflowFailedError, match="while it was cancelled"):
        await result_of(run)
    assert won == []


async def test_a_race_is_resumed_where_it_stood(resume_everywhere, calls):
    """From every prefix of its journal."""

    async def slow(ctx: Context) -> str:
        try:
            await ctx.run(takes, 50)
        finally:
            calls.append("lost")
        return "slow"

    async def fast(ctx: Context) -> str:
        await ctx.run(takes, 1)
        await ctx.run(takes, 1)
        return "fast"

    @workflow
    async def run(ctx: Context) -> str:
        calls.append(await ctx.race(slow, fast))
        await ctx.run(takes, 1)
        return "won"

    assert await resume_everywhere(run, trace=calls) == "won"
    assert calls == ["lost", "fast"]
