"""What the doctor finds in a file that a runtime has written: nothing, unless it was damaged."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from contextlib import closing

import attrs
import pytest
import trio

from claw_actors import (
    Context,
    Runtime,
    RuntimeConfig,
    Status,
    WorkflowState,
    errors,
    examine,
    open_runtime,
    open_storage,
    task,
    workflow,
)
from claw_actors._core.journal import EntryStatus
from claw_actors._core.offspring import child_note
from claw_actors.storage.operations import Advance, Create, Delete, Trim
from claw_actors.storage.records import RowChange
from claw_actors.storage.sqlite import (
    SQLiteStorage,
    connection,
    diagnosis,
    examination,
    library,
    orphans,
    stuck,
)
from claw_actors.storage.sqlite.lock import owned_since, owner_name
from claw_actors.storage.sqlite.rows import WORKFLOW_COLUMNS, seal
from claw_actors.storage.sqlite.stuck import LATE_S, find_late, find_stuck
from claw_actors.testing.conformance.samples import (
    a_child,
    a_child_entry,
    a_row,
    a_start,
    an_outcome,
)


@task
async def weigh(item: str) -> int:
    return len(item)


@workflow
async def wait_for_word(ctx: Context) -> str:
    ctx.set_value("ready", True)
    return await ctx.receive("word", str)


@workflow
async def tend(ctx: Context) -> str:
    """Start one child of each kind, and one that is soon done; wait for the first."""
    first = await ctx.start_child(wait_for_word, id="awaited")
    await ctx.start_child(wait_for_word, id="bound", on_parent_close="cancel")
    await ctx.start_child(wait_for_word, id="free", on_parent_close="abandon")
    done = await ctx.start_child(wait_for_word, id="soon")
    await done.send("word", "go")
    await done.result()
    ctx.set_value("tends", True)
    return await first.result()


@workflow
async def count_up(ctx: Context, n: int) -> int:
    await ctx.run(weigh, "a" * n)
    child = await ctx.start_child(wait_for_word)
    await child.send("word", "done")
    await child.result()
    if n < 3:
        await ctx.continue_as_new(n + 1)
    ctx.set_value("counted", n)
    return await ctx.receive("more", int)


@workflow
async def sleep_long(ctx: Context) -> None:
    ctx.set_value("asleep", True)
    await ctx.sleep(10_000)


WORKFLOWS = [wait_for_word, tend, count_up, sleep_long]


async def fill(path) -> None:
    """Leave something of everything: children, messages, values, keys, labels, letters, ids."""
    config = RuntimeConfig(control=False, idle_after=0.2)
    async with open_runtime(path, workflows=WORKFLOWS, config=config) as runtime:
        gone = await runtime.start(wait_for_word, id="gone", metadata={"of": "old"})
        await gone.send("word", "now")
        await gone.result()
        await runtime.prune(older_than=0)
        parent = await runtime.start(tend, id="parent", metadata={"of": "new", "to": "all"})
        await parent.wait_value("tends", bool)
        counter = await runtime.start(count_up, 1, id="counter", metadata={"of": "new"})
        await counter.wait_value("counted", int)
        # Not what it waits for: it is put aside.
        await counter.send("more", "a word", idempotency_key="click-1")
        while not await counter.dead_letters():  # noqa: ASYNC110 -- another's state
            await trio.sleep(0.01)
        sleeper = await runtime.start(sleep_long, id="sleeper")
        paused = await runtime.start(sleep_long, id="paused")
        await paused.wait_value("asleep", bool)
        await paused.pause()
        for handle in (parent, counter, sleeper):
            while await handle.status() is not Status.WAITING:  # noqa: ASYNC110 -- another's state
                await trio.sleep(0.01)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Write such a file once; not to be changed."""
    path = tmp_path_factory.mktemp("filled") / "claw.db"
    trio.run(fill, path)
    return path


@pytest.fixture(autouse=True)
def sound(monkeypatch):
    """Read with a version of SQLite that nothing is known to be wrong with."""
    monkeypatch.setattr(diagnosis, "find_bugs", lambda version: ())


@pytest.fixture
def place(filled, tmp_path):
    """Copy that file, to be damaged."""
    shutil.copytree(filled.parent, tmp_path / "here")
    return tmp_path / "here" / "claw.db"


