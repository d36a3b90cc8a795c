"""An I/O error in the middle of things: storage is opened again, and everything goes on from it."""

from __future__ import annotations

import contextlib

import pytest
import trio
import trio.lowlevel
from trio.testing import wait_all_tasks_blocked

from claw_actors import Context, MemoryStorage, RuntimeConfig, SQLiteStorage, Status, task, workflow
from claw_actors.errors import (
    OutcomeUnknownError,
    StorageCorruptError,
    StorageLockedError,
    StorageUnavailableError,
    WorkflowCancelledError,
)
from claw_actors.storage.write_queue import fresh

UNKNOWN = OutcomeUnknownError("memory", "I/O error")
DAMAGE = StorageCorruptError("memory", "a page", "restore a backup")


class Shaky(MemoryStorage):
    """A storage with planned troubles, in its commits and in its openings."""

    def __init__(self, commits=None, openings=None, *, applied: bool = False) -> None:
        super().__init__()
        self.commit_troubles = dict(commits or {})
        self.opening_troubles = dict(openings or {})
        self.applied = applied
        self.commits = self.openings = 0

    def open(self):
        self.openings += 1
        if trouble := self.opening_troubles.get(self.openings):
            raise fresh(trouble)
        return super().open()

    def commit(self, group):
        self.commits += 1
        if trouble := self.commit_troubles.get(self.commits):
            if self.applied:
                super().commit(group)
            raise fresh(trouble)
        return super().commit(group)


@pytest.fixture
def walk(calls):
    """A workflow of two tasks and a sleep."""

    @task
    async def step(id: str, n: int) -> int:
        calls.append((id, n))
        await trio.sleep(1)
        return n

    @workflow
    async def walk(ctx: Context) -> int:
        total = 0
        for n in (1, 2):
            total += await ctx.run(step, ctx.workflow_id, n)
        await ctx.sleep(5)
        return total

    return walk


async def start_surely(runtime, workflow, id):
    """Start in spite of an unknown outcome: the same id attaches to what may be there."""
    while True:
        try:
            return await runtime.start(workflow, id=id)
        except OutcomeUnknownError:
            await trio.lowlevel.checkpoint()


SOON = RuntimeConfig(idle_after=1.0)
"""They leave memory and come back between the commits."""


@pytest.mark.parametrize("applied", [False, True], ids=["lost", "applied"])
@pytest.mark.parametrize("commit_n", range(1, 11))
async def test_an_error_in_any_commit_ends_nothing(
    open_claw_runtime, row_of, walk, calls, commit_n, applied
):
    """The block goes on; each workflow ends as it would have, with one task body more at most."""
    storage = Shaky({commit_n: UNKNOWN}, applied=applied)
    async with open_claw_runtime(storage, workflows=[walk], config=SOON) as runtime:
        handles = [await start_surely(runtime, walk, id) for id in ("a", "b")]
        assert [await handle.result() for handle in handles] == [3, 3]
        await trio.sleep(1)
        assert storage.openings == 1 + (commit_n <= storage.commits)
    assert all(calls.count(call) <= 2 for call in calls)
    for id in ("a", "b"):
        row = row_of(storage, id)
        assert (row.restarts, row.recoveries) == ((), 0), "it was counted against a bystander"
    assert storage._clean


async def test_without_an_error_there_is_one_opening(open_claw_runtime, walk, calls):
    """The control of the test above: the commits that fail there are among these."""
    storage = Shaky()
    async with open_claw_runtime(storage, workflows=[walk], config=SOON) as runtime:
        for id in ("a", "b"):
            await runtime.start(walk, id=id)
        assert [await runtime.result(id) for id in ("a", "b")] == [3, 3]
    assert (storage.openings, len(calls)) == (1, 4)
    assert storage.commits >= 7


