"""Messages from workflow to workflow: committed with the sender's own checkpoint, sent once."""

from __future__ import annotations

import logging

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors import Context, task, workflow
from claw_actors.errors import (
    ContextMisuseError,
    InvalidInputError,
    NotFoundError,
    PayloadTooLargeError,
    SerializationError,
    TaskFailedError,
    WorkflowCancelledError,
    WorkflowClosedError,
    WorkflowFailedError,
)
from claw_actors.storage.executor import InlineExecutor


@task
async def lasting(seconds: float, value: int = 0) -> int:
    await trio.sleep(seconds)
    return value


@workflow
async def collect(ctx: Context, count: int) -> list[object]:
    """Receive so many messages of topic "x"."""
    return [await ctx.receive("x") for _ in range(count)]


@workflow
async def deliver(ctx: Context, to: str, count: int) -> None:
    """Send so many messages of topic "x"."""
    for number in range(count):
        await ctx.send(to, "x", number)


async def test_a_workflow_sends_to_another(open_claw_runtime, storage, journal_of):
    """In the order in which it sends; each has an entry on either side."""
    async with open_claw_runtime(storage, workflows=[collect, deliver]) as runtime:
        receiver = await runtime.start(collect, 3, id="a")
        await (await runtime.start(deliver, "a", 3, id="b")).result()
        assert await receiver.result() == [0, 1, 2]
        assert (runtime.statistics().sent, runtime.statistics().received) == (3, 3)
    sent = [(one.op, str(one.kind)) for one in journal_of(storage, "b")[1:]]
    assert sent == [("send", "send"), ("send#2", "send"), ("send#3", "send"), ("/end", "end")]


async def test_a_workflow_sends_to_itself(open_claw_runtime, storage, journal_of):
    """The message comes behind the checkpoint that has sent it."""

    @workflow
    async def run(ctx: Context) -> list[object]:
        await ctx.send(ctx.workflow_id, "x", 1)
        await ctx.send(ctx.workflow_id, "x", 2)
        got = [await ctx.receive("x"), await ctx.receive("x")]
        await ctx.sleep(0.5)
        return got

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await wait_all_tasks_blocked()
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await runtime.result("a") == [1, 2]
    kinds = [str(entry.kind) for entry in journal_of(storage, "a")]
    assert kinds == ["start", "send", "message", "send", "message", "timer", "end"]


async def test_a_message_is_not_sent_again_by_a_replay(open_claw_runtime, storage):
    """Nor by the life after a crash."""

    @workflow
    async def run(ctx: Context) -> None:
        await ctx.send("a", "x", "first")
        await ctx.run(lasting, 10)
        await ctx.send("a", "x", "second")

    async with open_claw_runtime(storage, workflows=[collect, run]) as runtime:
        await runtime.start(collect, 2, id="a")
        await runtime.start(run, id="b")
        await trio.sleep(5)
    async with open_claw_runtime(storage, workflows=[collect, run]) as runtime:
        assert await runtime.result("a") == ["first", "second"]
        assert runtime.statistics().sent == 1


@pytest.mark.parametrize("refusal", [NotFoundError, WorkflowClosedError])
async def test_a_refusal_is_recorded_and_raised_again_by_a_replay(
    open_claw_runtime, storage, refusal
):
    """Although it would not be refused any more."""

    @workflow
    async def run(ctx: Context) -> str:
        try:
            await ctx.send("a", "x", 1)
        except refusal as error:
            said.append((str(error), vars(error)))
        await ctx.sleep(0.5)
        return "caught"

    said: list[object] = []
    async with open_claw_runtime(storage, workflows=[collect, run]) as runtime:
        if refusal is WorkflowClosedError:
            await (await runtime.start(collect, 0, id="a")).result()
        await runtime.start(run, id="b")
        await wait_all_tasks_blocked()
        if refusal is WorkflowClosedError:
            await runtime.delete("a")
        await runtime.start(collect, 1, id="a")
        await wait_all_tasks_blocked()
    async with open_claw_runtime(storage, workflows=[collect, run]) as runtime:
        assert await runtime.result("b") == "caught"
        assert len(said) == 2
        assert said[0] == said[1]
        assert runtime.statistics().sent == 0


async def test_an_uncaught_refusal_fails_the_workflow_and_a_retry_sends_again(
    open_claw_runtime, storage
):
    """A respawn would meet the same recorded refusal, so it is no crash."""
    async with open_claw_runtime(storage, workflows=[collect, deliver]) as runtime:
        handle = await runtime.start(deliver, "a", 2, id="b")
        with pytest.raises(WorkflowFailedError) as caught:
            await handle.result()
        assert caught.value.error.is_(NotFoundError)
        assert runtime.statistics().crashes == 0
        receiver = await runtime.start(collect, 2, id="a")
        await handle.retry()
        await handle.result()
        assert await receiver.result() == [0, 1]


async def test_what_a_retry_voids_and_sends_again_is_received_once(open_claw_runtime, storage):
    """The receiver knows it by its key, which is the same."""

    @task
    async def fragile() -> None:
        if broken:
            raise ValueError("no")

    @workflow
    async def run(ctx: Context) -> None:
        failures: list[Exception] = []
        try:
            await ctx.run(fragile)
        except TaskFailedError as error:
            failures.append(error)
        async with ctx.open_nursery() as nursery:
            nursery.start_soon(deliver.fn, "a", 2)
        if failures:
            raise failures[0]

    broken = [True]
    async with open_claw_runtime(storage, workflows=[collect, run]) as runtime:
        receiver = await runtime.start(collect, 3, id="a")
        handle = await runtime.start(run, id="b")
        with pytest.raises(WorkflowFailedError):
            await handle.result()
        broken.clear()
        await handle.retry()
        await handle.result()
        await runtime.send("a", "x", "last")
        assert await receiver.result() == [0, 1, "last"]


