"""Deleting workflows: ended ones, and running ones by force."""

from __future__ import annotations

import functools

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors import Context, MemoryStorage, Restart, task, workflow
from claw_actors.errors import (
    DuplicateKeyError,
    InvalidTransitionError,
    NotFoundError,
    WorkflowCancelledError,
    WorkflowQuarantinedError,
)
from claw_actors.storage.operations import Create
from claw_actors.testing.conformance.samples import a_row, a_start
from claw_actors.testing.conformance.steering import terminate


@workflow
async def sleeper(ctx: Context, seconds: float) -> str:
    await ctx.sleep(seconds)
    return "slept"


async def test_an_ended_workflow_is_deleted_with_all_that_hangs_on_it(open_claw_runtime, storage):
    """Its id is free again."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        handle = await runtime.start(sleeper, 1, id="a")
        await handle.result()
        await runtime.delete("a")
        for call in (handle.status, handle.tasks, handle.result, handle.state):
            with pytest.raises(NotFoundError):
                await call()
        assert await (await runtime.start(sleeper, 2, id="a", on_existing="raise")).result()


async def test_a_running_one_is_refused_without_force(open_claw_runtime, storage):
    """It goes on."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        handle = await runtime.start(sleeper, 1, id="a")
        with pytest.raises(InvalidTransitionError, match="cancel it first, or force=True"):
            await runtime.delete("a")
        assert await handle.result() == "slept"


async def test_with_force_no_code_of_it_runs_any_more(open_claw_runtime, storage, calls):
    """Its body is cut off, its clean-up records nothing, and who waits for it is told."""

    @task
    async def body() -> None:
        try:
            await trio.sleep(100)
        finally:
            calls.append("cut off")

    @workflow
    async def run(ctx: Context) -> None:
        try:
            await ctx.run(body)
        finally:
            await ctx.run(body)  # noqa: ASYNC102
            calls.append("not reached")

    told = []

    async def wait() -> None:
        try:
            await handle.result()
        except NotFoundError as error:
            told.append(error.id)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.sleep(5)
            await runtime.delete("a", force=True)
        assert told == ["a"]
        assert runtime.statistics().active == 0
        assert (await runtime.list()).items == ()
    assert calls == ["cut off"]


