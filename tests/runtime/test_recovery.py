"""What comes back at an opening, in which order, and what does not."""

from __future__ import annotations

import logging

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors import (
    Context,
    MemoryStorage,
    RecoveryReport,
    Restart,
    RuntimeConfig,
    Status,
    WorkflowState,
    task,
    workflow,
)
from claw_actors.errors import (
    NotFoundError,
    StorageCorruptError,
    StorageUnavailableError,
    WorkflowCancelledError,
    WorkflowQuarantinedError,
)

DAMAGE = StorageCorruptError("workflow w1", "its checksum is wrong", "restore a backup")


@task
async def step() -> None:
    await trio.sleep(10)


@workflow
async def stepper(ctx: Context, steps: int = 2) -> int:
    for _ in range(steps):
        await ctx.run(step)
    return steps


@workflow
async def sleeper(ctx: Context, seconds: float) -> str:
    await ctx.sleep(seconds)
    return "slept"


class Damaged(MemoryStorage):
    """A storage of which some rows and journals cannot be read."""

    def __init__(self) -> None:
        super().__init__()
        self.damaged_rows: set[str] = set()
        self.damaged_journals: set[str] = set()

    def list_unfinished(self, after_pk, due_by, limit):
        page = super().list_unfinished(after_pk, due_by, limit)
        bad = [row for row in page.rows if row.id in self.damaged_rows]
        return attrs.evolve(
            page,
            rows=tuple(row for row in page.rows if row not in bad),
            damaged=tuple(
                StorageCorruptError(f"workflow {row.id}", "its checksum is wrong", "restore")
                for row in bad
            ),
        )

    def load(self, pks):
        return [
            DAMAGE if loaded.row.id in self.damaged_journals else loaded
            for loaded in super().load(pks)
        ]

    def read_rows(self, ids):
        return [
            StorageCorruptError(f"workflow {row.id}", "its checksum is wrong", "restore")
            if row.id in self.damaged_rows
            else row
            for row in super().read_rows(ids)
        ]


def crash(storage: MemoryStorage) -> MemoryStorage:
    """What a crash of the process leaves now: an unclean end."""
    copy = storage.snapshot()
    copy._clean = False
    return copy


async def started(open_claw_runtime, storage, count, workflow=stepper, *arguments):
    """Start some, and return what a crash one second later leaves."""
    async with open_claw_runtime(storage, workflows=[workflow]) as runtime:
        for n in range(count):
            await runtime.start(workflow, *arguments, id=f"w{n}")
        await trio.sleep(1)
        return crash(storage)


# -- coming back ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wave", [1, 3, 500])
async def test_everything_unfinished_comes_back_in_waves(
    open_claw_runtime, storage, row_of, wave, caplog
):
    """Counted, each named, summed up; whatever the size of the wave."""
    crashed = await started(open_claw_runtime, storage, 7)
    caplog.set_level(logging.INFO, "claw_actors.recovery")
    caplog.clear()
    config = RuntimeConfig(recovery_wave=wave)
    async with open_claw_runtime(crashed, workflows=[stepper], config=config) as runtime:
        assert runtime.statistics().active == 7
        assert {row_of(crashed, f"w{n}").recoveries for n in range(7)} == {1}
        assert {row_of(crashed, f"w{n}").life for n in range(7)} == {2}
        messages = [record.getMessage() for record in caplog.records]
        assert messages[0] == "recovering 7 unfinished workflows"
        assert "workflow w0 (stepper@1): recovered, 0 entries in its journal, life 2" in messages
        assert messages[-1].startswith("recovery took 0.000 s: 7 running again, 0 due later, 0 qu")
        for n in range(7):
            assert await runtime.result(f"w{n}") == 2


async def test_recovery_is_idempotent(open_claw_runtime, storage, row_of, caplog):
    """The second time there is nothing to do, and nothing is claimed again."""
    crashed = await started(open_claw_runtime, storage, 2)
    async with open_claw_runtime(crashed, workflows=[stepper]) as runtime:
        caplog.set_level(logging.INFO, "claw_actors.recovery")
        caplog.clear()
        assert await runtime.recover() == RecoveryReport()
        assert row_of(crashed, "w0").life == 2
        assert caplog.records == []


