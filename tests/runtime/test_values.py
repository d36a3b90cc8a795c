"""What a workflow shows of itself: set without a wait, never lost, readable after its end."""

from __future__ import annotations

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors import (
    Context,
    MemoryStorage,
    Restart,
    RuntimeConfig,
    TaskFailedError,
    task,
    workflow,
)
from claw_actors.errors import (
    ContextMisuseError,
    InstanceSealed,
    InvalidInputError,
    NotFoundError,
    OutcomeUnknownError,
    PayloadTooLargeError,
    RuntimeClosedError,
    SerializationError,
    WorkflowClosedError,
    WorkflowFailedError,
    WorkflowQuarantinedError,
)


@attrs.frozen
class Progress:
    done: int
    of: int


@task
async def lasting(seconds: float, value: int = 0) -> int:
    await trio.sleep(seconds)
    return value


@workflow
async def counting(ctx: Context, upto: int) -> None:
    """Show how far it has come, with a task between."""
    for number in range(upto):
        ctx.set_value("progress", Progress(number, upto))
        await ctx.run(lasting, 10)
    ctx.set_value("progress", Progress(upto, upto))


async def test_a_value_is_read_as_it_was_set_last(open_claw_runtime, storage):
    """While the workflow runs, and after its end: the end takes with it what is pending."""
    async with open_claw_runtime(storage, workflows=[counting]) as runtime:
        handle = await runtime.start(counting, 2, id="a")
        await trio.sleep(5)
        assert await handle.value("progress", Progress) == Progress(0, 2)
        await trio.sleep(10)
        assert await handle.value("progress", Progress) == Progress(1, 2)
        await handle.result()
        assert await runtime.value("a", "progress") == {"done": 2, "of": 2}
    async with open_claw_runtime(storage) as runtime:
        assert await runtime.values("a") == {"progress": {"done": 2, "of": 2}}


async def test_a_value_goes_with_a_write_that_is_made_anyway(open_claw_runtime, storage):
    """With the end, or the outcome of a task: no commit of its own."""

    @workflow
    async def run(ctx: Context) -> None:
        for number in range(10):
            ctx.set_value("x", number)
            ctx.set_value("y", number)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        before = runtime.statistics().storage.operations
        await (await runtime.start(run, id="a")).result()
        assert runtime.statistics().storage.operations == before + 2
        assert await runtime.values("a") == {"x": 9, "y": 9}


async def test_a_waiting_workflow_has_stored_its_values(open_claw_runtime, storage):
    """Whatever it waits for; also one that only sends, and never comes to rest."""

    @workflow
    async def run(ctx: Context, kind: str) -> None:
        ctx.set_value("x", kind)
        if kind == "sleep":
            await ctx.sleep(100)
        elif kind == "receive":
            await ctx.receive("y")
        elif kind == "send":
            await ctx.send("a-send", "y", 1)
            stored.append(storage._table.find("a-send").values["x"].value)

    stored: list[bytes] = []
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        for kind in ("sleep", "receive", "send"):
            handle = await runtime.start(run, kind, id=f"a-{kind}")
            await wait_all_tasks_blocked()
            assert await handle.value("x", str) == kind
    assert stored == [b'"send"']


async def test_waiting_for_a_value_ends_when_it_is_set(open_claw_runtime, storage):
    """At once, and without polling: in the order of things, not of a clock."""

    @workflow
    async def run(ctx: Context) -> None:
        await ctx.sleep(1_000)
        ctx.set_value("x", 1)
        await ctx.sleep(1_000)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        began, reads = trio.current_time(), storage.get_value
        counted: list[str] = []
        storage.get_value = lambda id, key: counted.append(key) or reads(id, key)
        assert await handle.wait_value("x", int) == 1
        assert trio.current_time() - began == pytest.approx(1_000, abs=1)
        assert len(counted) <= 3
        assert await runtime.wait_value("a", "x") == 1, "it is there already"


async def test_waiting_for_a_value_ends_with_the_workflow(open_claw_runtime, storage):
    """Closed, quarantined, deleted; when the runtime closes, too."""

    @workflow(restart=Restart(max_restarts=0))
    async def run(ctx: Context, how: str) -> None:
        await ctx.sleep(10)
        if how == "crashes":
            raise ValueError("a bug")
        if how == "sets it":
            ctx.set_value("x", how)
        if how != "ends":
            await ctx.sleep(10_000)

    async def wait(how: str, error: type[Exception]) -> None:
        with pytest.raises(error):
            await runtime.wait_value(how, "x")
        ended.append(how)

    ended: list[str] = []
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        for how in ("ends", "crashes", "goes", "stays"):
            await runtime.start(run, how, id=how)
        with pytest.raises(NotFoundError):
            await runtime.wait_value("nobody", "x")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, "ends", WorkflowClosedError)
            nursery.start_soon(wait, "crashes", WorkflowQuarantinedError)
            nursery.start_soon(wait, "goes", NotFoundError)
            nursery.start_soon(wait, "stays", RuntimeClosedError)
            await trio.sleep(20)
            await runtime.delete("goes", force=True)
            await wait_all_tasks_blocked()
            assert sorted(ended) == ["crashes", "ends", "goes"]
            runtime.close()


async def test_a_value_that_the_end_has_set_is_found_by_who_waits(open_claw_runtime, storage):
    """Although the workflow has ended by the time they look."""

    @workflow
    async def run(ctx: Context) -> None:
        await ctx.sleep(10)
        ctx.set_value("x", 1)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        assert await handle.wait_value("x") == 1


