"""Pruning what has ended: by hand, by the runtime itself, and beside those who still ask."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest
import trio

from claw_actors import (
    Context,
    PruneReport,
    Retention,
    Runtime,
    RuntimeConfig,
    SQLiteStorage,
    Status,
    WorkflowFilter,
    examine,
    open_runtime,
    workflow,
)
from claw_actors._runtime import pruning
from claw_actors._runtime.pruning import Place, would_go
from claw_actors.errors import (
    DuplicateKeyError,
    HistoryPrunedError,
    InvalidInputError,
    NotFoundError,
    RuntimeClosedError,
    StorageUnavailableError,
    WorkflowFailure,
)
from claw_actors.testing import explore


@workflow
async def short(ctx: Context, value: int) -> int:
    await ctx.sleep(1)
    return value


@workflow
async def failing(ctx: Context) -> None:
    raise WorkflowFailure("no")


@workflow
async def parent(ctx: Context) -> int:
    first = await ctx.start_child(short, 1, id="child")
    total = await first.result()
    await ctx.receive("go", bool)
    return total


@workflow
async def starter(ctx: Context) -> str:
    try:
        await ctx.start_child(short, 1, id="pruned")
    except DuplicateKeyError as error:
        return type(error).__name__
    return "started"


ALL = [short, failing, parent, starter]


async def ids(runtime: Runtime) -> set[str]:
    return {state.id for state in (await runtime.list(WorkflowFilter(limit=1_000))).items}


async def start_all(runtime: Runtime, *names: str) -> None:
    for name in names:
        await (await runtime.start(short, 1, id=name)).result()


async def test_what_ended_long_ago_goes(open_claw_runtime, storage):
    """And is told, some at a time."""
    async with open_claw_runtime(storage, workflows=ALL) as runtime:
        await start_all(runtime, "old")
        await trio.sleep(100)
        await start_all(runtime, "new")
        told: list[str] = []
        dry = await runtime.prune(older_than=50, dry_run=True, on_pruned=told.extend)
        assert (dry, told) == (PruneReport(pruned=1, dry_run=True), ["old"])
        assert await ids(runtime) == {"old", "new"}
        assert await runtime.prune(older_than=50) == PruneReport(pruned=1)
        assert await ids(runtime) == {"new"}


async def test_status_name_and_number_say_what_goes(open_claw_runtime, storage):
    """All conditions hold together."""
    async with open_claw_runtime(storage, workflows=ALL) as runtime:
        await start_all(runtime, "a", "b", "c")
        await runtime.start(failing, id="f")
        await trio.sleep(1)
        assert (await runtime.prune(keep=0, status="completed", name="failing")).pruned == 0
        assert (await runtime.prune(keep=2, status=[Status.COMPLETED], name=["short"])).pruned == 1
        assert await ids(runtime) == {"b", "c", "f"}
        assert (await runtime.prune(older_than=0, status="failed")).pruned == 1
        assert (await runtime.prune(older_than=0)).pruned == 2


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({}, "older_than"),
        ({"older_than": -1}, "older_than"),
        ({"keep": 1.5}, "keep"),
        ({"keep": 1, "status": "running"}, "status"),
    ],
)
async def test_what_makes_no_sense_is_refused(open_claw_runtime, storage, wrong, field):
    """Above all a prune of everything that does not say so."""
    async with open_claw_runtime(storage, workflows=ALL) as runtime:
        with pytest.raises(InvalidInputError) as caught:
            await runtime.prune(**wrong)
        assert caught.value.field == field


async def test_a_pruned_id_is_not_used_again_unawares(open_claw_runtime, storage):
    """By nobody: a start, a child, a fork; and it is used again on purpose."""
    async with open_claw_runtime(storage, workflows=ALL) as runtime:
        await start_all(runtime, "pruned", "other")
        await runtime.prune(keep=1)
        with pytest.raises(HistoryPrunedError) as same:
            await runtime.start(short, 1, id="pruned")
        assert (same.value.status, same.value.differs) == ("completed", ())
        with pytest.raises(HistoryPrunedError) as differs:
            await runtime.start(short, 2, id="pruned", on_existing="raise")
        assert differs.value.differs == ("arguments",)
        assert await (await runtime.start(starter)).result() == "HistoryPrunedError"
        with pytest.raises(NotFoundError, match="its history was pruned at"):
            await runtime.get("pruned")
        again = await runtime.start(short, 5, id="pruned", on_existing="replace_closed")
        assert await again.result() == 5


@pytest.mark.parametrize("how", ["prune", "delete"])
async def test_a_handle_never_returns_the_result_of_a_namesake(open_claw_runtime, storage, how):
    """It means the workflow that it was made for."""
    async with open_claw_runtime(storage, workflows=ALL) as runtime:
        await start_all(runtime, "a")
        handles = [await runtime.get("a"), await runtime.start(short, 1, id="a")]
        if how == "prune":
            await runtime.prune(older_than=0)
        else:
            await runtime.delete("a")
        new = await runtime.start(short, 2, id="a", on_existing="replace_closed")
        assert await new.result() == 2
        assert await runtime.result("a") == 2
        for handle in handles:
            with pytest.raises(NotFoundError):
                await handle.result()


async def test_a_family_goes_when_all_of_it_has_ended(open_claw_runtime, storage):
    """A child stays with a parent that goes on."""
    async with open_claw_runtime(storage, workflows=ALL) as runtime:
        handle = await runtime.start(parent, id="parent")
        await trio.sleep(10)
        assert (await runtime.prune(older_than=0)).pruned == 0
        await handle.send("go", True)
        assert await handle.result() == 1
        assert (await runtime.prune(older_than=0)).pruned == 2


async def test_long_journals_and_many_windows_are_pruned_in_pieces(
    open_claw_runtime, storage, monkeypatch
):
    """Each piece is small; nothing is left of any."""
    monkeypatch.setattr(pruning, "WINDOW", 2)
    monkeypatch.setattr(pruning, "FAMILIES", (1, 1))
    monkeypatch.setattr(pruning, "PIECE", 1)
    async with open_claw_runtime(storage, workflows=ALL) as runtime:
        await start_all(runtime, "a", "b", "c", "d", "e")
        assert (await runtime.prune(keep=1)).pruned == 4
        assert await ids(runtime) == {"e"}


async def test_what_does_not_fit_into_a_commit_goes_with_the_next(
    open_claw_runtime, storage, monkeypatch
):
    """Nothing of it is touched before."""
    monkeypatch.setattr(pruning, "FAMILIES", (10, 10))
    monkeypatch.setattr(pruning, "PIECE", 7)
    async with open_claw_runtime(storage, workflows=ALL) as runtime:
        await start_all(runtime, *"abcdefgh")
        before = runtime.statistics().storage
        assert (await runtime.prune(keep=1)).pruned == 7
        after = runtime.statistics().storage
        assert after.operations - before.operations == 5  # four with two of three entries; space
        assert await ids(runtime) == {"h"}


async def test_a_closed_runtime_prunes_nothing(open_claw_runtime, storage):
    """Neither at once nor step by step."""
    async with open_claw_runtime(storage, workflows=ALL) as runtime:
        runtime.close()
        with pytest.raises(RuntimeClosedError):
            await runtime.prune(keep=0)
        rule = pruning.rule_of(0.0, older_than=0, keep=None)
        with pytest.raises(RuntimeClosedError):
            await runtime.prune_some(rule, Place())


# -- the runtime's own --------------------------------------------------------------------------


async def test_a_runtime_prunes_by_itself(open_claw_runtime, storage):
    """At the start, and after each interval; failed ones only if that is said."""
    async with open_claw_runtime(storage, workflows=ALL) as runtime:
        await start_all(runtime, "a")
        await runtime.start(failing, id="f")
        await trio.sleep(5)
    retention = Retention(older_than=1, failed=False, interval=50, remember_ids=200)
    config = RuntimeConfig(retention=retention)
    async with open_claw_runtime(storage, workflows=ALL, config=config) as runtime:
        await trio.sleep(1)
        assert await ids(runtime) == {"f"}
        await start_all(runtime, "b")
        with pytest.raises(HistoryPrunedError):
            await runtime.start(short, 1, id="a")
        await trio.sleep(60)
        assert await ids(runtime) == {"f"}
        await trio.sleep(300)  # by now the ids are forgotten
        assert await (await runtime.start(short, 1, id="a")).result() == 1


async def test_ids_alone_can_be_forgotten(open_claw_runtime, storage, monkeypatch):
    """Nothing else is pruned then."""
    async with open_claw_runtime(storage, workflows=ALL) as runtime:
        await start_all(runtime, "a", "b", "kept")
        await runtime.prune(keep=1)
    monkeypatch.setattr(pruning, "IDS", 1)
    config = RuntimeConfig(retention=Retention(remember_ids=0))
    async with open_claw_runtime(storage, workflows=ALL, config=config) as runtime:
        await trio.sleep(1)
        await start_all(runtime, "a", "b")
        assert await ids(runtime) == {"a", "b", "kept"}


async def test_a_failure_is_logged_and_tried_again(open_claw_runtime, storage, monkeypatch, caplog):
    """It ends nothing."""
    config = RuntimeConfig(retention=Retention(keep=0))
    troubles = [StorageUnavailableError("memory", "it is full")]
    working = storage.list_ended

    def list_ended(before_pk, limit):
        if troubles:
            raise troubles.pop()
        return working(before_pk, limit)

    monkeypatch.setattr(storage, "list_ended", list_ended)
    async with open_claw_runtime(storage, workflows=ALL, config=config) as runtime:
        await start_all(runtime, "a")
        await trio.sleep(61)
        assert await ids(runtime) == set()
    assert "nothing was pruned, in 60 s again" in caplog.text


# -- crashes --------------------------------------------------------------------------------------


@workflow
async def at_once(ctx: Context, value: int) -> int:
    return value


async def ended_and_pruned(runtime: Runtime) -> object:
    """Have two end, and prune all but one."""
    for number in range(2):
        with contextlib.suppress(HistoryPrunedError):  # in an earlier life
            await (await runtime.start(at_once, number, id=f"w{number}")).result()
    await runtime.prune(keep=1)
    assert await ids(runtime) == {"w1"}
    with pytest.raises(HistoryPrunedError):
        await runtime.start(at_once, 0, id="w0")
    return "pruned"


@pytest.mark.parametrize("piece", [1, pytest.param(2_000, marks=pytest.mark.slow)])
def test_a_crash_anywhere_leaves_nothing_half_pruned(monkeypatch, piece):
    """Before, inside and after every commit: it is there, or its id is remembered."""
    monkeypatch.setattr(pruning, "PIECE", piece)
    report = explore(ended_and_pruned, workflows=[at_once])
    assert report.crashes > 2 * report.commits


# -- on disk --------------------------------------------------------------------------------------


def size(path: Path) -> int:
    return path.stat().st_size


@workflow
async def large(ctx: Context, data: str) -> str:
    return data


@pytest.mark.parametrize("giving_s", [0.0, 60.0])
async def test_the_file_gets_smaller_while_it_is_open(tmp_path, monkeypatch, giving_s):
    """Space is given back step by step, and the next idle moment makes the file shorter."""
    monkeypatch.setattr(pruning, "GIVING_S", giving_s)
    monkeypatch.setattr(pruning, "PAGES", 100)
    path = tmp_path / "workflows.db"
    async with open_runtime(path, workflows=[large]) as runtime:
        for number in range(30):
            await (await runtime.start(large, "x" * 50_000, id=f"w{number}")).result()
        await runtime.storage._actor._executor.write(
            runtime.storage._actor.backend._opened().writer._checkpoint
        )
        before = size(path)
        report = await runtime.prune(keep=1)
        assert report.pruned == 29
        assert report.bytes_freed > 2_000_000
        with trio.fail_after(10):
            while size(path) > before - report.bytes_freed:  # noqa: ASYNC110 - a file tells nobody
                await trio.sleep(0.1)
        assert [await ids(runtime)] == [{"w29"}]
    assert (await examine(path)).damage == ()


async def test_what_is_looked_at_is_what_goes(open_claw_runtime, storage):
    """A dry run sees the same."""
    async with open_claw_runtime(storage, workflows=ALL) as runtime:
        await start_all(runtime, "a")
        rule = pruning.rule_of(0.0, older_than=None, keep=0)
        seen = await would_go(runtime.storage._actor, rule, Place())
        assert seen.ids == ("a",)
        assert (await runtime.prune_some(rule, Place())).ids == seen.ids
        assert await ids(runtime) == set()


# -- versions -------------------------------------------------------------------------------------


async def test_a_database_of_the_first_version_is_brought_up_to_date(tmp_path, monkeypatch):
    """With all that is in it, by an owner; a backup of it can be restored."""
    from claw_actors import back_up, restore
    from claw_actors.errors import StorageVersionError
    from claw_actors.storage.sqlite import schema, transaction

    path = tmp_path / "old.db"
    with monkeypatch.context() as old:
        old.setattr(schema, "_MIGRATIONS", schema._MIGRATIONS[:1])
        old.setattr(schema, "SCHEMA_VERSION", 1)
        old.setattr(transaction, "find_remembered", lambda *of: None)
        async with open_runtime(path, workflows=ALL) as runtime:
            await (await runtime.start(short, 7, id="a")).result()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT schema, min_reader FROM claw_meta").fetchone() == (1, 1)
    connection.close()
    with pytest.raises(StorageVersionError, match="open it with a runtime"):
        SQLiteStorage.visiting(path).open()
    assert (await examine(path)).schema_version == 1
    await back_up(path, tmp_path / "copy.db")
    await restore(tmp_path / "copy.db", tmp_path / "new.db")
    for one in (path, tmp_path / "new.db"):
        async with open_runtime(one, workflows=ALL) as runtime:
            assert await (await runtime.get("a")).result() == 7
            assert (await runtime.prune(keep=0)).pruned == 1
            with pytest.raises(HistoryPrunedError):
                await runtime.start(short, 7, id="a")
        report = await examine(one)
        assert (report.schema_version, report.damage) == (2, ())


async def test_it_pauses_for_those_who_write(
    open_claw_runtime, storage, monkeypatch, autojump_clock
):
    """As long as a commit has taken; where nobody writes, hardly at all."""
    monkeypatch.setattr(pruning, "FAMILIES", (1, 1))
    pauses: list[float] = []
    sleep, commit = trio.sleep, storage.commit

    async def noted_sleep(seconds):
        pauses.append(seconds)
        await sleep(seconds)

    def slow_commit(group):
        autojump_clock.jump(2.0)
        return commit(group)

    async with open_claw_runtime(storage, workflows=ALL) as runtime:
        await start_all(runtime, *"abcde")
        monkeypatch.setattr(storage, "commit", slow_commit)
        with monkeypatch.context() as patch:
            patch.setattr(pruning.trio, "sleep", noted_sleep)
            await runtime.prune(keep=3)
            # Others have written before the first one.
            assert pauses == [2.0, pruning.SHORTEST_PAUSE_S]
            await start_all(runtime, "f")
            await runtime.prune(keep=3)
            assert pauses[-1] == 2.0
