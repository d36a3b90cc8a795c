"""Child workflows: started once, waited for, ended with their parent, each with a life of its own."""

# flake8: noqa: ASYNC102 - the linter does not know that ctx.shield() shields

from __future__ import annotations

import contextlib
import logging
import sqlite3

import attrs
import pytest
import trio
import trio.lowlevel
from trio.testing import wait_all_tasks_blocked

from claw_actors import (
    ChildHandle,
    Context,
    Restart,
    RuntimeConfig,
    SQLiteStorage,
    Status,
    WorkflowFailure,
    WorkflowFilter,
    task,
    workflow,
)
from claw_actors._core.journal import EntryKind, EntryStatus
from claw_actors._runtime.brood import Brood
from claw_actors.errors import (
    ClawError,
    ContextMisuseError,
    DefinitionError,
    DuplicateKeyError,
    InvalidArgumentsError,
    InvalidInputError,
    NotFoundError,
    SerializationError,
    StorageCorruptError,
    UnknownWorkflowError,
    WorkflowCancelledError,
    WorkflowClosedError,
    WorkflowFailedError,
)
from claw_actors.storage.executor import InlineExecutor

PATIENT = RuntimeConfig(idle_after=1_000.0)
"""Nobody leaves memory."""


@attrs.frozen
class Parcel:
    weight: int


@task
async def lasting(seconds: float, value: int = 0) -> int:
    await trio.sleep(seconds)
    return value


@task
async def hanging() -> int:
    await trio.sleep_forever()
    return 0


@task
async def failing() -> int:
    raise ValueError("always")


@workflow
async def pack(ctx: Context, weight: int, seconds: float = 1.0) -> Parcel:
    """Take a while, and return something typed."""
    return Parcel(await ctx.run(lasting, seconds, weight))


@workflow
async def refusing(ctx: Context) -> None:
    await ctx.run(lasting, 1)
    raise WorkflowFailure("no")


@workflow
async def linger(ctx: Context) -> int:
    """Last for ever; cancelled, take two seconds to clean up."""
    try:
        return await ctx.run(hanging)
    finally:
        async with ctx.shield():
            await ctx.run(lasting, 2.0)


async def ids_of(runtime, parent):
    page = await runtime.list(WorkflowFilter(parent=parent))
    return [one.id for one in page.items][::-1]


async def status_of(runtime, id):
    return (await runtime.storage.get_workflow(id)).status


def kinds_of(journal):
    return [entry.kind for entry in journal]


# -- starting -------------------------------------------------------------------------------------


async def test_a_child_runs_and_its_result_comes_back_typed(open_claw_runtime, storage):
    """Started, waited for, and decoded as its function says; as often as it is asked for."""

    @workflow
    async def run(ctx: Context) -> int:
        handle = await ctx.start_child(pack, 3, metadata={"k": "v"}, description="text")
        assert isinstance(handle, ChildHandle)
        assert repr(handle) == f"<ChildHandle {handle.id!r} of workflow 'a'>"
        parcel = await handle.result()
        assert isinstance(parcel, Parcel)
        return parcel.weight + (await handle.result()).weight

    async with open_claw_runtime(storage, workflows=[run, pack]) as runtime:
        handle = await runtime.start(run, id="a")
        assert await handle.result() == 6
        [child] = (await handle.children()).items
        assert child.id.startswith("a.pack-")
        assert (child.parent, child.status, child.name) == ("a", Status.COMPLETED, "pack")
        assert (child.metadata, child.description) == ({"k": "v"}, "text")
        assert await runtime.list(WorkflowFilter(parent="a")) == await handle.children()
        assert (await handle.children(limit=1)).next_after is None
        assert runtime.statistics().started == 2


async def test_children_run_beside_each_other_and_their_parent(open_claw_runtime, storage):
    """Three of three seconds take three seconds; each has an operation of its own."""

    @workflow
    async def run(ctx: Context) -> float:
        began = ctx.now()
        handles = [await ctx.start_child(pack, n, 3.0) for n in range(3)]
        await ctx.run(lasting, 3.0)
        assert [(await handle.result()).weight for handle in handles] == [0, 1, 2]
        return ctx.now() - began

    async with open_claw_runtime(storage, workflows=[run, pack]) as runtime:
        assert await (await runtime.start(run, id="a")).result() == pytest.approx(3.0)
        assert len(set(await ids_of(runtime, "a"))) == 3