async def test_a_replay_does_not_show_the_past_again(open_claw_runtime, storage, monkeypatch):
    """Who looks while a workflow is replayed never sees a value go back."""

    @workflow
    async def run(ctx: Context) -> None:
        for number in range(200):  # long enough for the replay to let others run
            ctx.set_value("x", number)
            await ctx.run(lasting, 0)
        await ctx.sleep(1_000)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(100)
        assert await runtime.value("a", "x") == 199
    record = storage._table.find("a")
    row = attrs.evolve(record.row, status="running", recoveries=1)
    storage._table._records[row.pk] = attrs.evolve(record, row=row)
    shown: list[object] = []
    commit = storage.commit

    def looking(group):
        shown.extend(value for one in group for _, value in getattr(one, "values", ()))
        return commit(group)

    monkeypatch.setattr(storage, "commit", looking)
    # It is healthy at once, and that is written in the middle of the replay.
    config = RuntimeConfig(healthy_after=0)
    async with open_claw_runtime(storage, workflows=[run], config=config) as runtime:
        await trio.sleep(100)
        assert await runtime.value("a", "x") == 199
    assert set(shown) == {b"199"}


async def test_a_value_whose_commit_has_failed_is_set_by_the_next_life(open_claw_runtime):
    """Storage is opened again, and the workflow comes back to the same place."""

    class Failing(MemoryStorage):
        broken = True

        def commit(self, group):
            if self.broken and any(getattr(one, "values", ()) for one in group):
                self.broken = False
                raise OutcomeUnknownError(self.where, "an I/O error")
            return super().commit(group)

    storage = Failing()
    async with open_claw_runtime(storage, workflows=[counting]) as runtime:
        handle = await runtime.start(counting, 2, id="a")
        assert await handle.wait_value("progress", Progress) == Progress(0, 2)
        await handle.result()
        assert await handle.value("progress", Progress) == Progress(2, 2)
    assert not storage.broken


async def test_a_retry_shows_what_it_comes_to(open_claw_runtime, storage):
    """The last commit counts, not the last number."""

    @task
    async def fragile() -> None:
        if broken:
            raise ValueError("no")

    @workflow
    async def run(ctx: Context) -> None:
        ctx.set_value("x", "begun")
        try:
            await ctx.run(fragile)
        except TaskFailedError:
            ctx.set_value("x", "failed")
            raise
        ctx.set_value("y", "done")

    broken = [True]
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        with pytest.raises(WorkflowFailedError):
            await handle.result()
        assert await handle.values() == {"x": "failed"}
        broken.clear()
        await handle.retry()
        await handle.result()
        assert await handle.values() == {"x": "begun", "y": "done"}


async def test_a_value_is_checked(open_claw_runtime, storage):
    """Key and value when it is set, key and type when it is read."""

    @workflow
    async def run(ctx: Context) -> None:
        for key, value, error in (
            ("", 1, InvalidInputError),
            ("/reply/x", 1, InvalidInputError),
            ("x", object(), SerializationError),
            ("x", "a" * 2_000_000, PayloadTooLargeError),
        ):
            with pytest.raises(error):
                ctx.set_value(key, value)

        async def child(_: Context) -> None:
            with pytest.raises(ContextMisuseError):
                ctx.set_value("x", 1)

        async with ctx.open_nursery() as nursery:
            nursery.start_soon(child)
        ctx.set_value("x", "text")

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await handle.result()
        with pytest.raises(SerializationError, match="value 'x' of workflow 'a'"):
            await handle.value("x", int)
        for wrong in (runtime.value, runtime.wait_value):
            with pytest.raises(InvalidInputError):
                await wrong("a", "")
        with pytest.raises(NotFoundError) as caught:
            await handle.value("y")
        assert (caught.value.kind, caught.value.id) == ("value", "y")
        with pytest.raises(NotFoundError):
            await runtime.values("nobody")
        runtime.close()
        with pytest.raises(RuntimeClosedError):
            await handle.values()


async def test_a_sealed_instance_sets_nothing(open_claw_runtime, storage):
    """What its clean-up says when the runtime closes is not recorded."""

    @workflow
    async def run(ctx: Context) -> None:
        try:
            await ctx.sleep(100)
        finally:
            try:
                ctx.set_value("x", 1)
            except InstanceSealed:
                refused.append(True)

    refused: list[bool] = []
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await wait_all_tasks_blocked()
    assert refused == [True]
    assert storage._table.find("a").values == {}


# -- dead letters --------------------------------------------------------------------------------------


async def test_dead_letters_can_be_read_page_by_page(open_claw_runtime, storage):
    """With reason and payload, also after the workflow's end."""

    @workflow
    async def run(ctx: Context) -> int:
        return await ctx.receive("x", int)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        for payload in ("a", {"b": 1}, None, 7):
            await handle.send("x", payload)
        assert await handle.result() == 7
        first = await handle.dead_letters(limit=2)
        assert [(one.topic, one.payload) for one in first] == [("x", "a"), ("x", {"b": 1})]
        assert "expected int, got str" in first[0].reason
        [last] = await runtime.dead_letters("a", after=first[-1].number)
        assert (last.payload, last.at) == (None, pytest.approx(first[0].at, abs=1))
        for wrong in ({"after": -1}, {"limit": 0}, {"limit": True}):
            with pytest.raises(InvalidInputError):
                await handle.dead_letters(**wrong)
        with pytest.raises(NotFoundError):
            await runtime.dead_letters("nobody")