async def test_nothing_to_recover_is_not_worth_a_word(open_claw_runtime, storage, caplog):
    """An empty storage opens silently."""
    caplog.set_level(logging.INFO)
    async with open_claw_runtime(storage):
        pass
    assert caplog.records == []


async def test_after_a_clean_end_no_recovery_is_counted(open_claw_runtime, storage, row_of):
    """Only an unclean end makes anybody suspect."""
    for _ in range(5):
        async with open_claw_runtime(
            storage, workflows=[stepper], config=RuntimeConfig(grace=0)
        ) as runtime:
            await runtime.start(stepper, 2, id="a")
            await trio.sleep(1)
        assert row_of(storage, "a").recoveries == 0
    async with open_claw_runtime(storage, workflows=[stepper]) as runtime:
        assert await runtime.result("a") == 2


async def test_a_checkpoint_forgets_the_recoveries(open_claw_runtime, storage, row_of):
    """Progress is proof of innocence; it is written with the entry."""
    crashed = await started(open_claw_runtime, storage, 1)
    config = RuntimeConfig(healthy_after=1_000)
    async with open_claw_runtime(crashed, workflows=[stepper], config=config):
        await trio.sleep(5)
        assert row_of(crashed, "w0").recoveries == 1
        await trio.sleep(6)
        assert row_of(crashed, "w0").recoveries == 0


async def test_a_healthy_while_forgets_the_recoveries(open_claw_runtime, storage, row_of):
    """One that runs a long body has recorded nothing, and is well all the same."""
    crashed = await started(open_claw_runtime, storage, 1)
    config = RuntimeConfig(healthy_after=3)
    async with open_claw_runtime(crashed, workflows=[stepper], config=config):
        await trio.sleep(2)
        assert row_of(crashed, "w0").recoveries == 1
        await trio.sleep(2)
        assert row_of(crashed, "w0").recoveries == 0


async def test_parking_forgets_the_recoveries(open_claw_runtime, storage, row_of):
    """One that got as far as to wait has not killed anybody."""

    @workflow
    async def run(ctx: Context) -> None:
        if ctx.attempt == 1:
            await ctx.run(step)
        await ctx.sleep(100)

    crashed = await started(open_claw_runtime, storage, 1, run)
    crashed._table._records[1] = attrs.evolve(
        crashed._table._records[1], row=attrs.evolve(row_of(crashed, "w0"), recoveries=1)
    )
    config = RuntimeConfig(healthy_after=1_000)
    async with open_claw_runtime(crashed, workflows=[run], config=config):
        await trio.sleep(15)
        row = row_of(crashed, "w0")
        assert (row.status, row.recoveries) == (Status.WAITING, 0)


# -- suspects ---------------------------------------------------------------------------------------------


async def test_suspects_come_back_first_and_alone(open_claw_runtime, storage, row_of, caplog):
    """One after the other, each until it has shown a sign of life; then the others together."""
    began = []

    @workflow
    async def run(ctx: Context) -> None:
        began.append((ctx.workflow_id, trio.current_time()))
        await ctx.run(step)

    crashed = await started(open_claw_runtime, storage, 4, run)
    for pk in (2, 4):
        record = crashed._table._records[pk]
        crashed._table._records[pk] = attrs.evolve(
            record, row=attrs.evolve(record.row, recoveries=1)
        )
    began.clear()
    caplog.set_level(logging.INFO, "claw_actors.recovery")
    caplog.clear()
    now = trio.current_time()
    async with open_claw_runtime(
        crashed, workflows=[run], config=RuntimeConfig(healthy_after=3)
    ) as runtime:
        await wait_all_tasks_blocked()
        assert [id for id, _ in began][:2] == ["w1", "w3"]
        assert {id for id, _ in began[2:]} == {"w0", "w2"}
        assert [at - now for _, at in began] == [pytest.approx(at) for at in (0, 3, 6, 6)]
        assert caplog.messages[0] == "recovering 4 unfinished workflows, 2 of them alone"
        for n in range(4):
            await runtime.result(f"w{n}")