async def test_nothing_is_started_with_what_cannot_be(open_claw_runtime, storage, journal_of):
    """All of it is checked before anything is written, and says what is wrong."""

    @workflow
    async def unknown(ctx: Context) -> None:
        """Not registered."""

    seen = []

    @workflow
    async def run(ctx: Context) -> None:
        for start in (ctx.start_child, ctx.run_child):
            for error, workflow_, args, options in (
                (UnknownWorkflowError, unknown, (), {}),
                (DefinitionError, unknown.fn, (), {}),
                (InvalidArgumentsError, pack, (), {}),
                (InvalidArgumentsError, pack, (1, 2.0, 3), {}),
                (SerializationError, pack, (object(),), {}),
                (InvalidInputError, pack, (1,), {"id": "not an id"}),
                (InvalidInputError, pack, (1,), {"on_parent_close": "stop"}),
                (InvalidInputError, pack, (1,), {"metadata": {"": "v"}}),
                (InvalidInputError, pack, (1,), {"description": "x" * 2_000}),
            ):
                with pytest.raises(error):
                    await start(workflow_, *args, **options)
                seen.append(error)

    async with open_claw_runtime(storage, workflows=[run, pack]) as runtime:
        await (await runtime.start(run, id="a")).result()
        assert len(seen) == 18
        assert await ids_of(runtime, "a") == []
    assert kinds_of(journal_of(storage, "a")) == [EntryKind.START, EntryKind.END]


async def test_a_taken_id_is_recorded_and_raised_again(open_claw_runtime, storage, journal_of):
    """By every replay, though the id is free by then; uncaught it fails the workflow."""
    seen = []

    @workflow
    async def run(ctx: Context) -> None:
        try:
            await ctx.start_child(pack, 1, id="taken")
        except DuplicateKeyError as error:
            seen.append((error.id, error.differs, error.entry_n))
        await ctx.sleep(5)
        await ctx.start_child(pack, 1, id="other")

    async with open_claw_runtime(storage, workflows=[run, pack]) as runtime:
        await (await runtime.start(pack, 2, id="taken")).result()
        await (await runtime.start(pack, 2, id="other")).result()
        await runtime.start(run, id="a")
        await trio.sleep(1)
    async with open_claw_runtime(storage, workflows=[run, pack]) as runtime:
        await runtime.delete("taken")
        with pytest.raises(WorkflowFailedError) as failed:
            await runtime.result("a")
        assert failed.value.error.is_(DuplicateKeyError)
    assert seen == [("taken", ("arguments", "parent"), 1)] * 2
    assert journal_of(storage, "a")[1].status is EntryStatus.FAILED


async def test_starting_the_same_child_again_is_to_hold_it(open_claw_runtime, storage):
    """The same id, workflow and arguments in the same run: one child, two handles."""

    @workflow
    async def run(ctx: Context) -> list[int]:
        first = await ctx.start_child(pack, 7, id="x")
        second = await ctx.start_child(pack, 7, id="x")
        return [(await first.result()).weight, (await second.result()).weight]

    async with open_claw_runtime(storage, workflows=[run, pack]) as runtime:
        assert await (await runtime.start(run, id="a")).result() == [7, 7]
        assert await ids_of(runtime, "a") == ["x"]
        assert runtime.statistics().started == 2


async def test_changed_arguments_of_a_recorded_child_are_told(open_claw_runtime, storage, caplog):
    """The child that was started stands; it is no divergence."""
    weight = 1

    @workflow
    async def run(ctx: Context) -> int:
        return (await ctx.run_child(pack, weight, 50.0)).weight

    async with open_claw_runtime(storage, workflows=[run, pack], config=PATIENT) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(1)
    weight = 2
    with caplog.at_level(logging.WARNING):
        async with open_claw_runtime(storage, workflows=[run, pack], config=PATIENT) as runtime:
            assert await runtime.result("a") == 1
            assert runtime.statistics().changed_arguments == 1
    assert "child pack was recorded with other arguments" in caplog.text


async def test_only_running_code_of_the_workflow_uses_a_handle(open_claw_runtime, storage):
    """Not a task body, not outsiders, not code that does not run."""
    handles = []

    @task
    async def misusing() -> None:
        for use in (handles[0].result, handles[0].cancel, lambda: handles[0].send("t", 1)):
            with pytest.raises(ContextMisuseError, match="the handle of a child"):
                await use()

    @workflow
    async def run(ctx: Context) -> None:
        handles.append(await ctx.start_child(pack, 1))
        await ctx.run(misusing)

    async with open_claw_runtime(storage, workflows=[run, pack]) as runtime:
        await (await runtime.start(run, id="a")).result()
        with pytest.raises(ContextMisuseError):
            await handles[0].result()


