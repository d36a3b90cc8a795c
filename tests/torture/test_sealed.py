"""Stopped means sealed: clean-up code records nothing; and who comes next never meets the last."""

from __future__ import annotations

import contextlib
import functools
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from pathlib import Path

import attrs
import pytest
import trio

from claw_actors import (
    Context,
    Restart,
    Retry,
    Runtime,
    RuntimeConfig,
    SQLiteStorage,
    open_runtime,
    task,
    task_info,
    workflow,
)
from claw_actors._runtime.environment import Environment
from claw_actors.errors import (
    OutcomeUnknownError,
    StorageCorruptError,
    WorkflowCancelledError,
    WorkflowClosedError,
)
from claw_actors.storage.operations import Operation, Result
from claw_actors.storage.records import Loaded

from .body import Record, examine
from .processes import seen_soon

pytestmark = pytest.mark.slow

HANG_S = 60
HOUR_S = 3_600.0
GRACE_S = 0.2
LINGER_S = 0.05
"""What a body still needs when its workflow is stopped: less than the grace."""


@attrs.define
class Stage:
    """What a test and its workflows see of each other, outside of all storage.

    Attributes:
        effects: names of bodies that ran, in order.
        in_place: set when the workflow waits where it is to be stopped.
        open: whether what it waits for may end by itself.
        unwound: how often clean-up code has run to its end.
    """

    effects: list[str] = attrs.field(factory=list)
    in_place: trio.Event = attrs.field(factory=trio.Event)
    open: bool = False
    unwound: int = 0


stage: ContextVar[Stage] = ContextVar("stage")


@task
async def mark(text: str) -> str:
    """Leave a mark."""
    stage.get().effects.append(text)
    return text


@task
async def hang() -> None:
    """Last until it is cancelled, unless the stage is open."""
    if not stage.get().open:
        stage.get().in_place.set()
        await trio.sleep_forever()
    stage.get().effects.append("hang")


@task
async def linger() -> None:
    """Last a little longer than the stop, and end by itself."""
    stage.get().in_place.set()
    with trio.CancelScope(shield=True):
        await trio.sleep(LINGER_S)
    stage.get().effects.append("linger")


@task
def hang_thread() -> None:
    """Last a little longer than the stop, in a thread that nobody can interrupt."""
    trio.from_thread.run_sync(stage.get().in_place.set)
    time.sleep(LINGER_S)
    stage.get().effects.append("hang_thread")


@task(retry=Retry(max_attempts=2, initial=HOUR_S, maximum=HOUR_S, jitter=0))
async def repeated() -> None:
    """Fail, and be due again in an hour; then succeed."""
    if task_info().attempt == 1:
        stage.get().in_place.set()
        raise ConnectionError("later")
    stage.get().effects.append("repeated")


async def sleep_long(ctx: Context) -> None:
    """Sleep for an hour."""
    stage.get().in_place.set()
    await ctx.sleep(HOUR_S)


WAITS: dict[str, Callable[[Context], Awaitable[object]]] = {
    "in a body": lambda ctx: ctx.run(hang),
    "in a thread": lambda ctx: ctx.run(hang_thread),
    "in a body that ends within the grace": lambda ctx: ctx.run(linger),
    "in a sleep": sleep_long,
    "before a retry": lambda ctx: ctx.run(repeated),
}
RECORDED = {"in a thread", "in a body that ends within the grace", "before a retry"}
"""Where the stop lets something end that is then recorded: an outcome, or an attempt."""


async def swallow(operation: Callable[[], Awaitable[object]]) -> None:
    """Do it, and take no notice of how it ends: not even of a cancellation."""
    with contextlib.suppress(BaseException):
        await operation()


async def clean_up(ctx: Context) -> None:
    """Try everything that must have no effect any more, in every way."""
    for _ in range(2):
        await swallow(lambda: ctx.run(mark, "cleaned up"))
        await swallow(lambda: ctx.run(thread_mark, "cleaned up in a thread"))
        await swallow(lambda: ctx.sleep(0))
        await swallow(lambda: ctx.sleep_until(0))
    with trio.CancelScope(shield=True):
        await swallow(lambda: ctx.run(mark, "cleaned up behind a shield"))
        await swallow(lambda: ctx.sleep(0))
    stage.get().unwound += 1


@task
def thread_mark(text: str) -> None:
    """Leave a mark, in a thread."""
    stage.get().effects.append(text)


