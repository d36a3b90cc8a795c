"""Reading what was recorded of a workflow: every entry once, in order, page by page."""

from __future__ import annotations

import pytest

from claw_actors import (
    Context,
    EntryKind,
    EntryStatus,
    Retry,
    TaskFailedError,
    WorkflowFailure,
    errors,
    open_client,
    open_runtime,
    task,
    workflow,
)


@task
async def weigh(item: str) -> int:
    return len(item)


@task(retry=Retry(max_attempts=1))
async def lift(item: str) -> int:
    raise ValueError(f"{item} is too heavy")


@workflow
async def part(ctx: Context, fails: bool) -> str:
    if fails:
        raise WorkflowFailure("broken on the way")
    return "whole"


@workflow
async def ship(ctx: Context, item: str) -> str:
    """Do one of everything that leaves an entry."""
    await ctx.run(weigh, item)
    try:
        await ctx.run(lift, item)
    except TaskFailedError:
        await ctx.sleep(60)
    try:
        await ctx.send("nobody", "topic", 1)
    except errors.NotFoundError:
        await ctx.run_child(part, False, id="whole")
    try:
        await ctx.run_child(part, True, id="broken")
    except errors.WorkflowFailedError:
        with ctx.move_on_after(10):
            await ctx.receive("never")
    return await ctx.receive("address", str)


@workflow
async def counting(ctx: Context, number: int) -> int:
    await ctx.run(weigh, "abc")
    if number:
        await ctx.continue_as_new(number - 1)
    return number


async def read_all(handle, limit):
    found = []
    while page := await handle.history(after=found[-1] if found else None, limit=limit):
        assert len(page) <= limit
        found += page
    return found


async def test_every_kind_of_entry_is_read_with_its_value_or_error(open_claw_runtime, storage):
    """Outcomes as JSON, failures as records, whoever has written them."""
    async with open_claw_runtime(storage, workflows=[ship, part]) as runtime:
        handle = await runtime.start(ship, "anvil", id="a")
        await handle.send("address", "Ulm")
        assert await handle.result() == "Ulm"
        found = await read_all(handle, 1_000)
    assert [(one.op, one.kind, one.status) for one in found] == [
        ("", EntryKind.START, EntryStatus.OK),
        ("/message", EntryKind.MESSAGE, EntryStatus.OK),
        ("weigh", EntryKind.TASK, EntryStatus.OK),
        ("lift", EntryKind.TASK, EntryStatus.FAILED),
        ("sleep", EntryKind.TIMER, EntryStatus.OK),
        ("send", EntryKind.SEND, EntryStatus.FAILED),
        ("part", EntryKind.CHILD, EntryStatus.OK),
        ("/child", EntryKind.CHILD_END, EntryStatus.OK),
        ("part#2", EntryKind.CHILD, EntryStatus.OK),
        ("/child", EntryKind.CHILD_END, EntryStatus.FAILED),
        ("move_on_after", EntryKind.TIMEOUT, EntryStatus.OK),
        ("/end", EntryKind.END, EntryStatus.OK),
    ]
    values = [{"item": "anvil"}, "Ulm", 5, None, None, None, ["whole", "wait"], "whole"]
    assert [one.value for one in found] == [*values, ["broken", "wait"], None, None, "Ulm"]
    messages = {one.op: one.error.message for one in found if one.error is not None}
    assert messages == {
        "lift": "anvil is too heavy",
        "send": "no workflow has the id 'nobody'",
        "/child": "broken on the way",
    }
    assert [one.place for one in found] == [(1, n) for n in range(len(found))]


@pytest.mark.parametrize("limit", [1, 3, 1_000])
async def test_a_history_comes_in_pages(open_claw_runtime, storage, limit):
    """None is repeated and none is missed, wherever pages end."""
    async with open_claw_runtime(storage, workflows=[ship, part]) as runtime:
        handle = await runtime.start(ship, "anvil", id="a")
        await handle.send("address", "Ulm")
        await handle.result()
        assert [one.n for one in await read_all(handle, limit)] == list(range(12))


async def test_who_reads_on_after_a_run_goes_on_with_the_next(open_claw_runtime, storage):
    """The entries of a run that has ended are dropped."""
    async with open_claw_runtime(storage, workflows=[counting]) as runtime:
        handle = await runtime.start(counting, 0, id="a")
        await handle.result()
        [*_, last] = await handle.history()
        later = await runtime.start(counting, 2, id="b")
        await later.result()
        found = await later.history(after=last)
    assert [(one.run, one.n, one.value) for one in found] == [
        *((3, 0, {"number": 0}), (3, 1, 3), (3, 2, 0)),
    ]


@pytest.mark.parametrize("limit", [0, 1_001, True])
async def test_an_impossible_page_is_refused(open_claw_runtime, storage, limit):
    """As with all other lists."""
    async with open_claw_runtime(storage, workflows=[counting]) as runtime:
        handle = await runtime.start(counting, 0, id="a")
        with pytest.raises(errors.InvalidInputError):
            await handle.history(limit=limit)


async def test_nobody_has_no_history(open_claw_runtime, storage):
    """That is not an empty one."""
    async with open_claw_runtime(storage, workflows=[counting]) as runtime:
        handle = await runtime.start(counting, 0, id="a")
        await handle.result()
        await handle.delete()
        with pytest.raises(errors.NotFoundError):
            await handle.history()


@workflow
async def picky(ctx: Context) -> int:
    return await ctx.receive("number", int)


async def test_a_client_reads_the_same_beside_the_owner_and_after_it(tmp_path):
    """Entries and dead letters, from the file alone."""
    path = tmp_path / "claw.db"
    async with open_runtime(path, workflows=[picky]) as runtime:
        handle = await runtime.start(picky, id="a")
        await handle.send("number", "one")
        await handle.send("number", 1)
        await handle.result()
        entries, letters = await handle.history(), await handle.dead_letters()
        async with open_client(path) as client:
            assert await client.history("a") == entries
            assert await client.dead_letters("a") == letters
    assert len(entries) == 5
    assert [one.payload for one in letters] == ["one"]
    async with open_client(path, keep_open=True) as client:
        assert await client.history("a", after=entries[0], limit=2) == entries[1:3]
        assert await client.dead_letters("a", after=letters[0].number) == ()
        with pytest.raises(errors.NotFoundError):
            await client.history("nobody")