@pytest.fixture
def harm(place):
    """Run statements on the copy."""

    def run(*statements: str) -> None:
        with closing(sqlite3.connect(place, isolation_level=None)) as raw:
            for statement in statements:
                raw.execute(statement)

    return run


def rewrite(place, id, **columns) -> None:
    """Write a row as if it had always said that, its checksum included."""
    names = ", ".join(WORKFLOW_COLUMNS)
    with closing(sqlite3.connect(place, isolation_level=None)) as raw:
        found = raw.execute(f"SELECT {names} FROM claw_workflow WHERE id = ?", (id,)).fetchone()
        values = {**dict(zip(WORKFLOW_COLUMNS, found, strict=True)), **columns}
        del values["crc"]
        crc = seal(tuple(values.values()))
        raw.execute(
            f"REPLACE INTO claw_workflow ({names}) VALUES ({', '.join('?' * (len(values) + 1))})",
            (*values.values(), crc),
        )


def key_of(place, id) -> int:
    with closing(sqlite3.connect(place)) as raw:
        return raw.execute("SELECT pk FROM claw_workflow WHERE id = ?", (id,)).fetchone()[0]


async def look(place, **options):
    report = await examine(place, **options)
    return [(one.kind, one.table, one.example) for one in report.findings]


async def test_a_healthy_file_with_everything_in_it_has_no_findings(place):
    """Though something is in every table."""
    report = await examine(place)
    assert report.findings == ()
    assert report.rows > 40
    with closing(sqlite3.connect(place)) as raw:
        for table in (*(table for table, _ in orphans.TABLES), "claw_tag", "claw_pruned"):
            if table != "claw_task":  # only while something is being repeated
                assert raw.execute(f"SELECT count(*) FROM {table}").fetchone()[0], table