@workflow
async def in_finally(ctx: Context, wait: str) -> str:
    """Clean up on the way out."""
    await ctx.run(mark, "before")
    calm = False
    try:
        await WAITS[wait](ctx)
        calm = True
    finally:
        if not calm:
            await clean_up(ctx)  # noqa: ASYNC102 - that is the exercise, here and below
    return await ctx.run(mark, "after")


@workflow
async def swallowing(ctx: Context, wait: str) -> str:
    """Go on as if nothing had happened, and return."""
    await ctx.run(mark, "before")
    try:
        await WAITS[wait](ctx)
    except BaseException:  # noqa: ASYNC103
        await clean_up(ctx)  # noqa: ASYNC102
        return "swallowed"  # noqa: ASYNC104
    return await ctx.run(mark, "after")


@workflow
async def replacing(ctx: Context, wait: str) -> str:
    """Turn the stop into an error of its own."""
    await ctx.run(mark, "before")
    try:
        await WAITS[wait](ctx)
    except BaseException:  # noqa: ASYNC103
        await clean_up(ctx)  # noqa: ASYNC102
        raise ValueError("replaced") from None  # noqa: ASYNC104
    return await ctx.run(mark, "after")


HOSTILE = {one.name: one for one in (in_finally, swallowing, replacing)}
CONFIG = RuntimeConfig(grace=GRACE_S, idle_after=0.0, max_storage_restarts=0)


async def start_and_wait(runtime: Runtime, name: str, wait: str) -> None:
    """Start an instance, and wait until it stands where it is to be stopped."""
    await runtime.start(HOSTILE[name], wait, id="it")
    await stage.get().in_place.wait()
    # The retry, or the parking, is on its way to storage.
    await trio.sleep(0.01)


@pytest.fixture
def scene():
    """Have an empty stage."""
    token = stage.set(Stage())
    yield stage.get()
    stage.reset(token)


def task_ops(records: Sequence[Record]) -> list[str]:
    return [record.op for record in records if record.kind in {"task", "timer", "end"}]


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("name", HOSTILE)
async def test_clean_up_after_a_close_records_nothing(name, wait, scene, place, table):
    """Whatever a ``finally`` tries, nothing starts and nothing is stored; the next life goes on."""
    stage.set(scene)
    with trio.fail_after(HANG_S):
        async with open_runtime(place, workflows=HOSTILE.values(), config=CONFIG) as runtime:
            await start_and_wait(runtime, name, wait)
        closed = examine(place, table)
        row = closed.workflows["it"]
        assert row.status in {"running", "waiting"}
        ops = task_ops(closed.records.values())
        ended = {"in a thread": ["hang_thread"], "in a body that ends within the grace": ["linger"]}
        assert ops == ["mark", *ended.get(wait, [])]
        assert [text for text in scene.effects if "cleaned" in text] == []
        assert scene.unwound == 1, "the clean-up was not even tried"

        scene.open = True
        later = Environment(wall=lambda: time.time() + 2 * HOUR_S)
        async with open_runtime(
            place, workflows=HOSTILE.values(), config=CONFIG, environment=later
        ) as runtime:
            assert await (await runtime.get("it")).result() == "after"
        assert scene.effects.count("before") == scene.effects.count("after") == 1
        assert len(scene.effects) == (2 if wait == "in a sleep" else 3)
    assert examine(place, table).damage == ()


@pytest.mark.parametrize("wait", WAITS)
@pytest.mark.parametrize("name", HOSTILE)
async def test_clean_up_after_a_forced_delete_records_nothing(name, wait, scene, place, table):
    """Nothing of a deleted instance runs any more, and nothing of it is stored."""
    stage.set(scene)
    with trio.fail_after(HANG_S):
        async with open_runtime(place, workflows=HOSTILE.values(), config=CONFIG) as runtime:
            await start_and_wait(runtime, name, wait)
            await runtime.delete("it", force=True)
            await trio.sleep(2 * LINGER_S)
            assert scene.unwound == 1, "the clean-up was not even tried"
        assert [text for text in scene.effects if "cleaned" in text] == []
    left = examine(place, table)
    assert (left.workflows, left.records, left.attempts) == ({}, {}, {})