async def test_what_others_have_queued_survives(open_claw_runtime, walk):
    """Only what was in flight is unknown; reads wait for the reopening, too."""
    storage = Shaky(openings={2: StorageUnavailableError("memory", "not yet")})
    answers: dict[str, object] = {}

    async def start(id: str) -> None:
        try:
            answers[id] = await (await runtime.start(walk, id=id)).result()
        except OutcomeUnknownError:
            answers[id] = "unknown"

    async with open_claw_runtime(storage, workflows=[walk]) as runtime:
        await start("first")
        storage.commit_troubles = {storage.commits + 1: UNKNOWN}
        async with trio.open_nursery() as nursery:
            nursery.start_soon(start, "in-flight")
            await wait_all_tasks_blocked()
            nursery.start_soon(start, "queued")
            await wait_all_tasks_blocked()
            assert await runtime.status("first") is Status.COMPLETED
    assert storage.openings == 3
    assert answers == {"first": 3, "in-flight": "unknown", "queued": 3}


async def test_what_waits_is_woken_after_a_reopening(open_claw_runtime, calls):
    """A parked sleep ends on time, and a cancel that was asked for meanwhile arrives."""

    @workflow
    async def wait(ctx: Context) -> float:
        await ctx.sleep(100)
        return ctx.now()

    @task
    async def poke() -> None:
        if not calls:
            storage.commit_troubles = {storage.commits + 1: UNKNOWN}
        calls.append("poked")

    @workflow
    async def straw(ctx: Context) -> None:
        await ctx.run(poke)

    storage = Shaky()
    async with open_claw_runtime(storage, workflows=[wait, straw]) as runtime:
        began = trio.current_time()
        sleeper = await runtime.start(wait, id="sleeper")
        doomed = await runtime.start(wait, id="doomed")
        await trio.sleep(10)
        await (await runtime.start(straw, id="straw")).result()
        await doomed.cancel("enough")
        assert storage.openings == 2
        with pytest.raises(WorkflowCancelledError, match="enough"):
            await doomed.result()
        await sleeper.result()
        assert trio.current_time() - began == pytest.approx(100, abs=0.5)


async def test_a_reopening_that_fails_is_tried_again(open_claw_runtime, walk):
    """With growing pauses; what runs goes on once it succeeds."""
    not_yet = StorageUnavailableError("memory", "no such device")
    storage = Shaky({3: UNKNOWN}, {2: not_yet, 3: not_yet, 4: not_yet})
    async with open_claw_runtime(storage, workflows=[walk]) as runtime:
        handle = await runtime.start(walk, id="a")
        assert await handle.result() == 3
    assert storage.openings == 5


async def test_too_many_reopenings_are_the_end(open_claw_runtime, walk):
    """The error is raised where the runtime was opened, and nothing is lost."""
    gone = StorageUnavailableError("memory", "no such device")
    storage = Shaky({2: UNKNOWN}, dict.fromkeys(range(2, 9), gone))
    config = RuntimeConfig(max_storage_restarts=2)
    with pytest.raises(OutcomeUnknownError, match="I/O error"):
        async with open_claw_runtime(storage, workflows=[walk], config=config) as runtime:
            await runtime.start(walk, id="a")
            await trio.sleep_forever()
    assert storage.openings == 3
    storage.opening_troubles = {}
    async with open_claw_runtime(storage, workflows=[walk]) as runtime:
        assert await runtime.result("a") == 3


async def test_damage_is_forgiven_once(open_claw_runtime, walk):
    """It may be a bad read; the second time it is raised, with what to do."""
    storage = Shaky({2: DAMAGE})
    with pytest.raises(StorageCorruptError, match="restore a backup"):
        async with open_claw_runtime(storage, workflows=[walk]) as runtime:
            assert await (await runtime.start(walk, id="a")).result() == 3
            assert storage.openings == 2
            storage.commit_troubles = {storage.commits + 1: DAMAGE}
            with contextlib.suppress(StorageCorruptError):
                await runtime.start(walk, id="b")
            await trio.sleep_forever()
    assert storage.openings == 2


async def test_what_somebody_else_owns_is_not_taken_back(open_claw_runtime, walk):
    """Neither when a commit finds another owner, nor when the reopening does."""
    locked = StorageLockedError("memory", "a thief")
    for storage in (Shaky({2: locked}), Shaky({2: UNKNOWN}, {2: locked})):
        with pytest.raises((StorageLockedError, OutcomeUnknownError)):
            async with open_claw_runtime(storage, workflows=[walk]) as runtime:
                await runtime.start(walk, id="a")
                await trio.sleep_forever()
        assert storage.openings <= 2


