"""Child workflows: started once, waited for, cancelled with their parent, each with a life of its own."""

from __future__ import annotations

import attrs
import trio

from claw_actors import (
    ChildHandle,
    Context,
    Status,
    WorkflowFilter,
    task,
    workflow,
)


@attrs.frozen
class Parcel:
    weight: int


@task
async def lasting(seconds: float, value: int = 0) -> int:
    await trio.sleep(seconds)
    return value


@task
async def failing() -> int:
    raise ValueError("always")


@workflow
async def pack(ctx: Context, weight: int, seconds: float = 1.0) -> Parcel:
    """Take a while, and return something typed."""
    return Parcel(await ctx.run(lasting, seconds, weight))


@workflow
async def break_down(ctx: Context) -> None:
    await ctx.run(failing)


@workflow
async def linger(ctx: Context, seconds: float = 1_000.0) -> int:
    """Last for long; cancelled, take two seconds to clean up."""
    try:
        return await ctx.run(lasting, seconds, 1)
    finally:
        async with ctx.shield():
            await ctx.run(lasting, 2.0)


async def ids_of(runtime, parent):
    page = await runtime.list(WorkflowFilter(parent=parent))
    return [one.id for one in page.items][::-1]


# -- starting -------------------------------------------------------------------------------------


async def test_a_child_runs_and_its_result_comes_back_typed(open_claw_runtime, storage):
    """Started, waited for, and decoded as its function says."""

    @workflow
    async def run(ctx: Context) -> int:
        handle = await ctx.start_child(pack, 3)
        assert isinstance(handle, ChildHandle)
        assert repr(handle) == f"<ChildHandle {handle.id!r} of workflow 'a'>"
        parcel = await handle.result()
        assert isinstance(parcel, Parcel)
        again = await handle.result()
        return parcel.weight + again.weight

    async with open_claw_runtime(storage, workflows=[run, pack]) as runtime:
        handle = await runtime.start(run, id="a")
        assert await handle.result() == 6
        [child] = await ids_of(runtime, "a")
        assert child.startswith("a.pack-")
        state = await runtime.storage.get_workflow(child)
        assert (state.parent, state.status, state.name) == ("a", Status.COMPLETED, "pack")
        assert runtime.statistics().started == 2