async def test_the_same_clean_up_has_effects_where_nothing_is_sealed(scene, place, table):
    """Control: after an ordinary error all of it runs, and is recorded."""
    stage.set(scene)
    WAITS["not at all"] = _refuse
    try:
        with trio.fail_after(HANG_S):
            async with open_runtime(place, workflows=HOSTILE.values(), config=CONFIG) as runtime:
                handle = await runtime.start(swallowing, "not at all", id="it")
                assert await handle.result() == "swallowed"
    finally:
        del WAITS["not at all"]
    assert len([text for text in scene.effects if "cleaned" in text]) == 5
    assert len(task_ops(examine(place, table).records.values())) == 1 + 10 + 1


async def _refuse(ctx: Context) -> None:
    raise LookupError("an ordinary error")


# -- a storage that fails ---------------------------------------------------------------------------


class Breaking(SQLiteStorage):
    """A storage that fails for good, in the middle of things, when it is told to."""

    broken = False

    def commit(self, group: Sequence[Operation]) -> list[Result]:
        if self.broken:
            raise OutcomeUnknownError(self.where, "the disk is on fire")
        return super().commit(group)


@pytest.mark.parametrize("wait", ["in a body", "in a sleep", "before a retry"])
async def test_clean_up_after_a_failure_of_storage_records_nothing(wait, scene, place, table):
    """What cannot be stored any more has no effects either."""
    stage.set(scene)
    storage = Breaking(place)
    with trio.fail_after(HANG_S):
        with pytest.raises(OutcomeUnknownError):
            async with open_runtime(storage, workflows=HOSTILE.values(), config=CONFIG) as runtime:
                await start_and_wait(runtime, "swallowing", wait)
                storage.broken = True
                await runtime.start(HOSTILE["in_finally"], wait, id="straw")
                raise AssertionError("it was accepted")
        assert scene.unwound == 1, "the clean-up was not even tried"
        left = examine(place, table)
        assert set(left.workflows) == {"it"}
        assert task_ops(left.records.values()) == ["mark"]
        assert [text for text in scene.effects if "cleaned" in text] == []


# -- one life after the other -----------------------------------------------------------------------


class Slow(SQLiteStorage):
    """A storage that takes its time, before and after each commit."""

    def commit(self, group: Sequence[Operation]) -> list[Result]:
        time.sleep(random.uniform(0, 0.003))
        results = super().commit(group)
        time.sleep(random.uniform(0, 0.003))
        return results


STEPS = 12
CROWD = 60
TIRELESS = Restart(max_restarts=10_000, initial=0.0, maximum=0.0)


@workflow(restart=TIRELESS)
async def faltering(ctx: Context) -> int:
    """Crash at every other chance, right after something was recorded, or when it is cancelled."""
    for number in range(STEPS):
        await ctx.run(mark, f"{ctx.workflow_id}/{number}")
        falter(ctx)
        try:
            await ctx.sleep(0.01)
        except trio.Cancelled:
            # The cancellation may have overtaken the timer, whose entry is on its way.
            falter(ctx)
            raise
        falter(ctx)
    return STEPS


def falter(ctx: Context) -> None:
    # In the past it goes on: otherwise it would never come through so many of these.
    if not ctx.is_replaying and random.random() < 0.4:
        raise RuntimeError("it falters")


def lives_in_order(records: Sequence[Record]) -> list[str]:
    """Return what is wrong with journals as many lives in a row must have written them."""
    wrong: list[str] = []
    journals: dict[str, list[Record]] = {}
    for record in records:
        journals.setdefault(record.workflow, []).append(record)
    for id, journal in journals.items():
        if [record.n for record in journal] != list(range(len(journal))):
            wrong.append(f"{id} is numbered {[record.n for record in journal]}")
        ops = Counter(record.op for record in journal)
        wrong += [f"{id} has {count} outcomes of {op}" for op, count in ops.items() if count > 1]
        # Requests from outside belong to no life.
        own = [record.life for record in journal[1:] if record.kind != "cancel"]
        if own != sorted(own):
            wrong.append(f"{id} was written by the lives {own}")
    return wrong


async def see_through(runtime: Runtime, number: int) -> None:
    """Start one, cancel most of them at some moment, and wait for its end."""
    handle = await runtime.start(faltering, id=f"it-{number}")
    if number % 4:
        await trio.sleep(random.uniform(0, 0.3))
        with contextlib.suppress(WorkflowClosedError):
            await handle.cancel()
    try:
        assert await handle.result() == STEPS
    except WorkflowCancelledError:
        assert number % 4


def overtaken_timers(records: Sequence[Record]) -> int:
    """Count timers whose entry was committed after a cancellation that ended their sleep."""
    cancelled = {record.workflow: record.n for record in records if record.kind == "cancel"}
    return sum(
        record.kind == "timer" and record.n > cancelled.get(record.workflow, record.n)
        for record in records
    )


