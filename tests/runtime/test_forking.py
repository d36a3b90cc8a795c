"""Forking: a new workflow from another one's past."""

from __future__ import annotations

import pytest
import trio

from claw_actors import (
    Context,
    Restart,
    Status,
    TaskFailedError,
    task,
    task_info,
    workflow,
)
from claw_actors._runtime.sequencer import Sequencer
from claw_actors.errors import (
    DuplicateKeyError,
    InvalidInputError,
    InvalidTransitionError,
    NotFoundError,
    RuntimeClosedError,
    UnknownWorkflowError,
    WorkflowCancelledError,
    WorkflowFailedError,
    WorkflowQuarantinedError,
)

keys: list[tuple[str, str]] = []


@task
async def note(step: str) -> str:
    keys.append((step, task_info().idempotency_key))
    await trio.sleep(1)
    return step


@workflow
async def steps(ctx: Context, prefix: str) -> list[str]:
    done = [await ctx.run(note, f"{prefix}{n}") for n in range(3)]
    return [*done, str(ctx.random.random())]


@pytest.fixture(autouse=True)
def _fresh_keys():
    keys.clear()


async def test_what_was_before_the_task_is_taken_over_and_the_rest_is_done_anew(
    open_claw_runtime, storage
):
    """With keys of its own; labels, input and random numbers are those of the origin."""
    async with open_claw_runtime(storage, workflows=[steps]) as runtime:
        handle = await runtime.start(
            steps, "s", id="a", metadata={"tenant": "x"}, description="first"
        )
        result = await handle.result()
        fork = await handle.fork(at="note#2", new_id="b")
        assert fork.id == "b"
        assert await fork.result() == result
        assert [step for step, _ in keys] == ["s0", "s1", "s2", "s1", "s2"]
        assert len({key for _, key in keys}) == 5
        state, origin = await fork.state(), await handle.state()
        assert (state.forked_from, origin.forked_from) == ("a", None)
        assert (state.metadata, state.description) == ({"tenant": "x"}, "first")
        assert (state.input, state.run, state.parent) == (origin.input, 1, None)
        assert len(await handle.tasks()) == len(await fork.tasks()) == 3
        # It is a workflow like any other: it can be attached to, and forked itself.
        await runtime.start(steps, "s", id="b")
        again = await fork.fork(at="note#3")
        assert await again.result() == result
        assert (await again.state()).forked_from == "b"


@pytest.mark.parametrize("at", ["note", "note#2", "note#3"])
async def test_a_running_one_is_forked_and_goes_on(open_claw_runtime, storage, at):
    """It is not disturbed."""

    @workflow
    async def run(ctx: Context) -> int:
        for n in range(3):
            await ctx.run(note, str(n))
        await ctx.sleep(50)
        return 1

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await trio.sleep(10)
        fork = await handle.fork(at=at)
        assert await fork.result() == await handle.result() == 1
        assert runtime.statistics().crashes == 0


async def test_it_works_wherever_the_origin_stands(open_claw_runtime, storage, calls):
    """Failed, quarantined, cancelled, terminated, paused."""
    mended = False

    @task
    async def fragile() -> str:
        if not mended:
            raise ValueError
        return "mended"

    @workflow(restart=Restart(max_restarts=0))
    async def run(ctx: Context, how: str) -> str:
        await ctx.run(note, how)
        if how == "failed":
            return await ctx.run(fragile)
        if how == "quarantined" and not mended:
            raise ValueError
        if not mended:
            await ctx.sleep(1_000_000)
        return "mended"

    hows = ["failed", "quarantined", "cancelled", "terminated", "paused"]
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        for how in hows:
            await runtime.start(run, how, id=how)
        await trio.sleep(5)
        await runtime.cancel("cancelled")
        await runtime.terminate("terminated")
        await runtime.pause("paused")
        for how, error in zip(
            hows,
            (
                WorkflowFailedError,
                WorkflowQuarantinedError,
                WorkflowCancelledError,
                WorkflowCancelledError,
            ),
            strict=False,
        ):
            with pytest.raises(error):
                await runtime.result(how)
        mended = True
        for how in hows:
            at = "fragile" if how == "failed" else "note"
            assert await (await runtime.fork(how, at=at)).result() == "mended"
        assert await runtime.status("paused") is Status.PAUSED


async def test_messages_before_the_task_are_taken_over(open_claw_runtime, storage):
    """Those that were taken, and those that wait; later ones are not."""

    @workflow
    async def run(ctx: Context) -> list[str]:
        first = await ctx.receive("t", str)
        await ctx.run(note, "x")
        with ctx.move_on_after(10):
            return [first, await ctx.receive("t", str), await ctx.receive("t", str)]
        return [first]

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        for text in ("one", "two"):
            await handle.send("t", text)
        await trio.sleep(5)
        await handle.send("t", "three")
        assert await handle.result() == ["one", "two", "three"]
        fork = await handle.fork(at="note")
        assert await fork.result() == ["one"]
        fork = await handle.fork(at="note")
        await fork.send("t", "four")
        assert await fork.result() == ["one", "two", "four"]


