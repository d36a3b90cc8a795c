"""Messages: sent from outside, kept in the journal, received in order, never lost."""

from __future__ import annotations

import logging
import uuid

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors import Context, Restart, RuntimeConfig, TaskFailedError, task, workflow
from claw_actors._core.journal import message
from claw_actors._runtime.inbox import Inbox
from claw_actors.errors import (
    ContextMisuseError,
    DeadlineExceededError,
    DefinitionError,
    InvalidInputError,
    NotFoundError,
    PayloadTooLargeError,
    RuntimeClosedError,
    SerializationError,
    WorkflowClosedError,
    WorkflowFailedError,
    WorkflowQuarantinedError,
)


@attrs.frozen
class Approval:
    by: str
    order: uuid.UUID


@task
async def lasting(seconds: float, value: int = 0) -> int:
    await trio.sleep(seconds)
    return value


def letters_of(storage):
    """Read the dead letters of workflow "a", past any runtime."""
    return storage._table.find("a").dead_letters


@workflow
async def collect(ctx: Context, count: int) -> list[object]:
    """Receive so many messages of topic "x"."""
    return [await ctx.receive("x") for _ in range(count)]


# -- order, topics, types ------------------------------------------------------------------------------


async def test_messages_of_a_topic_come_first_in_first_out(open_claw_runtime, storage):
    """Also those that came before anybody asked; other topics are not in their way."""

    @workflow
    async def run(ctx: Context) -> list[object]:
        await ctx.run(lasting, 5)
        first = await ctx.receive("a")
        rest = [await ctx.receive(topic) for topic in ("b", "a", "b", "a")]
        return [first, *rest]

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        for topic, payload in (("b", 1), ("a", 2), ("a", 3), ("b", 4)):
            await handle.send(topic, payload)
        await trio.sleep(10)
        await handle.send("a", 5)
        assert await handle.result() == [2, 1, 3, 4, 5]
        assert (runtime.statistics().sent, runtime.statistics().received) == (5, 5)


async def test_a_payload_comes_as_the_type_that_the_receiver_names(open_claw_runtime, storage):
    """The sender gives a value, and need not say what it is."""
    order = uuid.UUID(int=7)

    @workflow
    async def run(ctx: Context) -> None:
        got.append(await ctx.receive("x", Approval))
        got.append(await ctx.receive("x", list[Approval]))
        got.append(await ctx.receive("x", dict[int, uuid.UUID]))
        got.append(await ctx.receive("x", int | None))
        got.append(await ctx.receive("x"))

    got: list[object] = []
    sent = [Approval("ada", order), (Approval("bob", order),), {1: order}, None, {"a": [1.5]}]
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        for payload in sent:
            await handle.send("x", payload)
        await handle.result()
    assert got == [Approval("ada", order), [Approval("bob", order)], {1: order}, None, {"a": [1.5]}]


async def test_who_waits_first_is_served_first(open_claw_runtime, storage):
    """Of several children that wait for one topic."""

    @workflow
    async def run(ctx: Context) -> list[str]:
        got: list[str] = []

        async def child(ctx: Context, name: str) -> None:
            got.append(f"{name} {await ctx.receive('x', int)}")

        async with ctx.open_nursery() as nursery:
            for name in "abc":
                nursery.start_soon(child, name)
        return got

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        for number in range(3):
            await handle.send("x", number)
        assert await handle.result() == ["a 0", "b 1", "c 2"]


async def test_what_is_not_received_is_no_divergence(open_claw_runtime, storage, journal_of):
    """It stays in the journal, unread; a replay minds it no more than the first run."""

    @workflow
    async def run(ctx: Context) -> int:
        value = await ctx.run(lasting, 5, 3)
        await ctx.sleep(5)
        return value

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await handle.send("x", 1)
        await trio.sleep(6)
        await handle.send("y", 2)
        await wait_all_tasks_blocked()
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await runtime.result("a") == 3
    kinds = [str(entry.kind) for entry in journal_of(storage, "a")]
    assert kinds == ["start", "message", "task", "message", "timer", "end"]


