"""When storage fails or cannot write for a while, and when the runtime itself has a defect."""

from __future__ import annotations

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
    Status,
    task,
    workflow,
)
from claw_actors._runtime.sequencer import Sequencer
from claw_actors.errors import (
    OutcomeUnknownError,
    StorageCorruptError,
    StorageUnavailableError,
    WorkflowQuarantinedError,
)
from claw_actors.storage.operations import Advance


class Failing(MemoryStorage):
    """A storage whose n-th commit fails, before or after it was applied."""

    def __init__(self, commit_n: int, error: Exception | None, *, applied: bool = False) -> None:
        super().__init__()
        self.commit_n, self.error, self.applied = commit_n, error, applied
        self.commits = 0

    def commit(self, group):
        self.commits += 1
        if self.commits == self.commit_n and self.error is not None:
            if self.applied:
                super().commit(group)
            raise self.error
        return super().commit(group)


UNKNOWN = OutcomeUnknownError("memory", "I/O error")

FAIL_STOP = RuntimeConfig(max_storage_restarts=0, idle_after=1.0)
"""The first failure is the end: for what is left behind then. Reopening has tests of its own."""


async def _counting(calls, open_claw_runtime, storage):
    """Run some workflows to their ends, over as many openings as storage failures need."""

    @task
    async def step(id: str, n: int) -> int:
        calls.append((id, n))
        await trio.sleep(1)
        return n

    @workflow
    async def run(ctx: Context) -> int:
        total = 0
        for n in (1, 2):
            total += await ctx.run(step, ctx.workflow_id, n)
        await ctx.sleep(5)
        return total

    failures = 0
    while True:
        try:
            async with open_claw_runtime(storage, workflows=[run], config=FAIL_STOP) as runtime:
                for id in ("a", "b"):
                    await runtime.start(run, id=id)
                return failures, [await runtime.result(id) for id in ("a", "b")]
        except OutcomeUnknownError:
            failures += 1


@pytest.mark.parametrize("applied", [False, True], ids=["lost", "applied"])
@pytest.mark.parametrize("commit_n", range(1, 10))
async def test_an_unknown_outcome_stops_everything_and_the_next_opening_recovers(
    open_claw_runtime, calls, commit_n, applied
):
    """In whichever commit; raised by ``open_runtime``; a task runs at most once more for it."""
    storage = Failing(commit_n, UNKNOWN, applied=applied)
    failures, results = await _counting(calls, open_claw_runtime, storage)
    assert failures == (commit_n <= storage.commits - 1)
    assert results == [3, 3]
    assert storage._clean
    for call in set(calls):
        assert calls.count(call) <= 1 + failures


async def test_without_a_failure_there_is_none(open_claw_runtime, calls):
    """The control of the test above: the failing commits above are among those made here."""
    storage = Failing(0, None)
    assert await _counting(calls, open_claw_runtime, storage) == (0, [3, 3])
    assert storage.commits >= 7
    assert len(calls) == 4


@pytest.mark.parametrize(
    "error", [StorageCorruptError("memory", "a page", "restore"), ZeroDivisionError("a bug")]
)
async def test_other_ends_of_storage_are_the_end_of_the_block(open_claw_runtime, error, caplog):
    """Damage is raised as it is; of a defect nobody knows the outcome."""
    storage = Failing(2, error)

    @workflow
    async def run(ctx: Context) -> None:
        try:
            await ctx.sleep(0.1)
        finally:
            ended.append(True)

    ended = []
    expected = (
        StorageCorruptError if isinstance(error, StorageCorruptError) else OutcomeUnknownError
    )
    with pytest.raises(expected):
        async with open_claw_runtime(storage, workflows=[run], config=FAIL_STOP) as runtime:
            await runtime.start(run, id="a")
            await trio.sleep_forever()
    assert ended == [True]
    assert "storage failed" in caplog.text
    storage.error = None
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await runtime.result("a") is None


