"""Rollback: what was done is undone, last first, on failure and on cancellation."""

from __future__ import annotations

import contextlib

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors import (
    Context,
    DeadlineExceededError,
    Restart,
    Retry,
    Runtime,
    TaskFailedError,
    WorkflowFailure,
    errors,
    task,
    task_info,
    workflow,
)
from claw_actors._core.journal import END_OP, effective
from claw_actors.testing import explore


@task
async def do(name: str) -> str:
    await trio.sleep(1)
    return name


@task
async def fails() -> None:
    await trio.sleep(1)
    raise ConnectionError("down")


@pytest.fixture
def undo(calls):
    """A handler that notes its argument."""

    @task
    async def undo(name: str) -> str:
        calls.append(name)
        await trio.sleep(1)
        return f"undid {name}"

    return undo


async def ending_of(runtime: Runtime, id: str = "a") -> str:
    try:
        return str(await runtime.result(id))
    except (errors.WorkflowFailedError, errors.WorkflowCancelledError) as error:
        return str(error)


# -- when it runs, and when not ---------------------------------------------------------------------


class OutOfStock(Exception):
    """Named in ``failures=``."""


@pytest.mark.parametrize(
    "error",
    [
        WorkflowFailure("no"),
        OutOfStock("no"),
        DeadlineExceededError(1.0),
        ExceptionGroup("all", [WorkflowFailure("a"), ExceptionGroup("b", [OutOfStock("c")])]),
    ],
    ids=lambda one: type(one).__name__,
)
async def test_a_failure_rolls_back_last_in_first_out(
    open_claw_runtime, storage, journal_of, calls, undo, error
):
    """Each handler is a task with an id of its own; then comes the end."""

    @workflow(failures=(OutOfStock,))
    async def run(ctx: Context) -> None:
        for name in ("first", "second", "third"):
            ctx.on_rollback(undo, name)
            await ctx.run(do, name)
        raise error

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        with pytest.raises(errors.WorkflowFailedError):
            await handle.result()
        undone = [state for state in await handle.tasks() if state.id.startswith("rollback/")]
    assert calls == ["third", "second", "first"]
    assert [(state.id, state.result) for state in undone] == [
        ("rollback/undo", "undid third"),
        ("rollback/undo#2", "undid second"),
        ("rollback/undo#3", "undid first"),
    ]
    assert journal_of(storage, "a")[-1].op == END_OP


async def test_a_failed_task_rolls_back_and_the_failure_stays_what_it_was(
    open_claw_runtime, storage, calls, undo
):
    """The handlers' own story is not mixed into it; the registering may be anybody's."""

    async def child(ctx: Context, name: str) -> None:
        await ctx.run(do, name)
        ctx.on_rollback(undo, name)

    @workflow
    async def run(ctx: Context) -> None:
        async with ctx.open_nursery() as nursery:
            for name in "ab":
                nursery.start_soon(child, name)
        ctx.on_rollback(undo, name="c")
        await ctx.run(fails)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        with pytest.raises(errors.WorkflowFailedError, match="ConnectionError: down") as caught:
            await handle.result()
        order = [one.id for one in await handle.tasks() if one.id.startswith("nursery")]
    assert caught.value.error.is_(TaskFailedError)
    registered = ["a" if id == "nursery/child/do" else "b" for id in order]
    assert calls == ["c", *reversed(registered)], "the order of turns"


async def test_a_result_that_cannot_be_stored_rolls_back(open_claw_runtime, storage, calls, undo):
    """That is a failure like any other."""

    @workflow
    async def run(ctx: Context) -> object:
        ctx.on_rollback(undo, "a")
        return object()

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        with pytest.raises(errors.WorkflowFailedError, match="SerializationError"):
            await (await runtime.start(run)).result()
    assert calls == ["a"]


async def test_a_success_rolls_nothing_back(open_claw_runtime, storage, calls, undo):
    """Nothing is written about handlers that never run."""

    @workflow
    async def run(ctx: Context) -> str:
        ctx.on_rollback(undo, "a")
        return await ctx.run(do, "b")

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run)
        assert await handle.result() == "b"
        assert [one.id for one in await handle.tasks()] == ["do"]
    assert calls == []