async def test_one_that_keeps_killing_the_process_is_quarantined_without_its_bystanders(
    open_claw_runtime, storage, row_of, caplog
):
    """It dies in its first line, again and again, and alone; a retry gives it another chance."""
    deaths = []

    @workflow
    async def poison(ctx: Context) -> str:
        deaths.append(storages[-1].snapshot())
        await ctx.run(step)
        return "well"

    @workflow
    async def bystander(ctx: Context) -> str:
        await ctx.run(step)
        return "unharmed"

    storages = [storage]
    workflows = [bystander, poison]
    config = RuntimeConfig(max_recoveries=3, healthy_after=0.1)
    async with open_claw_runtime(storage, workflows=workflows, config=config) as runtime:
        await runtime.start(bystander, id="innocent")
        await runtime.start(poison, id="poison")
        await wait_all_tasks_blocked()
    counts = []
    for _ in range(3):
        storages.append(deaths[-1])
        async with open_claw_runtime(deaths[-1], workflows=workflows, config=config):
            await trio.sleep(0.2)
        counts.append([row_of(deaths[-1], id).recoveries for id in ("innocent", "poison")])
    assert counts == [[1, 1], [0, 2], [0, 3]]
    crashed = deaths[-1]
    assert len(deaths) == 4
    storages.append(crashed)
    async with open_claw_runtime(crashed, workflows=workflows, config=config) as runtime:
        with pytest.raises(WorkflowQuarantinedError, match="recovered 3 times after the process"):
            await runtime.result("poison")
        assert len(deaths) == 4
        assert "workflow poison: quarantined: recovered 3 times" in caplog.text
        assert await runtime.recover() == RecoveryReport()
        assert await runtime.result("innocent") == "unharmed"
        await runtime.retry("poison")
        assert row_of(crashed, "poison").recoveries == 0
        assert await runtime.result("poison") == "well"


# -- what does not come back ---------------------------------------------------------------------------------


async def test_unknown_code_is_left_as_it_is(open_claw_runtime, storage, row_of, caplog):
    """Name or version: logged, reported, and run by the next one who knows it."""
    crashed = await started(open_claw_runtime, storage, 2)
    row = row_of(crashed, "w1")
    other = workflow(name="other")(sleeper.fn)
    newer = workflow(name="stepper", version=2)(stepper.fn)
    async with open_claw_runtime(crashed, workflows=[other, newer]) as runtime:
        assert await runtime.recover() == RecoveryReport(), "which is told once"
        assert row_of(crashed, "w1") == row
        assert "workflow w1: left as it is: workflow stepper@1 is not registered" in caplog.text
    async with open_claw_runtime(crashed, workflows=[stepper]) as runtime:
        assert await runtime.result("w1") == 2


async def test_one_that_is_damaged_stops_nothing(open_claw_runtime, caplog, row_of):
    """Neither a damaged row nor a damaged journal; each is logged and reported."""
    storage = Damaged()
    async with open_claw_runtime(storage, workflows=[stepper]) as runtime:
        for n in range(4):
            await runtime.start(stepper, 2, id=f"w{n}")
        await trio.sleep(1)
    storage.damaged_rows, storage.damaged_journals = {"w0"}, {"w1"}
    caplog.set_level(logging.INFO, "claw_actors.recovery")
    caplog.clear()
    async with open_claw_runtime(storage, workflows=[stepper]) as runtime:
        assert runtime.statistics().active == 2
        assert await runtime.result("w2") == await runtime.result("w3") == 2
    assert "left as it is: workflow w0 is damaged" in caplog.text
    assert "left as it is: workflow w1 is damaged" in caplog.text
    assert "2 running again, 0 due later, 0 quarantined, 0 of unknown workflows, 2 dam" in (
        caplog.text
    )


async def test_a_damaged_one_that_falls_due_is_left_as_it_is(open_claw_runtime, caplog):
    """Found when it is asked for, not at the opening; the others wake up beside it."""
    storage = Damaged()
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        for n in range(3):
            await runtime.start(sleeper, 100, id=f"w{n}")
        await trio.sleep(15)
    storage.damaged_rows, storage.damaged_journals = {"w0"}, {"w1"}
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        await trio.sleep(200)
        assert await runtime.result("w2") == "slept"
        assert runtime.statistics().ended == 1
    assert "left as it is: workflow w0 is damaged" in caplog.text
    assert "left as it is: workflow w1 is damaged" in caplog.text


