"""What a recovery would do, and what it then does: the same, whatever the database holds."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from claw_actors import (
    Context,
    PlannedRecovery,
    RecoveryReport,
    RecoveryVerdict,
    RuntimeConfig,
    SQLiteStorage,
    Status,
    open_client,
    open_runtime,
    workflow,
)
from claw_actors._runtime.recovery_plan import plan_recovery
from claw_actors._runtime.registry import Registry
from claw_actors.errors import DefinitionError, StorageUnavailableError
from claw_actors.storage.opening import look_on
from claw_actors.storage.operations import Advance, Advanced, Delete, Deleted
from claw_actors.testing.clock import EPOCH, virtual_environment
from claw_actors.testing.conformance.driving import create, do
from claw_actors.testing.conformance.samples import a_row, an_outcome, open_work

UNFINISHED = (Status.PENDING, Status.RUNNING, Status.WAITING, Status.PAUSED, Status.COMPLETED)
SOON, DUE = EPOCH + 1_000, EPOCH - 1


@workflow
async def linger(ctx: Context) -> None:
    await ctx.sleep(1e6)


@attrs.frozen
class Stored:
    """One workflow of a database that is made up."""

    status: Status
    wake_at: float | None = None
    recoveries: int = 0
    name: str = "linger"
    damage: str | None = None


STORED = st.builds(
    Stored,
    status=st.sampled_from(UNFINISHED),
    wake_at=st.sampled_from([None, DUE, SOON]),
    recoveries=st.integers(0, 4),
    name=st.sampled_from(["linger", "linger", "linger", "stranger"]),
    damage=st.sampled_from([None, None, None, "claw_workflow", "claw_journal"]),
)


def make(path: Path, stored: list[Stored], *, clean: bool) -> None:
    """Make a database that holds these, as its last owner has left it."""
    backend = SQLiteStorage(path)
    backend.open()
    keys = [
        create(
            backend,
            attrs.evolve(
                a_row(f"w{n}", name=one.name, status=one.status, wake_at=one.wake_at),
                recoveries=one.recoveries,
            ),
        )
        for n, one in enumerate(stored)
    ]
    backend.close(clean=clean)
    with closing(sqlite3.connect(path)) as connection, connection:
        for pk, one in zip(keys, stored, strict=True):
            if one.damage is not None:
                column = "pk" if one.damage == "claw_workflow" else "wf"
                connection.execute(
                    f"UPDATE {one.damage} SET crc = crc + 1 WHERE {column} = ?", (pk,)
                )


def plan(path: Path, config: RuntimeConfig | None = None, *, workflows=(linger,)):
    """Find out what an opening would do."""
    registry = None if workflows is None else Registry(workflows)
    return trio.run(plan_recovery, look_on(path), registry, config or RuntimeConfig(), EPOCH)


def recover(path: Path, config: RuntimeConfig) -> RecoveryReport:
    """Open it, and return what that has done."""

    async def main() -> RecoveryReport:
        environment = virtual_environment()
        async with open_runtime(
            path, workflows=[linger], config=config, environment=environment
        ) as runtime:
            return runtime.recovery_report

    return trio.run(main, clock=MockClock(autojump_threshold=0))


@settings(deadline=None, max_examples=30)
@given(
    stored=st.lists(STORED, max_size=8),
    clean=st.booleans(),
    wave=st.sampled_from([1, 3, 500]),
    room=st.sampled_from([1, 2, 250]),
    limit=st.integers(2, 3),
)
def test_the_deed_is_what_was_foreseen(stored, clean, wave, room, limit):
    """Over every mixture: each id is where the plan had it, and in that order."""
    config = RuntimeConfig(
        recovery_wave=wave,
        max_active=room,
        max_recoveries=limit,
        idle_after=1e9,
        control=False,
    )
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "claw.db"
        make(path, stored, clean=clean)
        foreseen = plan(path, config)
        assert foreseen == plan(path, config), "to look changes nothing"
        assert (foreseen.owner, foreseen.clean) == (None, clean)
        assert _comparable(foreseen.report) == _comparable(recover(path, config))


def _comparable(report: RecoveryReport) -> RecoveryReport:
    """Damage is told in the order in which it is met, which is no promise."""
    return attrs.evolve(report, damaged=tuple(sorted(report.damaged)))


def test_each_verdict_has_its_reason_and_its_steps(tmp_path):
    """Who asks is told why, when, how much is kept, and what is tried again."""
    path = tmp_path / "claw.db"
    stored = [
        Stored(Status.RUNNING),
        Stored(Status.RUNNING, recoveries=2),
        Stored(Status.RUNNING, recoveries=3),
        Stored(Status.PENDING, SOON),
        Stored(Status.RUNNING, name="stranger"),
        Stored(Status.WAITING, DUE),
        Stored(Status.WAITING, SOON),
        Stored(Status.RUNNING, damage="claw_journal"),
        Stored(Status.RUNNING, damage="claw_workflow"),
    ]
    make(path, stored, clean=False)
    foreseen = plan(path, RuntimeConfig(max_active=2))
    torn, *others = foreseen.workflows
    together, alone, parked, later, unknown, in_turn, damaged = others
    assert together == PlannedRecovery(
        id="w0",
        name="linger",
        version=1,
        status=Status.RUNNING,
        verdict=RecoveryVerdict.TOGETHER,
        entries=0,
    )
    assert (alone.verdict, alone.entries) == (RecoveryVerdict.ALONE, 0)
    assert alone.reason == "recovered 2 times after the process died, without progress"
    assert (parked.verdict, parked.recoveries) == (RecoveryVerdict.QUARANTINE, 3)
    assert (later.verdict, later.due_at, later.entries) == (RecoveryVerdict.LATER, SOON, None)
    assert unknown.verdict is RecoveryVerdict.UNKNOWN
    assert "stranger" in unknown.reason
    assert (in_turn.id, in_turn.verdict) == ("w5", RecoveryVerdict.IN_TURN)
    assert (damaged.id, damaged.verdict) == ("w7", RecoveryVerdict.DAMAGED)
    assert "claw_journal" in damaged.where
    assert (torn.id, torn.verdict) == (None, RecoveryVerdict.DAMAGED)
    assert "w8" in torn.where
    assert foreseen.left == (torn, parked, unknown, damaged)
    assert foreseen.waiting == 1
    assert plan(path, workflows=None).of(RecoveryVerdict.UNKNOWN) == ()


def test_what_is_recorded_is_counted_and_what_had_failed_is_named(tmp_path):
    """Entries run no more; a task between two attempts does."""
    path = tmp_path / "claw.db"
    backend = SQLiteStorage(path)
    backend.open()
    pk = create(backend, a_row("w", name="linger", status=Status.RUNNING, life=1))
    advance = Advance(pk, "w", 1, entries=(an_outcome("pick"),), opened=(open_work("pack"),))
    do(backend, advance, Advanced)
    backend.close()
    [one] = plan(path).workflows
    assert (one.entries, one.open_tasks) == (1, ("pack",))


def test_what_is_deleted_meanwhile_is_left_out(tmp_path, monkeypatch):
    """Between the look at what is unfinished and the one at its journal."""
    path = tmp_path / "claw.db"
    make(path, [Stored(Status.RUNNING), Stored(Status.RUNNING)], clean=True)
    sight = look_on(path)
    load = sight.backend.load

    def delete_first(pks):
        backend = SQLiteStorage(path)
        backend.open()
        do(backend, Delete("w0"), Deleted)
        backend.close()
        monkeypatch.undo()
        return load(pks)

    monkeypatch.setattr(sight.backend, "load", delete_first)
    found = trio.run(plan_recovery, sight, None, RuntimeConfig(), EPOCH)
    assert [one.id for one in found.workflows] == ["w1"]


async def test_beside_an_owner_the_plan_is_for_its_being_killed_now(tmp_path):
    """It is named, and its end so far is no clean one; it goes on as if nobody had looked."""
    path = tmp_path / "claw.db"
    async with open_runtime(path, workflows=[linger]) as runtime, open_client(path) as client:
        await runtime.start(linger, id="w")
        found = await client.plan_recovery([linger])
        assert "pid" in found.owner
        assert not found.clean
        assert len(found.workflows) + found.waiting == 1
        with pytest.raises(DefinitionError):
            await client.plan_recovery([len])
        assert not (await client.get("w")).status.is_terminal
    async with open_client(path) as client:
        found = await client.plan_recovery()
        assert (found.owner, found.clean) == (None, True)


def test_who_cannot_look_for_the_owner_is_told(tmp_path, monkeypatch):
    """As of any other read that the system refuses."""
    path = tmp_path / "claw.db"
    make(path, [], clean=True)

    def refuse(lock):
        raise PermissionError(13, "Permission denied", lock)

    monkeypatch.setattr("claw_actors.storage.sqlite.onlooker.find_holder", refuse)
    with pytest.raises(StorageUnavailableError):
        plan(path)
