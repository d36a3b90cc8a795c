"""What makes a replay do what the first run did, and what happens when it does not."""

from __future__ import annotations

import logging
import uuid

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors import (
    Context,
    MemoryStorage,
    Restart,
    RuntimeConfig,
    open_runtime,
    task,
    workflow,
)
from claw_actors.errors import (
    JournalLimitError,
    NonDeterminismError,
    TaskFailedError,
    WorkflowCancelledError,
    WorkflowQuarantinedError,
)
from claw_actors.storage.memory.journal import Journal
from claw_actors.testing.clock import EPOCH, virtual_environment


@task
async def one() -> int:
    return 1


@task
async def two() -> int:
    return 2


@task
async def failing() -> int:
    raise ValueError("no")


# -- what ctx knows ---------------------------------------------------------------------------------


async def test_now_stands_still_between_checkpoints_and_is_the_same_on_replay(
    open_claw_runtime, storage
):
    """It is the time of the last entry delivered."""
    seen = []

    @task
    async def slow() -> None:
        await trio.sleep(3)

    @workflow
    async def run(ctx: Context) -> None:
        times = [ctx.now(), ctx.now()]
        await ctx.run(slow)
        times += [ctx.now(), ctx.now()]
        await ctx.sleep(20)
        times.append(ctx.now())
        seen.append(times)
        await ctx.sleep(20)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(30)
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.result("a")
    assert seen[0] == seen[1]
    start, still, after, also, slept = (at - EPOCH for at in seen[0])
    assert start == still == 0
    assert after == also == pytest.approx(3, abs=0.1)
    assert slept >= after + 20


async def test_random_is_the_same_on_replay_and_differs_between_workflows(
    open_claw_runtime, storage
):
    """And so are UUIDs; neither is written."""
    seen = {}

    @workflow
    async def run(ctx: Context) -> None:
        first = (ctx.uuid4(), ctx.random.random())
        await ctx.sleep(10)
        second = (ctx.uuid4(), ctx.random.randrange(1_000_000))
        seen.setdefault(ctx.workflow_id, []).append((*first, *second))
        await ctx.sleep(10)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await runtime.start(run, id="b")
        await trio.sleep(15)
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.result("a")
        await runtime.result("b")
    for id in "ab":
        live, replayed = seen[id]
        assert live == replayed
        assert live[0] != live[2]
        assert isinstance(live[0], uuid.UUID)
        assert live[0].version == 4
    assert set(seen["a"][0]).isdisjoint(seen["b"][0])


async def test_the_log_is_silent_on_replay(open_claw_runtime, storage, caplog):
    """Only what follows the last checkpoint is said again: perhaps it never was said."""
    caplog.set_level(logging.INFO, "claw_actors.workflow")

    @workflow
    async def run(ctx: Context) -> None:
        ctx.log.info("before %d", 1)
        replaying.append(ctx.is_replaying)
        await ctx.sleep(10)
        ctx.log.info("between")
        replaying.append(ctx.is_replaying)
        await ctx.sleep(10)
        ctx.log.debug("not at this level")
        ctx.log.info("after")
        replaying.append(ctx.is_replaying)
        lengths.append(ctx.journal_length)

    replaying, lengths = [], []
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(15)
    assert replaying == [False, False]
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.result("a")
    assert replaying == [False, False, True, False, False]
    said = [one for one in caplog.records if one.name == "claw_actors.workflow"]
    assert [one.getMessage() for one in said] == ["before 1", "between", "between", "after"]
    assert {one.workflow_id for one in said} == {"a"}
    assert lengths == [2]


async def test_attempt_counts_incarnations(open_claw_runtime, storage):
    """From 1; a restart is one more."""
    lives = []

    @workflow
    async def run(ctx: Context) -> None:
        lives.append(ctx.attempt)
        await ctx.sleep(0.5)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await wait_all_tasks_blocked()
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.result("a")
    assert lives == [1, 2]


# -- divergence ---------------------------------------------------------------------------------------


async def recorded(ctx: Context) -> int:
    """What every changed program below is compared with."""
    value = await ctx.run(one) + await ctx.run(two)
    await ctx.sleep(100)
    return value