async def test_a_crash_rolls_nothing_back(open_claw_runtime, storage, calls, undo):
    """Not each one, and not the last, which quarantines: the journal is to be gone on from."""
    lives = []

    @workflow(restart=Restart(max_restarts=2))
    async def run(ctx: Context) -> str:
        ctx.on_rollback(undo, "a")
        lives.append(ctx.attempt)
        if len(lives) < 4:
            raise ValueError("a bug")
        return "mended"

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run)
        with pytest.raises(errors.WorkflowQuarantinedError):
            await handle.result()
        await handle.retry()
        assert await handle.result() == "mended"
    assert calls == []
    assert lives == [1, 2, 3, 4]


# -- cancelling -------------------------------------------------------------------------------------


@pytest.mark.parametrize("swallow", [False, True])
async def test_a_cancelled_workflow_rolls_back_outside_of_what_was_cancelled(
    open_claw_runtime, storage, calls, undo, swallow
):
    """Its clean-up comes first. It stays cancelled, whatever the code returns."""

    @workflow
    async def run(ctx: Context) -> str:
        try:
            ctx.on_rollback(undo, "a")
            await ctx.sleep(100)
        except trio.Cancelled:
            calls.append("unwound")
            if not swallow:
                raise
        return "never"

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await wait_all_tasks_blocked()
        await handle.cancel("enough")
        with pytest.raises(errors.WorkflowCancelledError, match="enough"):
            await handle.result()
    assert calls == ["unwound", "a"]


@pytest.mark.parametrize("first", ["cancel", "fail"])
async def test_a_cancel_while_it_rolls_back_changes_nothing(
    open_claw_runtime, storage, calls, undo, first
):
    """The handlers go on to the end, and what began the rollback is what is told."""

    @workflow
    async def run(ctx: Context) -> None:
        ctx.on_rollback(undo, "a")
        ctx.on_rollback(undo, "b")
        if first == "fail":
            raise WorkflowFailure("no")
        await ctx.sleep(100)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await wait_all_tasks_blocked()
        if first == "cancel":
            await handle.cancel("one")
        await trio.sleep(0.5)
        assert calls == ["b"]
        await handle.cancel("two")
        await trio.sleep(1)
        await handle.cancel("three")
        told = await ending_of(runtime)
        assert told.endswith("was cancelled: one" if first == "cancel" else "WorkflowFailure: no")
    assert calls == ["b", "a"]


@pytest.fixture
def resumed(open_claw_runtime, storage, cut_after):
    """Run a workflow again from a journal that is cut after so many entries."""

    async def resume(definition, kept: int) -> str:
        async with open_claw_runtime(cut_after(storage, kept), workflows=[definition]) as runtime:
            return await ending_of(runtime)

    return resume


async def test_a_cancel_that_precedes_the_result_rolls_back(
    open_claw_runtime, storage, journal_of, calls, undo, resumed
):
    """It was committed before the end, although the code had returned already; on replay, too."""

    @task
    async def last() -> int:
        for reason in ("first", "second"):
            nursery.start_soon(runtime.cancel, "a", reason)
        return 1

    @workflow
    async def run(ctx: Context) -> int:
        ctx.on_rollback(undo, "a")
        return await ctx.run(last)

    async with (
        open_claw_runtime(storage, workflows=[run]) as runtime,
        trio.open_nursery() as nursery,
    ):
        await runtime.start(run, id="a")
        assert "was cancelled" in await ending_of(runtime)
    journal = journal_of(storage, "a")
    assert [one.op for one in journal] == [
        "",
        "last",
        "/cancel",
        "/cancel",
        "rollback/undo",
        "/end",
    ]
    assert journal[4].after == 2, "it begins with the first request, and the second changes nothing"
    assert calls == ["a"]
    for kept in (3, 4, 5):
        assert "was cancelled" in await resumed(run, kept)
    assert calls == ["a", "a", "a"], "from the last one it is recorded"


# -- what goes wrong on the way ---------------------------------------------------------------------