async def test_the_past_of_concurrent_code_is_taken_over_in_its_order(
    open_claw_runtime, storage, monkeypatch
):
    """Children, races, time-outs and clean-up: up to its task, each fork does what the origin did."""
    traces: dict[str, list[str]] = {}
    # How long the origin's trace was when each entry was delivered.
    lengths: dict[str, int] = {}
    consume = Sequencer._consume

    def noted(self, entry):
        if self.id == "a":
            lengths.setdefault(entry.op, len(traces["a"]))
        consume(self, entry)

    monkeypatch.setattr(Sequencer, "_consume", noted)

    @task
    async def lasting(seconds: float) -> float:
        await trio.sleep(seconds)
        return seconds

    @task
    async def failing() -> None:
        await trio.sleep(2)
        raise ValueError

    @workflow
    async def run(ctx: Context) -> list[str]:
        seen = traces[ctx.workflow_id] = list[str]()

        async def child(ctx: Context, n: int) -> None:
            try:
                for _ in range(2):
                    await ctx.run(lasting, n)
                    seen.append(f"{n} at {len(seen)}")
                with ctx.move_on_after(n):
                    await ctx.sleep(3)
                    seen.append(f"{n} slept")
            finally:
                async with ctx.shield():
                    await ctx.run(lasting, 1)
                    seen.append(f"{n} clean")

        async def fails(ctx: Context) -> None:
            await ctx.run(lasting, 5)
            await ctx.run(failing)

        try:
            async with ctx.open_nursery() as nursery:
                for n in (1, 2, 3, 4):
                    nursery.start_soon(child, n)
                nursery.start_soon(fails)
        except* TaskFailedError:
            seen.append("failed")
        seen.append(str(await ctx.race(lambda c: c.run(lasting, 2), lambda c: c.run(lasting, 1))))
        return seen

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        result = await handle.result()
        tasks = [state.id for state in await handle.tasks()]
        for n, at in enumerate(tasks):
            fork = await handle.fork(at=at)
            await fork.result()
            assert [state.id for state in await fork.tasks()][:n] == tasks[:n]
            assert traces[fork.id][: lengths[at]] == result[: lengths[at]]
        assert max(lengths.values()) == len(result) - 1
        assert runtime.statistics().crashes == 0


@workflow
async def child(ctx: Context, seconds: float) -> float:
    await ctx.sleep(seconds)
    return seconds


async def test_results_of_children_are_taken_over(open_claw_runtime, storage):
    """Recorded before the task or after it; the children run no second time."""

    @workflow
    async def parent(ctx: Context) -> list[float]:
        quick = await ctx.start_child(child, 1, id="quick")
        slow = await ctx.start_child(child, 20, id="slow")
        first = await quick.result()
        await ctx.run(note, "x")
        return [first, await slow.result()]

    async with open_claw_runtime(storage, workflows=[parent, child]) as runtime:
        handle = await runtime.start(parent, id="a")
        await trio.sleep(10)
        with pytest.raises(InvalidTransitionError, match="its child 'slow' was started before"):
            await handle.fork(at="note")
        assert await handle.result() == [1, 20]
        fork = await handle.fork(at="note")
        assert await fork.result() == [1, 20]
        assert len((await runtime.list()).items) == 4
        assert (await runtime.storage.get_workflow("slow")).parent == "a"


@pytest.mark.parametrize("named", [False, True], ids=["default", "derived"])
async def test_results_are_taken_over_by_the_ids_that_children_were_started_under(
    open_claw_runtime, storage, named
):
    """In the fork, the same code would make up other ones: they derive from that of the workflow."""

    @workflow
    async def parent(ctx: Context) -> tuple[float, str]:
        id = f"{ctx.workflow_id}.child" if named else None
        handle = await ctx.start_child(child, 1, id=id)
        await ctx.run(note, "x")
        return await handle.result(), handle.id

    async with open_claw_runtime(storage, workflows=[parent, child]) as runtime:
        handle = await runtime.start(parent, id="a")
        result = await handle.result()
        fork = await handle.fork(at="note")
        with trio.fail_after(100):
            assert await fork.result() == result


async def test_a_fork_that_fails_leaves_the_children_of_its_origin_alone(
    open_claw_runtime, storage
):
    """They are not its own."""

    @workflow
    async def parent(ctx: Context) -> None:
        await ctx.start_child(child, 500, id="left", on_parent_close="abandon")
        await ctx.run(note, "x")
        if ctx.workflow_id != "a":
            await ctx.run(failing)

    @task
    async def failing() -> None:
        raise ValueError

    async with open_claw_runtime(storage, workflows=[parent, child]) as runtime:
        handle = await runtime.start(parent, id="a")
        await handle.result()
        fork = await handle.fork(at="note")
        with pytest.raises(WorkflowFailedError):
            await fork.result()
        await fork.delete()
        assert await runtime.result("left") == 500


async def test_values_are_what_its_code_sets(open_claw_runtime, storage):
    """Those of before the task come by replay; later ones of the origin are not seen."""

    @workflow
    async def run(ctx: Context) -> None:
        ctx.set_value("stage", "begun")
        await ctx.run(note, "x")
        if ctx.workflow_id == "a":
            ctx.set_value("stage", "later")
        ctx.set_value("end", True)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await handle.result()
        fork = await handle.fork(at="note", new_id="b")
        await fork.result()
        assert await handle.value("stage") == "later"
        assert await fork.value("stage") == "begun"


async def test_what_cannot_be_forked_is_refused(open_claw_runtime, storage):
    """An unknown workflow or task, a taken or impossible id, code that is gone."""
    async with open_claw_runtime(storage, workflows=[steps]) as runtime:
        await (await runtime.start(steps, "s", id="a")).result()
        for id, at in (("nobody", "note"), ("a", "note#9"), ("a", "")):
            with pytest.raises(NotFoundError):
                await runtime.fork(id, at=at)
        with pytest.raises(DuplicateKeyError):
            await runtime.fork("a", at="note", new_id="a")
        with pytest.raises(InvalidInputError):
            await runtime.fork("a", at="note", new_id="no good")
        assert len((await runtime.list()).items) == 1
    with pytest.raises(RuntimeClosedError):
        await runtime.fork("a", at="note")
    async with open_claw_runtime(storage) as runtime:
        with pytest.raises(UnknownWorkflowError):
            await runtime.fork("a", at="note")
