"""Attempts of a task: how often, when, and what is recorded of the last one."""

from __future__ import annotations

import threading
import time
from typing import Any

import attrs
import pytest
import trio

from claw_actors import (
    Context,
    Retry,
    RetryAfter,
    RuntimeConfig,
    Status,
    TaskFailedError,
    TaskStatus,
    open_runtime,
    task,
    task_info,
    workflow,
)
from claw_actors.errors import (
    PayloadTooLargeError,
    SerializationError,
    TaskTimeoutError,
    WorkflowCancelledError,
    WorkflowFailedError,
)
from claw_actors.testing.clock import EPOCH

STEADY = Retry(max_attempts=4, initial=10, backoff=1, jitter=0)


class Flaky:
    """A body that fails a number of times, and notes when it was tried."""

    def __init__(self, failures: int, error: BaseException | None = None) -> None:
        self.failures = failures
        self.error = error or ConnectionError("down")
        self.tries: list[tuple[int, float]] = []

    async def __call__(self) -> int:
        self.tries.append((task_info().attempt, trio.current_time()))
        if len(self.tries) <= self.failures:
            raise self.error
        return len(self.tries)


def flaky_workflow(flaky, retry=STEADY, timeout=None, **options):
    @task(name="flaky", retry=retry, timeout=timeout)
    async def body() -> int:
        return await flaky()

    @workflow(name="run", **options)
    async def run(ctx: Context) -> int:
        return await ctx.run(body)

    return run


async def test_a_failed_attempt_is_repeated_after_its_delay(open_claw_runtime, storage):
    """As often as it takes, and its number tells the body which one it is."""
    flaky = Flaky(2)
    run = flaky_workflow(flaky)
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run)
        assert await handle.result() == 3
        assert runtime.statistics().attempts == 3
        assert runtime.statistics().retries == 2
        [done] = await handle.tasks()
        assert (done.attempt, done.status) == (3, TaskStatus.COMPLETED)
        assert done.started_at == EPOCH
        assert done.completed_at == pytest.approx(EPOCH + 20, abs=0.1)
    assert flaky.tries == [
        (1, 0),
        (2, pytest.approx(10, abs=0.1)),
        (3, pytest.approx(20, abs=0.1)),
    ]


async def test_a_task_without_a_policy_is_tried_once(open_claw_runtime, storage):
    """Effects are repeated only where the author says that they may be."""
    flaky = Flaky(1)

    @task
    async def body() -> int:
        return await flaky()

    @workflow
    async def run(ctx: Context) -> int:
        return await ctx.run(body)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        with pytest.raises(WorkflowFailedError, match="down"):
            await (await runtime.start(run)).result()
    assert len(flaky.tries) == 1


async def test_a_restart_resets_neither_the_count_nor_the_due_time(open_claw_runtime, storage):
    """Both are stored; so a task that fails is not tried without end by restarting."""
    flaky = Flaky(99)
    run = flaky_workflow(flaky)
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await trio.sleep(3)
        [open_task] = await handle.tasks()
        assert open_task.status is TaskStatus.RETRYING
        assert open_task.attempt == 1
        assert open_task.due_at == pytest.approx(EPOCH + 10, abs=0.1)
        assert open_task.error is not None
        assert open_task.error.message == "down"
    crashed = storage.snapshot()
    crashed._clean = False
    async with open_claw_runtime(crashed, workflows=[run]) as runtime:
        with pytest.raises(WorkflowFailedError, match="4 attempts"):
            await runtime.result("a")
        tasks = await runtime.storage.list_tasks("a")
        assert [(one.status, one.attempt) for one in tasks] == [(TaskStatus.FAILED, 4)]
    assert [attempt for attempt, _ in flaky.tries] == [1, 2, 3, 4]
    assert [at for _, at in flaky.tries] == [pytest.approx(at, abs=0.5) for at in (0, 10, 20, 30)]


async def test_a_due_time_that_has_passed_while_down_is_due_at_once(open_claw_runtime, storage):
    """The delay is not waited for again."""
    flaky = Flaky(1)
    run = flaky_workflow(flaky)
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(3)
    await trio.sleep(100)
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await runtime.result("a") == 2
    assert [at for _, at in flaky.tries] == [0, pytest.approx(103, abs=0.5)]


async def test_retry_after_names_the_delay(open_claw_runtime, storage):
    """Instead of the policy's; it uses up an attempt like any failure."""
    flaky = Flaky(2, RetryAfter(100))
    run = flaky_workflow(flaky)
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await (await runtime.start(run)).result() == 3
    assert [at for _, at in flaky.tries] == [pytest.approx(at, abs=0.5) for at in (0, 100, 200)]


