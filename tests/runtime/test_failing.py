"""How a workflow fails, crashes, is respawned, quarantined, and retried."""

from __future__ import annotations

import logging

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors import (
    Context,
    RecoveryReport,
    Restart,
    RuntimeConfig,
    Status,
    WorkflowFailure,
    task,
    workflow,
)
from claw_actors._core.journal import END_OP, effective
from claw_actors._runtime.lifecycle import Lifecycle
from claw_actors.errors import (
    InvalidTransitionError,
    PayloadTooLargeError,
    SerializationError,
    UnknownWorkflowError,
    WorkflowFailedError,
    WorkflowQuarantinedError,
)
from claw_actors.testing.clock import EPOCH


class OrderRejectedError(Exception):
    """What an author calls a failure."""


class TooLateError(WorkflowFailure):
    """A failure by its base."""


@task
async def fail() -> None:
    raise ConnectionError("down")


def raising(error, **options):
    @workflow(name="run", **options)
    async def run(ctx: Context) -> None:
        raise error

    return run


# -- failing on purpose -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        WorkflowFailure("plain"),
        TooLateError("sub"),
        OrderRejectedError("declared"),
        ExceptionGroup("all", [TooLateError("a"), ExceptionGroup("in", [OrderRejectedError("b")])]),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_a_failure_ends_the_workflow_at_once(open_claw_runtime, storage, error):
    """Status failed, without a respawn, with names, text and traceback of the error."""
    run = raising(error, failures=(OrderRejectedError,))
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run)
        with pytest.raises(WorkflowFailedError) as caught:
            await handle.result()
        assert caught.value.error.is_(type(error))
        assert caught.value.error.message == str(error)
        assert "test_failing.py" in caught.value.error.traceback
        assert await handle.status() is Status.FAILED
        assert runtime.statistics().crashes == 0
        state = await handle.state()
        assert state.error == caught.value.error
        assert state.completed_at == EPOCH


async def test_an_unhandled_task_failure_fails_the_workflow(open_claw_runtime, storage, journal_of):
    """At once; its end refers to the entry that was fatal, however it was wrapped."""

    @workflow
    async def run(ctx: Context) -> None:
        try:
            await ctx.run(fail)
        except Exception as error:
            await ctx.sleep(1)  # noqa: ASYNC120
            raise ExceptionGroup("wrapped", [WorkflowFailure("own"), error]) from error

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        with pytest.raises(WorkflowFailedError):
            await (await runtime.start(run, id="a")).result()
    assert [(entry.op, entry.ref) for entry in journal_of(storage, "a")] == [
        ("", None),
        ("fail", None),
        ("sleep", None),
        (END_OP, 1),
    ]


@pytest.mark.parametrize(
    ("result", "error"),
    [("text", SerializationError), (10**6, PayloadTooLargeError)],
)
async def test_a_result_that_cannot_be_stored_fails_the_workflow(
    open_claw_runtime, storage, result, error
):
    """Another attempt would not mend that."""

    @workflow
    async def run(ctx: Context) -> list[int]:
        return [1] * result if isinstance(result, int) else result

    config = RuntimeConfig(max_payload_bytes=1_000)
    async with open_claw_runtime(storage, workflows=[run], config=config) as runtime:
        with pytest.raises(WorkflowFailedError) as caught:
            await (await runtime.start(run)).result()
        assert caught.value.error.is_(error)


# -- crashes --------------------------------------------------------------------------------------------


class Crashing:
    """Workflow code that crashes a number of times, after one recorded task."""

    def __init__(self, crashes: int, error: BaseException | None = None) -> None:
        self.left = crashes
        self.error = error
        self.lives: list[tuple[int, float]] = []
        self.bodies = 0

    def __call__(self, **options):
        @task
        async def step() -> int:
            self.bodies += 1
            return 7

        @workflow(name="run", **options)
        async def run(ctx: Context) -> int:
            value = await ctx.run(step)
            self.lives.append((ctx.attempt, trio.current_time()))
            if self.left:
                self.left -= 1
                raise self.error or ValueError(f"{self.left} left")
            return value

        return run


