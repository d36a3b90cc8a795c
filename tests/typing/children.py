"""What type checkers must know of child workflows; checked, never run."""

from __future__ import annotations

from typing import Literal, assert_type

import attrs

from claw_actors import ChildHandle, Context, WorkflowHandle, WorkflowPage, workflow


@attrs.frozen
class Parcel:
    weight: float


@workflow
async def pack(ctx: Context, order: str, count: int) -> Parcel:
    raise NotImplementedError


@workflow
async def nightly(ctx: Context) -> None:
    raise NotImplementedError


@workflow
async def results(ctx: Context, on_close: Literal["wait", "cancel", "abandon"]) -> None:
    handle = await ctx.start_child(pack, "a", 1, id="x", metadata={"k": "v"}, description="text")
    assert_type(handle, ChildHandle[Parcel])
    assert_type(handle.id, str)
    assert_type(await handle.result(), Parcel)
    assert_type(await ctx.run_child(pack, "a", 1, on_parent_close=on_close), Parcel)
    await ctx.run_child(nightly, on_parent_close="abandon")
    assert_type(await ctx.start_child(nightly, on_parent_close="cancel"), ChildHandle[None])
    await handle.send("topic", {"any": 1}, idempotency_key="k")
    await handle.cancel("enough")
    other: ChildHandle[object] = handle
    assert_type(other.id, str)


async def from_outside(handle: WorkflowHandle[Parcel]) -> None:
    assert_type(await handle.children(), WorkflowPage)


async def refused(ctx: Context) -> None:
    await ctx.start_child(pack, "a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await ctx.start_child(pack, 1, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await ctx.run_child(pack, "a", 1, on_parent_close="stop")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