@pytest.mark.parametrize(
    ("policy", "tries"),
    [
        ({"retry_on": ValueError}, 1),
        ({"retry_on": (ValueError, OSError)}, 3),
        ({"give_up_on": ConnectionError}, 1),
        ({"retry_on": lambda error: "down" in str(error)}, 3),
        ({"retry_on": lambda error: False}, 1),
        ({"retry_on": lambda error: error.no_such_attribute}, 1),
        ({"deadline": 15.0}, 2),
        ({"deadline": 5.0}, 1),
    ],
)
async def test_the_policy_decides_which_failures_are_repeated(
    open_claw_runtime, storage, policy, tries
):
    """By class, by predicate, by the total time; a predicate that fails is no reason to repeat."""
    flaky = Flaky(99)
    run = flaky_workflow(flaky, Retry(max_attempts=3, initial=10, backoff=1, jitter=0, **policy))
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        with pytest.raises(WorkflowFailedError, match="ConnectionError: down"):
            await (await runtime.start(run)).result()
    assert len(flaky.tries) == tries


# -- time limits ----------------------------------------------------------------------------------


@pytest.mark.parametrize("swallow", [False, True])
async def test_an_attempt_that_takes_too_long_has_failed(open_claw_runtime, storage, swallow):
    """Also if the body swallows the cancellation and returns; it is repeated by default."""
    tries = []

    @task(timeout=5, retry=Retry(max_attempts=2, initial=1, jitter=0))
    async def slow() -> str:
        tries.append(trio.current_time())
        try:
            await trio.sleep(60)
        except trio.Cancelled:  # noqa: ASYNC103
            if not swallow:
                raise
        return "late"

    @workflow
    async def run(ctx: Context):
        try:
            await ctx.run(slow)
        except TaskFailedError as error:
            return (error.task_id, error.attempts, error.is_(TaskTimeoutError))
        return None

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await (await runtime.start(run)).result() == ["slow", 2, True]
    assert tries == [0, pytest.approx(6, abs=0.1)]


async def test_a_body_within_its_limit_has_not_timed_out(open_claw_runtime, storage):
    """A limit that does not strike changes nothing."""
    run = flaky_workflow(Flaky(0), timeout=5)
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await (await runtime.start(run)).result() == 1


async def test_a_body_that_fails_while_it_is_timed_out_is_reported_as_it_failed(
    open_claw_runtime, storage
):
    """Its clean-up's error says more than that it was late."""

    @task(timeout=5)
    async def slow() -> None:
        try:
            await trio.sleep(60)
        finally:
            raise KeyError("clean-up")

    @workflow
    async def run(ctx: Context) -> str:
        try:
            await ctx.run(slow)
        except TaskFailedError as error:
            return error.error.types[0]
        return ""

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await (await runtime.start(run)).result() == "KeyError"


async def test_a_thread_that_takes_too_long_is_abandoned(tmp_path):
    """A thread cannot be interrupted: the attempt has failed, the thread ends when it ends."""
    release = threading.Event()
    ended = threading.Event()

    @task(timeout=0.02)
    def slow() -> str:
        release.wait(10)
        ended.set()
        return "late"

    @workflow
    async def run(ctx: Context) -> bool:
        try:
            await ctx.run(slow)
        except TaskFailedError as error:
            return error.is_(TaskTimeoutError)
        return False

    async with open_runtime(tmp_path / "claw.db", workflows=[run]) as runtime:
        assert await (await runtime.start(run)).result() is True
        assert not ended.is_set()
        release.set()
        await trio.to_thread.run_sync(ended.wait, 10)
    assert ended.is_set()


async def test_under_a_mock_clock_plain_functions_run_inline(open_claw_runtime, storage):
    """Virtual time would leap while a worker thread runs; retries are the same."""
    tries = []

    @task(retry=STEADY)
    def plain() -> bool:
        tries.append(trio.current_time())
        if len(tries) < 3:
            raise ConnectionError
        return threading.current_thread() is threading.main_thread()

    @workflow
    async def run(ctx: Context) -> bool:
        return await ctx.run(plain)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await (await runtime.start(run)).result() is True
    assert tries == [pytest.approx(at, abs=0.1) for at in (0, 10, 20)]


async def test_threads_have_a_limit_of_their_own(tmp_path):
    """Bodies beyond ``max_threads`` wait; storage does not wait behind them."""
    running = []
    most = []
    lock = threading.Lock()

    @task
    def work(n: int) -> int:
        with lock:
            running.append(n)
            most.append(len(running))
        time.sleep(0.005)
        with lock:
            running.remove(n)
        return n

    @workflow
    async def run(ctx: Context, n: int) -> int:
        return await ctx.run(work, n)

    config = RuntimeConfig(max_threads=2)
    async with open_runtime(tmp_path / "claw.db", workflows=[run], config=config) as runtime:
        handles = [await runtime.start(run, n) for n in range(6)]
        assert [await handle.result() for handle in handles] == list(range(6))
    assert max(most) <= 2


# -- how it ends ------------------------------------------------------------------------------------


@attrs.frozen
class Point:
    x: int