# -- durability ----------------------------------------------------------------------------------------


async def test_a_message_waits_for_a_workflow_that_is_not_running(open_claw_runtime, storage):
    """Its code is not even registered when it is sent."""
    async with open_claw_runtime(storage, workflows=[collect]) as runtime:
        await runtime.start(collect, 2, id="a")
    async with open_claw_runtime(storage) as runtime:
        await runtime.send("a", "x", 1)
        await runtime.send("a", "x", 2)
    async with open_claw_runtime(storage, workflows=[collect]) as runtime:
        assert await runtime.result("a") == [1, 2]


async def test_a_message_wakes_a_workflow_that_was_not_loaded(open_claw_runtime, storage):
    """It was stored as waiting until a time far ahead."""

    @workflow
    async def run(ctx: Context) -> object:
        with ctx.move_on_after(1_000_000):
            return await ctx.receive("x")
        return "too late"

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await trio.sleep(10)
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert runtime.statistics().active == 0
        await runtime.send("a", "x", "now")
        assert await runtime.result("a") == "now"


async def test_a_quarantined_workflow_keeps_its_messages(open_claw_runtime, storage):
    """It receives them when it is retried."""

    @workflow(restart=Restart(max_restarts=0))
    async def run(ctx: Context) -> object:
        if broken:
            raise ValueError("a bug")
        return await ctx.receive("x")

    broken = [True]
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        with pytest.raises(WorkflowQuarantinedError):
            await handle.result()
        await handle.send("x", 1)
        broken.clear()
        await handle.retry()
        assert await handle.result() == 1


async def test_a_replay_receives_the_same(resume_everywhere):
    """From every prefix of the journal."""

    @workflow
    async def run(ctx: Context) -> list[object]:
        got: list[object] = []

        async def child(ctx: Context, name: str) -> None:
            for _ in range(2):
                got.append((name, await ctx.receive("x", int)))
                trace.append(got[-1])
                await ctx.run(lasting, 1)

        async with ctx.open_nursery() as nursery:
            nursery.start_soon(child, "a")
            nursery.start_soon(child, "b")
        return got

    trace: list[object] = []
    messages = [(0.3, "x", 0), (0.9, "x", "not this"), *[(0.1, "x", n) for n in range(1, 4)]]
    await resume_everywhere(run, trace=trace, same_result=False, messages=messages)


async def test_what_was_received_after_a_voided_failure_is_received_again(
    open_claw_runtime, storage
):
    """A retry takes back the receiving, and no message; what was received before stays so."""

    @task
    async def fragile(number: int) -> int:
        if number in broken:
            raise ValueError("no")
        return number

    @workflow
    async def run(ctx: Context) -> list[object]:
        got: list[object] = [await ctx.receive("x")]
        failures: list[Exception] = []
        try:
            await ctx.run(fragile, 1)
        except TaskFailedError as error:
            failures.append(error)
        got += [await ctx.receive("x"), await ctx.receive("x")]
        if failures:
            raise failures[0]
        return got

    broken = [1]
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        for number in range(3):
            await handle.send("x", number)
        with pytest.raises(WorkflowFailedError):
            await handle.result()
        broken.clear()
        await handle.retry()
        assert await handle.result() == [0, 1, 2]


async def test_a_passive_workflow_is_woken_by_a_message(open_claw_runtime, storage):
    """It has left memory, because it waits for nothing else."""
    config = RuntimeConfig(idle_after=5)
    async with open_claw_runtime(storage, workflows=[collect], config=config) as runtime:
        handle = await runtime.start(collect, 2, id="a")
        for number in range(2):
            await trio.sleep(10)
            assert runtime.statistics().active == 0
            await handle.send("x", number)
        assert await handle.result() == [0, 1]


def test_an_inbox_tells_what_is_unread():
    """In the order of commit, over all topics."""
    inbox = Inbox()
    for n, topic in enumerate("abab", start=1):
        inbox.put(attrs.evolve(message(topic, 0.0, b"null"), n=n))
    assert inbox.has("a")
    assert not inbox.has("c")
    assert [one.n for one in inbox.unread()] == [1, 2, 3, 4]
    assert (inbox.take("b").n, inbox.take("a").n) == (2, 1)
    assert [one.n for one in inbox.unread()] == [3, 4]
    assert repr(inbox) == "<Inbox, unread: {'a': 1, 'b': 1}>"
    inbox.take("a")
    assert not inbox.has("a")


