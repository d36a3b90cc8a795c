"""``ctx.continue_as_new``: a workflow goes on for ever, and its journal does not."""

# flake8: noqa: ASYNC102, ASYNC103, ASYNC104 - what such code does is the point of the tests

from __future__ import annotations

import gc
import sqlite3

import pytest
import trio
import trio.lowlevel

from claw_actors import (
    Context,
    Restart,
    Retry,
    Runtime,
    RuntimeConfig,
    SQLiteStorage,
    Status,
    open_runtime,
    task,
    task_info,
    workflow,
)
from claw_actors.errors import (
    InstanceSealed,
    InvalidArgumentsError,
    SerializationError,
    WorkflowCancelledError,
    WorkflowFailedError,
    WorkflowQuarantinedError,
)
from claw_actors.storage.operations import Trim
from claw_actors.testing import explore


@task
async def note(n: int) -> int:
    await trio.sleep(1)
    return n


@workflow
async def counting(ctx: Context, n: int, upto: int) -> int:
    await ctx.run(note, n)
    if n < upto:
        await ctx.continue_as_new(n + 1, upto)
    return n


async def test_who_waits_for_the_result_gets_that_of_the_last_run(
    open_claw_runtime, storage, row_of, journal_of
):
    """The id, labels and times stay; the journal is that of the last run; keys and seeds are new."""
    keys, chances = [], []

    @task
    async def work() -> None:
        keys.append(task_info().idempotency_key)

    @workflow
    async def run(ctx: Context, n: int) -> str:
        await ctx.run(work)
        chances.append(ctx.random.random())
        if n < 3:
            await ctx.continue_as_new(n + 1)
        return "done"

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, 1, id="a", metadata={"k": "v"})
        assert await handle.result() == "done"
        state = await handle.state()
        assert (state.run, state.metadata, state.input) == (3, {"k": "v"}, {"n": 3})
        assert len(await handle.tasks()) == 1
        assert runtime.statistics().ended == 1
        assert runtime.statistics().crashes == 0
    assert len(set(keys)) == len(set(chances)) == 3
    assert len(journal_of(storage, "a")) == 3
    assert row_of(storage, "a").started_at == state.started_at


async def test_the_next_run_has_the_newest_version(open_claw_runtime, storage):
    """An instance is pinned to the version that it was started with, until then."""

    @workflow(name="w")
    async def old(ctx: Context) -> str:
        await ctx.sleep(5)
        await ctx.continue_as_new("new")
        return "old"

    @workflow(name="w", version=7)
    async def new(ctx: Context, word: str) -> str:
        return word

    async with open_claw_runtime(storage, workflows=[old, new]) as runtime:
        handle = await runtime.start(old, id="a")
        assert await handle.result() == "new"
        assert (await handle.state()).version == 7


async def test_unread_messages_go_along_in_their_order(open_claw_runtime, storage):
    """Those that were received do not; nor does what was put aside, and keys are remembered."""

    @workflow
    async def run(ctx: Context, n: int) -> list[object]:
        if n == 1:
            await ctx.sleep(5)
            taken = await ctx.receive("t", str)
            await ctx.continue_as_new(2)
            return [taken]
        return [
            await ctx.receive("t", str),
            await ctx.receive("u"),
            await ctx.receive("t", str),
        ]

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, 1, id="a")
        await handle.send("t", 5, idempotency_key="k")  # it does not fit
        await handle.send("t", "first")
        await handle.send("t", "second")
        await handle.send("u", "third")
        await trio.sleep(20)
        assert (await handle.state()).run == 2
        await handle.send("t", "again", idempotency_key="k")  # dropped
        await handle.send("t", "fourth")
        assert await handle.result() == ["second", "third", "fourth"]
        assert runtime.statistics().dead_letters == 1


@pytest.mark.parametrize("ticks", range(0, 40, 4))
async def test_a_message_that_comes_while_it_continues_is_neither_lost_nor_taken_twice(
    open_claw_runtime, storage, ticks
):
    """At whatever moment."""

    @workflow
    async def run(ctx: Context, taken: list[int]) -> list[int]:
        await ctx.sleep(1)
        if len(taken) < 3:
            await ctx.continue_as_new([*taken, await ctx.receive("t", int)])
        return taken

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, [], id="a")
        for n in range(3):
            await trio.sleep(1)
            for _ in range(ticks):
                await trio.lowlevel.checkpoint()
            await handle.send("t", n)
        assert await handle.result() == [0, 1, 2]