async def test_an_idempotency_key_is_the_receivers(open_claw_runtime, storage):
    """Two senders that use the same one have sent one message."""

    @workflow
    async def run(ctx: Context) -> None:
        await ctx.send("a", "x", 1, idempotency_key="order-7")

    async with open_claw_runtime(storage, workflows=[collect, run]) as runtime:
        receiver = await runtime.start(collect, 2, id="a")
        for id in ("b", "c"):
            await (await runtime.start(run, id=id)).result()
        await runtime.send("a", "x", 2)
        assert await receiver.result() == [1, 2]


async def test_other_arguments_on_replay_are_logged_and_counted(open_claw_runtime, storage, caplog):
    """What was sent stands."""

    def make(payload: object):
        @workflow(name="run")
        async def run(ctx: Context) -> None:
            await ctx.send("a", "x", payload)
            await ctx.sleep(0.5)

        return run

    caplog.set_level(logging.WARNING)
    run = make("old")
    async with open_claw_runtime(storage, workflows=[collect, run]) as runtime:
        await runtime.start(collect, 1, id="a")
        await runtime.start(run, id="b")
        assert await runtime.result("a") == ["old"]
    changed = make("new")
    async with open_claw_runtime(storage, workflows=[collect, changed]) as runtime:
        await runtime.result("b")
        assert runtime.statistics().changed_arguments == 1
    assert "send send was recorded with other arguments" in caplog.text


# -- cancelled -----------------------------------------------------------------------------------------


@pytest.fixture
def slow_commits(monkeypatch):
    """Let each commit take a second: what is posted meanwhile is queued, and then in flight."""
    write = InlineExecutor.write

    async def slow(self, fn, *args):
        with trio.CancelScope(shield=True):
            await trio.sleep(1)
        return await write(self, fn, *args)

    monkeypatch.setattr(InlineExecutor, "write", slow)


@pytest.mark.parametrize(
    ("busy", "got"), [(True, ["cut"]), (False, ["sent", "cut"])], ids=["queued", "in flight"]
)
async def test_a_cancelled_send_has_sent_nothing_or_ends_as_if_it_were_not(
    open_claw_runtime, storage, slow_commits, journal_of, busy, got
):
    """What is queued is taken back; what is in flight is waited for. A replay does the same."""

    @workflow
    async def run(ctx: Context) -> None:
        seen.clear()
        go = ctx.event()

        async def sender(ctx: Context) -> None:
            await go.wait()
            try:
                await ctx.send("a", "x", 1)
                seen.append("sent")
                await ctx.sleep(100)
            except trio.Cancelled:
                seen.append("cut")
                raise

        async with ctx.open_nursery() as nursery:
            nursery.start_soon(sender)
            await ctx.run(lasting, 5)
            go.set()
            for _ in range(1 if busy else 200):  # long enough for storage to begin the commit
                await ctx.wait_until(lambda: True)
            nursery.cancel_scope.cancel()
        await ctx.sleep(20)

    seen: list[str] = []
    async with open_claw_runtime(storage, workflows=[collect, run]) as runtime:
        await runtime.start(collect, 1, id="a")
        await runtime.start(run, id="b")
        await trio.sleep(5.5)
        if busy:  # another commit comes before the one that is cancelled
            await runtime.send("a", "other", 1)
        await trio.sleep(10)
        assert seen == got
    assert len(journal_of(storage, "a")) == 2 + (not busy)
    async with open_claw_runtime(storage, workflows=[collect, run]) as runtime:
        await runtime.result("b")
        assert seen == got


async def test_a_cancelled_workflow_sends_nothing_any_more(open_claw_runtime, storage, journal_of):
    """It raises before anything is asked for."""

    @workflow
    async def run(ctx: Context) -> None:
        try:
            await ctx.sleep(100)
        finally:
            await ctx.send("a", "x", 1)

    async with open_claw_runtime(storage, workflows=[collect, run]) as runtime:
        await runtime.start(collect, 1, id="a")
        handle = await runtime.start(run, id="b")
        await wait_all_tasks_blocked()
        await handle.cancel()
        with pytest.raises(WorkflowCancelledError):
            await handle.result()
    assert len(journal_of(storage, "a")) == 1


async def test_a_send_is_checked_before_anything_is_written(open_claw_runtime, storage, journal_of):
    """Id, topic, key, payload, and who sends."""

    @workflow
    async def run(ctx: Context) -> None:
        for arguments, key, error in (
            (("no id", "x", 1), None, InvalidInputError),
            (("a", "\n", 1), None, InvalidInputError),
            (("a", "x", 1), "", InvalidInputError),
            (("a", "x", object()), None, SerializationError),
            (("a", "x", "a" * 2_000_000), None, PayloadTooLargeError),
        ):
            with pytest.raises(error):
                await ctx.send(*arguments, idempotency_key=key)

        async def child(_: Context) -> None:
            with pytest.raises(ContextMisuseError):
                await ctx.send("a", "x", 1)

        async with ctx.open_nursery() as nursery:
            nursery.start_soon(child)

    async with open_claw_runtime(storage, workflows=[collect, run]) as runtime:
        await runtime.start(collect, 1, id="a")
        await (await runtime.start(run, id="b")).result()
    assert len(journal_of(storage, "a")) == 1
    assert len(journal_of(storage, "b")) == 2