async def test_a_crash_is_respawned_from_the_checkpoint_with_backoff(
    open_claw_runtime, storage, row_of
):
    """Recorded tasks are not repeated; the delays grow; the count is stored."""
    crashing = Crashing(3)
    run = crashing(restart=Restart(max_restarts=3, initial=10, backoff=2, maximum=100, within=999))
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await trio.sleep(5)
        assert await handle.status() is Status.PENDING
        row = row_of(storage, "a")
        assert row.reason == "ValueError: 2 left"
        assert row.restarts == (EPOCH,)
        assert row.wake_at == EPOCH + 10
        assert await handle.result() == 7
        assert runtime.statistics().crashes == 3
        assert row_of(storage, "a").restarts == (), "an end forgets the crashes"
        assert (await handle.state()).reason is None
    assert crashing.bodies == 1
    assert crashing.lives == [
        (1, 0),
        (2, pytest.approx(10, abs=0.1)),
        (3, pytest.approx(30, abs=0.1)),
        (4, pytest.approx(70, abs=0.1)),
    ]


async def test_one_crash_too_many_quarantines_with_the_last_crash_as_reason(
    open_claw_runtime, storage, journal_of, caplog
):
    """Parked, visible, its journal untouched; others go on."""
    crashing = Crashing(99)
    run = crashing(restart=Restart(max_restarts=2))

    @workflow
    async def bystander(ctx: Context) -> str:
        await ctx.sleep(100)
        return "fine"

    async with open_claw_runtime(storage, workflows=[run, bystander]) as runtime:
        other = await runtime.start(bystander)
        handle = await runtime.start(run, id="a")
        with pytest.raises(WorkflowQuarantinedError, match="ValueError: 96 left"):
            await handle.result()
        assert await handle.status() is Status.QUARANTINED
        assert await other.result() == "fine"
        assert runtime.statistics().quarantined == 1
        assert runtime.statistics().crashes == 3
    assert [entry.op for entry in journal_of(storage, "a")] == ["", "step"]
    assert len(crashing.lives) == 3
    assert "workflow a: quarantined: ValueError: 96 left" in caplog.text


async def test_a_mixed_group_is_a_crash(open_claw_runtime, storage):
    """One leaf that is no failure makes the group one."""
    error = ExceptionGroup("mixed", [WorkflowFailure("on purpose"), KeyError("by mistake")])
    run = raising(error, restart=Restart(max_restarts=0))
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        with pytest.raises(WorkflowQuarantinedError, match="mixed"):
            await (await runtime.start(run)).result()


async def test_crash_counts_survive_a_restart(open_claw_runtime, storage, caplog):
    """A restart of the process is no pardon; and the respawn waits for its due time."""
    caplog.set_level(logging.INFO, "claw_actors.recovery")
    crashing = Crashing(99)
    run = crashing(restart=Restart(max_restarts=2, initial=100, backoff=1, maximum=100, within=999))
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(150)
    assert [at for _, at in crashing.lives] == [0, pytest.approx(100, abs=0.1)]
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert "workflow a: its respawn is due in 50.0 s" in caplog.messages
        assert await runtime.recover() == RecoveryReport(), "which it is told once"
        assert await runtime.status("a") is Status.PENDING
        with pytest.raises(WorkflowQuarantinedError):
            await runtime.result("a")
        assert trio.current_time() == pytest.approx(200, abs=0.5)
    assert len(crashing.lives) == 3


async def test_a_respawn_that_fell_due_while_down_comes_back_at_once(open_claw_runtime, storage):
    """It is recovered like any unfinished one."""
    crashing = Crashing(1)
    run = crashing(restart=Restart(initial=100, maximum=100))
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(50)
    await trio.sleep(100)
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await runtime.result("a") == 7
    assert [at for _, at in crashing.lives] == [0, pytest.approx(150, abs=0.1)]


async def test_crashes_older_than_the_window_are_forgotten(open_claw_runtime, storage):
    """The budget is one of a window."""
    lives = []

    @workflow(restart=Restart(max_restarts=1, within=1, initial=0))
    async def run(ctx: Context) -> str:
        lives.append(ctx.attempt)
        await ctx.sleep(5 * ctx.attempt)
        if ctx.attempt < 4:
            raise ValueError(ctx.attempt)
        return "done"

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        with pytest.raises(WorkflowQuarantinedError):
            await (await runtime.start(run)).result()
    assert lives == [1, 2], "its sleeps are recorded, so the second crash follows at once"