async def test_a_healthy_owner_under_load_has_no_findings(tmp_path):
    """However often one looks, while workflows come, go on, end, are deleted and pruned."""
    path = tmp_path / "busy.db"
    config = RuntimeConfig(control=False)
    finished = trio.Event()
    looks = 0

    async def work(runtime: Runtime) -> None:
        for number in range(8):
            counter = await runtime.start(count_up, 1, id=f"counter-{number}", metadata={"of": "a"})
            await counter.wait_value("counted", int)
            if number % 2:
                await counter.delete(force=True)
            else:
                await counter.terminate()
                await runtime.prune(older_than=0)
        finished.set()

    async with (
        open_runtime(path, workflows=WORKFLOWS, config=config) as runtime,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(work, runtime)
        while not finished.is_set():
            assert (await examine(path)).findings == ()
            looks += 1
    assert looks > 3


class Watched(SQLiteStorage):
    """Examines what a crash after each commit would leave."""

    def __init__(self, path) -> None:
        super().__init__(path)
        self.path = path
        self.images = 0

    def commit(self, group):
        results = super().commit(group)
        image = self.path.with_name("image.db")
        for end in ("", "-wal", ".mark"):
            shutil.copy(f"{self.path}{end}", f"{image}{end}")
        assert diagnosis.diagnose(str(image)).findings == ()
        self.images += 1
        return results


async def test_no_crash_leaves_a_finding(tmp_path):
    """Whatever the last commit was: of a start, an end, a next run, a deletion, a pruning."""
    storage = Watched(tmp_path / "claw.db")
    config = RuntimeConfig(control=False, idle_after=0)
    async with open_runtime(storage, workflows=WORKFLOWS, config=config) as runtime:
        parent = await runtime.start(tend, id="parent", metadata={"of": "new"})
        await parent.wait_value("tends", bool)
        counter = await runtime.start(count_up, 1, id="counter")
        await counter.wait_value("counted", int)
        awaited = await runtime.get("awaited")
        await awaited.send("word", "go", idempotency_key="click-1")
        await parent.result()
        await counter.delete(force=True)
        await runtime.prune(older_than=0)
    assert storage.images > 20


# -- rows without a workflow ------------------------------------------------------------------------


@pytest.mark.parametrize("at_a_time", [1, 5_000])
async def test_rows_without_their_workflow_are_counted_in_each_table(
    place, harm, monkeypatch, at_a_time
):
    """Whatever a workflow had: its row was lost, or somebody has deleted it."""
    monkeypatch.setattr(orphans, "WORKFLOWS_AT_A_TIME", at_a_time)
    pk = key_of(place, "counter")
    harm(
        "DELETE FROM claw_workflow WHERE id = 'counter'",
        f"INSERT INTO claw_task VALUES ({pk}, 3, 'a', 'a', 'retrying', 1, 5, 1, '[]', NULL, NULL, 0)",
    )
    report = await examine(place, quick=False)
    found = {one.table: one for one in report.findings if one.kind == "orphans"}
    assert set(found) == {*(table for table, _ in orphans.TABLES), "claw_tag"}
    assert {one.example for one in found.values()} == {f"pk {pk}"}
    assert all(one.serious for one in found.values())
    assert found["claw_tag"].count == 1
    with closing(sqlite3.connect(place)) as raw:
        for table, one in found.items():
            (rows,) = raw.execute(f"SELECT count(*) FROM {table} WHERE wf = ?", (pk,)).fetchone()
            assert one.count == rows
            assert f"{rows} rows of {table}" in one.what


async def test_a_workflow_that_is_half_deleted_is_not_lost(storage, path):
    """Its row is there, without its id, until all that hung on it is gone."""
    entries = (a_start(), *(an_outcome(f"t{n}") for n in range(5)))
    storage.commit([Create(a_row("big", metadata={"a": "b"}), entries)])
    [deleted] = storage.commit([Delete("big", limit=2)])
    assert not deleted.done
    assert await look(path) == []


async def test_a_run_that_is_half_trimmed_is_not_damaged(storage, path):
    """Entries of earlier runs go in pieces, in any order; nobody reads them."""
    first, second = a_start(), a_start()
    storage.commit([Create(a_row("one"), (first, *(an_outcome(f"t{n}") for n in range(5))))])
    change = RowChange(run=2, run_key="another")
    storage.commit([Advance(1, "one", 0, change=change, continued=(second,))])
    [trimmed] = storage.commit([Trim(1, limit=2)])
    assert not trimmed.done
    report = await examine(path)
    assert (report.damage, report.findings) == ((), ())


async def test_a_journal_ahead_of_its_row_is_damage(place):
    """An older row has come back: its checksum holds, and its journal has gone on."""
    rewrite(place, "counter", run=2)
    report = await examine(place)
    # The entries of the run before were dropped when that ended.
    assert report.damage == (
        "workflow 'counter': its journal is in run 3, and its row still in 2",
        "workflow 'counter': its journal is missing",
    )


# -- workflows that cannot go on ----------------------------------------------------------------------


async def test_an_unfinished_child_without_its_parent_is_a_note(place, harm):
    """Of those that were abandoned, or have ended, nobody has to be told."""
    pk = key_of(place, "parent")
    harm(
        "DELETE FROM claw_workflow WHERE id = 'parent'",
        *(f"DELETE FROM {table} WHERE wf = {pk}" for table, _ in orphans.TABLES),
        f"DELETE FROM claw_tag WHERE wf = {pk}",
    )
    [found] = (await examine(place)).findings
    assert (found.kind, found.serious, found.count, found.example) == (
        "orphaned_child",
        False,
        2,  # the one that was awaited, and the bound one
        "awaited",
    )


async def test_a_child_whose_parent_is_half_deleted_is_told_of_too(storage, path):
    """The row is there, and nobody can hear of anything by it."""
    storage.commit([Create(a_row("parent"), (a_start(), *(an_outcome(f"t{n}") for n in range(5))))])
    storage.commit(
        [Advance(1, "parent", 0, (a_child_entry(),), children=(a_child(parent="parent"),))]
    )
    storage.commit([Delete("parent", limit=1)])
    assert await look(path) == [("orphaned_child", "claw_workflow", "child")]


async def test_a_child_that_was_made_by_hand_misses_nobody(storage, path):
    """No workflow has started it, so none would be told."""
    storage.commit([Create(a_row("parent"), (a_start(),))])
    storage.commit([Create(a_row("child", parent="parent"), (a_start(),))])
    storage.commit([Delete("parent")])
    assert await look(path) == []


async def test_a_parent_whose_child_is_gone_is_stuck(place):
    """Nobody will ever tell it; storage's own delete does not look for parents."""
    async with open_storage(place) as storage:
        await storage.delete_workflow("awaited")
    [found] = (await examine(place)).findings
    assert (found.kind, found.serious, found.example) == ("stuck", True, "parent")
    assert found.what == (
        "workflow 'parent' waits for its child 'awaited', which is not there, and of whose end it"
        " was not told"
    )


async def test_a_parent_that_was_not_told_of_an_end_is_stuck(place, harm):
    """The last entry of a journal can vanish without a gap."""
    async with open_runtime(place, workflows=WORKFLOWS) as runtime:
        handle = await runtime.get("awaited")
        await handle.terminate()
    pk = key_of(place, "parent")
    rewrite(place, "parent", status="waiting", completed_at=None)
    harm(
        f"DELETE FROM claw_journal WHERE wf = {pk}"
        f" AND n >= (SELECT n FROM claw_journal WHERE wf = {pk} AND name = 'awaited')"
    )
    [found] = (await examine(place)).findings
    assert (found.kind, found.example) == ("stuck", "parent")
    assert "'awaited', which is cancelled, and of whose end it was not told" in found.what


@pytest.mark.parametrize("child", ["bound", "free", "soon"])
async def test_a_parent_may_do_without_other_children(place, child):
    """Those that it cancels at its end, that it has abandoned, and of whose end it was told."""
    async with open_storage(place) as storage:
        await storage.delete_workflow(child)
    assert await look(place) == []


@pytest.mark.parametrize("status", ["paused", "quarantined", "failed"])
async def test_a_parent_that_does_not_go_on_anyway_is_not_stuck(place, status):
    """It waits for an operator, or for nobody."""
    rewrite(place, "parent", status=status, wake_at=None)
    async with open_storage(place) as storage:
        await storage.delete_workflow("awaited")
    assert await look(place) == []


async def test_a_child_of_the_same_name_that_is_another_is_left_alone(place):
    """It may yet become what it is not; only what is certain is said."""
    async with open_storage(place) as storage:
        await storage.delete_workflow("awaited")
        state = WorkflowState(id="awaited", name="wait_for_word", status=Status.COMPLETED)
        await storage.create_workflow(state)
    assert await look(place) == []


@pytest.mark.parametrize("what", ["a fork's", "refused", "of the run before"])
async def test_a_child_that_this_run_has_not_started_is_not_waited_for(storage, path, what):
    """Of a fork it is its origin's; one that was refused is none; a run begins after their ends."""
    entry = attrs.evolve(a_child_entry(), life=1, value=child_note("gone", "wait"))
    if what == "a fork's":
        entry = attrs.evolve(entry, life=0)
    if what == "refused":
        entry = attrs.evolve(entry, status=EntryStatus.FAILED)
    storage.commit([Create(a_row("parent"), (a_start(), entry))])
    if what == "of the run before":
        change = RowChange(run=2, run_key="another")
        storage.commit([Advance(1, "parent", 0, change=change, continued=(a_start(),))])
    assert await look(path) == []


async def test_one_that_this_run_has_started_is(storage, path):
    """So the test above can fail."""
    entry = attrs.evolve(a_child_entry(), life=1, value=child_note("gone", "wait"))
    storage.commit([Create(a_row("parent"), (a_start(), entry))])
    assert await look(path) == [("stuck", None, "parent")]


async def test_only_so_many_are_told(place, monkeypatch):
    """More of them say no more."""
    monkeypatch.setattr(stuck, "MOST_STUCK", 1)
    rewrite(place, "counter", status="waiting")
    async with open_storage(place) as storage:
        await storage.delete_workflow("awaited")
    pk = key_of(place, "parent")
    with closing(connection.open_reading(connection.Place(str(place)))) as reading:
        assert len(list(find_stuck(reading, [pk, pk]))) == 1


async def test_a_damaged_note_of_a_child_is_told_once(place, harm):
    """As the damage that it is."""
    pk = key_of(place, "parent")
    harm(f"UPDATE claw_journal SET value = x'7b' WHERE wf = {pk} AND kind = 'child'")
    with closing(connection.open_reading(connection.Place(str(place)))) as reading:
        assert list(find_stuck(reading, [pk])) == []


# -- what is late, what is suspect --------------------------------------------------------------------


def late(place, *, owned_for: float, at: float):
    with closing(connection.open_reading(connection.Place(str(place)))) as reading:
        return list(find_late(reading, at - owned_for, at))


async def test_what_was_due_long_ago_is_late_only_under_an_owner(place):
    """One that has had it all the time; without one it waits for an owner."""
    now = time.time() + 20_000  # the sleep is over since 10,000 s
    assert await look(place) == []
    assert late(place, owned_for=LATE_S - 1, at=now) == []
    [found] = late(place, owned_for=LATE_S, at=now)
    assert (found.kind, found.serious, found.count, found.example) == ("late", False, 1, "sleeper")
    assert late(place, owned_for=LATE_S, at=time.time()) == []


async def test_one_that_has_never_begun_is_late_too(path, storage):
    """Its row has no time; its journal has one."""
    storage.commit([Create(a_row("one", created_at=100.0), (attrs.evolve(a_start(), at=100.0),))])
    assert late(path, owned_for=LATE_S, at=100.0 + LATE_S - 1) == []
    [found] = late(path, owned_for=LATE_S, at=100.0 + LATE_S)
    assert (found.example, found.count) == ("one", 1)


async def test_one_that_was_let_go_on_is_late_since_then(path, storage):
    """Its journal says when that was."""
    row = a_row("one", created_at=100.0)
    entries = (attrs.evolve(a_start(), at=100.0), an_outcome(at=9_000.0))
    storage.commit([Create(row, entries)])
    assert late(path, owned_for=LATE_S, at=9_000.0 + LATE_S - 1) == []
    assert len(late(path, owned_for=LATE_S, at=9_000.0 + LATE_S)) == 1


async def test_one_that_is_not_to_go_on_is_never_late(place):
    """Whatever its row says besides."""
    rewrite(place, "sleeper", status="paused", wake_at=100.0)
    assert late(place, owned_for=LATE_S, at=time.time()) == []


async def test_an_owner_is_asked_since_when(place, monkeypatch):
    """By the note in its lock; a visitor is none."""
    long_ago = f"{owner_name()} since 2020-01-01T00:00:00+00:00"
    rewrite(place, "sleeper", wake_at=1_000_000_000.0)
    monkeypatch.setattr(diagnosis, "find_holder", lambda path: long_ago)
    assert await look(place) == [("late", None, "sleeper")]
    monkeypatch.setattr(diagnosis, "find_holder", lambda path: f"a visitor, {long_ago}")
    assert await look(place) == []


def test_since_when_a_database_is_owned_is_in_the_note():
    """Where it is one."""
    assert owned_since(f"{owner_name()} since 1970-01-01T00:01:00+00:00") == 60.0
    assert owned_since(f"{owner_name('visitor')} since 1970-01-01T00:01:00+00:00") is None
    assert owned_since(f"{owner_name()} since yesterday") is None
    assert owned_since("another process") is None


async def test_a_real_owner_says_since_when(storage, path):
    """As it writes it down itself."""
    holder = (await examine(path)).owner
    assert holder is not None
    since = owned_since(holder)
    assert since is not None
    assert 0 <= time.time() - since < 60


async def test_one_that_was_recovered_twice_without_progress_is_suspect(place):
    """As long as it is unfinished."""
    rewrite(place, "sleeper", recoveries=1)
    assert await look(place) == []
    rewrite(place, "sleeper", recoveries=2)
    assert await look(place) == [("suspect", None, "sleeper")]
    rewrite(place, "sleeper", recoveries=3, status="quarantined")
    assert await look(place) == []


# -- SQLite itself, and how it is read ------------------------------------------------------------------


async def test_a_defect_that_can_matter_is_a_note(place, monkeypatch):
    """One that cannot is none."""
    monkeypatch.setattr(diagnosis, "find_bugs", library.find_bugs)
    monkeypatch.setattr(diagnosis.sqlite3, "sqlite_version_info", (3, 40, 1))
    [found] = (await examine(place)).findings
    assert (found.kind, found.serious, found.example) == ("sqlite_bug", False, "wal_reset")
    assert found.what.startswith("SQLite 3.40.1 has a defect: ")
    monkeypatch.setattr(diagnosis.sqlite3, "sqlite_version_info", (3, 51, 3))
    assert await look(place) == []


@pytest.mark.parametrize("rows", [1, 3, 2_000])
async def test_every_row_is_read_whatever_the_size_of_a_piece(place, monkeypatch, rows):
    """And so is a piece that is large."""
    expected = (await examine(place)).rows
    monkeypatch.setattr(examination, "ROWS_AT_A_TIME", rows)
    report = await examine(place)
    assert (report.rows, report.findings) == (expected, ())


def test_a_piece_is_as_large_as_its_rows_or_their_values_allow(storage, path, monkeypatch):
    """Values of megabytes would fill the memory."""
    values = (an_outcome(f"t{n}", value=b'"0123456789"') for n in range(6))
    storage.commit([Create(a_row(), (a_start(), *values))])

    def pieces(rows: int, size: int) -> int:
        monkeypatch.setattr(examination, "ROWS_AT_A_TIME", rows)
        monkeypatch.setattr(examination, "BYTES_AT_A_TIME", size)
        said: list[str] = []
        with closing(connection.open_reading(connection.Place(str(path)))) as reading:
            reading.set_trace_callback(said.append)
            assert examination.examine(reading, str(path)).rows == 8
        return sum("FROM claw_journal WHERE pos" in one for one in said) - 1  # the last is empty

    assert pieces(100, 1_000) == 1
    assert pieces(2, 1_000) == 4
    assert pieces(100, 25) == 3


def test_between_two_pieces_the_log_can_be_cut(storage, path, monkeypatch):
    """A reader that kept one moment for all of it would let the log grow meanwhile."""
    monkeypatch.setattr(examination, "ROWS_AT_A_TIME", 5)
    storage.commit([Create(a_row(), (a_start(), *(an_outcome(f"t{n}") for n in range(20))))])
    cut: list[int] = []

    def cut_the_log(values: object, id: str, where: str) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as raw:
            raw.execute("PRAGMA busy_timeout = 0")
            cut.append(raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])

    journal = attrs.evolve(examination._JOURNAL, read=cut_the_log)
    monkeypatch.setattr(examination, "_TABLES", (journal,))
    with closing(connection.open_reading(connection.Place(str(path)))) as reading:
        examination.examine(reading, str(path))
    assert cut == [0] * 21  # nobody was in its way