async def test_contexts_share_handles(open_claw_runtime, storage):
    """One starts the child, others wait for it, send to it and cancel it, each by its own ops."""

    @workflow
    async def listening(ctx: Context) -> str:
        return await ctx.receive("word", str)

    @workflow
    async def run(ctx: Context) -> list[str]:
        handle = await ctx.start_child(listening)
        seen: list[str] = []

        async def wait(ctx: Context) -> None:
            seen.append(await handle.result())

        async def tell(ctx: Context) -> None:
            await ctx.sleep(3)
            await handle.send("word", "hello")

        async with ctx.open_nursery() as nursery:
            nursery.start_soon(wait)
            nursery.start_soon(tell)
            nursery.start_soon(wait)
        return seen

    async with open_claw_runtime(storage, workflows=[run, listening]) as runtime:
        assert await (await runtime.start(run, id="a")).result() == ["hello"] * 2


# -- how a child ends -------------------------------------------------------------------------------


async def test_a_childs_failure_fails_the_parent_at_once(open_claw_runtime, storage):
    """What nobody catches is no crash: another life would come to the same end."""

    @workflow
    async def run(ctx: Context) -> None:
        await ctx.run_child(refusing, id="c")

    async with open_claw_runtime(storage, workflows=[run, refusing]) as runtime:
        with pytest.raises(WorkflowFailedError) as failed:
            await (await runtime.start(run, id="a")).result()
        assert failed.value.error.is_(WorkflowFailedError)
        assert "workflow 'c' failed: claw_actors.errors.WorkflowFailure: no" in str(failed.value)
        assert runtime.statistics().crashes == 0


async def test_a_failure_is_the_same_on_replay(open_claw_runtime, storage):
    """Class, message, attributes; in another object each time."""
    seen = []

    @workflow
    async def run(ctx: Context) -> None:
        refused = await ctx.start_child(refusing, id="r")
        cancelled = await ctx.start_child(linger, id="c")
        await cancelled.cancel("enough")
        for handle in (refused, refused, cancelled):
            try:
                await handle.result()
            except (WorkflowFailedError, WorkflowCancelledError) as error:
                seen.append(error)
        await ctx.sleep(50)

    async with open_claw_runtime(
        storage, workflows=[run, refusing, linger], config=PATIENT
    ) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(10)
        with pytest.raises(WorkflowFailedError) as outside:
            await runtime.result("r")
    async with open_claw_runtime(
        storage, workflows=[run, refusing, linger], config=PATIENT
    ) as runtime:
        await runtime.result("a")
    live, again = seen[:3], seen[3:]
    for one, other in zip(live, again, strict=True):
        assert (type(one), str(one), vars(one)) == (type(other), str(other), vars(other))
    assert len({id(error) for error in seen}) == 6
    assert vars(live[0]) == {**vars(outside.value), "entry_n": live[0].entry_n}
    assert (live[2].id, live[2].reason) == ("c", "enough")


async def test_a_terminated_child_is_a_cancelled_one(open_claw_runtime, storage):
    """Its parent is told, with the reason."""

    @workflow
    async def run(ctx: Context) -> str | None:
        try:
            await ctx.run_child(linger, id="c")
        except WorkflowCancelledError as error:
            return error.reason
        return "not cancelled"

    async with open_claw_runtime(storage, workflows=[run, linger]) as runtime:
        handle = await runtime.start(run, id="a")
        await trio.sleep(1)
        await runtime.terminate("c", "by hand")
        assert await handle.result() == "by hand"


async def test_a_quarantined_child_keeps_its_parent_waiting(open_claw_runtime, storage, row_of):
    """Both say so; when it is retried, the reason is over and the parent goes on."""
    broken = True

    @workflow(restart=Restart(max_restarts=0))
    async def fragile(ctx: Context) -> int:
        if broken:
            raise RuntimeError("a bug")
        return 5

    @workflow
    async def run(ctx: Context) -> int:
        return await ctx.run_child(fragile, id="c")

    async with open_claw_runtime(storage, workflows=[run, fragile]) as runtime:
        handle = await runtime.start(run, id="a")
        await trio.sleep(1_000)
        expected = "child 'c' is quarantined: RuntimeError: a bug"
        assert (await handle.state()).reason == expected
        assert await handle.status() in (Status.RUNNING, Status.WAITING)
        assert (await runtime.storage.get_workflow("c")).reason == "RuntimeError: a bug"
    async with open_claw_runtime(storage, workflows=[run, fragile]) as runtime:
        await trio.sleep(10)
        assert row_of(storage, "a").reason == expected
        broken = False
        await runtime.retry("c")
        assert await runtime.result("a") == 5
    assert row_of(storage, "a").reason is None


