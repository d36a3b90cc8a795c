"""Starting a workflow, finding it again, and what is refused before anything is written."""

from __future__ import annotations

import contextvars

import attrs
import pytest
import trio

from claw_actors import (
    Context,
    RuntimeConfig,
    Status,
    WorkflowFilter,
    WorkflowState,
    open_runtime,
    task,
    workflow,
)
from claw_actors._runtime.starting import Starter
from claw_actors.errors import (
    DefinitionError,
    DuplicateKeyError,
    InvalidArgumentsError,
    InvalidInputError,
    InvalidTransitionError,
    NotFoundError,
    PayloadTooLargeError,
    RuntimeClosedError,
    SerializationError,
    StorageLockedError,
    UnknownWorkflowError,
    WorkflowFailedError,
    WorkflowFailure,
)


@workflow
async def double(ctx: Context, n: int, label: str = "") -> int:
    await ctx.sleep(5)
    if n < 0:
        raise WorkflowFailure("negative")
    return 2 * n


@workflow
async def other(ctx: Context, n: int) -> int:
    return n


async def no_workflow(ctx: Context) -> None: ...


BOTH = [double, other]


async def test_start_returns_when_it_is_durable(open_claw_runtime, storage, row_of, journal_of):
    """The row and the input are there when ``start`` returns, with all that was said."""
    async with open_claw_runtime(storage, workflows=BOTH) as runtime:
        handle = await runtime.start(
            double, 4, "x", id="a", metadata={"tenant": "t"}, description="four times two"
        )
        row = row_of(storage, "a")
        assert row.status is Status.RUNNING
        assert (row.name, row.version, row.life) == ("double", 1, 1)
        assert dict(row.metadata) == {"tenant": "t"}
        assert row.description == "four times two"
        assert journal_of(storage, "a")[0].value == b'{"label":"x","n":4}'
        assert repr(handle) == "<WorkflowHandle 'a'>"
        assert await handle.status() in {Status.RUNNING, Status.WAITING}
        assert await runtime.status("a") in {Status.RUNNING, Status.WAITING}
        assert await handle.result() == 8
        assert (await handle.state()).result == 8
        page = await runtime.list(WorkflowFilter(metadata={"tenant": "t"}))
        assert [one.id for one in page.items] == ["a"]


async def test_ids_are_made_when_none_is_given(open_claw_runtime, storage):
    """Random, so two starts are two workflows."""
    async with open_claw_runtime(storage, workflows=BOTH) as runtime:
        first = await runtime.start(other, 1)
        second = await runtime.start(other, 1)
        assert first.id != second.id
        assert await first.result() == await second.result() == 1


async def test_the_same_start_attaches_while_it_runs_and_after_it_ended(open_claw_runtime, storage):
    """Starting can be repeated safely; it runs once."""
    async with open_claw_runtime(storage, workflows=BOTH) as runtime:
        await runtime.start(double, 4, id="a")
        again = await runtime.start(double, 4, id="a")
        assert await again.result() == 8
        ended = await runtime.start(double, 4, id="a")
        assert await ended.result() == 8
        assert runtime.statistics().started == 1
    async with open_claw_runtime(storage, workflows=BOTH) as runtime:
        assert await (await runtime.start(double, 4, id="a")).result() == 8
        assert runtime.statistics().started == 0


@pytest.mark.parametrize(
    ("start", "differs"),
    [
        ((double, 5), ("arguments",)),
        ((other, 4), ("workflow",)),
        ((other, 5), ("workflow", "arguments")),
    ],
)
async def test_a_different_start_under_a_taken_id_says_what_differs(
    open_claw_runtime, storage, journal_of, start, differs
):
    """Nothing is changed, and the error names each difference."""
    async with open_claw_runtime(storage, workflows=BOTH) as runtime:
        handle = await runtime.start(double, 4, id="a")
        with pytest.raises(DuplicateKeyError) as caught:
            await runtime.start(*start, id="a")
        assert caught.value.differs == differs
        assert all(what in str(caught.value) for what in differs)
        assert await handle.result() == 8