async def renamed(ctx: Context) -> int:
    await ctx.run(one)
    return await ctx.run(attrs.evolve(two, name="zwei"))


async def removed(ctx: Context) -> int:
    await ctx.run(two)
    await ctx.sleep(100)
    return 3


async def added_before(ctx: Context) -> int:
    await ctx.run(failing)
    return await recorded(ctx)


async def swapped(ctx: Context) -> int:
    value = await ctx.run(two) + await ctx.run(one)
    await ctx.sleep(100)
    return value


async def slept_instead(ctx: Context) -> int:
    await ctx.run(one)
    await ctx.sleep(1)
    return 3


async def ended_early(ctx: Context) -> int:
    return await ctx.run(one)


async def ended_at_once(ctx: Context) -> int:
    return 3


async def named_otherwise(ctx: Context) -> int:
    await ctx.run(one)
    return await ctx.run(attrs.evolve(one, id="two"))


async def another_kind(ctx: Context) -> int:
    await ctx.run(one)
    await ctx.run(two)
    return await ctx.run(attrs.evolve(one, id="sleep"))


async def failed_early(ctx: Context) -> int:
    await ctx.run(one)
    raise ValueError("new code crashes")


async def swallowed(ctx: Context) -> int:
    for _ in range(3):
        try:
            await ctx.run(attrs.evolve(two, name="zwei"))
        except Exception:
            seen.append("swallowed")
    return 3


seen: list[object] = []