async def test_what_the_code_still_does_is_not_recorded(open_claw_runtime, storage, calls):
    """It leaves as if the instance left memory, whatever it catches and does wrong."""

    @workflow
    async def run(ctx: Context, n: int) -> str:
        if n == 2:
            return "next"
        ctx.on_rollback(note, 0)
        try:
            await ctx.continue_as_new(2)
        except InstanceSealed:
            calls.append("sealed")
        finally:
            with pytest.raises(InstanceSealed):
                await ctx.run(note, 1)
            calls.append("out")
            await trio.lowlevel.checkpoint()
        return "not recorded"

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, 1, id="a")
        assert await handle.result() == "next"
        assert await handle.tasks() == ()
        assert runtime.statistics().crashes == 0
    assert calls == ["sealed", "out"]


async def test_an_exception_on_the_way_out_stops_nothing(open_claw_runtime, storage, caplog):
    """The next run has begun; what the clean-up raised is logged."""

    @workflow
    async def run(ctx: Context, n: int) -> str:
        if n == 2:
            return "next"
        try:
            await ctx.continue_as_new(2)
        finally:
            raise ValueError("on the way out")

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await (await runtime.start(run, 1, id="a")).result() == "next"
        assert runtime.statistics().crashes == 0
    assert "on the way out" in caplog.text


async def test_values_stay_and_so_does_one_that_was_only_just_set(open_claw_runtime, storage):
    """The next run may set them anew."""

    @workflow
    async def run(ctx: Context, n: int) -> None:
        if n == 1:
            ctx.set_value("first", n)
            await ctx.sleep(1)
        ctx.set_value("last", n)
        if n < 3:
            await ctx.continue_as_new(n + 1)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, 1, id="a")
        await handle.result()
        assert (await handle.value("first"), await handle.value("last")) == (1, 3)


async def test_a_request_that_nobody_has_taken_is_answered_by_the_next_run(
    open_claw_runtime, storage
):
    """Who asked gets the reply."""

    @workflow
    async def run(ctx: Context, n: int) -> None:
        if n == 1:
            await ctx.sleep(5)
            await ctx.continue_as_new(2)
        request = await ctx.receive_request("sum", list[int])
        request.reply(sum(request.payload))

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, 1, id="a")
        assert await handle.ask("sum", [1, 2], int) == 3
        assert (await handle.state()).run == 2


async def test_it_is_refused_where_children_run(open_claw_runtime, storage):
    """In the block of a nursery, and by a child; each time it says why."""

    @workflow(restart=Restart(max_restarts=0))
    async def run(ctx: Context, where: str) -> str:
        async def child(ctx: Context) -> None:
            await ctx.continue_as_new("nowhere")

        async with ctx.open_nursery() as nursery:
            if where == "child":
                nursery.start_soon(child)
            else:
                await ctx.continue_as_new("nowhere")
        return "done"

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        for where in ("child", "block"):
            with pytest.raises(WorkflowQuarantinedError, match="cannot continue as new while"):
                await (await runtime.start(run, where)).result()


async def test_it_is_refused_while_child_workflows_run(open_claw_runtime, storage):
    """The next run would not be told of their end; abandoned ones are nobody's business."""

    @workflow
    async def child(ctx: Context) -> str:
        await ctx.sleep(50)
        return "child"

    @workflow(restart=Restart(max_restarts=0))
    async def run(ctx: Context, fate: str, n: int) -> str:
        if n == 1:
            await ctx.start_child(child, id=f"{fate}-child", on_parent_close=fate)
            await ctx.continue_as_new(fate, 2)
        return "done"

    async with open_claw_runtime(storage, workflows=[run, child]) as runtime:
        for fate in ("wait", "cancel"):
            with pytest.raises(WorkflowQuarantinedError, match=f"its child '{fate}-child' runs"):
                await (await runtime.start(run, fate, 1)).result()
        assert await (await runtime.start(run, "abandon", 1)).result() == "done"
        assert await runtime.result("abandon-child") == "child"


async def test_after_its_nursery_it_may_continue(open_claw_runtime, storage):
    """Within a scope with a deadline, too: only children are in the way."""

    @workflow
    async def run(ctx: Context, n: int) -> str:
        async with ctx.open_nursery() as nursery:
            nursery.run_soon(note, n)
        if n == 1:
            with ctx.move_on_after(100):
                await ctx.continue_as_new(2)
        return "done"

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, 1)
        assert await handle.result() == "done"
        assert (await handle.state()).run == 2