async def test_one_that_waits_unloaded_is_deleted_by_force(open_claw_runtime, storage):
    """And does not come back when it would have been due."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        await runtime.start(sleeper, 50, id="a")
        await trio.sleep(5)
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        await runtime.delete("a", force=True)
        await trio.sleep(100)
        assert runtime.statistics().active == 0
        assert (await runtime.list()).items == ()


async def test_one_that_waits_for_its_respawn_is_deleted_by_force(open_claw_runtime, storage):
    """And is not respawned."""
    lives = []

    @workflow(restart=Restart(initial=10))
    async def run(ctx: Context) -> None:
        lives.append(ctx.attempt)
        raise ValueError

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await wait_all_tasks_blocked()
        await runtime.delete("a", force=True)
        await trio.sleep(50)
    assert lives == [1]


async def test_a_quarantined_one_needs_no_force(open_claw_runtime, storage):
    """Nothing of it runs."""

    @workflow(restart=Restart(max_restarts=0))
    async def run(ctx: Context) -> None:
        raise ValueError

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        with pytest.raises(WorkflowQuarantinedError):
            await handle.result()
        await runtime.delete("a")
        with pytest.raises(NotFoundError):
            await handle.status()


@workflow
async def family(ctx: Context, depth: int, fate: str) -> str:
    """Start two children, each with as many below, and wait."""
    if depth:
        for n in range(2):
            await ctx.start_child(
                family, depth - 1, fate, id=f"{ctx.workflow_id}.{n}", on_parent_close=fate
            )
    await ctx.sleep(50)
    return "done"


async def test_children_are_deleted_with_their_parent(open_claw_runtime, storage):
    """With force while they run, all in one; nothing of them runs any more."""
    async with open_claw_runtime(storage, workflows=[family, sleeper]) as runtime:
        await runtime.start(family, 2, "wait", id="a")
        await runtime.start(sleeper, 500, id="beside")
        await trio.sleep(5)
        assert len((await runtime.list()).items) == 8
        with pytest.raises(InvalidTransitionError, match="force=True"):
            await runtime.delete("a")
        await runtime.delete("a", force=True)
        assert [state.id for state in (await runtime.list()).items] == ["beside"]
        assert runtime.statistics().active == 1
        assert runtime.statistics().crashes == 0


async def test_children_that_have_ended_need_no_force(open_claw_runtime, storage):
    """A family that is over is deleted as one."""
    async with open_claw_runtime(storage, workflows=[family]) as runtime:
        await (await runtime.start(family, 2, "wait", id="a")).result()
        await runtime.delete("a")
        assert (await runtime.list()).items == ()


async def test_abandoned_children_stay(open_claw_runtime, storage):
    """They are a family of their own."""
    async with open_claw_runtime(storage, workflows=[family]) as runtime:
        await runtime.start(family, 1, "abandon", id="a")
        await trio.sleep(5)
        await runtime.delete("a", force=True)
        for id in ("a.0", "a.1"):
            assert await runtime.result(id) == "done"


async def test_a_child_that_still_runs_keeps_its_ended_parent_from_being_deleted(
    open_claw_runtime, storage
):
    """Below one that has ended, too. The error names it; with force it is terminated."""

    @workflow
    async def short(ctx: Context) -> str:
        await ctx.start_child(sleeper, 500, id="child", on_parent_close="cancel")
        return "done"

    async with open_claw_runtime(storage, workflows=[short, sleeper]) as runtime:
        await runtime.start(sleeper, 500, id="child2")
        handle = await runtime.start(short, id="a")
        await handle.result()
        await trio.sleep(1)
        record, top = storage._table.find("child2"), storage._table.find("child")
        row = attrs.evolve(record.row, parent="child")
        storage._table.put(row.pk, attrs.evolve(record, row=row, parent_pk=top.row.pk))
        storage._table.settle()
        with pytest.raises(InvalidTransitionError, match="it is a child of 'a'") as caught:
            await handle.delete()
        assert caught.value.id == "child2"
        await handle.delete(force=True)
        assert (await runtime.list()).items == ()


async def test_a_parent_is_told_that_its_child_was_cancelled(open_claw_runtime, storage):
    """Also of a quarantined child, which needs no force."""

    @workflow(restart=Restart(max_restarts=0))
    async def crashing(ctx: Context) -> None:
        raise ValueError

    @workflow
    async def parent(ctx: Context) -> str:
        told = []
        for child in (crashing, sleeper):
            started = await (
                ctx.start_child(crashing, id="c")
                if child is crashing
                else ctx.start_child(sleeper, 500, id="c")
            )
            try:
                await started.result()
            except WorkflowCancelledError as error:
                told.append(str(error.reason))
        return ", ".join(told)

    async with open_claw_runtime(storage, workflows=[parent, crashing, sleeper]) as runtime:
        handle = await runtime.start(parent, id="p")
        await trio.sleep(5)
        await runtime.delete("c")
        await trio.sleep(5)
        await runtime.delete("c", force=True)
        assert await handle.result() == "it was deleted, it was deleted"


async def test_one_that_ends_while_it_is_looked_at_is_looked_at_again(
    open_claw_runtime, storage, monkeypatch
):
    """And so is one that starts a child in that moment: the child goes, too."""
    look = MemoryStorage.list_workflows
    meanwhile = []

    def looking(self, query):
        page = look(self, query)
        if meanwhile:
            assert not isinstance(self.commit([meanwhile.pop()])[0], Exception)
        return page

    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        monkeypatch.setattr(MemoryStorage, "list_workflows", looking)
        await runtime.start(sleeper, 500, id="a")
        await trio.sleep(1)
        meanwhile.append(terminate("a"))
        await runtime.delete("a", force=True)
        await runtime.start(sleeper, 500, id="a")
        await trio.sleep(1)
        born = a_row("born", name="sleeper", parent="a")
        meanwhile.append(Create(born, (a_start(b'{"seconds": 1}'),)))
        await runtime.delete("a", force=True)
        assert (await runtime.list()).items == ()


@pytest.mark.parametrize("passes", [0, 1, 2, 3], ids="after {} ticks".format)
async def test_the_id_may_be_taken_again_at_once(open_claw_runtime, storage, passes):
    """Also while the code of the deleted one unwinds; the new one runs, and is not taken for it."""

    @task
    async def body() -> None:
        try:
            await trio.sleep(100)
        finally:
            for _ in range(passes):
                with trio.CancelScope(shield=True):
                    await trio.lowlevel.checkpoint()

    @workflow
    async def run(ctx: Context) -> None:
        await ctx.run(body)

    async def start() -> None:
        while True:
            try:
                await runtime.start(sleeper, 1, id="a", on_existing="raise")
                return
            except DuplicateKeyError:
                await trio.lowlevel.checkpoint()

    async with open_claw_runtime(storage, workflows=[run, sleeper]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(functools.partial(runtime.delete, "a", force=True))
            nursery.start_soon(start)
        with trio.fail_after(100):
            assert await runtime.result("a") == "slept"


async def test_a_family_with_long_journals_goes_in_pieces(open_claw_runtime, storage, monkeypatch):
    """But is invisible from the first one on."""
    monkeypatch.setattr("claw_actors._runtime.removal.PIECE", 3)
    async with open_claw_runtime(storage, workflows=[family]) as runtime:
        await (await runtime.start(family, 2, "wait", id="a")).result()
        await runtime.delete("a")
        assert (await runtime.list()).items == ()
        assert storage._table.half_deleted() == ()


async def test_a_body_may_delete_its_own_workflow(open_claw_runtime, storage):
    """It does not wait for itself."""

    @task
    async def body() -> None:
        await runtime.delete("a", force=True)

    @workflow
    async def run(ctx: Context) -> None:
        await ctx.run(body)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        with trio.fail_after(50), pytest.raises(NotFoundError):
            await handle.result()
        await trio.sleep(1)
        assert runtime.statistics().active == 0


async def test_one_deleted_behind_the_back_of_its_incarnation_ends_quietly(
    open_claw_runtime, storage
):
    """Its next write is refused, and it leaves memory."""

    @task
    async def body() -> None:
        await trio.sleep(5)

    @workflow
    async def run(ctx: Context) -> None:
        while True:
            await ctx.run(body)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(2)
        await runtime.storage.delete_workflow("a")
        await trio.sleep(20)
        assert runtime.statistics().active == 0
        assert runtime.statistics().attempts == 1
        assert runtime.statistics().crashes == 0