async def test_bodies_are_cut_off_at_once_when_storage_fails(open_claw_runtime, calls):
    """There is no grace: nothing that they do could be recorded."""

    @task
    async def long() -> None:
        try:
            await trio.sleep(100)
        finally:
            calls.append(trio.current_time())

    @task
    async def short() -> None:
        await trio.sleep(0.5)

    @workflow
    async def one(ctx: Context) -> None:
        await ctx.run(long)

    @workflow
    async def two(ctx: Context) -> None:
        await ctx.run(short)

    storage = Failing(3, UNKNOWN)
    with pytest.raises(OutcomeUnknownError):
        async with open_claw_runtime(storage, workflows=[one, two], config=FAIL_STOP) as runtime:
            await runtime.start(one, id="a")
            await runtime.start(two, id="b")
            await trio.sleep_forever()
    assert calls == [pytest.approx(0.5, abs=0.1)]
    assert storage._table.find("a").row.restarts == ()


class Full(MemoryStorage):
    """A storage that cannot write while it is full."""

    full = False

    def commit(self, group):
        if self.full:
            raise StorageUnavailableError("memory", "the disk is full")
        return super().commit(group)


async def test_running_workflows_wait_while_storage_is_unavailable(open_claw_runtime, calls):
    """They keep their outcomes; new requests are refused with the reason."""
    storage = Full()

    @task(retry=Retry(max_attempts=2, initial=1))
    async def step(n: int) -> int:
        calls.append(n)
        if n == 2 and calls.count(2) == 1:
            raise ConnectionError
        return n

    @workflow
    async def run(ctx: Context) -> int:
        await ctx.sleep(5)
        return await ctx.run(step, 1) + await ctx.run(step, 2)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await trio.sleep(2)
        storage.full = True
        await trio.sleep(20)
        assert calls == []
        with pytest.raises(StorageUnavailableError, match="disk is full"):
            await runtime.start(run, id="b")
        with pytest.raises(StorageUnavailableError, match="disk is full"):
            await handle.cancel()
        assert runtime.statistics().storage.unavailable == "the disk is full"
        storage.full = False
        assert await handle.result() == 3
    assert calls == [1, 2, 2]


async def test_closing_while_storage_is_unavailable_ends(open_claw_runtime, calls):
    """What cannot be written is not waited for beyond the grace; it is done again."""
    storage = Full()

    @task
    async def step() -> int:
        calls.append("ran")
        storage.full = len(calls) == 1
        return 1

    @workflow
    async def run(ctx: Context) -> int:
        return await ctx.run(step)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(3)
    assert trio.current_time() < 20
    storage.full = False
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await runtime.result("a") == 1
    assert calls == ["ran", "ran"]


async def test_a_crash_that_cannot_be_stored_at_the_close_is_found_again(open_claw_runtime, caplog):
    """The row still says running, so the next opening runs it; and it crashes again."""
    storage = Full()

    @workflow(restart=Restart(max_restarts=0))
    async def run(ctx: Context) -> None:
        storage.full = ctx.attempt == 1
        raise ValueError("broken")

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(3)
    assert "its crash could not be stored" in caplog.text
    storage.full = False
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        with pytest.raises(WorkflowQuarantinedError, match="broken"):
            await runtime.result("a")


@pytest.mark.parametrize("broken", [False, True], ids=["full", "broken"])
async def test_a_respawn_that_storage_does_not_take_is_made_at_the_next_opening(
    open_claw_runtime, caplog, broken
):
    """Whether it waits until the close, or storage fails in that very commit."""
    full, failing = Full(), Failing(3, UNKNOWN)
    storage = failing if broken else full

    @workflow(restart=Restart(initial=10))
    async def run(ctx: Context) -> str:
        if ctx.attempt == 1:
            raise ValueError("once")
        return "well"

    async def use() -> None:
        async with open_claw_runtime(storage, workflows=[run], config=FAIL_STOP) as runtime:
            await runtime.start(run, id="a")
            await trio.sleep(5)
            full.full = True
            await trio.sleep(20)

    if broken:
        with pytest.raises(OutcomeUnknownError):
            await use()
        assert "workflow a: cannot be brought back now" in caplog.text
    else:
        await use()
    full.full = False
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await runtime.result("a") == "well"


# -- fences -----------------------------------------------------------------------------------------------