async def test_a_result_that_does_not_fit_any_more_is_refused(open_claw_runtime, storage):
    """The code of the child has changed since it ended."""

    @workflow(name="c")
    async def before(ctx: Context) -> str:
        return "text"

    @workflow(name="c")
    async def after(ctx: Context) -> int:
        return 1

    seen = []

    async def body(ctx: Context, child) -> None:
        handle = await ctx.start_child(child)
        await ctx.sleep(50)
        try:
            await handle.result()
        except SerializationError as error:
            seen.append(error.what)

    @workflow(name="run")
    async def run_before(ctx: Context) -> None:
        await body(ctx, before)

    @workflow(name="run")
    async def run_after(ctx: Context) -> None:
        await body(ctx, after)

    async with open_claw_runtime(storage, workflows=[run_before, before]) as runtime:
        await runtime.start(run_before, id="a")
        await trio.sleep(5)
        [child] = await ids_of(runtime, "a")
    async with open_claw_runtime(storage, workflows=[run_after, after]) as runtime:
        await runtime.result("a")
    assert seen == [f"result of workflow {child!r}"]


# -- how the parent ends ------------------------------------------------------------------------------


async def test_a_return_waits_for_children(open_claw_runtime, storage):
    """By default; the others are cancelled with it, or left alone."""

    @workflow
    async def run(ctx: Context) -> str:
        await ctx.start_child(pack, 1, 30.0, id="waited")
        await ctx.start_child(linger, id="cancelled", on_parent_close="cancel")
        await ctx.start_child(pack, 1, 50.0, id="left", on_parent_close="abandon")
        return "done"

    async with open_claw_runtime(storage, workflows=[run, pack, linger]) as runtime:
        handle = await runtime.start(run, id="a")
        await trio.sleep(29)
        assert not (await handle.status()).is_terminal
        assert await status_of(runtime, "cancelled") is Status.RUNNING
        assert await handle.result() == "done"
        assert await status_of(runtime, "waited") is Status.COMPLETED
        with (
            trio.fail_after(1_000),
            pytest.raises(WorkflowCancelledError, match="its parent has ended"),
        ):
            await runtime.result("cancelled")
        assert await status_of(runtime, "left") is Status.RUNNING
        assert (await runtime.result("left")).weight == 1


async def test_a_failure_cancels_children_and_waits_for_them(open_claw_runtime, storage):
    """They clean up before the parent has failed; an abandoned one is left alone."""

    @workflow
    async def run(ctx: Context) -> None:
        await ctx.start_child(linger, id="waited")
        await ctx.start_child(pack, 1, 50.0, id="left", on_parent_close="abandon")
        await ctx.run(failing)

    async with open_claw_runtime(storage, workflows=[run, pack, linger]) as runtime:
        handle = await runtime.start(run, id="a")
        with pytest.raises(WorkflowFailedError, match="always"):
            await handle.result()
        assert await status_of(runtime, "waited") is Status.CANCELLED
        [*_, cleaned] = await runtime.storage.list_tasks("waited")
        assert cleaned.name == "lasting"
        assert await status_of(runtime, "left") is Status.RUNNING


async def test_a_failure_that_nobody_has_asked_for_fails_the_parent(open_claw_runtime, storage):
    """At its return, as in a nursery; the others that it waits for are cancelled."""

    @workflow
    async def run(ctx: Context) -> str:
        await ctx.start_child(linger, id="other")
        await ctx.start_child(refusing, id="r")
        return "done"

    async with open_claw_runtime(storage, workflows=[run, refusing, linger]) as runtime:
        with pytest.raises(WorkflowFailedError, match="workflow 'r' failed"):
            await (await runtime.start(run, id="a")).result()
        assert await status_of(runtime, "other") is Status.CANCELLED


async def test_other_ends_that_nobody_has_asked_for_do_not(open_claw_runtime, storage):
    """A cancelled child is no failure; one that was not to be waited for is its own matter."""

    @workflow
    async def run(ctx: Context) -> str:
        cancelled = await ctx.start_child(linger)
        await cancelled.cancel()
        await ctx.start_child(refusing, on_parent_close="abandon")
        await ctx.start_child(refusing, on_parent_close="cancel")
        seen = await ctx.start_child(refusing)
        with contextlib.suppress(WorkflowFailedError):
            await seen.result()
        await ctx.sleep(5)
        return "done"

    async with open_claw_runtime(storage, workflows=[run, refusing, linger]) as runtime:
        assert await (await runtime.start(run, id="a")).result() == "done"


async def test_a_parent_that_waits_for_its_children_can_be_cancelled(open_claw_runtime, storage):
    """Although its function has returned: then they are cancelled, and it is."""

    @workflow
    async def run(ctx: Context) -> str:
        await ctx.start_child(linger, id="c")
        return "done"

    async with open_claw_runtime(storage, workflows=[run, linger]) as runtime:
        handle = await runtime.start(run, id="a")
        await trio.sleep(10)
        await handle.cancel("enough")
        with pytest.raises(WorkflowCancelledError, match="enough"):
            await handle.result()
        assert await status_of(runtime, "c") is Status.CANCELLED