async def test_arguments_that_do_not_fit_end_no_run(open_claw_runtime, storage):
    """Their number and what can be stored of them are looked at before."""

    @workflow
    async def run(ctx: Context, n: int) -> str:
        with pytest.raises(InvalidArgumentsError):
            await ctx.continue_as_new(1, 2)
        with pytest.raises(SerializationError):
            await ctx.continue_as_new(object())
        await ctx.sleep(1)
        return "the same run"

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, 1)
        assert await handle.result() == "the same run"
        assert (await handle.state()).run == 1


@pytest.mark.parametrize("ticks", range(0, 16, 2))
async def test_a_request_to_cancel_wins_if_it_is_committed_before(
    open_claw_runtime, storage, ticks
):
    """Otherwise it reaches the next run. Either way the workflow is cancelled."""

    @workflow
    async def run(ctx: Context, n: int) -> str:
        await ctx.sleep(1)
        if n == 1:
            await ctx.continue_as_new(2)
        await ctx.sleep(100)
        return "not cancelled"

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, 1)
        await trio.sleep(1)
        for _ in range(ticks):
            await trio.lowlevel.checkpoint()
        await handle.cancel("enough")
        with pytest.raises(WorkflowCancelledError, match="enough"):
            await handle.result()


async def test_a_deadline_that_is_committed_before_wins(open_claw_runtime, storage):
    """It cuts the block short, and the run goes on."""

    @workflow
    async def run(ctx: Context, n: int) -> str:
        if n == 2:
            return "continued"
        with ctx.move_on_after(5) as scope:
            try:
                await ctx.sleep(100)
            finally:
                async with ctx.shield():
                    await ctx.run(note, 1)
                await ctx.continue_as_new(2)
        return f"cut short: {scope.cancelled_caught}"

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await (await runtime.start(run, 1)).result() == "cut short: True"


async def test_one_that_is_shielded_from_its_cancellation_may_not_continue(
    open_claw_runtime, storage
):
    """It would escape from it."""

    @workflow(restart=Restart(max_restarts=0))
    async def run(ctx: Context) -> str:
        try:
            await ctx.sleep(100)
        finally:
            async with ctx.shield():
                await ctx.continue_as_new()
        return "escaped"

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run)
        await trio.sleep(1)
        await handle.cancel()
        with pytest.raises(WorkflowQuarantinedError, match="asked to cancel itself"):
            await handle.result()


async def test_code_that_leaves_part_of_its_past_out_has_diverged(open_claw_runtime, storage):
    """It may not hide that by continuing."""
    first = [True]

    @workflow
    async def run(ctx: Context, n: int) -> str:
        if n == 2:
            return "continued"
        if first:
            await ctx.run(note, 1)
            await ctx.sleep(100)
        await ctx.continue_as_new(2)
        return "never"

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, 1, id="a")
        await trio.sleep(5)
    first.clear()
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        with pytest.raises(WorkflowQuarantinedError, match="NonDeterminismError"):
            await runtime.result("a")


async def test_a_run_can_fail_be_retried_paused_and_forked_like_any_other(
    open_claw_runtime, storage
):
    """Its number is the only difference."""
    mended = []

    @task(retry=Retry(max_attempts=1))
    async def fragile() -> str:
        if not mended:
            raise ValueError
        return "mended"

    @workflow
    async def run(ctx: Context, n: int) -> str:
        await ctx.run(note, n)
        if n < 3:
            await ctx.continue_as_new(n + 1)
        return await ctx.run(fragile)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, 1, id="a")
        await trio.sleep(1.5)
        await handle.pause()
        await trio.sleep(50)
        assert (await handle.state()).run == 2
        await handle.resume()
        with pytest.raises(WorkflowFailedError):
            await handle.result()
        mended.append(1)
        fork = await handle.fork(at="fragile", new_id="b")
        assert await fork.result() == "mended"
        assert ((await fork.state()).run, (await fork.state()).forked_from) == (1, "a")
        await handle.retry()
        assert await handle.result() == "mended"
        assert (await handle.state()).run == 3


async def test_where_it_was_forked_from_is_known_to_its_later_runs(open_claw_runtime, storage):
    """It is a property of the workflow."""

    @workflow
    async def run(ctx: Context, n: int) -> int:
        await ctx.run(note, n)
        await ctx.receive("go")
        if n < 3:
            await ctx.continue_as_new(n + 1)
        return n

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, 1, id="a")
        await trio.sleep(5)
        fork = await handle.fork(at="note", new_id="b")
        for _ in range(3):
            await fork.send("go", None)
        assert await fork.result() == 3
        state = await fork.state()
        assert (state.run, state.forked_from) == (3, "a")