@pytest.mark.parametrize("ended", [True, False], ids=["overdue", "asleep"])
@pytest.mark.parametrize(
    ("changed", "expected", "got"),
    [
        (renamed, "task 'two' (two) after entry 1", "task 'zwei' (zwei) after entry 1"),
        (removed, "task 'two' (two) after entry 1", "task 'two' (two) after entry 0"),
        (added_before, "task 'one' (one) after entry 0", "task 'failing' (failing) after entry 0"),
        (swapped, "task 'two' (two) after entry 1", "task 'two' (two) after entry 0"),
        (slept_instead, "task 'two' (two) after entry 1", "timer 'sleep' (sleep) after entry 1"),
        (ended_early, "task 'two' (two) after entry 1", "nothing"),
        (ended_at_once, "task 'one' (one) after entry 0", "nothing"),
        (named_otherwise, "task 'two' (two) after entry 1", "task 'two' (one) after entry 1"),
        (swallowed, "task 'one' (one) after entry 0", "task 'zwei' (zwei) after entry 0"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_changed_code_is_told_what_was_expected_and_what_it_did(
    open_claw_runtime, storage, journal_of, changed, expected, got, ended
):
    """Quarantined with its journal untouched; the code it started with goes on from there."""
    seen.clear()
    run = workflow(name="run")(recorded)
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(5)
    # The last operation of the past was asked for, and is not recorded: it is overdue, or a
    # request from outside wakes it. What the past says is the same.
    async with open_claw_runtime(storage) as runtime:
        if ended:
            await trio.sleep(100)
        else:
            await runtime.cancel("a")
    before = journal_of(storage, "a")
    async with open_claw_runtime(storage, workflows=[workflow(name="run")(changed)]) as runtime:
        with pytest.raises(WorkflowQuarantinedError, match="diverged") as caught:
            await runtime.result("a")
        reason = caught.value.reason
        assert reason is not None
        assert reason.startswith("claw_actors.errors.NonDeterminismError")
        assert f"expected {expected}, got {got}" in reason
        assert runtime.statistics().quarantined == 1
        assert runtime.statistics().attempts == 0, "no body of the changed code ran"
    assert journal_of(storage, "a") == before
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.retry("a")
        if ended:
            assert await runtime.result("a") == 3
        else:
            with pytest.raises(WorkflowCancelledError):
                await runtime.result("a")
        assert runtime.statistics().attempts == 0
    assert len(seen) <= 1, "swallowed once, then nothing more is let through"


async def test_another_kind_under_the_same_id_is_a_divergence(open_claw_runtime, storage):
    """A task where a sleep was recorded."""

    @workflow(name="run")
    async def first(ctx: Context) -> None:
        await ctx.run(one)
        await ctx.run(two)
        await ctx.sleep(1)
        await ctx.sleep(100)

    async with open_claw_runtime(storage, workflows=[first]) as runtime:
        await runtime.start(first, id="a")
        await trio.sleep(5)
    changed = workflow(name="run")(another_kind)
    async with open_claw_runtime(storage, workflows=[changed]) as runtime:
        with pytest.raises(WorkflowQuarantinedError, match=r"expected timer 'sleep'.*got task"):
            await runtime.result("a")


async def test_code_that_crashes_before_its_past_is_consumed_has_crashed(
    open_claw_runtime, storage
):
    """That is a crash like any other: nothing says that the code diverged."""
    run = workflow(name="run")(recorded)
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(5)
    changed = workflow(name="run", restart=Restart(max_restarts=0))(failed_early)
    async with open_claw_runtime(storage, workflows=[changed]) as runtime:
        with pytest.raises(WorkflowQuarantinedError, match="new code crashes"):
            await runtime.result("a")


async def test_a_divergence_is_raised_at_its_line_and_stays_latched(open_claw_runtime, storage):
    """Code that swallows it gets no further."""
    raised = []
    run = workflow(name="run")(recorded)

    @workflow(name="run")
    async def stubborn(ctx: Context) -> int:
        for _ in range(3):
            try:
                await ctx.sleep(1)
            except Exception as error:
                raised.append(error)
        return 3

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await wait_all_tasks_blocked()
        before = storage.snapshot()
    async with open_claw_runtime(before, workflows=[stubborn]) as runtime:
        with pytest.raises(WorkflowQuarantinedError):
            await runtime.result("a")
    assert len(raised) == 1
    assert isinstance(raised[0], NonDeterminismError)
    assert (raised[0].id, raised[0].expected) == ("a", "task 'one' (one) after entry 0")


async def test_a_cancelled_task_that_is_replayed_without_its_request_is_a_divergence(
    open_claw_runtime, storage, journal_of
):
    """An entry that says *cancelled* is only ever delivered to code that was cancelled."""

    @task
    async def long() -> None:
        await trio.sleep(50)

    @workflow
    async def run(ctx: Context) -> None:
        try:
            await ctx.run(long)
        finally:
            crashed.append(storage.snapshot())

    crashed = []
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await trio.sleep(5)
        await handle.cancel()
        with pytest.raises(WorkflowCancelledError):
            await handle.result()
    after = crashed[0]
    record = after._table.find("a")
    assert [str(entry.kind) for entry in record.entries] == ["start", "cancel", "task"]
    start, _, task_entry = record.entries
    forged = attrs.evolve(record, journal=Journal.of((start, attrs.evolve(task_entry, n=1))))
    after._table._records[record.row.pk] = forged
    async with open_claw_runtime(after, workflows=[run]) as runtime:
        with pytest.raises(WorkflowQuarantinedError, match="no cancellation here"):
            await runtime.result("a")


# -- what is no divergence ------------------------------------------------------------------------------


async def test_a_changed_argument_is_logged_and_counted_only(open_claw_runtime, storage, caplog):
    """Its recorded outcome stands: code may be mended while instances run."""

    @task
    async def note(text: str) -> str:
        return text

    def make(text):
        @workflow(name="run")
        async def run(ctx: Context) -> str:
            value = await ctx.run(note, text)
            await ctx.sleep(10)
            return value

        return run

    old, new = make("old"), make("new")
    async with open_claw_runtime(storage, workflows=[old]) as runtime:
        await runtime.start(old, id="a")
        await trio.sleep(5)
    async with open_claw_runtime(storage, workflows=[new]) as runtime:
        assert await runtime.result("a") == "old"
        statistics = runtime.statistics()
        assert (statistics.replayed, statistics.changed_arguments) == (1, 1)
    assert "task note was recorded with other arguments" in caplog.text


async def test_code_may_go_on_where_the_past_ends(open_claw_runtime, storage):
    """What comes after the recorded part may be changed freely."""

    @workflow(name="run")
    async def longer(ctx: Context) -> int:
        value = await recorded(ctx)
        return value + await ctx.run(one)

    run = workflow(name="run")(recorded)
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(5)
    async with open_claw_runtime(storage, workflows=[longer]) as runtime:
        assert await runtime.result("a") == 4


async def test_a_recorded_failure_is_replayed_as_one(open_claw_runtime, storage, calls):
    """The same branch is taken."""

    @workflow
    async def run(ctx: Context) -> str:
        try:
            await ctx.run(failing)
        except TaskFailedError:
            calls.append("failed")
        await ctx.sleep(10)
        return "done"

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(5)
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await runtime.result("a") == "done"
        assert runtime.statistics().attempts == 0
    assert calls == ["failed"] * 2


async def test_a_long_replay_lets_others_run(open_claw_runtime, storage):
    """It yields now and then, so nobody is starved by it."""

    @workflow
    async def run(ctx: Context) -> int:
        total = 0
        for _ in range(200):
            total += await ctx.run(one)
        if ctx.is_replaying:
            ticks.append(len(ticker))
        await ctx.sleep(30)
        return total

    async def tick() -> None:
        while True:
            ticker.append(1)
            await trio.lowlevel.checkpoint()

    ticks, ticker = [], []
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(15)
    async with (
        open_claw_runtime(storage, workflows=[run]) as runtime,
        trio.open_nursery() as nursery,
    ):
        await trio.sleep(4)
        await runtime.cancel("a")
        nursery.start_soon(tick)
        with pytest.raises(WorkflowCancelledError):
            await runtime.result("a")
        nursery.cancel_scope.cancel()
    assert ticks
    assert ticks[0] >= 3


# -- limits -----------------------------------------------------------------------------------------------


async def test_a_journal_at_its_limit_quarantines_with_advice(
    open_claw_runtime, storage, journal_of, caplog
):
    """Raised, the workflow goes on where it stood."""

    @workflow
    async def run(ctx: Context) -> int:
        total = 0
        for _ in range(15):
            try:
                total += await ctx.run(one)
            except JournalLimitError as error:
                limits.append(error.limit)
                raise
        return total

    limits = []
    config = RuntimeConfig(max_journal_entries=10)
    async with open_claw_runtime(storage, workflows=[run], config=config) as runtime:
        with pytest.raises(WorkflowQuarantinedError, match="max_journal_entries"):
            await (await runtime.start(run, id="a")).result()
        assert len(journal_of(storage, "a")) == 11
    assert limits == [10]
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.retry("a")
        assert await runtime.result("a") == 15


async def test_a_journal_that_grows_long_is_warned_about(open_claw_runtime, storage, caplog):
    """At 80 % of the limit, once."""

    @workflow
    async def run(ctx: Context) -> None:
        for _ in range(9):
            await ctx.run(one)

    config = RuntimeConfig(max_journal_entries=10)
    async with open_claw_runtime(storage, workflows=[run], config=config) as runtime:
        await (await runtime.start(run, id="a")).result()
    warned = [one for one in caplog.records if "journal" in one.getMessage()]
    assert len(warned) == 1
    assert "workflow a" in warned[0].getMessage()
    assert warned[0].levelno == logging.WARNING


# -- the world --------------------------------------------------------------------------------------------


async def test_the_same_seed_makes_the_same_world(autojump_clock):
    """Ids, keys and random numbers are the environment's."""

    @workflow
    async def run(ctx: Context) -> tuple[str, float]:
        return ctx.workflow_id, ctx.random.random()

    async def once(seed):
        environment = virtual_environment(seed)
        storage = MemoryStorage()
        async with open_runtime(storage, workflows=[run], environment=environment) as runtime:
            return await (await runtime.start(run)).result()

    assert await once(1) == await once(1)
    assert await once(1) != await once(2)


async def test_a_world_may_begin_at_another_time(autojump_clock):
    """Wall time follows virtual time from there."""
    environment = virtual_environment(start=5.0)
    await trio.sleep(2)
    assert environment.wall() == 7.0
    assert environment.inline
