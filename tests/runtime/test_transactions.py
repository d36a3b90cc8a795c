"""Transactional tasks: an author's own SQL and the task's outcome in one commit."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import textwrap
import time
from contextlib import closing

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors import (
    Connection,
    Context,
    Restart,
    Retry,
    RuntimeConfig,
    SQLiteStorage,
    TaskFailedError,
    TaskStatus,
    WorkflowFailure,
    errors,
    task,
    task_info,
    workflow,
)
from claw_actors.storage.operations import Transact


@task(transactional=True)
def create(connection: Connection) -> None:
    connection.execute("CREATE TABLE IF NOT EXISTS account (name TEXT PRIMARY KEY, cents)")
    connection.executemany("INSERT INTO account VALUES (?, ?)", [("ada", 100), ("bob", 0)])


@attrs.frozen
class Moved:
    cents: int
    left: int


@task(transactional=True, retry=Retry(max_attempts=3, initial=0.1))
def transfer(connection: Connection, giver: str, taker: str, cents: int = 1) -> Moved:
    change = "UPDATE account SET cents = cents + ? WHERE name = ?"
    connection.execute(change, (-cents, giver))
    query = "SELECT cents FROM account WHERE name = ?"
    row = connection.execute(query, (giver,)).fetchone()
    assert row is not None
    left = row[0]
    assert isinstance(left, int)
    if left < 0:
        raise ValueError(f"{giver} has not got {cents}")
    connection.execute(change, (cents, taker))
    return Moved(cents, left)


@pytest.fixture
def sqlite(tmp_path):
    """A database that can be opened by one runtime after the other."""
    return SQLiteStorage(tmp_path / "bank.db")


@pytest.fixture
def accounts(tmp_path):
    """Read what accounts hold."""

    def read():
        with closing(sqlite3.connect(tmp_path / "bank.db")) as connection:
            return dict(connection.execute("SELECT name, cents FROM account"))

    return read


@workflow
async def paying(ctx: Context, amounts: list[int]) -> list[Moved]:
    await ctx.run(create)
    return [await ctx.run(transfer, "ada", "bob", cents=cents) for cents in amounts]


async def test_a_transaction_returns_what_is_stored(open_claw_runtime, sqlite, accounts):
    """The connection is not passed by the caller; each is one commit, and listed as a task."""
    async with open_claw_runtime(sqlite, workflows=[paying]) as runtime:
        handle = await runtime.start(paying, [30, 20], id="a")
        assert await handle.result() == [Moved(30, 70), Moved(20, 50)]
        states = await handle.tasks()
        assert [(one.id, one.status, one.attempt) for one in states] == [
            ("create", TaskStatus.COMPLETED, 1),
            ("transfer", TaskStatus.COMPLETED, 1),
            ("transfer#2", TaskStatus.COMPLETED, 1),
        ]
    assert accounts() == {"ada": 50, "bob": 50}


async def test_a_replay_does_not_run_it_again(open_claw_runtime, sqlite, accounts):
    """It is recorded like any other task."""

    @workflow
    async def run(ctx: Context) -> Moved:
        await ctx.run(create)
        moved = await ctx.run(transfer, "ada", "bob", 40)
        await ctx.sleep(10)
        return moved

    async with open_claw_runtime(sqlite, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(5)
    async with open_claw_runtime(sqlite, workflows=[run]) as runtime:
        assert await runtime.result("a") == Moved(40, 60)
        assert runtime.statistics().attempts == 0
    assert accounts() == {"ada": 60, "bob": 40}


async def test_a_failed_attempt_is_rolled_back_and_retried(open_claw_runtime, sqlite, accounts):
    """By its policy; the failure itself is recorded in the ordinary way. Across a restart."""
    tries = []

    @task(transactional=True, retry=Retry(max_attempts=3, initial=10, jitter=0))
    def unlucky(connection: Connection) -> int:
        info = task_info()
        info.heartbeat("nobody hears that")
        tries.append((info.attempt, info.task_id, info.details))
        connection.execute("UPDATE account SET cents = cents - 1")
        if len(tries) < 3:
            raise ConnectionError("bad luck")
        return len(tries)

    @workflow
    async def run(ctx: Context) -> int:
        await ctx.run(create)
        return await ctx.run(unlucky)

    async with open_claw_runtime(sqlite, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await trio.sleep(5)
        retrying = (await handle.tasks())[1]
        assert (retrying.status, retrying.attempt) == (TaskStatus.RETRYING, 1)
    async with open_claw_runtime(sqlite, workflows=[run]) as runtime:
        assert await runtime.result("a") == 3
        assert [one.status for one in await (await runtime.get("a")).tasks()] == ["completed"] * 2
    assert tries == [(n, "unlucky", None) for n in (1, 2, 3)]
    assert accounts() == {"ada": 99, "bob": -1}


async def test_out_of_retries_it_has_failed_like_any_task(open_claw_runtime, sqlite, accounts):
    """``TaskFailedError``, with the database's own error class or the author's."""

    @workflow
    async def run(ctx: Context) -> list[bool]:
        await ctx.run(create)
        with pytest.raises(TaskFailedError, match="failed after 3 attempts") as poor:
            await ctx.run(transfer, "bob", "ada", 7)
        with pytest.raises(TaskFailedError) as twice:
            await ctx.run(create.options(id="again"))
        with pytest.raises(TaskFailedError, match="not allowed") as denied:
            await ctx.run(peeping)
        with pytest.raises(TaskFailedError) as unstorable:
            await ctx.run(unencodable)
        return [
            poor.value.is_(ValueError),
            twice.value.is_(sqlite3.IntegrityError),
            denied.value.is_(errors.TransactionDeniedError),
            unstorable.value.is_(errors.SerializationError),
        ]

    @task(transactional=True)
    def peeping(connection: Connection) -> None:
        connection.execute("SELECT * FROM claw_workflow")

    @task(transactional=True)
    def unencodable(connection: Connection) -> object:
        connection.execute("DELETE FROM account")
        return object()

    async with open_claw_runtime(sqlite, workflows=[run]) as runtime:
        assert await (await runtime.start(run)).result() == [True] * 4
    assert accounts() == {"ada": 100, "bob": 0}


async def test_in_nurseries_maps_and_rollbacks(open_claw_runtime, sqlite, accounts):
    """Wherever a task can be."""

    @workflow
    async def run(ctx: Context) -> None:
        await ctx.run(create)
        async with ctx.open_nursery() as nursery:
            for cents in (1, 2):
                nursery.run_soon(transfer, "ada", "bob", cents)
        await ctx.map(move, [3, 4])
        ctx.on_rollback(transfer, "bob", "ada", 10)
        raise WorkflowFailure("no")

    @task(transactional=True)
    def move(connection: Connection, cents: int) -> int:
        return transfer(connection, "ada", "bob", cents).left

    async with open_claw_runtime(sqlite, workflows=[run]) as runtime:
        handle = await runtime.start(run)
        with pytest.raises(errors.WorkflowFailedError, match="WorkflowFailure: no"):
            await handle.result()
        assert [one.id for one in await handle.tasks()][-1] == "rollback/transfer"
    assert accounts() == {"ada": 100, "bob": 0}


async def test_where_there_is_no_sql_it_is_refused_at_that_line(open_claw_runtime, storage):
    """Wherever it is asked for; nothing is written."""

    @workflow
    async def run(ctx: Context) -> int:
        refused = 0
        for asking in (
            lambda: ctx.run(create),
            lambda: ctx.map(transfer, ["ada"]),
        ):
            with pytest.raises(errors.TransactionsUnsupportedError, match="no SQL database"):
                await asking()
            refused += 1
        with pytest.raises(errors.TransactionsUnsupportedError):
            ctx.on_rollback(create)
        async with ctx.open_nursery() as nursery:
            with pytest.raises(errors.TransactionsUnsupportedError):
                nursery.run_soon(create)
        return refused

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run)
        assert await handle.result() == 2
        assert await handle.tasks() == ()


@pytest.mark.parametrize("wrong", ["async", "no connection", "bare", "heartbeat"])
def test_a_wrong_declaration_is_refused(wrong):
    """Where it stands."""
    with pytest.raises(errors.DefinitionError):
        if wrong == "async":

            @task(transactional=True)
            async def a(connection: Connection) -> None: ...

        elif wrong == "no connection":

            @task(transactional=True)
            def b() -> None: ...

        elif wrong == "bare":
            task(create.fn, transactional=True)
        else:
            task(transactional=True, heartbeat_timeout=3)


async def test_called_by_itself_it_is_the_function_it_was(open_claw_runtime, sqlite):
    """With any connection; but not in workflow code."""
    with closing(sqlite3.connect(":memory:")) as connection:
        create(connection)
        assert transfer(connection, "ada", "bob", 1) == Moved(1, 99)

    @workflow(restart=Restart(max_restarts=0))
    async def run(ctx: Context) -> None:
        create(None)

    async with open_claw_runtime(sqlite, workflows=[run]) as runtime:
        with pytest.raises(errors.WorkflowQuarantinedError, match="called directly"):
            await (await runtime.start(run)).result()


async def test_a_context_is_no_use_in_there(open_claw_runtime, sqlite):
    """As in every task body."""

    @task(transactional=True)
    def misusing(connection: Connection) -> None:
        kept[0].now()

    @workflow
    async def run(ctx: Context) -> None:
        kept.append(ctx)
        await ctx.run(misusing)

    kept = []
    async with open_claw_runtime(sqlite, workflows=[run]) as runtime:
        with pytest.raises(errors.WorkflowFailedError, match="a task body used the context"):
            await (await runtime.start(run)).result()


# -- commits, cancels and closings meet -------------------------------------------------------------


class Meeting(SQLiteStorage):
    """A database on which something happens just before, or just after, a transaction."""

    before = after = staticmethod(lambda: None)

    def commit(self, group):
        transacts = any(isinstance(one, Transact) for one in group)
        if transacts:
            self.before()
        try:
            return super().commit(group)
        finally:
            if transacts:
                self.after()


@workflow
async def moving(ctx: Context) -> Moved:
    moved = await ctx.run(transfer, "ada", "bob", 5)
    await ctx.sleep(1)
    return moved


@pytest.fixture
async def meeting(open_claw_runtime, tmp_path):
    """Such a database, with its accounts."""

    @workflow
    async def prepare(ctx: Context) -> None:
        await ctx.run(create)

    storage = Meeting(tmp_path / "bank.db")
    async with open_claw_runtime(storage, workflows=[prepare]) as runtime:
        await (await runtime.start(prepare)).result()
    return storage


async def test_a_cancel_before_the_transaction_withdraws_it(open_claw_runtime, meeting, accounts):
    """While it is queued nothing has run."""

    @workflow
    async def run(ctx: Context) -> str:
        with ctx.move_on_after(0) as scope:
            await ctx.run(transfer, "ada", "bob", 5)
        async with ctx.open_nursery() as nursery:
            nursery.run_soon(transfer, "ada", "bob", 7)
            nursery.start_soon(crossing, nursery)
        return str(scope.cancelled_caught)

    async def crossing(ctx: Context, nursery) -> None:
        nursery.cancel_scope.cancel()

    async with open_claw_runtime(meeting, workflows=[run]) as runtime:
        handle = await runtime.start(run)
        assert await handle.result() == "True"
        assert [one.status for one in await handle.tasks()] == [TaskStatus.CANCELLED]
    assert accounts() == {"ada": 100, "bob": 0}


async def test_a_cancel_during_the_transaction_comes_after_it(open_claw_runtime, meeting, accounts):
    """It is committed already: what is done is done, and is recorded."""

    @workflow
    async def run(ctx: Context) -> None:
        async with ctx.open_nursery() as nursery:
            nursery.run_soon(transfer, "ada", "bob", 5)
            with ctx.move_on_after(1_000):
                await ctx.wait_until(lambda: False)

    def cancel() -> None:
        nursery.start_soon(runtime.cancel, "a", "too late")

    async with (
        open_claw_runtime(meeting, workflows=[run]) as runtime,
        trio.open_nursery() as nursery,
    ):
        meeting.before = cancel
        await runtime.start(run, id="a")
        with pytest.raises(errors.WorkflowCancelledError):
            await runtime.result("a")
        [state] = await (await runtime.get("a")).tasks()
        assert state.status is TaskStatus.COMPLETED
    assert accounts() == {"ada": 95, "bob": 5}


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("outcome", ["commits", "fails"])
async def test_a_closing_during_the_transaction_loses_nothing(
    open_claw_runtime, meeting, accounts, moment, outcome
):
    """The next life finds it done, or does it."""
    giver = "ada" if outcome == "commits" else "nobody"

    @workflow
    async def run(ctx: Context) -> str:
        try:
            return f"left {(await ctx.run(transfer, giver, 'bob', 5)).left}"
        except TaskFailedError as error:
            return error.name

    def close() -> None:
        runtime._cells._cells["a"].sequencer.leaving.seal("the test wants it", at_once=True)
        runtime._cells._cells["a"].sequencer.leaving.leave()

    async with open_claw_runtime(meeting, workflows=[run]) as runtime:
        setattr(meeting, moment, close)
        await runtime.start(run, id="a")
        await wait_all_tasks_blocked()
        meeting.before = meeting.after = lambda: None
    async with open_claw_runtime(meeting, workflows=[run]) as runtime:
        assert await runtime.result("a") == ("left 95" if outcome == "commits" else "transfer")
    assert accounts()["ada"] == (95 if outcome == "commits" else 100)


async def test_a_seal_during_the_transaction_waits_for_no_grace(
    open_claw_runtime, meeting, accounts
):
    """It was the last that ran, so the instance leaves memory when it is done."""
    async with open_claw_runtime(
        meeting, workflows=[moving], config=RuntimeConfig(grace=1_000)
    ) as runtime:
        meeting.before = lambda: runtime._cells._cells["a"].sequencer.leaving.seal(
            "the test wants it"
        )
        await runtime.start(moving, id="a")
        await wait_all_tasks_blocked()
        assert "a" not in runtime._cells._cells
    assert accounts() == {"ada": 95, "bob": 5}


async def test_a_closing_while_it_is_queued_withdraws_it(open_claw_runtime, meeting, accounts):
    """Behind another one that is being committed; the next life does it."""

    @workflow
    async def run(ctx: Context) -> None:
        async with ctx.open_nursery() as nursery:
            for _ in range(2):
                nursery.run_soon(transfer, "ada", "bob", 5)

    def close() -> None:
        meeting.before = lambda: None
        sequencer = runtime._cells._cells["a"].sequencer
        queued.append(sequencer.writes.unsettled)
        sequencer.leaving.seal("the test wants it", at_once=True)
        sequencer.leaving.leave()

    queued = []
    async with open_claw_runtime(meeting, workflows=[run]) as runtime:
        meeting.before = close
        await runtime.start(run, id="a")
        await wait_all_tasks_blocked()
    assert queued == [2]
    assert accounts() == {"ada": 95, "bob": 5}
    async with open_claw_runtime(meeting, workflows=[run]) as runtime:
        await runtime.result("a")
    assert accounts() == {"ada": 90, "bob": 10}


async def test_what_raises_no_exception_goes_to_the_top(open_claw_runtime, meeting, accounts):
    """As from any task body: the process is to end. Nothing is stored."""

    @task(transactional=True)
    def leaving(connection: Connection) -> None:
        connection.execute("DELETE FROM account")
        raise SystemExit(3)

    @workflow
    async def run(ctx: Context) -> None:
        await ctx.run(leaving)

    with pytest.raises(BaseExceptionGroup) as caught:
        async with open_claw_runtime(meeting, workflows=[run]) as runtime:
            await (await runtime.start(run, id="a")).result()
    assert caught.group_contains(SystemExit)
    assert accounts() == {"ada": 100, "bob": 0}


async def test_a_transaction_follows_a_message(open_claw_runtime, meeting, accounts):
    """Whether the workflow was in memory, or had left it."""

    @workflow
    async def run(ctx: Context) -> Moved:
        await ctx.receive("go", bool)
        moved = await ctx.run(transfer, "ada", "bob", 5)
        await ctx.sleep(1_000)
        return moved

    async with open_claw_runtime(meeting, workflows=[run]) as runtime:
        for id in ("here", "gone"):
            handle = await runtime.start(run, id=id)
            await trio.sleep(0.1 if id == "here" else 100)
            await handle.send("go", True)
            await wait_all_tasks_blocked()
        assert await runtime.result("here") == Moved(5, 95)
        assert await runtime.result("gone") == Moved(5, 90)
    assert accounts() == {"ada": 90, "bob": 10}


async def test_a_transaction_is_a_sign_of_life_after_a_recovery(
    open_claw_runtime, meeting, tmp_path
):
    """The recoveries that were counted are forgotten."""
    crashed = tmp_path / "crashed"
    patient = RuntimeConfig(healthy_after=1_000, grace=0)

    def crash() -> None:
        copied = [one for one in tmp_path.iterdir() if one.is_file()]  # and not its socket
        crashed.mkdir()
        for one in copied:
            (crashed / one.name).write_bytes(one.read_bytes())

    async with open_claw_runtime(meeting, workflows=[moving]) as runtime:
        meeting.before = crash
        await runtime.start(moving, id="a")
        await trio.sleep(0.5)
    recovered = Meeting(crashed / "bank.db")
    counts = []

    def count() -> None:
        counts.append(recovered.get_workflow("a").row.recoveries)

    recovered.before = count
    async with open_claw_runtime(recovered, workflows=[moving], config=patient):
        await trio.sleep(0.5)
        count()
    assert counts == [1, 0]


async def test_a_transaction_is_alone_in_its_commit(open_claw_runtime, meeting, accounts):
    """It may be rolled back, and what others write beside it is not."""

    @task
    async def ordinary(n: int) -> int:
        return n

    @workflow
    async def mixed(ctx: Context) -> None:
        async with ctx.open_nursery() as nursery:
            for n in range(3):
                nursery.run_soon(ordinary, n)
                nursery.run_soon(transfer, "ada", "bob", 1)

    async with open_claw_runtime(meeting, workflows=[mixed]) as runtime:
        handles = [await runtime.start(mixed) for _ in range(5)]
        for handle in handles:
            await handle.result()
        assert runtime.statistics().storage.largest_group > 1
    assert accounts() == {"ada": 85, "bob": 15}


# -- a storage that fails ---------------------------------------------------------------------------


@pytest.mark.parametrize("committed", [False, True])
async def test_an_unknown_commit_is_done_exactly_once(
    open_claw_runtime, meeting, accounts, committed
):
    """Storage is opened again, and what is stored says whether it has happened."""
    failures = [1]

    class Failing(type(meeting)):
        def commit(self, group):
            if failures and any(isinstance(one, Transact) for one in group):
                failures.pop()
                if committed:
                    super().commit(group)
                raise errors.OutcomeUnknownError(self.where, "an I/O error")
            return super().commit(group)

    storage = Failing(meeting.where)
    async with open_claw_runtime(storage, workflows=[moving]) as runtime:
        handle = await runtime.start(moving, id="a")
        assert await handle.result() == Moved(5, 95)
    assert accounts() == {"ada": 95, "bob": 5}


async def test_a_full_disk_is_waited_for(open_claw_runtime, meeting, accounts):
    """The function is called again, and no attempt is used up."""
    called = []

    @task(transactional=True)
    def filling(connection: Connection) -> int:
        called.append(task_info().attempt)
        connection.execute("UPDATE account SET cents = cents + 1")
        if len(called) < 3:
            error = sqlite3.OperationalError("database or disk is full")
            raise errors.StorageUnavailableError("bank.db", str(error))
        return len(called)

    class Full(Meeting):
        def commit(self, group):
            results = super().commit(group)
            for one in results:
                error = getattr(one, "error", None)
                if isinstance(error, errors.StorageUnavailableError):
                    raise error
            return results

    @workflow
    async def run(ctx: Context) -> int:
        return await ctx.run(filling)

    async with open_claw_runtime(Full(meeting.where), workflows=[run]) as runtime:
        assert await (await runtime.start(run)).result() == 3
    assert called == [1, 1, 1]
    assert accounts() == {"ada": 101, "bob": 1}


# -- killed at random moments -----------------------------------------------------------------------

PROGRAM = textwrap.dedent(
    """
    import sys
    import trio
    from claw_actors import Connection, Context, RuntimeConfig, open_runtime, task, workflow

    @task(transactional=True)
    def create(connection: Connection) -> None:
        connection.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, cents, moves)")
        connection.executemany("INSERT INTO account VALUES (?, 100, 0)", [(n,) for n in range(5)])

    @task(transactional=True)
    def move(connection: Connection, giver: int, taker: int) -> None:
        change = "UPDATE account SET cents = cents + ?, moves = moves + 1 WHERE id = ?"
        connection.execute(change, (-1, giver))
        connection.execute(change, (1, taker))

    async def child(ctx: Context, n: int) -> None:
        for i in range(200):
            await ctx.run(move, n, (n + 1 + i % 4) % 5)

    @workflow
    async def bank(ctx: Context) -> None:
        await ctx.run(create)
        async with ctx.open_nursery() as nursery:
            for n in range(5):
                nursery.start_soon(child, n)

    async def main() -> None:
        # That it dies so often is the test's fault.
        config = RuntimeConfig(max_recoveries=10_000)
        async with open_runtime(sys.argv[1], workflows=[bank], config=config) as runtime:
            print("open", flush=True)
            await (await runtime.start(bank, id="bank")).result()

    trio.run(main)
    """
)


@pytest.mark.slow
def test_killed_at_random_moments_each_transaction_has_happened_once(tmp_path, is_long):
    """Money is conserved, and every recorded move is one row's change, no more and no less."""
    database = tmp_path / "bank.db"
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    kills = 0
    for life in range(400 if is_long else 8):
        process = subprocess.Popen(
            [sys.executable, program, database], stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.01 * (life % 7))
        finally:
            process.kill()
            kills += process.wait() < 0
            process.stdout.close()
        if not check_bank(database):
            break
    assert kills >= 3
    subprocess.run([sys.executable, program, database], check=True, stdout=subprocess.PIPE)
    assert check_bank(database) is False
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT sum(moves) FROM account").fetchone() == (2 * 5 * 200,)


def check_bank(database) -> bool:
    """Compare the accounts with the journal; tell whether anything is left to do."""
    with closing(sqlite3.connect(database)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        query = "SELECT count(*) FROM claw_journal WHERE kind = 'task' AND name = ?"
        moves, created = (
            connection.execute(query, (op,)).fetchone()[0] for op in ("move", "create")
        )
        assert created == ("account" in tables)
        if created:
            found = connection.execute("SELECT sum(cents), sum(moves) FROM account").fetchone()
            assert found == (500, 2 * moves)
        statuses = connection.execute("SELECT status FROM claw_workflow").fetchall()
        assert statuses != [("quarantined",)]
        return statuses != [("completed",)]