async def test_a_very_long_reason_is_cut(open_claw_runtime, storage, row_of):
    """The row stays small, and holds no NUL."""
    run = raising(ValueError("\0" + "x" * 5_000), restart=Restart(max_restarts=0))
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        with pytest.raises(WorkflowQuarantinedError):
            await (await runtime.start(run, id="a")).result()
    reason = row_of(storage, "a").reason
    assert reason is not None
    assert len(reason) == 1_000
    assert reason.endswith("…")
    assert "\0" not in reason


async def test_a_crash_while_sealed_is_logged_and_changes_nothing(
    open_claw_runtime, storage, row_of, caplog
):
    """Clean-up that fails at shutdown is no crash of the workflow."""

    @workflow
    async def run(ctx: Context) -> None:
        try:
            await ctx.sleep(10)
        finally:
            if first:
                first.clear()
                raise ValueError("clean-up failed")

    first = [1]
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await wait_all_tasks_blocked()
    assert "clean-up failed" in caplog.text
    assert row_of(storage, "a").restarts == ()
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await runtime.result("a") is None


# -- retry ----------------------------------------------------------------------------------------------


async def test_a_quarantined_workflow_is_retried_with_mended_code(
    open_claw_runtime, storage, row_of
):
    """Its crashes are forgotten, its journal replayed as it stands."""
    crashing = Crashing(3)
    run = crashing(restart=Restart(max_restarts=2))
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        with pytest.raises(WorkflowQuarantinedError):
            await handle.result()
        await handle.retry()
        assert row_of(storage, "a").restarts == ()
        assert await handle.result() == 7
    assert crashing.bodies == 1


async def test_a_failed_workflow_is_retried_from_the_fatal_task(
    open_claw_runtime, storage, journal_of, calls
):
    """The fatal entry and what came after it is voided; what was recorded before stands. Twice."""

    @task
    async def before() -> int:
        calls.append("before")
        return 1

    @task
    async def fatal() -> int:
        calls.append("fatal")
        if calls.count("fatal") < 3:
            raise ConnectionError(f"down {calls.count('fatal')}")
        return 2

    @task
    async def clean_up() -> None:
        calls.append("clean_up")

    @workflow
    async def run(ctx: Context) -> int:
        value = await ctx.run(before)
        try:
            return value + await ctx.run(fatal)
        except Exception:
            await ctx.run(clean_up)  # noqa: ASYNC120
            raise

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        for n in (1, 2):
            with pytest.raises(WorkflowFailedError, match=f"down {n}"):
                await handle.result()
            await handle.retry()
        assert await handle.result() == 3
        assert [one.id for one in await handle.tasks()] == ["before", "fatal"]
    assert calls == ["before", "fatal", "clean_up", "fatal", "clean_up", "fatal"]
    journal = journal_of(storage, "a")
    assert [entry.op for entry in effective(journal)] == ["", "before", "fatal", END_OP]
    assert len([entry for entry in journal if entry.op == "fatal"]) == 3, "kept for the history"


async def test_a_failure_on_purpose_is_retried_as_it_stands(open_claw_runtime, storage, calls):
    """No task was fatal: only the end is voided."""
    stock = [0]

    @task
    async def look() -> int:
        calls.append("look")
        return 1

    @workflow
    async def run(ctx: Context) -> str:
        await ctx.run(look)
        if not stock[0]:
            raise WorkflowFailure("sold out")
        return "sold"

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        with pytest.raises(WorkflowFailedError):
            await handle.result()
    stock[0] = 1
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.get("a")
        await handle.retry()
        assert await handle.result() == "sold"
    assert calls == ["look"]


async def test_a_retry_is_refused_in_every_other_status(open_claw_runtime, storage):
    """The error names the status; nothing changes."""

    @workflow
    async def run(ctx: Context) -> str:
        await ctx.sleep(50)
        return "done"

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run)
        with pytest.raises(InvalidTransitionError, match="running"):
            await handle.retry()
        await trio.sleep(15)
        with pytest.raises(InvalidTransitionError, match="waiting"):
            await handle.retry()
        assert await handle.result() == "done"
        with pytest.raises(InvalidTransitionError, match="completed"):
            await handle.retry()
        cancelled = await runtime.start(run)
        await cancelled.cancel()
        with pytest.raises(Exception, match="cancelled"):
            await cancelled.result()
        with pytest.raises(InvalidTransitionError, match="cancelled"):
            await cancelled.retry()