async def test_on_existing_raise_refuses_every_taken_id(open_claw_runtime, storage):
    """Even the same start."""
    async with open_claw_runtime(storage, workflows=BOTH) as runtime:
        await runtime.start(other, 4, id="a", on_existing="raise")
        with pytest.raises(DuplicateKeyError) as caught:
            await runtime.start(other, 4, id="a", on_existing="raise")
        assert caught.value.differs == ()


async def test_on_existing_replace_closed_starts_anew_after_the_end_only(
    open_claw_runtime, storage, row_of
):
    """An ended one is deleted, a running one is attached to; the new run has a new key."""
    async with open_claw_runtime(storage, workflows=BOTH) as runtime:
        first = await runtime.start(double, 4, id="a", on_existing="replace_closed")
        with pytest.raises(DuplicateKeyError):
            await runtime.start(other, 4, id="a", on_existing="replace_closed")
        assert await first.result() == 8
        before = row_of(storage, "a")
        second = await runtime.start(other, 4, id="a", on_existing="replace_closed")
        assert await second.result() == 4
        after = row_of(storage, "a")
    assert before.run_key != after.run_key
    assert before.pk != after.pk


@pytest.fixture
def meanwhile(monkeypatch):
    """Add what is done, once each, just before a workflow is looked at that has a taken id."""
    done = []
    meet = Starter._meet_existing

    async def looking(self, *arguments):
        if done:
            await done.pop(0)()
        return await meet(self, *arguments)

    monkeypatch.setattr(Starter, "_meet_existing", looking)
    return done


@pytest.mark.parametrize("on_existing", ["attach", "raise", "replace_closed"])
async def test_an_id_that_is_freed_meanwhile_is_taken(
    open_claw_runtime, storage, meanwhile, on_existing
):
    """Who starts a workflow is not told that there is none."""
    async with open_claw_runtime(storage, workflows=BOTH) as runtime:
        await (await runtime.start(double, 4, id="a")).result()
        meanwhile.append(lambda: runtime.delete("a"))
        handle = await runtime.start(other, 5, id="a", on_existing=on_existing)
        assert await handle.result() == 5


async def test_one_that_another_has_replaced_is_attached_to(
    open_claw_runtime, storage, monkeypatch
):
    """Two who replace the same ended workflow by the same one share it."""

    @workflow
    async def long(ctx: Context) -> int:
        await ctx.sleep(10)
        return 5

    async def deleting(id):
        monkeypatch.undo()
        await runtime.start(long, id="a", on_existing="replace_closed")
        await runtime.delete(id)

    async with open_claw_runtime(storage, workflows=[double, long]) as runtime:
        await (await runtime.start(double, 4, id="a")).result()
        monkeypatch.setattr(runtime._starter, "_delete", deleting)
        handle = await runtime.start(long, id="a", on_existing="replace_closed")
        assert await handle.result() == 5
        assert runtime.statistics().started == 2


async def test_one_whose_child_runs_is_not_replaced(open_claw_runtime, storage):
    """It has ended, but what would go with it has not."""

    @workflow
    async def parent(ctx: Context) -> None:
        await ctx.start_child(sleepy, on_parent_close="cancel")

    @workflow
    async def sleepy(ctx: Context) -> None:
        async with ctx.shield():
            await ctx.sleep(1_000)

    async with open_claw_runtime(storage, workflows=[parent, sleepy]) as runtime:
        await (await runtime.start(parent, id="a")).result()
        with pytest.raises(InvalidTransitionError, match="it is a child of 'a'"):
            await runtime.start(parent, id="a", on_existing="replace_closed")