# -- keys ----------------------------------------------------------------------------------------------


async def test_a_second_message_with_the_same_key_is_dropped(open_claw_runtime, storage):
    """In every process; also when the first was received long ago, and after the end."""
    async with open_claw_runtime(storage, workflows=[collect]) as runtime:
        handle = await runtime.start(collect, 2, id="a")
        await handle.send("x", 1, idempotency_key="click")
        await handle.send("x", 2, idempotency_key="click")
        await handle.send("x", 3, idempotency_key="clack")
        assert await handle.result() == [1, 3]
        assert runtime.statistics().sent == 2
    async with open_claw_runtime(storage, workflows=[collect]) as runtime:
        await runtime.send("a", "x", 1, idempotency_key="click")
        with pytest.raises(WorkflowClosedError):
            await runtime.send("a", "x", 1, idempotency_key="new")


# -- time-outs and cancellation ------------------------------------------------------------------------


async def test_a_receive_that_takes_too_long_raises(open_claw_runtime, storage):
    """Its deadline outlives the process; uncaught it fails the workflow."""

    @workflow
    async def run(ctx: Context) -> object:
        begun = ctx.now()
        try:
            return await ctx.receive("x", timeout=50)
        except DeadlineExceededError as error:
            return error.deadline - begun

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        await runtime.start(run, id="a")
        await runtime.start(run, id="b")
        await trio.sleep(30)
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        began = trio.current_time()
        await runtime.send("b", "x", "in time")
        assert await runtime.result("b") == "in time"
        assert await runtime.result("a") == 50
        assert trio.current_time() - began == pytest.approx(20, abs=1)


async def test_with_a_timeout_of_0_it_takes_what_is_there(open_claw_runtime, storage, journal_of):
    """And writes nothing; what is not there is too late."""

    @workflow
    async def run(ctx: Context) -> list[object]:
        got: list[object] = []
        await ctx.run(lasting, 5)
        for _ in range(3):
            try:
                got.append(await ctx.receive("x", int, timeout=0))
            except DeadlineExceededError as error:
                got.append(error.deadline == ctx.now())
        return got

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        for payload in (1, "text", 2):
            await handle.send("x", payload)
        assert await handle.result() == [1, 2, True]
    kinds = [str(entry.kind) for entry in journal_of(storage, "a")]
    assert kinds == ["start", *["message"] * 3, "task", "note", "end"]


async def test_a_cancelled_receive_has_taken_nothing(open_claw_runtime, storage):
    """The message is there for the next."""

    @workflow
    async def run(ctx: Context) -> object:
        with ctx.move_on_after(5) as scope:
            await ctx.receive("x")
        assert scope.cancelled_caught
        return await ctx.receive("x")

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await trio.sleep(10)
        await handle.send("x", 1)
        assert await handle.result() == 1


# -- dead letters --------------------------------------------------------------------------------------


async def test_a_message_that_does_not_fit_becomes_a_dead_letter(
    open_claw_runtime, storage, journal_of, caplog
):
    """With the reason, once, in one commit with a note; the next one is received."""
    caplog.set_level(logging.WARNING)

    @workflow
    async def run(ctx: Context) -> int:
        number = await ctx.receive("x", int)
        await ctx.sleep(0.5)
        return number

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await handle.send("x", "no \0 number \ud800".encode("utf-8", "replace").decode())
        await handle.send("x", 7)
        await wait_all_tasks_blocked()
        assert runtime.statistics().dead_letters == 1
    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        assert await runtime.result("a") == 7
        assert runtime.statistics().dead_letters == 0
    [letter] = letters_of(storage)
    assert (letter.topic, letter.payload) == ("x", b'"no \\u0000 number ?"')
    assert "expected int, got str" in letter.reason
    assert "message 1 of topic 'x' was put aside" in caplog.text
    notes = [(one.op, one.ref) for one in journal_of(storage, "a") if one.kind == "note"]
    assert notes == [("/dead-letter", 1)]