@pytest.mark.parametrize(
    ("declared", "returned", "error"),
    [
        (int, "no number", SerializationError),
        (Any, object(), SerializationError),
        (Point, 3, SerializationError),
        (float, float("nan"), SerializationError),
        (str, "x" * 5_000, PayloadTooLargeError),
    ],
)
async def test_a_result_that_cannot_be_stored_is_a_failure_without_retries(
    open_claw_runtime, storage, calls, declared, returned, error
):
    """The effect has happened, and must not be repeated."""

    async def make():
        calls.append("ran")
        return returned

    make.__annotations__["return"] = declared
    made = task(retry=Retry(max_attempts=5))(make)

    @workflow
    async def run(ctx: Context):
        try:
            await ctx.run(made)
        except TaskFailedError as raised:
            return raised.attempts, raised.is_(error)

    config = RuntimeConfig(max_payload_bytes=2_000)
    async with open_claw_runtime(storage, workflows=[run], config=config) as runtime:
        assert await (await runtime.start(run)).result() == [1, True]
    assert calls == ["ran"]


async def test_a_serialization_error_raised_by_the_body_itself_is_retried(
    open_claw_runtime, storage
):
    """Only the result of the body is final, not what the body raises."""
    flaky = Flaky(2, SerializationError("something", "of its own", "wrong"))
    run = flaky_workflow(flaky)
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await (await runtime.start(run)).result() == 3


async def test_a_task_failure_is_the_same_live_and_on_replay(open_claw_runtime, storage):
    """Class, text and attributes."""
    seen = []

    @task(retry=Retry(max_attempts=2, initial=1))
    async def fail() -> None:
        raise ConnectionRefusedError("no", "way")

    @workflow
    async def run(ctx: Context) -> None:
        try:
            await ctx.run(fail)
        except TaskFailedError as error:
            seen.append(error)
        await ctx.sleep(50)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(15)
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.result("a")
    live, replayed = seen
    assert str(live) == str(replayed)
    assert "task 'fail' failed after 2 attempts" in str(live)
    for name in ("task_id", "name", "attempts", "error", "entry_n"):
        assert getattr(live, name) == getattr(replayed, name)
    assert live.entry_n == 1
    for error in (live, replayed):
        assert error.is_(ConnectionRefusedError)
        assert error.is_(OSError)
        assert not error.is_(ValueError)
        assert "ConnectionRefusedError" in error.error.traceback


async def test_a_group_of_errors_out_of_a_body_is_its_failure(open_claw_runtime, storage):
    """As it is raised by a nursery of the body's own."""

    @task
    async def fail() -> None:
        async with trio.open_nursery():
            raise KeyError("inside")

    @workflow
    async def run(ctx: Context) -> bool:
        try:
            await ctx.run(fail)
        except TaskFailedError as error:
            return error.is_(ExceptionGroup)
        return False

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await (await runtime.start(run)).result() is True


async def test_a_cancelled_body_whose_clean_up_fails_has_failed(
    open_claw_runtime, storage, journal_of
):
    """The group of its cancellation and its errors becomes a failure of only the errors."""

    async def fail_at_the_end() -> None:
        try:
            await trio.sleep_forever()
        finally:
            raise KeyError("clean-up")

    @task
    async def work() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail_at_the_end)
            await trio.sleep_forever()

    @workflow
    async def run(ctx: Context) -> None:
        await ctx.run(work)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await trio.sleep(1)
        await handle.cancel()
        with pytest.raises((WorkflowCancelledError, WorkflowFailedError)):
            await handle.result()
        [entry] = [one for one in journal_of(storage, "a") if one.op == "work"]
        assert entry.status == "failed"
        assert b"KeyError" in entry.value
        assert b"trio.Cancelled" not in entry.value.split(b",")[0]


async def test_a_keyboard_interrupt_in_a_body_propagates(
    open_claw_runtime, storage, row_of, caplog
):
    """It is no failure of the task; the program ends, and everything is there afterwards."""

    @task
    async def interrupted() -> None:
        await trio.sleep(1)
        if len(tries) == 0:
            tries.append(1)
            raise KeyboardInterrupt

    @task
    async def innocent_body() -> int:
        await trio.sleep(5)
        return 5

    @workflow
    async def run(ctx: Context) -> str:
        await ctx.run(interrupted)
        return "done"

    @workflow
    async def innocent(ctx: Context) -> int:
        return await ctx.run(innocent_body)

    @workflow
    async def sleeper(ctx: Context) -> str:
        await ctx.sleep(20)
        return "slept"

    tries = []
    workflows = [run, innocent, sleeper]
    with pytest.RaisesGroup(KeyboardInterrupt, flatten_subgroups=True):
        async with open_claw_runtime(storage, workflows=workflows) as runtime:
            for one in workflows:
                await runtime.start(one, id=one.name)
            await trio.sleep_forever()
    assert caplog.records == []
    assert row_of(storage, "innocent").status is Status.RUNNING
    assert row_of(storage, "run").status is Status.RUNNING
    async with open_claw_runtime(storage, workflows=workflows) as runtime:
        assert await runtime.result("run") == "done"
        assert await runtime.result("innocent") == 5
        assert await runtime.result("sleeper") == "slept"
        assert runtime.statistics().crashes == 0