async def test_a_retry_of_code_that_is_gone_is_refused(open_claw_runtime, storage, row_of):
    """Before anything is written."""
    run = raising(ValueError("x"), restart=Restart(max_restarts=0))
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        with pytest.raises(WorkflowQuarantinedError):
            await (await runtime.start(run, id="a")).result()
    async with open_claw_runtime(storage, workflows=[]) as runtime:
        with pytest.raises(UnknownWorkflowError):
            await runtime.retry("a")
    assert row_of(storage, "a").status is Status.QUARANTINED


async def test_two_retries_at_once_are_one(open_claw_runtime, storage):
    """The second finds it changed, looks again, and is refused."""
    crashing = Crashing(1)
    run = crashing(restart=Restart(max_restarts=0))
    refused = []
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        with pytest.raises(WorkflowQuarantinedError):
            await handle.result()

        async def retry() -> None:
            try:
                await handle.retry()
            except InvalidTransitionError as error:
                refused.append(error.status)

        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(retry)
        assert await handle.result() == 7
    assert len(refused) <= 1
    assert crashing.lives == [(1, 0), (2, pytest.approx(0, abs=0.1))]


@pytest.mark.parametrize("outcome", ["failed", "quarantined"])
async def test_a_retry_that_is_late_does_not_stop_what_another_has_begun(
    open_claw_runtime, storage, monkeypatch, outcome
):
    """It has seen the workflow before the other one let it go on; that one comes back."""

    @workflow(restart=Restart(max_restarts=0))
    async def run(ctx: Context) -> str:
        if not mended:
            raise WorkflowFailure("not yet") if outcome == "failed" else RuntimeError("not yet")
        await ctx.sleep(10)
        return "done"

    mended = []
    read = Lifecycle._read

    async def late(self, id):
        stored = await read(self, id)
        if late_ones:
            late_ones.pop()
            await trio.sleep(1)
        return stored

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        with pytest.raises((WorkflowFailedError, WorkflowQuarantinedError)):
            await handle.result()
        mended.append(True)
        monkeypatch.setattr(Lifecycle, "_read", late)
        late_ones = [True]

        async def second() -> None:
            with pytest.raises(InvalidTransitionError):
                await handle.retry()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(second)
            await trio.sleep(0.5)
            await handle.retry()
        with trio.fail_after(100):
            assert await handle.result() == "done"


async def test_arguments_that_no_longer_fit_quarantine_and_a_retry_mends(
    open_claw_runtime, storage
):
    """New code that cannot take the stored arguments is not crashed through its budget."""

    @workflow(name="run")
    async def old(ctx: Context, n: int) -> int:
        await ctx.sleep(10)
        return n

    @workflow(name="run")
    async def wrong(ctx: Context, n: list[str]) -> int:
        await ctx.sleep(10)
        return len(n)

    @workflow(name="run")
    async def shorter(ctx: Context) -> int:
        return 0

    @workflow(name="run")
    async def longer(ctx: Context, n: int, more: int) -> int:
        return n + more

    async with open_claw_runtime(storage, workflows=[old]) as runtime:
        await runtime.start(old, 4, id="a")
        await wait_all_tasks_blocked()
    for new, words in ((wrong, "argument 'n'"), (shorter, "'n'"), (longer, "'more'")):
        async with open_claw_runtime(storage, workflows=[new]) as runtime:
            if new is not wrong:
                await runtime.retry("a")
            with pytest.raises(WorkflowQuarantinedError, match=words):
                await runtime.result("a")
            assert runtime.statistics().crashes == 1
    async with open_claw_runtime(storage, workflows=[old]) as runtime:
        await runtime.retry("a")
        assert await runtime.result("a") == 4


async def test_a_workflow_is_pinned_to_its_version(open_claw_runtime, storage):
    """Old instances go on with the old code; new ones start with what is passed."""

    @workflow(name="run")
    async def one(ctx: Context) -> str:
        await ctx.sleep(10)
        return "one"

    @workflow(name="run", version=2)
    async def two(ctx: Context) -> str:
        return "two"

    async with open_claw_runtime(storage, workflows=[one]) as runtime:
        await runtime.start(one, id="a")
    async with open_claw_runtime(storage, workflows=[one, two]) as runtime:
        assert await (await runtime.start(two, id="b")).result() == "two"
        assert await runtime.result("a") == "one"