async def falter_through(place: Path, table: Path) -> tuple[int, list[Record]]:
    """Let a crowd falter to its end on a new database; return crashes and records."""
    place.parent.mkdir()
    async with open_runtime(Slow(place), workflows=[faltering], config=CONFIG) as runtime:
        async with trio.open_nursery() as nursery:
            for number in range(CROWD):
                nursery.start_soon(see_through, runtime, number)
        crashes = runtime.statistics().crashes
    body = examine(place, table)
    assert body.damage == ()
    return crashes, [record for _, record in sorted(body.records.items())]


async def test_a_respawn_never_meets_the_writes_of_its_predecessor(scene, tmp_path, table, tell):
    """Over hundreds of crashes: numbers without gaps, one outcome each, one life after the other."""
    crashes = overtaken = count = rounds = 0
    with trio.fail_after(HANG_S):
        # Until it was about something: some crashed while a write of theirs was under way.
        while not overtaken or crashes < 2 * CROWD:
            scene.effects.clear()
            stage.set(scene)
            more, records = await falter_through(tmp_path / f"{rounds}" / "torture.db", table)
            assert lives_in_order(records) == []
            assert set(Counter(scene.effects).values()) == {1}, "a recorded task ran again"
            crashes, overtaken = crashes + more, overtaken + overtaken_timers(records)
            count, rounds = count + len(records), rounds + 1
    tell(
        f"{crashes} crashes, {count} records, each effect once; {overtaken} timers were overtaken"
        " by a cancellation"
    )


def test_a_late_write_of_a_predecessor_would_be_noticed():
    """Control: a journal in which an earlier life writes after a later one, and twice."""
    start = Record("it", 1, 0, "", "start", "ok", 1, 0, 0)
    first = attrs.evolve(start, n=1, op="mark", kind="task", life=2)
    late = attrs.evolve(first, n=2, op="mark#2", life=1)
    again = attrs.evolve(first, n=3)
    assert lives_in_order([start, first]) == []
    assert lives_in_order([start, first, late]) == ["it was written by the lives [2, 1]"]
    assert lives_in_order([start, first, again]) == [
        "it is numbered [0, 1, 3]",
        "it has 2 outcomes of mark",
    ]


# -- between two lives ------------------------------------------------------------------------------


class SlowToLoad(SQLiteStorage):
    """A storage whose answer to the first load takes its time, after the snapshot was read."""

    read = False

    def load(self, pks: Sequence[int]) -> list[Loaded | StorageCorruptError]:
        loaded = super().load(pks)
        if not self.read:
            self.read = True
            time.sleep(0.1)
        return loaded


class SlowToCommit(SQLiteStorage):
    """A storage that lets a group form."""

    def commit(self, group: Sequence[Operation]) -> list[Result]:
        time.sleep(0.05)
        return super().commit(group)


@workflow(restart=TIRELESS)
async def crashing_once(ctx: Context) -> None:
    """Crash in the first life."""
    await ctx.run(mark, "before")
    if ctx.attempt == 1:
        raise RuntimeError("once")
    await ctx.run(mark, "after")


async def test_a_request_between_two_lives_reaches_the_next(scene, place):
    """It is committed after the journal was read, and before anybody listens."""
    stage.set(scene)
    storage = SlowToLoad(place)
    with trio.fail_after(HANG_S):
        async with open_runtime(storage, workflows=[crashing_once], config=CONFIG) as runtime:
            handle = await runtime.start(crashing_once, id="it")
            await seen_soon(lambda: storage.read)
            await handle.cancel()
            with pytest.raises(WorkflowCancelledError):
                await handle.result()
    assert scene.effects == ["before"]


async def test_a_request_in_the_commit_of_the_start_reaches_the_first_life(scene, place):
    """Who is started and cancelled in one and the same group is cancelled."""
    stage.set(scene)
    with trio.fail_after(HANG_S):
        async with (
            open_runtime(SlowToCommit(place), workflows=[crashing_once], config=CONFIG) as runtime,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(functools.partial(runtime.start, crashing_once, id="busy"))
            await trio.sleep(0.01)
            # Both while the first commit is under way, and in this order.
            nursery.start_soon(functools.partial(runtime.start, crashing_once, id="it"))
            await trio.sleep(0.01)
            await runtime.cancel("it")
            with pytest.raises(WorkflowCancelledError):
                await (await runtime.get("it")).result()