async def test_a_handler_has_retries_of_its_own(open_claw_runtime, storage, calls):
    """Its attempts are as durable as those of any task."""

    @task(retry=Retry(max_attempts=3, initial=10))
    async def undo() -> None:
        calls.append(task_info().attempt)
        if len(calls) < 3:
            raise ConnectionError("down")

    @workflow
    async def run(ctx: Context) -> None:
        ctx.on_rollback(undo)
        raise WorkflowFailure("no")

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(5)
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert (await ending_of(runtime)).endswith("WorkflowFailure: no")
    assert calls == [1, 2, 3]


async def test_a_handler_out_of_retries_stops_the_rollback_and_a_retry_goes_on(
    open_claw_runtime, storage, journal_of, calls
):
    """Quarantined, with the handler and its error as the reason; those that ran do not run again."""
    broken = [1, 2]

    @task
    async def undo(name: str) -> None:
        calls.append(name)
        if name == "second" and broken:
            broken.pop()
            raise ConnectionError("bank is down")

    @workflow
    async def run(ctx: Context) -> None:
        for name in ("first", "second", "third"):
            ctx.on_rollback(undo, name)
        await ctx.run(fails)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        reason = "RollbackFailedError: .* 'rollback/undo#2', which failed .* bank is down"
        for _ in range(2):
            with pytest.raises(errors.WorkflowQuarantinedError, match=reason):
                await handle.result()
            await handle.retry()
        with pytest.raises(errors.WorkflowFailedError, match="ConnectionError: down"):
            await handle.result()
        assert runtime.statistics().crashes == 2, "a respawn would not mend it"
    assert calls == ["third", "second", "second", "second", "first"]
    kept = [entry.op for entry in effective(journal_of(storage, "a"))]
    assert kept == ["", "fails", "rollback/undo", "rollback/undo#2", "rollback/undo#3", END_OP]


async def test_a_cancel_of_one_whose_rollback_has_stopped_changes_nothing(
    open_claw_runtime, storage, calls
):
    """It is there at the retry, and then it is too late: the workflow has failed already."""
    broken = [1]

    @task
    async def undo() -> None:
        calls.append("undo")
        if broken:
            raise ValueError(broken.pop())

    @workflow
    async def run(ctx: Context) -> None:
        ctx.on_rollback(undo)
        raise WorkflowFailure("no")

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        with pytest.raises(errors.WorkflowQuarantinedError):
            await handle.result()
        await handle.cancel("too late")
        await handle.retry()
        assert (await ending_of(runtime)).endswith("WorkflowFailure: no")
    assert calls == ["undo", "undo"]


async def test_code_that_is_mended_in_mid_rollback_has_diverged(
    open_claw_runtime, storage, calls, undo
):
    """What was undone cannot be gone on from."""

    def of(fail: bool):
        @workflow(name="run")
        async def run(ctx: Context) -> str:
            ctx.on_rollback(undo, "a")
            ctx.on_rollback(undo, "b")
            if fail:
                raise WorkflowFailure("no")
            return "fine"

        return run

    failing = of(True)
    async with open_claw_runtime(storage, workflows=[failing]) as runtime:
        await runtime.start(failing, id="a")
        await trio.sleep(1.5)
    async with open_claw_runtime(storage, workflows=[of(False)]) as runtime:
        with pytest.raises(errors.WorkflowQuarantinedError, match="expected task 'rollback/undo'"):
            await runtime.result("a")


# -- retry of what was rolled back ------------------------------------------------------------------


async def test_a_retry_of_what_was_rolled_back_is_refused(
    open_claw_runtime, storage, journal_of, undo
):
    """The error names the way out; nothing changes."""

    @workflow
    async def run(ctx: Context, register: bool) -> None:
        if register:
            ctx.on_rollback(undo, "a")
        await ctx.run(fails)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, True, id="a")
        with pytest.raises(errors.WorkflowFailedError):
            await handle.result()
        before = journal_of(storage, "a")
        with pytest.raises(errors.InvalidTransitionError, match="rolled back; fork it instead"):
            await handle.retry()
        assert journal_of(storage, "a") == before
        other = await runtime.start(run, False, id="b")
        with pytest.raises(errors.WorkflowFailedError):
            await other.result()
        await other.retry()