async def test_what_is_a_dead_letter_stays_one(open_claw_runtime, storage):
    """Also if the code has been mended meanwhile and could read it: a replay has the same turns."""

    def make(declared: type[object]):
        @workflow(name="run")
        async def run(ctx: Context) -> object:
            got = await ctx.receive("x", declared)
            await ctx.sleep(10)
            return got

        return run

    strict, mended = make(int), make(object)
    async with open_claw_runtime(storage, workflows=[strict]) as runtime:
        handle = await runtime.start(strict, id="a")
        await handle.send("x", "text")
        await handle.send("x", 1)
        await wait_all_tasks_blocked()
    async with open_claw_runtime(storage, workflows=[mended]) as runtime:
        assert await runtime.result("a") == 1
    assert len(letters_of(storage)) == 1


async def test_what_the_sender_wrote_cannot_harm_by_the_reason(open_claw_runtime, storage):
    """An error that quotes the payload is cut, and made of what every backend stores."""

    @attrs.frozen
    class Loud:
        text: str

        def __attrs_post_init__(self) -> None:
            raise ValueError(f"{self.text} \ud800 \0")

    @workflow
    async def run(ctx: Context) -> int:
        with ctx.move_on_after(10):
            await ctx.receive("x", Loud)
        return await ctx.receive("y", int)

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await handle.send("x", {"text": "a" * 100_000})
        await handle.send("y", 1)
        assert await handle.result() == 1

    [letter] = letters_of(storage)
    assert len(letter.reason) < 3_000
    assert "\0" not in letter.reason
    letter.reason.encode()


# -- refusals ------------------------------------------------------------------------------------------


async def test_a_send_is_checked_before_anything_is_written(open_claw_runtime, storage, journal_of):
    """Topic, key, payload; the workflow must be there, and not have ended."""
    async with open_claw_runtime(storage, workflows=[collect]) as runtime:
        handle = await runtime.start(collect, 1, id="a")
        for topic in ("", "a\nb", "x" * 201, 7, "\ud800"):
            with pytest.raises(InvalidInputError, match="topic"):
                await handle.send(topic, 1)
        with pytest.raises(InvalidInputError, match="key"):
            await handle.send("x", 1, idempotency_key="")
        for payload in (object(), float("nan"), [lambda: 1]):
            with pytest.raises(SerializationError, match="message 'x' to workflow 'a'"):
                await handle.send("x", payload)
        with pytest.raises(PayloadTooLargeError):
            await handle.send("x", "a" * 2_000_000)
        with pytest.raises(NotFoundError):
            await runtime.send("nobody", "x", 1)
        assert len(journal_of(storage, "a")) == 1
        await handle.send("x", 1)
        await handle.result()
        with pytest.raises(WorkflowClosedError):
            await handle.send("x", 2)
        runtime.close()
        with pytest.raises(RuntimeClosedError):
            await handle.send("x", 2)


async def test_a_receive_is_checked_before_it_waits(open_claw_runtime, storage):
    """What could never be received is a mistake in the code, and makes no dead letters."""

    class Opaque:
        pass

    @workflow
    async def run(ctx: Context) -> str:
        for topic, declared, timeout, error in (
            ("", int, None, InvalidInputError),
            ("x", Opaque, None, DefinitionError),
            ("x", "int", None, DefinitionError),
            ("x", int, -1, InvalidInputError),
        ):
            with pytest.raises(error):
                await ctx.receive(topic, declared, timeout=timeout)

        async def child(child: Context) -> None:
            with pytest.raises(ContextMisuseError):
                await ctx.receive("x")

        async with ctx.open_nursery() as nursery:
            nursery.start_soon(child)
        return "checked"

    async with open_claw_runtime(storage, workflows=[run]) as runtime:
        handle = await runtime.start(run, id="a")
        await handle.send("x", 1)
        assert await handle.result() == "checked"
    assert letters_of(storage) == ()