async def test_rollback_begins_when_the_children_have_ended(open_claw_runtime, storage, calls):
    """A child undoes what it has done before its parent does."""

    @task
    async def undo(what: str) -> None:
        calls.append(what)

    @workflow
    async def child(ctx: Context) -> None:
        ctx.on_rollback(undo, "child")
        await ctx.run(hanging)

    @workflow
    async def run(ctx: Context) -> None:
        ctx.on_rollback(undo, "parent")
        await ctx.start_child(child)
        await ctx.run(lasting, 1)
        await ctx.run(failing)

    async with open_claw_runtime(storage, workflows=[run, child]) as runtime:
        with pytest.raises(WorkflowFailedError):
            await (await runtime.start(run, id="a")).result()
    assert calls == ["child", "parent"]


async def test_a_parent_that_only_waits_for_a_child_leaves_memory(open_claw_runtime, storage):
    """In its code, and at its end; the child's end brings it back."""

    @workflow
    async def run(ctx: Context) -> int:
        weight = (await ctx.run_child(pack, 4, 500.0)).weight
        await ctx.start_child(pack, 1, 500.0)
        return weight

    config = RuntimeConfig(idle_after=5.0)
    async with open_claw_runtime(storage, workflows=[run, pack], config=config) as runtime:
        handle = await runtime.start(run, id="a")
        for _ in range(2):
            await trio.sleep(100)
            assert await handle.status() is Status.WAITING
            assert runtime.statistics().active == 1
            await trio.sleep(400)
        assert await handle.result() == 4


# -- cancelling -----------------------------------------------------------------------------------