@pytest.mark.parametrize(
    ("arguments", "options", "error", "words"),
    [
        ((no_workflow,), {}, DefinitionError, "no_workflow"),
        (("double",), {}, DefinitionError, "no workflow"),
        ((double,), {}, InvalidArgumentsError, "'n'"),
        ((double, 1, "a", 3), {}, InvalidArgumentsError, "too many"),
        ((double, "1"), {}, SerializationError, "argument 'n' of double"),
        ((double, object()), {}, SerializationError, "argument 'n' of double"),
        ((double, 1, "x" * 3_000), {}, PayloadTooLargeError, "double"),
        ((double, 1), {"id": "a/b"}, InvalidInputError, "id"),
        ((double, 1), {"id": ""}, InvalidInputError, "id"),
        ((double, 1), {"id": "x" * 201}, InvalidInputError, "id"),
        ((double, 1), {"id": 7}, InvalidInputError, "id"),
        ((double, 1), {"metadata": {"a": 1}}, InvalidInputError, "metadata"),
        ((double, 1), {"description": "\0"}, InvalidInputError, "description"),
        ((double, 1), {"on_existing": "maybe"}, InvalidInputError, "attach, raise"),
    ],
)
async def test_a_wrong_start_is_refused_and_leaves_nothing(
    open_claw_runtime, storage, arguments, options, error, words
):
    """The error says what is wrong, and nothing has been written."""
    config = RuntimeConfig(max_payload_bytes=1_000)
    async with open_claw_runtime(storage, workflows=[double], config=config) as runtime:
        with pytest.raises(error, match=words):
            await runtime.start(*arguments, **options)
        assert (await runtime.list()).items == ()
        assert runtime.statistics().active == 0


async def test_an_unregistered_workflow_is_refused_by_name(open_claw_runtime, storage):
    """The error says what is registered."""
    async with open_claw_runtime(storage, workflows=[other]) as runtime:
        with pytest.raises(UnknownWorkflowError) as caught:
            await runtime.start(double, 1)
        assert caught.value.known == ("other@1",)
        assert (await runtime.list()).items == ()


async def test_unknown_ids_are_not_found(open_claw_runtime, storage):
    """Each call that takes an id says so."""
    async with open_claw_runtime(storage, workflows=BOTH) as runtime:
        for call in (
            runtime.get,
            runtime.status,
            runtime.result,
            runtime.cancel,
            runtime.retry,
            runtime.delete,
        ):
            with pytest.raises(NotFoundError):
                await call("nobody")
        with pytest.raises(InvalidInputError):
            await runtime.get("a/b")


async def test_a_closed_runtime_refuses_everything(open_claw_runtime, storage):
    """``RuntimeClosedError``, whatever is asked."""
    async with open_claw_runtime(storage, workflows=BOTH) as runtime:
        handle = await runtime.start(other, 1, id="a")
        await handle.result()
    for call in (
        lambda: runtime.start(other, 1),
        handle.cancel,
        handle.retry,
        handle.result,
        lambda: runtime.delete("a"),
        runtime.recover,
    ):
        with pytest.raises(RuntimeClosedError):
            await call()


async def test_a_start_that_is_cancelled_did_not_happen(open_claw_runtime, storage):
    """Cancelled before it is durable means not started."""
    async with open_claw_runtime(storage, workflows=BOTH) as runtime:
        with trio.CancelScope() as scope:
            scope.cancel()
            await runtime.start(other, 1, id="a")
        assert scope.cancelled_caught
        assert (await runtime.list()).items == ()


async def test_a_result_whose_code_is_gone_is_plain_json(open_claw_runtime, storage):
    """Of code that is gone, JSON is what can be had; of a result without a value, ``None``."""

    @attrs.frozen
    class Pair:
        left: int

    async def pair(ctx):
        return Pair(1)

    async def nothing(ctx):
        return None

    pair.__annotations__["return"] = Pair
    made, empty = workflow(pair), workflow(nothing)
    async with open_claw_runtime(storage, workflows=[made, empty]) as runtime:
        assert await (await runtime.start(made, id="a")).result() == Pair(1)
        assert await (await runtime.start(empty, id="b")).result() is None
    async with open_claw_runtime(storage, workflows=[]) as runtime:
        assert await runtime.result("a") == {"left": 1}
        assert await runtime.result("b") is None