async def test_a_shutdown_while_it_continues_loses_nothing(open_claw_runtime, storage):
    """It goes on at the next opening."""
    for _ in range(30):
        async with open_claw_runtime(storage, workflows=[counting]) as runtime:
            handle = await runtime.start(counting, 1, 10, id="a")
            with trio.move_on_after(1.0):
                await handle.result()
        row = storage._table.find("a").row
        if row.status is Status.COMPLETED:
            break
    assert (row.status, row.run) == (Status.COMPLETED, 10)


async def test_one_that_never_stops_continuing_lets_the_runtime_close(open_claw_runtime, storage):
    """And harms no neighbour."""

    @workflow
    async def spinning(ctx: Context) -> None:
        await ctx.sleep(0.01)
        await ctx.continue_as_new()

    async with open_claw_runtime(storage, workflows=[spinning, counting]) as runtime:
        await runtime.start(spinning, id="a")
        assert await (await runtime.start(counting, 1, 2)).result() == 2
    assert storage._table.find("a").row.status in (Status.PENDING, Status.RUNNING)


@pytest.mark.slow
async def test_thousands_of_continuations_leave_nothing_behind(open_claw_runtime, storage):
    """Neither in memory nor in storage."""

    @workflow
    async def run(ctx: Context, n: int) -> int:
        await ctx.sleep(1)
        if n < 2_000:
            await ctx.continue_as_new(n + 1)
        return n

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, 1, id="a")
        await trio.sleep(100)
        before = census()
        assert await handle.result() == 2_000
        assert census() <= before + 200
        assert (await handle.state()).run == 2_000
    assert len(storage._table.find("a").entries) == 3


def census() -> int:
    """Count what is alive of the program's own."""
    gc.collect()
    return sum(type(one).__module__.startswith("claw_actors") for one in gc.get_objects())


async def test_on_a_file_the_journals_of_earlier_runs_are_dropped_in_pieces(tmp_path, monkeypatch):
    """Also those that a crash has left."""
    place = tmp_path / "data" / "claw.db"
    pieces = []

    def trim(pk):
        pieces.append(pk)
        return Trim(pk, limit=5)

    monkeypatch.setattr("claw_actors._runtime.lives.Trim", trim)

    @workflow
    async def run(ctx: Context, n: int) -> int:
        for _ in range(12):
            await ctx.receive("t", int, timeout=30)
        if n < 3:
            await ctx.continue_as_new(n + 1)
        return n

    async with open_runtime(SQLiteStorage(place), workflows=[run]) as runtime:
        handle = await runtime.start(run, 1, id="a")
        for n in range(36):
            await handle.send("t", n)
        assert await handle.result() == 3
    assert len(pieces) >= 4
    connection = sqlite3.connect(place)
    runs = connection.execute("SELECT run, count(*) FROM claw_journal GROUP BY run").fetchall()
    connection.close()
    assert [run for run, _ in runs] == [3]


async def scenario(runtime: Runtime) -> object:
    handle = await runtime.start(counting, 1, 4, id="one")
    return await handle.result(), (await handle.state()).run


@pytest.mark.slow
def test_it_survives_every_crash():
    """Before, inside and after each commit, each run does its task, and the last one ends."""
    report = explore(scenario, workflows=[counting], seeds=[1, 2, 3])
    assert report.crashes > 2 * report.commits


def test_messages_survive_every_crash_of_a_continuation():
    """Each is received once, in order, whichever run it reaches."""

    @workflow(restart=Restart(max_restarts=3))
    async def run(ctx: Context, taken: list[int]) -> list[int]:
        while len(taken) % 3:
            taken = [*taken, await ctx.receive("t", int)]
        if len(taken) < 9:
            await ctx.continue_as_new([*taken, await ctx.receive("t", int)])
        return taken

    async def sends(runtime: Runtime) -> object:
        handle = await runtime.start(run, [], id="one")
        for n in range(9):
            try:
                await handle.send("t", n, idempotency_key=f"k{n}")
            except Exception:
                continue
            if n % 2:
                await trio.sleep(1)
        return await handle.result()

    report = explore(sends, workflows=[run], seeds=[1], config=RuntimeConfig())
    assert report.crashes > report.commits