async def test_a_full_disk_after_a_reopening_is_waited_for(open_claw_runtime, walk):
    """Degraded, not ended: it goes on by itself when there is space."""
    full = StorageUnavailableError("memory", "the disk is full")
    storage = Shaky({3: UNKNOWN, **dict.fromkeys(range(4, 30), full)})
    async with open_claw_runtime(storage, workflows=[walk]) as runtime:
        handle = await runtime.start(walk, id="a")
        await trio.sleep(12)
        assert runtime.statistics().storage.unavailable == "the disk is full"
        assert await handle.result() == 3
    assert storage.openings == 2


async def test_closing_while_storage_is_down_ends(open_claw_runtime, walk):
    """Nobody waits for a reopening that will not come; and the end says why it is no good one."""
    gone = StorageUnavailableError("memory", "no such device")
    storage = Shaky({2: UNKNOWN}, dict.fromkeys(range(2, 9), gone))
    with pytest.raises(OutcomeUnknownError):
        async with open_claw_runtime(storage, workflows=[walk]) as runtime:
            await runtime.start(walk, id="a")
            await trio.sleep(1.2)
            assert storage.openings >= 2
    assert trio.current_time() < 10
    storage.opening_troubles = {}
    async with open_claw_runtime(storage, workflows=[walk]) as runtime:
        assert await runtime.result("a") == 3


class ShakyFile(SQLiteStorage):
    """A real file whose commits fail when told to."""

    broken = False

    def commit(self, group):
        results = super().commit(group)
        if self.broken:
            self.broken = False
            raise OutcomeUnknownError(self.where, "EIO")
        return results


async def test_a_file_is_opened_again_with_all_its_locks(open_claw_runtime, tmp_path, walk, calls):
    """Nobody else can take it in between for good, and what was stored is there."""
    storage = ShakyFile(tmp_path / "a.db")
    async with open_claw_runtime(storage, workflows=[walk]) as runtime:
        handles = [await runtime.start(walk, id=f"w-{n}") for n in range(20)]
        await trio.sleep(1)
        storage.broken = True
        assert [await handle.result() for handle in handles] == [3] * 20
    assert all(calls.count(call) <= 2 for call in calls)
    async with open_claw_runtime(tmp_path / "a.db", workflows=[walk]) as runtime:
        assert (await runtime.list()).items[0].status is Status.COMPLETED


async def test_an_error_while_recovering_does_not_keep_it_from_opening(open_claw_runtime, walk):
    """Unless storage is not to be opened again: then it is raised."""
    storage = Shaky()
    async with open_claw_runtime(storage, workflows=[walk]) as runtime:
        await runtime.start(walk, id="a")
    storage.commit_troubles = {storage.commits + 1: UNKNOWN}
    config = RuntimeConfig(max_storage_restarts=0)
    with pytest.raises(OutcomeUnknownError, match="I/O error"):
        async with open_claw_runtime(storage, workflows=[walk], config=config):
            pytest.fail("it was opened")
    storage.commit_troubles = {storage.commits + 1: UNKNOWN}
    async with open_claw_runtime(storage, workflows=[walk]) as runtime:
        assert storage.openings == 4
        assert runtime.recovery_report.recovered == ("a",)
        assert await runtime.result("a") == 3


async def test_another_error_while_recovering_is_raised_as_it_is(open_claw_runtime, walk):
    """Storage is well; what it says is why it cannot be opened."""
    storage = Shaky()
    async with open_claw_runtime(storage, workflows=[walk]) as runtime:
        await runtime.start(walk, id="a")
    full = StorageUnavailableError("memory", "the disk is full")
    storage.commit_troubles = {storage.commits + 1: full}
    with pytest.raises(StorageUnavailableError, match="the disk is full"):
        async with open_claw_runtime(storage, workflows=[walk]):
            pytest.fail("it was opened")