async def test_what_was_saved_by_hand_is_answered_for_as_it_stands(open_claw_runtime, storage):
    """Ended without a result or an error; or paused, and waited for."""
    async with open_claw_runtime(storage, workflows=BOTH) as runtime:
        for status in (Status.COMPLETED, Status.FAILED, Status.PAUSED):
            await runtime.storage.create_workflow(
                WorkflowState(id=status.value, name="other", status=status)
            )
        assert await runtime.result("completed") is None
        with pytest.raises(WorkflowFailedError, match="no error was recorded"):
            await runtime.result("failed")
        with trio.move_on_after(5) as scope:
            await runtime.result("paused")
        assert scope.cancelled_caught


async def test_workflows_registered_wrongly_stop_the_opening(open_claw_runtime, storage):
    """Before storage is opened."""
    twin = workflow(name="other")(no_workflow)
    for wrong in ([no_workflow], [other, twin]):
        with pytest.raises(DefinitionError):
            async with open_claw_runtime(storage, workflows=wrong):
                raise AssertionError("not reached")
    async with open_claw_runtime(storage, workflows=[other]) as runtime:
        with pytest.raises(DefinitionError, match="another function is registered"):
            await runtime.start(twin)


async def test_a_storage_that_is_none_is_refused(claw_environment):
    """The error says what would be one."""
    with pytest.raises(InvalidInputError, match="storage"):
        async with open_runtime(7, environment=claw_environment):
            raise AssertionError("not reached")


async def test_two_runtimes_live_in_one_process_on_two_storages(open_claw_runtime, storage):
    """They share nothing; the same storage cannot be opened twice."""
    elsewhere = storage.snapshot()
    async with (
        open_claw_runtime(storage, workflows=BOTH) as one,
        open_claw_runtime(elsewhere, workflows=BOTH) as two,
    ):
        first, second = await one.start(double, 1, id="a"), await two.start(double, 2, id="a")
        assert (await first.result(), await second.result()) == (2, 4)
        with pytest.raises(StorageLockedError):
            async with open_claw_runtime(storage, workflows=BOTH):
                raise AssertionError("not reached")


async def test_exceptions_of_the_block_pass_unwrapped(open_claw_runtime, storage, row_of):
    """No group around them, and what was running is there at the next opening."""
    with pytest.raises(ZeroDivisionError):
        async with open_claw_runtime(storage, workflows=BOTH) as runtime:
            await runtime.start(double, 1, id="a")
            raise ZeroDivisionError
    async with open_claw_runtime(storage, workflows=BOTH) as runtime:
        assert await runtime.result("a") == 2


async def test_an_outer_cancel_scope_leaves_cleanly(open_claw_runtime, storage, calls):
    """What it cancels is unwound in order, and storage is closed cleanly."""

    @task
    async def work() -> None:
        try:
            await trio.sleep(2)
        finally:
            calls.append("ended")

    @workflow
    async def run(ctx: Context) -> str:
        await ctx.run(work)
        return "done"

    with trio.move_on_after(1) as scope:
        async with open_claw_runtime(storage, workflows=[run]) as runtime:
            await runtime.start(run, id="a")
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert calls == ["ended"]
    assert storage._clean
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await runtime.result("a") == "done"
    assert calls == ["ended"], "the body ended within the grace, and was recorded"


async def test_the_context_variables_of_the_caller_do_not_leak(open_claw_runtime, storage):
    """A workflow that is respawned must not depend on who happened to start it."""
    who = contextvars.ContextVar("who", default="nobody")

    @task
    async def ask() -> str:
        return who.get()

    @workflow
    async def run(ctx: Context) -> tuple[str, str]:
        return who.get(), await ctx.run(ask)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        who.set("caller")
        assert await (await runtime.start(run)).result() == ("nobody", "nobody")


async def test_a_failed_workflow_is_attached_to_as_well(open_claw_runtime, storage):
    """Ended is ended: the result is its failure."""
    async with open_claw_runtime(storage, workflows=BOTH) as runtime:
        for _ in range(2):
            with pytest.raises(WorkflowFailedError, match="negative"):
                await (await runtime.start(double, -1, id="a")).result()