async def test_what_is_appended_meanwhile_is_left_for_the_next_time(storage, path, monkeypatch):
    """Whoever appends faster than this reads does not lead it on for ever."""
    storage.commit([Create(a_row(), (a_start(),))])

    def append(values: object, id: str, where: str) -> None:
        storage.commit([Advance(1, "one", 0, (an_outcome(f"t{time.monotonic_ns()}"),))])

    journal = attrs.evolve(examination._JOURNAL, read=append)
    monkeypatch.setattr(examination, "_TABLES", (journal,))
    assert (await examine(path)).rows == 1


async def test_pages_that_are_no_tree_do_not_hide_the_rest(place):
    """What SQLite cannot follow is damage; what else there is, is looked at."""
    with closing(sqlite3.connect(place, isolation_level=None)) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = raw.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'claw_value'"
        ).fetchone()
        (size,) = raw.execute("PRAGMA page_size").fetchone()
    with place.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    rewrite(place, "sleeper", recoveries=2)
    report = await examine(place)
    unread = [line for line in report.damage if "cannot be read further" in line]
    assert unread[-1].startswith("claw_value: it cannot be read further: ")
    assert ("suspect", "sleeper") in {(one.kind, one.example) for one in report.findings}


async def test_an_error_that_is_no_damage_is_raised(place, harm):
    """Such as a table that is not there."""
    harm("DROP TABLE claw_task")
    with pytest.raises(errors.ClawError):
        await examine(place)


async def test_a_quick_look_reads_no_rows(place, harm):
    """So it finds no damage in them; what is missing as a whole it does."""
    harm("UPDATE claw_workflow SET reason = 'changed'")
    report = await examine(place, quick=True)
    assert (report.rows, report.damage, report.workflows > 0) == (0, (), True)
    harm("DELETE FROM claw_meta")
    assert (await examine(place, quick=True)).damage == ("the row of claw_meta is missing",)


async def test_an_empty_database_has_no_findings(storage, path):
    """There is nothing to look at."""
    assert await look(path) == []


async def test_what_is_wrong_comes_first(place, harm):
    """Then the notes."""
    rewrite(place, "sleeper", recoveries=2)
    harm("DELETE FROM claw_workflow WHERE id = 'soon'")
    found = [one.serious for one in (await examine(place)).findings]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == 2


async def test_findings_can_be_written_as_json(place):
    """For whoever asks from outside."""
    rewrite(place, "sleeper", recoveries=2)
    [found] = (await examine(place)).findings
    assert json.loads(json.dumps(attrs.asdict(found)))["kind"] == "suspect"