async def test_a_request_to_a_child_that_has_ended_or_is_gone_does_nothing(
    open_claw_runtime, storage
):
    """It is recorded all the same, and a replay does nothing again."""

    @workflow
    async def run(ctx: Context) -> str:
        handle = await ctx.start_child(pack, 1, id="c")
        await handle.result()
        await handle.cancel()
        await ctx.sleep(10)
        await handle.cancel()
        await ctx.sleep(10)
        return "done"

    async with open_claw_runtime(storage, workflows=[run, pack]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(5)
        await runtime.delete("c")
        await trio.sleep(10)
    async with open_claw_runtime(storage, workflows=[run, pack]) as runtime:
        assert await runtime.result("a") == "done"


async def test_the_reason_of_a_request_is_checked(open_claw_runtime, storage):
    """Before anything is written."""

    @workflow
    async def run(ctx: Context) -> None:
        handle = await ctx.start_child(pack, 1)
        with pytest.raises(InvalidInputError):
            await handle.cancel("x" * 1_001)

    async with open_claw_runtime(storage, workflows=[run, pack]) as runtime:
        await (await runtime.start(run, id="a")).result()


@pytest.mark.parametrize(
    ("on_parent_close", "expected"), [("wait", "cancelled"), ("abandon", "running")]
)
async def test_a_block_that_is_cut_short_cancels_the_child_that_runs_in_it(
    open_claw_runtime, storage, on_parent_close, expected
):
    """And ends when the child has cleaned up; but not if that is on its own."""

    @workflow
    async def run(ctx: Context) -> float:
        began = ctx.now()
        with ctx.move_on_after(5):
            await ctx.run_child(linger, id="c", on_parent_close=on_parent_close)
        return ctx.now() - began

    async with open_claw_runtime(storage, workflows=[run, linger]) as runtime:
        took = await (await runtime.start(run, id="a")).result()
        assert took == pytest.approx(5.0 if expected == "running" else 7.0)
        assert (await status_of(runtime, "c")).value == expected


async def test_waiting_for_a_result_may_be_cut_short_alone(open_claw_runtime, storage):
    """The child goes on, and can be waited for again."""

    @workflow
    async def run(ctx: Context) -> int:
        handle = await ctx.start_child(pack, 3, 20.0)
        with ctx.move_on_after(5) as scope:
            await handle.result()
        assert scope.cancelled_caught
        return (await handle.result()).weight

    async with open_claw_runtime(storage, workflows=[run, pack]) as runtime:
        assert await (await runtime.start(run, id="a")).result() == 3


async def test_shutdown_cancels_no_child(open_claw_runtime, storage):
    """Leaving memory is no end, whatever the code does about it."""

    @workflow
    async def run(ctx: Context) -> int:
        return (await ctx.run_child(pack, 3, 50.0, id="c")).weight

    async with open_claw_runtime(storage, workflows=[run, pack]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(5)
    async with open_claw_runtime(storage, workflows=[run, pack]) as runtime:
        assert await runtime.result("a") == 3
        assert await status_of(runtime, "c") is Status.COMPLETED


async def test_a_crash_beside_a_child_does_not_cancel_it(open_claw_runtime, storage):
    """The next life, in which the mistake may be gone, waits for the same child."""

    @workflow(restart=Restart(max_restarts=5, initial=0.1))
    async def run(ctx: Context) -> int:
        found: list[int] = []

        async def branch(ctx: Context) -> None:
            found.append((await ctx.run_child(pack, 3, 50.0, id="c")).weight)

        async def fragile(ctx: Context) -> None:
            await ctx.run(lasting, 1)
            if ctx.attempt == 1:
                raise RuntimeError("a bug")

        async with ctx.open_nursery() as nursery:
            nursery.start_soon(branch)
            nursery.start_soon(fragile)
        return found[0]

    async with open_claw_runtime(storage, workflows=[run, pack]) as runtime:
        assert await (await runtime.start(run, id="a")).result() == 3
        assert runtime.statistics().crashes == 1


async def test_a_failure_beside_a_child_cancels_it(open_claw_runtime, storage):
    """A replay comes to it again: so it is durable clean-up."""

    @workflow
    async def run(ctx: Context) -> str:
        async def branch(ctx: Context) -> None:
            await ctx.run_child(linger, id="c")

        async def refuse(ctx: Context) -> None:
            await ctx.run(failing)

        try:
            async with ctx.open_nursery() as nursery:
                nursery.start_soon(branch)
                nursery.start_soon(refuse)
        except* ClawError:
            pass
        await ctx.sleep(1)
        return "done"

    async with open_claw_runtime(storage, workflows=[run, linger]) as runtime:
        assert await (await runtime.start(run, id="a")).result() == "done"
        assert await status_of(runtime, "c") is Status.CANCELLED


@pytest.fixture
def slow_commits(monkeypatch):
    """Let each commit take a second: what is posted meanwhile is queued, and then in flight."""
    write = InlineExecutor.write

    async def slow(self, fn, *args):
        with trio.CancelScope(shield=True):
            await trio.sleep(1)
        return await write(self, fn, *args)

    monkeypatch.setattr(InlineExecutor, "write", slow)


@pytest.mark.parametrize("busy", [True, False], ids=["queued", "in flight"])
async def test_a_start_that_a_shutdown_cuts_short_has_happened_or_not(
    open_claw_runtime, storage, slow_commits, journal_of, busy
):
    """What is queued is taken back; what is in flight is durable, and the child is there."""

    @workflow
    async def run(ctx: Context) -> int:
        await ctx.run(lasting, 5)
        return (await ctx.run_child(pack, 1, 3.0, id="c")).weight

    async with open_claw_runtime(storage, workflows=[run, pack]) as runtime:
        await runtime.start(run, id="a")
        other = await runtime.start(pack, 1, 1_000.0, id="b")
        now = trio.current_time()
        async with trio.open_nursery() as nursery:
            await trio.sleep_until(now + 4.5)
            if busy:  # another commit comes before that of the child
                nursery.start_soon(other.send, "topic", 1)
            await trio.sleep_until(now + 5.2)
            runtime.request_stop()
    kinds = kinds_of(journal_of(storage, "a"))
    assert kinds == [EntryKind.START, EntryKind.TASK, *([] if busy else [EntryKind.CHILD])]
    assert storage._table.has("c") == (not busy)
    async with open_claw_runtime(storage, workflows=[run, pack]) as runtime:
        assert await runtime.result("a") == 1
        assert await ids_of(runtime, "a") == ["c"]


async def test_a_recovery_in_the_middle_of_a_start_leaves_the_child_alone(
    open_claw_runtime, storage, monkeypatch
):
    """What is durable and not yet answered is about to live: nobody else brings it to life."""
    write = InlineExecutor.write

    async def slow(self, fn, *args):
        with trio.CancelScope(shield=True):
            answer = await write(self, fn, *args)
            await trio.sleep(1)
            return answer

    @workflow
    async def run(ctx: Context) -> int:
        await ctx.run(lasting, 5)
        return (await ctx.run_child(pack, 1, id="c")).weight

    async with open_claw_runtime(storage, workflows=[run, pack]) as runtime:
        handle = await runtime.start(run, id="a")
        monkeypatch.setattr(InlineExecutor, "write", slow)
        await trio.sleep(6.5)
        assert await status_of(runtime, "c") is Status.RUNNING
        assert (await runtime.recover()).recovered == ()
        with trio.fail_after(1_000):
            assert await handle.result() == 1
        assert (await runtime.storage.get_workflow("c")).life == 1


async def test_a_child_that_cannot_be_read_is_an_outcome_of_asking_it(open_claw_runtime, tmp_path):
    """Recorded, and raised again; uncaught it fails the parent."""
    seen = []

    @workflow
    async def run(ctx: Context) -> None:
        handle = await ctx.start_child(pack, 1, id="c")
        await ctx.sleep(50)
        for _ in range(2):
            with contextlib.suppress(WorkflowClosedError):
                try:
                    await handle.cancel()
                except StorageCorruptError as error:
                    seen.append(error.entry_n)
        await handle.cancel()

    path = tmp_path / "claw.db"
    async with open_claw_runtime(SQLiteStorage(path), workflows=[run, pack]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(5)
    with contextlib.closing(sqlite3.connect(path)) as raw:
        raw.execute("UPDATE claw_workflow SET reason = 'changed' WHERE id = 'c'")
        raw.commit()
    async with open_claw_runtime(SQLiteStorage(path), workflows=[run, pack]) as runtime:
        with pytest.raises(WorkflowFailedError) as failed:
            await runtime.result("a")
    assert failed.value.error.is_(StorageCorruptError)
    assert seen == [4, 5]


async def test_a_brood_says_how_many_it_has():
    """For those who debug."""
    assert repr(Brood({"a": "wait", "b": "cancel"})) == "<Brood of 2, 0 ended>"


# -- operating a tree ---------------------------------------------------------------------------------


async def test_a_retry_finds_the_child_that_was_started_before(open_claw_runtime, storage):
    """Though the entry of its start was voided: it is started once."""
    broken = True

    @task
    async def fragile() -> int:
        if broken:
            raise ValueError("broken")
        return 1

    @workflow
    async def run(ctx: Context) -> int:
        first = await ctx.start_child(pack, 2, id="first", on_parent_close="abandon")
        with contextlib.suppress(ValueError):
            await ctx.run(fragile)
        second = await ctx.start_child(pack, 3, id="second", on_parent_close="abandon")
        return (await first.result()).weight + (await second.result()).weight

    @workflow
    async def later(ctx: Context) -> int:
        async def start(ctx: Context) -> None:
            await ctx.sleep(1)
            await ctx.start_child(pack, 3, id="second", on_parent_close="abandon")

        async def fail(ctx: Context) -> None:
            await ctx.sleep(2)
            await ctx.run(fragile)

        async with ctx.open_nursery() as nursery:
            nursery.start_soon(start)
            nursery.start_soon(fail)
        handle = await ctx.start_child(pack, 3, id="second", on_parent_close="abandon")
        return (await handle.result()).weight

    async with open_claw_runtime(storage, workflows=[run, later, pack]) as runtime:
        for workflow_, expected in ((run, 5), (later, 3)):
            broken = True
            handle = await runtime.start(workflow_, id="a")
            with pytest.raises(WorkflowFailedError):
                await handle.result()
            await trio.sleep(20)  # an abandoned child ends meanwhile
            broken = False
            await handle.retry()
            assert await handle.result() == expected
            for id in (*(await ids_of(runtime, "a")), "a"):
                await runtime.delete(id)


async def test_retrying_a_parent_lets_the_child_go_on_that_has_failed(open_claw_runtime, storage):
    """The child first, and down the tree; the parent waits for it again."""
    broken = True

    @task
    async def fragile() -> int:
        if broken:
            raise ValueError("broken")
        return 1

    @workflow
    async def bottom(ctx: Context) -> int:
        return await ctx.run(fragile) + await ctx.run(lasting, 5, 1)

    @workflow
    async def middle(ctx: Context) -> int:
        return await ctx.run_child(bottom, id="bottom")

    @workflow
    async def run(ctx: Context) -> int:
        return await ctx.run_child(middle, id="middle")

    async with open_claw_runtime(storage, workflows=[run, middle, bottom]) as runtime:
        handle = await runtime.start(run, id="a")
        with pytest.raises(WorkflowFailedError):
            await handle.result()
        broken = False
        await handle.retry()
        assert await handle.result() == 2
        for id in ("middle", "bottom"):
            assert await status_of(runtime, id) is Status.COMPLETED


@pytest.mark.parametrize("first", [True, False])
async def test_a_child_may_be_retried_before_its_parent(open_claw_runtime, storage, first):
    """Then the parent gets the end that the child has come to since, or still comes to."""
    broken = True

    @task
    async def fragile() -> int:
        if broken:
            raise ValueError("broken")
        return 1

    @workflow
    async def child(ctx: Context) -> int:
        await ctx.run(fragile)
        return await ctx.run(lasting, 5, 1)

    @workflow
    async def run(ctx: Context) -> int:
        return await ctx.run_child(child, id="c")

    async with open_claw_runtime(storage, workflows=[run, child]) as runtime:
        handle = await runtime.start(run, id="a")
        with pytest.raises(WorkflowFailedError):
            await handle.result()
        broken = False
        await runtime.retry("c")
        if first:
            await runtime.result("c")
        await handle.retry()
        assert await handle.result() == 1


@pytest.mark.parametrize("what", ["cancelled", "deleted", "replaced"])
async def test_a_parent_whose_child_cannot_go_on_fails_again(open_claw_runtime, storage, what):
    """It was cancelled, or is gone: the parent is told of its end once more, and does not hang."""

    @workflow
    async def run(ctx: Context) -> int:
        return await ctx.run_child(linger, id="c")

    async with open_claw_runtime(storage, workflows=[run, linger]) as runtime:
        handle = await runtime.start(run, id="a")
        await trio.sleep(1)
        await runtime.cancel("c", "enough")
        for _ in range(2):
            with pytest.raises(WorkflowFailedError, match="workflow 'c' was cancelled: enough"):
                await handle.result()
            if what != "cancelled":
                with contextlib.suppress(NotFoundError):
                    await runtime.delete("c", force=True)
            if what == "replaced":  # another workflow has its id by now
                await runtime.start(linger, id="c")
            await handle.retry()
            await wait_all_tasks_blocked()


async def test_what_operators_do_goes_down_the_tree(open_claw_runtime, storage):
    """Pausing and resuming, at any time; and terminating, which ends all of it at once."""

    @workflow
    async def middle(ctx: Context) -> int:
        return (await ctx.run_child(pack, 1, 30.0, id="bottom")).weight

    @workflow
    async def run(ctx: Context) -> int:
        await ctx.start_child(pack, 1, 10_000.0, id="left", on_parent_close="abandon")
        return await ctx.run_child(middle, id="middle")

    async with open_claw_runtime(storage, workflows=[run, middle, pack]) as runtime:
        for end in (None, "terminate"):
            handle = await runtime.start(run, id="a")
            await trio.sleep(1)
            await handle.pause()
            await trio.sleep(100)
            for id in ("a", "middle", "bottom"):
                assert await status_of(runtime, id) is Status.PAUSED
            assert await status_of(runtime, "left") is Status.RUNNING
            await handle.resume()
            if end is None:
                assert await handle.result() == 1
                for id in ("bottom", "middle", "a"):
                    await runtime.delete(id)
                await runtime.delete("left", force=True)
                continue
            await handle.terminate("enough")
            for id in ("a", "middle", "bottom"):
                assert await status_of(runtime, id) is Status.CANCELLED


async def test_a_fork_takes_over_results_and_no_children(open_claw_runtime, storage):
    """What a child has returned is told to the fork, also if it still ran at that task."""

    @workflow
    async def run(ctx: Context) -> int:
        first = (await ctx.run_child(pack, 2, id="first")).weight
        second = await ctx.start_child(pack, 3, 20.0, id="second")
        third = await ctx.start_child(linger, id="third", on_parent_close="cancel")
        assert third.id == "third"
        await ctx.run(lasting, 1, 1)
        weight = (await second.result()).weight
        return first + weight + await ctx.run(lasting, 1, 1)

    async with open_claw_runtime(storage, workflows=[run, pack, linger]) as runtime:
        handle = await runtime.start(run, id="a")
        assert await handle.result() == 6
        for at in ("lasting", "lasting#2"):
            fork = await handle.fork(at=at)
            assert await fork.result() == 6
            assert await ids_of(runtime, fork.id) == []
        with pytest.raises(WorkflowCancelledError):
            await runtime.result("third")


async def test_families_live_on_sqlite_and_over_restarts(open_claw_runtime, tmp_path):
    """The same on disk: closed in the middle, and opened again, twice."""

    @workflow
    async def middle(ctx: Context, weight: int) -> int:
        return (await ctx.run_child(pack, weight, 30.0)).weight

    @workflow
    async def run(ctx: Context) -> int:
        handles = [await ctx.start_child(middle, weight) for weight in range(3)]
        return sum([await handle.result() for handle in handles])

    path = tmp_path / "claw.db"
    workflows = [run, middle, pack]
    async with open_claw_runtime(SQLiteStorage(path), workflows=workflows) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(5)
    async with open_claw_runtime(SQLiteStorage(path), workflows=workflows) as runtime:
        await trio.sleep(5)
    async with open_claw_runtime(SQLiteStorage(path), workflows=workflows) as runtime:
        assert await runtime.result("a") == 3
        assert len((await runtime.list(WorkflowFilter(status="completed"))).items) == 7
