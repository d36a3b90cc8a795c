"""Dying before, inside and after every commit of parents and children changes nothing."""

# flake8: noqa: ASYNC102 - the linter does not know that ctx.shield() shields

from __future__ import annotations

import contextlib

import pytest
import trio

from claw_actors import Context, Restart, WorkflowFailure, WorkflowFilter, task, workflow
from claw_actors.errors import (
    ClawError,
    DuplicateKeyError,
    WorkflowCancelledError,
    WorkflowClosedError,
    WorkflowFailedError,
)
from claw_actors.testing import explore


@task
async def lasting(seconds: float, value: int = 0) -> int:
    await trio.sleep(seconds)
    return value


@task
async def failing(seconds: float) -> int:
    await trio.sleep(seconds)
    raise ValueError("always")


@workflow
async def leaf(ctx: Context, value: int) -> int:
    await ctx.sleep(value)
    return await ctx.run(lasting, 1, value)


@workflow
async def refusing(ctx: Context) -> None:
    await ctx.run(lasting, 1)
    raise WorkflowFailure("no")


@task
async def hanging() -> int:
    await trio.sleep_forever()
    return 0


@workflow
async def lingering(ctx: Context) -> int:
    """Last for ever; cancelled, clean up."""
    try:
        return await ctx.run(hanging)
    finally:
        async with ctx.shield():
            await ctx.run(lasting, 2)


@workflow
async def pairs(ctx: Context) -> list[int]:
    """Two side by side, one after them."""
    first = await ctx.start_child(leaf, 3)
    second = await ctx.start_child(leaf, 2)
    return [await second.result(), await first.result(), await ctx.run_child(leaf, 1)]


@workflow
async def middle(ctx: Context, value: int) -> int:
    handle = await ctx.start_child(leaf, value)
    return await ctx.run(lasting, 1, 10) + await handle.result()


@workflow
async def tree(ctx: Context) -> int:
    """Three levels; the contexts of a nursery start children of their own."""
    found: list[int] = []

    async def branch(ctx: Context, value: int) -> None:
        found.append(await ctx.run_child(middle, value))

    async with ctx.open_nursery() as nursery:
        nursery.start_soon(branch, 1)
        nursery.start_soon(branch, 2)
    return sum(found)


@workflow
async def caught(ctx: Context) -> list[str]:
    """What children end with is seen, and taken ids are."""
    seen: list[str] = []
    refused = await ctx.start_child(refusing)
    cancelled = await ctx.start_child(lingering)
    await ctx.start_child(leaf, 1, id="taken")
    try:
        await ctx.start_child(leaf, 2, id="taken")
    except DuplicateKeyError as error:
        seen.append(str(error.differs))
    try:
        await refused.result()
    except WorkflowFailedError as error:
        seen.append(error.error.message)
    await cancelled.cancel("enough")
    try:
        await cancelled.result()
    except WorkflowCancelledError as error:
        seen.append(str(error.reason))
    return seen


@workflow
async def unnoticed(ctx: Context) -> str:
    """A child fails that nobody asks for, and takes another one with it."""
    await ctx.start_child(lingering, id="other")
    await ctx.start_child(refusing, id="refusing")
    return "done"


@workflow
async def failing_parent(ctx: Context) -> None:
    """Its failure cancels those it waits for, and those of theirs; not the abandoned one."""
    await ctx.start_child(failing_middle, id="middle")
    await ctx.start_child(lingering, id="cancelled", on_parent_close="cancel")
    await ctx.start_child(leaf, 9, id="left", on_parent_close="abandon")
    await ctx.run(failing, 3)


@workflow
async def failing_middle(ctx: Context) -> None:
    await ctx.run_child(lingering, id="bottom")


@workflow
async def returning(ctx: Context) -> str:
    """Its return waits for one, and cancels another."""
    await ctx.start_child(leaf, 5, id="waited")
    await ctx.start_child(lingering, id="cancelled", on_parent_close="cancel")
    await ctx.start_child(leaf, 20, id="left", on_parent_close="abandon")
    return "done"


@workflow
async def limited(ctx: Context) -> str:
    """The child of a block that was cut short is cancelled, and waited for."""
    with ctx.move_on_after(5) as scope:
        await ctx.run_child(lingering, id="child")
    return f"{scope.cancelled_caught} {await ctx.run(lasting, 1, 7)}"


@workflow(restart=Restart(max_restarts=5, initial=0.1))
async def crashing(ctx: Context) -> int:
    """A mistake in every other life, while a child runs."""

    async def fragile(ctx: Context) -> None:
        await ctx.run(lasting, 1)
        if ctx.attempt % 2:
            raise ValueError("a bug")

    async def branch(ctx: Context) -> None:
        found.append(await ctx.run_child(leaf, 4))

    found: list[int] = []
    async with ctx.open_nursery() as nursery:
        nursery.start_soon(branch)
        nursery.start_soon(fragile)
    return found[0]


ALL = [
    leaf, refusing, lingering, pairs, middle, tree, caught, unnoticed, failing_parent, failing_middle,
    returning, limited, crashing,
]  # fmt: skip


async def ended(runtime) -> list[tuple[str, str, str | None]]:
    """Wait until everything has ended; return how."""
    while True:
        page = await runtime.list(WorkflowFilter(limit=1_000))
        if all(one.status.is_terminal for one in page.items):
            return sorted((one.name, one.status.value, one.reason) for one in page.items)
        await trio.sleep(1)


def scenario(parent):
    """Start a workflow, and tell how it and all others have ended."""

    async def play(runtime):
        handle = await runtime.start(parent, id="a")
        try:
            result = await handle.result()
        except ClawError as error:
            result = str(error)
        return result, await ended(runtime)

    return play


@pytest.mark.parametrize(
    "parent",
    [
        *(pytest.param(one, marks=pytest.mark.slow) for one in (tree, failing_parent, returning)),
        *(pairs, caught, unnoticed, limited, crashing),
    ],
    ids=lambda workflow: workflow.name,
)
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_families_survive_every_crash(parent, seed):
    """The result is what it would have been, and so is the end of everyone."""
    explored = explore(scenario(parent), workflows=ALL, seeds=[seed])
    assert explored.crashes > 10


@workflow
async def stem(ctx: Context) -> None:
    """Three levels that last for ever; one that was abandoned."""
    await ctx.start_child(leaf, 1, id="left", on_parent_close="abandon")
    await ctx.start_child(failing_middle, id="middle")
    await ctx.start_child(lingering, id="cancelled", on_parent_close="cancel")
    await ctx.run_child(lingering, id="waited")


@pytest.mark.slow
def test_a_cancellation_goes_down_the_tree_over_every_crash(is_long):
    """All are cancelled, and have cleaned up; but the one that was abandoned."""

    async def play(runtime):
        handle = await runtime.start(stem, id="a")
        while len((await runtime.list(WorkflowFilter(name="lingering"))).items) < 3:  # noqa: ASYNC110
            await trio.sleep(1)
        with contextlib.suppress(WorkflowClosedError):
            await handle.cancel("enough")
        with contextlib.suppress(WorkflowCancelledError):
            await handle.result()
        return await ended(runtime)

    explore(play, workflows=[*ALL, stem], seeds=range(2 if is_long else 1))