# -- registering ------------------------------------------------------------------------------------


async def test_a_handler_that_is_discarded_does_not_run(open_claw_runtime, storage, calls, undo):
    """Twice is once; and its repr says so."""
    seen = []

    @workflow
    async def run(ctx: Context) -> None:
        ctx.on_rollback(undo, "a")
        handler = ctx.on_rollback(undo, "b")
        ctx.on_rollback(undo.options(id="by_hand"), "c")
        seen.append(repr(handler))
        handler.discard()
        handler.discard()
        seen.append(repr(handler))
        raise WorkflowFailure("no")

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await ending_of(runtime)
        assert [one.id for one in await handle.tasks()] == ["rollback/by_hand", "rollback/undo"]
    assert calls == ["c", "a"]
    assert seen == ["<RollbackHandler 'undo', registered>", "<RollbackHandler 'undo', discarded>"]


async def test_what_does_not_fit_is_refused_at_that_line(open_claw_runtime, storage, undo):
    """Before anything could go wrong; nothing is registered."""

    async def no_task(name: str) -> None: ...

    @workflow
    async def run(ctx: Context) -> str:
        with pytest.raises(errors.InvalidArgumentsError, match="undo cannot be called"):
            ctx.on_rollback(undo)
        with pytest.raises(errors.SerializationError, match="argument 'name' of undo"):
            ctx.on_rollback(undo, object())
        with pytest.raises(errors.DefinitionError, match="no task"):
            ctx.on_rollback(no_task, "a")
        with pytest.raises(errors.DefinitionError, match="'rollback' cannot name a nursery here"):
            async with ctx.open_nursery(id="rollback"):
                pass
        raise WorkflowFailure("as expected")

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        assert "as expected" in await ending_of(runtime)
        assert await handle.tasks() == ()


async def test_arguments_are_those_of_the_moment(open_claw_runtime, storage):
    """What is changed in place later changes nothing."""
    got = []

    @task
    async def undo(items: list[str]) -> None:
        got.append(items)

    @workflow
    async def run(ctx: Context) -> None:
        items = ["a"]
        ctx.on_rollback(undo, items)
        items.append("b")
        raise WorkflowFailure("no")

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await ending_of(runtime)
    assert got == [["a"]]


async def test_only_running_workflow_code_registers_and_discards(
    open_claw_runtime, storage, calls, undo
):
    """Not a task body, and not an instance that leaves memory."""

    @task
    async def body() -> None:
        for misuse in (lambda: kept[0].on_rollback(undo, "b"), kept[1].discard):
            with pytest.raises(errors.ContextMisuseError):
                misuse()

    @workflow
    async def run(ctx: Context) -> None:
        kept[:] = [ctx, ctx.on_rollback(undo, "a")]
        await ctx.run(body)
        try:
            await ctx.sleep(100)
        finally:
            try:
                ctx.on_rollback(undo, "c")
            except errors.InstanceSealed:
                calls.append("sealed")
                raise

    kept = []
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(50)
    assert calls == ["sealed"]


async def test_a_nursery_of_a_child_may_be_called_rollback(open_claw_runtime, storage):
    """Its tasks are named below the child."""

    async def child(ctx: Context) -> None:
        async with ctx.open_nursery(id="rollback") as nursery:
            nursery.run_soon(do, "a")

    @workflow
    async def run(ctx: Context) -> None:
        async with ctx.open_nursery() as nursery:
            nursery.start_soon(child)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run)
        await handle.result()
        assert [one.id for one in await handle.tasks()] == ["nursery/child/rollback/do"]


# -- across crashes ---------------------------------------------------------------------------------