async def test_one_that_was_deleted_or_ended_before_it_falls_due_is_no_matter(
    open_claw_runtime, storage
):
    """Its timer finds nothing to do."""
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        for id in ("gone", "cancelled", "slept"):
            await runtime.start(sleeper, 100, id=id)
        await trio.sleep(15)
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        await runtime.delete("gone", force=True)
        await runtime.cancel("cancelled")
        with pytest.raises(WorkflowCancelledError):
            await runtime.result("cancelled")
        await trio.sleep(200)
        assert await runtime.result("slept") == "slept"
        assert runtime.statistics().ended == 2


async def test_a_delayed_respawn_that_meets_a_damaged_journal_is_left(open_claw_runtime, caplog):
    """Its cell ends; the row stays as it is; and so does one that cannot be claimed any more."""
    storage = Damaged()

    @workflow(restart=Restart(initial=10))
    async def crashing(ctx: Context) -> None:
        raise ValueError

    async with open_claw_runtime(storage, workflows=[crashing]) as runtime:
        await runtime.start(crashing, id="w1")
        await runtime.start(crashing, id="w2")
        await trio.sleep(5)
        storage.damaged_journals = {"w1"}
        await runtime.storage.delete_workflow("w2")
        await trio.sleep(20)
        assert runtime.statistics().active == 0
        assert runtime.statistics().crashes == 2
    assert "workflow w1: cannot be read, and is left as it is" in caplog.text


async def test_a_damaged_journal_cannot_be_retried(open_claw_runtime):
    """The error says what is damaged; the row stays as it is. Nor can one that is gone."""
    storage = Damaged()

    @workflow(restart=Restart(max_restarts=0))
    async def crashing(ctx: Context) -> None:
        raise ValueError

    async with open_claw_runtime(storage, workflows=[crashing]) as runtime:
        handle = await runtime.start(crashing, id="w1")
        with pytest.raises(WorkflowQuarantinedError):
            await handle.result()
        storage.damaged_journals = {"w1"}
        with pytest.raises(StorageCorruptError):
            await handle.retry()
        assert await handle.status() is Status.QUARANTINED
        storage.load = lambda pks: []  # deleted between two reads
        with pytest.raises(NotFoundError):
            await handle.retry()


async def test_damage_is_told_once(open_claw_runtime, caplog):
    """However often recovery looks."""
    storage = Damaged()
    async with open_claw_runtime(storage, workflows=[stepper]) as runtime:
        await runtime.start(stepper, 2, id="w0")
        await trio.sleep(1)
    storage.damaged_rows = {"w0"}
    async with open_claw_runtime(storage, workflows=[stepper]) as runtime:
        assert runtime.recovery_report.damaged == ("workflow w0",)
        assert await runtime.recover() == RecoveryReport()
    assert caplog.text.count("workflow w0 is damaged") == 1


class Moody(MemoryStorage):
    """A storage that cannot be read for a moment."""

    moody = False

    def load(self, pks):
        if self.moody:
            self.moody = False
            raise StorageUnavailableError("memory", "not just now")
        return super().load(pks)


async def test_waking_up_is_tried_again_when_storage_cannot_be_read(open_claw_runtime, caplog):
    """Nobody waits for ever because of one bad moment."""
    storage = Moody()
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        await runtime.start(sleeper, 100, id="a")
        await trio.sleep(5)
    async with open_claw_runtime(storage, workflows=[sleeper]) as runtime:
        storage.moody = True
        assert await runtime.result("a") == "slept"
        assert not storage.moody
        assert trio.current_time() == pytest.approx(100, abs=10)
    assert "not just now; trying again" in caplog.text


async def test_rows_created_by_hand_are_run(open_claw_runtime, storage):
    """A pending row without anything else is a workflow that has not begun."""
    async with open_claw_runtime(storage, workflows=[]) as runtime:
        await runtime.storage.create_workflow(
            WorkflowState(id="a", name="stepper", status=Status.PENDING, input={"steps": 1})
        )
    async with open_claw_runtime(storage, workflows=[stepper]) as runtime:
        assert await runtime.result("a") == 1