async def test_an_incarnation_whose_life_is_over_writes_no_more(
    open_claw_runtime, storage, calls, caplog
):
    """Somebody else has taken the instance on: it leaves memory, and is no crash."""

    @task
    async def step() -> None:
        calls.append("ran")
        await trio.sleep(5)

    @workflow
    async def run(ctx: Context) -> None:
        await ctx.run(step)
        await ctx.run(step)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(1)
        record = storage._table._records[1]
        storage._table._records[1] = attrs.evolve(record, row=attrs.evolve(record.row, life=7))
        await trio.sleep(20)
        assert runtime.statistics().active == 0
        assert runtime.statistics().crashes == 0
        assert await runtime.status("a") is Status.RUNNING
    assert calls == ["ran"]


@pytest.mark.parametrize("moment", ["end", "retry", "park", "crash"])
async def test_every_write_of_an_old_life_is_refused(open_claw_runtime, storage, moment, calls):
    """The end, an attempt, a park, a crash: nothing of it is stored."""

    def take_on() -> None:
        record = storage._table._records[1]
        storage._table._records[1] = attrs.evolve(record, row=attrs.evolve(record.row, life=7))

    @task(retry=Retry(initial=1))
    async def fail() -> None:
        calls.append("tried")
        take_on()
        raise ConnectionError

    @workflow
    async def run(ctx: Context) -> None:
        if moment == "retry":
            await ctx.run(fail)
        take_on()
        if moment == "crash":
            raise ValueError
        if moment == "park":
            await ctx.sleep(100)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(50)
        assert runtime.statistics().active == 0
        record = storage._table._records[1]
        assert (record.row.status, len(record.entries)) == (Status.RUNNING, 1)
        assert (record.row.restarts, record.open_tasks) == ((), {})
    assert len(calls) == (moment == "retry")


# -- defects ------------------------------------------------------------------------------------------------


async def test_a_defect_of_the_sequencer_fails_only_its_instance(
    open_claw_runtime, storage, monkeypatch, caplog
):
    """It is quarantined with the defect as its reason; storage and the others go on."""
    consume = Sequencer._consume

    def broken(self, entry):
        if self.id == "unlucky":
            raise ZeroDivisionError("a defect")
        consume(self, entry)

    @task
    async def step() -> int:
        return 1

    @workflow
    async def run(ctx: Context) -> int:
        await ctx.sleep(3)
        return await ctx.run(step)

    monkeypatch.setattr(Sequencer, "_consume", broken)
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        unlucky = await runtime.start(run, id="unlucky")
        lucky = await runtime.start(run, id="lucky")
        with pytest.raises(WorkflowQuarantinedError, match="a defect"):
            await unlucky.result()
        assert await lucky.result() == 1
        monkeypatch.setattr(Sequencer, "_consume", consume)
        await unlucky.retry()
        assert await unlucky.result() == 1
    assert "the sequencer failed" in caplog.text


async def test_parking_is_withdrawn_by_what_arrives_meanwhile(open_claw_runtime, storage, row_of):
    """A request committed together with it makes the park refused, and is served."""

    @workflow
    async def run(ctx: Context) -> None:
        try:
            await ctx.sleep(100)
        finally:
            seen.append(trio.current_time())

    seen = []
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await handle.cancel("before it could park")
        await wait_all_tasks_blocked()
        assert row_of(storage, "a").status is Status.CANCELLED
    assert seen == [0]


class Meddling(MemoryStorage):
    """A storage in which a request from outside arrives just before a park is committed."""

    meddle = True

    def commit(self, group):
        for operation in group:
            change = operation.change if isinstance(operation, Advance) else None
            if self.meddle and change is not None and change.status is Status.WAITING:
                self.meddle = False
                record = self._table._records[operation.pk]
                extra = attrs.evolve(record.entries[0], op="note", name="note")
                self._table._records[operation.pk] = record.with_entries((extra,))
        return super().commit(group)


async def test_a_park_that_comes_too_late_leaves_the_instance_running(open_claw_runtime):
    """It is refused by the number of the last entry; the sleep goes on in memory."""
    storage = Meddling()

    @workflow
    async def run(ctx: Context) -> str:
        await ctx.sleep(100)
        return "slept"

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run)
        await trio.sleep(15)
        assert not storage.meddle
        assert await handle.status() is Status.RUNNING