def saga(events: list[object], failing: bool = True):
    """Three steps in children, clean-up, a discarded handler, and then a failure, or a long sleep."""

    @task(retry=Retry(max_attempts=3, initial=2.0))
    async def book(name: str) -> str:
        await trio.sleep(1)
        if name == "b" and task_info().attempt == 1:
            raise ConnectionError("down")
        return name

    @task(retry=Retry(max_attempts=3, initial=2.0))
    async def unbook(name: str) -> str:
        await trio.sleep(2)
        if name == "c" and task_info().attempt < 3:
            raise ConnectionError("down")
        return name

    async def child(ctx: Context, name: str) -> None:
        handler = ctx.on_rollback(unbook, name)
        await ctx.run(book, name)
        events.append(name)
        if name == "a":
            handler.discard()

    @workflow(name="saga")
    async def run(ctx: Context) -> None:
        try:
            async with ctx.open_nursery() as nursery:
                for name in "abc":
                    nursery.start_soon(child, name)
            ctx.on_rollback(unbook, "d")
            await ctx.sleep(10)
            if failing:
                raise WorkflowFailure("sold out")
            await ctx.sleep(1_000_000_000)
        finally:
            async with ctx.shield():
                await ctx.run(do, "clean up")
            events.append("cleaned up")

    return run


async def test_a_rollback_is_resumed_from_every_prefix(resume_everywhere):
    """A replay registers what was registered, and goes on where the journal ends."""
    events = []

    async def end_of(runtime):
        told = await ending_of(runtime)
        return told, [(one.id, one.result, one.attempt) for one in await tasks_of(runtime)]

    async def tasks_of(runtime):
        handle = await runtime.get("a")
        return [one for one in await handle.tasks() if one.id.startswith("rollback/")]

    told, undone = await resume_everywhere(saga(events), trace=events, end_of=end_of)
    assert told.endswith("WorkflowFailure: sold out")
    assert undone == [
        ("rollback/unbook", "d", 1),
        ("rollback/unbook#2", "c", 3),
        ("rollback/unbook#3", "b", 1),
    ]


async def scenario(definition, runtime: Runtime) -> object:
    handle = await runtime.start(definition, id="a")
    if definition is CANCELLED:
        await trio.sleep(20)
        for reason in ("enough", "really"):
            with contextlib.suppress(errors.WorkflowClosedError):  # in an earlier life
                await handle.cancel(reason)
    told = await ending_of(runtime)
    return told.split(":")[0], [
        (one.id, one.result) for one in await handle.tasks() if one.id.startswith("rollback/")
    ]


FAILED, CANCELLED = saga([]), saga([], failing=False)


@pytest.mark.parametrize("definition", [FAILED, CANCELLED], ids=["failed", "cancelled"])
def test_a_rollback_survives_every_crash(definition):
    """Each handler is recorded once, in the order of the uninterrupted run."""
    report = explore(
        lambda runtime: scenario(definition, runtime), workflows=[definition], seeds=[1]
    )
    assert report.crashes > 2 * report.commits


@pytest.mark.slow
@pytest.mark.parametrize("definition", [FAILED, CANCELLED], ids=["failed", "cancelled"])
def test_a_rollback_survives_every_crash_over_many_seeds(definition, is_long):
    """The same, with other schedules."""
    explore(
        lambda runtime: scenario(definition, runtime),
        workflows=[definition],
        seeds=range(2, 22 if is_long else 4),
    )


def test_a_rollback_that_stops_and_is_retried_survives_every_crash():
    """Also the retry, and what it voids."""

    @task
    async def undo(name: str) -> str:
        if name == "b" and not mended:
            raise ConnectionError("down")
        return name

    @workflow
    async def run(ctx: Context) -> None:
        for name in "abc":
            ctx.on_rollback(undo, name)
        await ctx.run(fails)

    mended: list[int] = []

    async def scenario(runtime: Runtime) -> object:
        handle = await runtime.start(run, id="a")
        if not await handle.tasks():
            mended.clear()  # the first life of all
        with contextlib.suppress(errors.WorkflowFailedError, errors.WorkflowQuarantinedError):
            await handle.result()
        mended.append(1)
        with contextlib.suppress(errors.InvalidTransitionError):  # in an earlier life
            await handle.retry()
        told = await ending_of(runtime)
        return told, [one.id for one in await handle.tasks()]

    report = explore(scenario, workflows=[run], seeds=[1])
    assert report.crashes > 2 * report.commits
