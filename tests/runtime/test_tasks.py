"""Tasks: what ``ctx.run`` returns, runs once, names, and refuses."""

from __future__ import annotations

import threading
from typing import Any

import attrs
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors import Context, SQLiteStorage, TaskStatus, open_runtime, task, task_info, workflow
from claw_actors._runtime.config import RuntimeConfig
from claw_actors.errors import (
    ContextMisuseError,
    DefinitionError,
    InstanceSealed,
    InvalidArgumentsError,
    PayloadTooLargeError,
    SerializationError,
)


@attrs.frozen
class Order:
    """What a shop sells, with types that JSON does not know."""

    items: tuple[str, ...]
    price: float
    parts: list[Order] = attrs.field(factory=list)


# -- results --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "given"),
    [
        (tuple[int, str], (1, "a")),
        (float, 3),
        (float, 0.1),
        (dict[int, str], {1: "a"}),
        (Order, Order(("a", "b"), 1.5, [Order((), 2.0)])),
        (Any, {"a": [1, None]}),
        (None, None),
        (set[str], {"x", "y"}),
    ],
)
async def test_a_live_result_is_what_a_replay_gets(open_claw_runtime, storage, declared, given):
    """The live run gets the round-tripped value, so types and values agree."""
    seen = []

    async def make():
        return given

    make.__annotations__["return"] = declared
    made = task(make)

    @workflow
    async def show(ctx: Context) -> str:
        value = await ctx.run(made)
        seen.append(value)
        await ctx.sleep(10)
        return repr(value)

    async with open_claw_runtime(storage, workflows=[show]) as runtime:
        handle = await runtime.start(show, id="a")
        await trio.sleep(1)
    async with open_claw_runtime(storage, workflows=[show]) as runtime:
        handle = await runtime.get("a")
        assert await handle.result() == repr(seen[0])
    assert len(seen) == 2
    assert seen[0] == seen[1] == given
    assert type(seen[0]) is type(seen[1])
    if declared is float:
        assert isinstance(seen[0], float)


async def test_an_untyped_tuple_comes_back_as_the_list_that_a_replay_would_get(
    open_claw_runtime, storage
):
    """What storage cannot tell apart, the live run does not tell apart either."""

    @task
    async def pair():
        return (1, 2)

    @workflow
    async def ask(ctx: Context) -> list[int]:
        return await ctx.run(pair)

    async with open_claw_runtime(storage, workflows=[ask]) as runtime:
        assert await (await runtime.start(ask)).result() == [1, 2]


async def test_results_survive_sqlite_and_its_threads(tmp_path, calls):
    """The same on a real file, with worker threads and a real clock."""

    @task
    def weigh(order: Order) -> Order:
        calls.append(order)
        return attrs.evolve(order, price=order.price + 1)

    @workflow
    async def ship(ctx: Context, order: Order) -> tuple[Order, float]:
        weighed = await ctx.run(weigh, order)
        await ctx.sleep(0.001)
        return weighed, weighed.price

    place = tmp_path / "data" / "claw.db"
    async with open_runtime(place, workflows=[ship]) as runtime:
        handle = await runtime.start(ship, Order(("a",), 1.0), id="one")
        first = await handle.result()
    async with open_runtime(SQLiteStorage(place), workflows=[ship]) as runtime:
        again = await (await runtime.get("one")).result()
    assert first == again == (Order(("a",), 2.0), 2.0)
    assert calls == [Order(("a",), 1.0)]


# -- once -----------------------------------------------------------------------------------------


async def test_recorded_tasks_run_once_over_restarts(open_claw_runtime, storage, calls):
    """What is recorded is skipped on replay, and counted as replayed."""

    @task
    async def note(n: int) -> int:
        calls.append(n)
        return n

    @workflow
    async def count(ctx: Context) -> int:
        total = 0
        for n in range(1, 5):
            total += await ctx.run(note, n)
            await ctx.sleep(10)
        return total

    for _ in range(3):
        async with open_claw_runtime(storage, workflows=[count]) as runtime:
            await runtime.start(count, id="a")
            await trio.sleep(15)
    async with open_claw_runtime(storage, workflows=[count]) as runtime:
        assert await (await runtime.get("a")).result() == 10
    assert calls == [1, 2, 3, 4]


async def test_an_unrecorded_task_runs_again_after_a_crash(open_claw_runtime, storage, calls):
    """A body that ran and was not recorded is run again; one that was recorded is not."""
    crashed = []

    @task
    async def first() -> None:
        calls.append("first")

    @task
    async def second() -> str:
        calls.append(("second", task_info().attempt, task_info().idempotency_key))
        crashed.append(storage.snapshot())
        return "done"

    @workflow
    async def both(ctx: Context) -> str:
        await ctx.run(first)
        return await ctx.run(second)

    async with open_claw_runtime(storage, workflows=[both]) as runtime:
        await (await runtime.start(both, id="a")).result()
    async with open_claw_runtime(crashed[0], workflows=[both]) as runtime:
        assert await (await runtime.get("a")).result() == "done"
        assert runtime.statistics().replayed == 1
    assert [call if isinstance(call, str) else call[:2] for call in calls] == [
        "first",
        ("second", 1),
        ("second", 1),
    ]
    assert calls[1] == calls[2], "an attempt cut off is not counted, and its key is the same"


# -- names ----------------------------------------------------------------------------------------


async def test_task_ids_are_names_and_occurrences(open_claw_runtime, storage):
    """``name``, ``name#2``, and what ``options(id=...)`` says."""

    @task
    async def weigh(n: int) -> tuple[str, str, int]:
        info = task_info()
        assert info.workflow_id == "a"
        assert info.name == "weigh"
        return info.task_id, info.idempotency_key, info.attempt

    @workflow
    async def ship(ctx: Context) -> list[str]:
        ids = [
            await ctx.run(weigh, 1),
            await ctx.run(weigh, 2),
            await ctx.run(weigh.options(id="last"), n=3),
            await ctx.run(weigh, 4),
            await ctx.run(weigh.options(id="last", timeout=3.0), 5),
        ]
        assert all(key.endswith(f"/{id}") for id, key, _ in ids)
        assert all(key.startswith("a/") for _, key, _ in ids)
        return [id for id, _, _ in ids]

    async with open_claw_runtime(storage, workflows=[ship]) as runtime:
        handle = await runtime.start(ship, id="a")
        assert await handle.result() == ["weigh", "weigh#2", "last", "weigh#3", "last#2"]
        tasks = await handle.tasks()
    assert [(one.id, one.name, one.status) for one in tasks] == [
        (id, "weigh", TaskStatus.COMPLETED)
        for id in ("weigh", "weigh#2", "last", "weigh#3", "last#2")
    ]


async def test_a_task_id_made_by_hand_must_be_a_name():
    """It becomes part of ids, whose parts are separated by ``/`` and ``#``."""

    @task
    async def weigh() -> None: ...

    with pytest.raises(DefinitionError):
        weigh.options(id="a/b")


# -- wrong uses, which the author sees at the line -------------------------------------------------


class Opaque:
    """Something that JSON does not know."""


@task
async def anything(value, *more: int, key: str = "") -> None: ...


@task
def plain(value: int) -> int:
    return value + 1


async def plain_function() -> None: ...


async def _raised(ctx, call):
    try:
        await call(ctx)
    except Exception as error:
        return error
    return None


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (
            lambda ctx: ctx.run(anything, Opaque()),
            SerializationError,
            ["argument 'value' of anything", "Opaque"],
        ),
        (
            lambda ctx: ctx.run(anything, 1, 2, object()),
            SerializationError,
            ["argument 'more' of anything"],
        ),
        (lambda ctx: ctx.run(plain, "1"), SerializationError, ["argument 'value' of plain", "int"]),
        (lambda ctx: ctx.run(anything, [float("inf")]), SerializationError, ["argument 'value'"]),
        (lambda ctx: ctx.run(anything), InvalidArgumentsError, ["anything", "value"]),
        (lambda ctx: ctx.run(anything, 1, colour=2), InvalidArgumentsError, ["colour"]),
        (
            lambda ctx: ctx.run(anything, "x" * 10_000),
            PayloadTooLargeError,
            ["argument 'value' of anything", "10,"],
        ),
        (lambda ctx: ctx.run(plain_function), DefinitionError, ["plain_function", "@task"]),
        (lambda ctx: anything(1), ContextMisuseError, ["await ctx.run(anything"]),
        (lambda ctx: plain(1), ContextMisuseError, ["await ctx.run(plain"]),
        (lambda ctx: ctx.run(anything, float("nan")), SerializationError, ["anything"]),
    ],
)
async def test_wrong_calls_of_tasks_raise_and_write_nothing(
    open_claw_runtime, storage, journal_of, call, error, words
):
    """Each is refused at the line that made it, with what is wrong, and the workflow may go on."""

    @workflow
    async def try_it(ctx: Context) -> str:
        raised = await _raised(ctx, call)
        assert isinstance(raised, error), raised
        return str(raised)

    config = RuntimeConfig(max_payload_bytes=2_000)
    async with open_claw_runtime(storage, workflows=[try_it], config=config) as runtime:
        message = await (await runtime.start(try_it, id="a")).result()
    assert [word for word in words if word not in message] == []
    assert [entry.kind for entry in journal_of(storage, "a")] == ["start", "end"]


async def test_outside_workflow_code_a_task_is_the_function_it_was():
    """Plain calls, for unit tests."""
    assert plain(1) == 2
    assert await anything(1) is None


async def test_the_context_is_refused_in_a_task_body(open_claw_runtime, storage, calls):
    """A body returns a value; it does not act for the workflow."""
    found = []

    @task
    async def meddle() -> None:
        for use in (
            lambda: found[0].run(anything, 1),
            lambda: found[0].sleep(1),
            lambda: found[0].sleep_until(1),
        ):
            with pytest.raises(ContextMisuseError, match="task body"):
                await use()
        for read in (found[0].now, found[0].uuid4, lambda: found[0].random):
            with pytest.raises(ContextMisuseError, match="task body"):
                read()
        calls.append("refused")

    @workflow
    async def work(ctx: Context) -> None:
        found.append(ctx)
        await ctx.run(meddle)

    async with open_claw_runtime(storage, workflows=[work]) as runtime:
        await (await runtime.start(work)).result()
    assert calls == ["refused"]


async def test_the_context_is_refused_in_another_trio_task(open_claw_runtime, storage, calls):
    """One context does one thing at a time; another Trio task is told so, and harms nothing."""
    found = []

    @task
    async def wait_long() -> None:
        await trio.sleep(10)

    @workflow
    async def work(ctx: Context) -> str:
        found.append(ctx)
        await ctx.run(wait_long)
        return "ended"

    async with open_claw_runtime(storage, workflows=[work]) as runtime:
        handle = await runtime.start(work)
        await wait_all_tasks_blocked()
        with pytest.raises(ContextMisuseError, match="another Trio task"):
            await found[0].run(wait_long)
        with pytest.raises(ContextMisuseError, match="another Trio task"):
            found[0].now()
        assert await handle.result() == "ended"


async def test_a_context_kept_beyond_its_incarnation_is_dead(open_claw_runtime, storage):
    """It belongs to one life; afterwards it says that nothing is recorded any more."""
    found = []

    @workflow
    async def work(ctx: Context) -> None:
        found.append(ctx)

    async with open_claw_runtime(storage, workflows=[work]) as runtime:
        await (await runtime.start(work, id="a")).result()
        await wait_all_tasks_blocked()
        with pytest.raises(InstanceSealed, match="it ended"):
            found[0].now()
    assert repr(found[0]) == "<Context of workflow 'a'>"


async def test_a_body_that_changes_its_arguments_changes_nothing_for_the_workflow(
    open_claw_runtime, storage
):
    """Each attempt gets arguments of its own, or live and replay would differ."""

    @task
    async def spoil(values: list[int]) -> int:
        values.append(99)
        return len(values)

    @workflow
    async def work(ctx: Context) -> tuple[list[int], int]:
        values = [1]
        length = await ctx.run(spoil, values)
        return values, length

    async with open_claw_runtime(storage, workflows=[work]) as runtime:
        assert await (await runtime.start(work)).result() == ([1], 2)


async def test_task_info_outside_a_body_says_so():
    """There is nothing to tell there."""
    with pytest.raises(ContextMisuseError):
        task_info()


async def test_plain_functions_run_in_threads_and_know_their_task(tmp_path):
    """They get the same information, through the context variables that follow into threads."""

    @task
    def where() -> tuple[str, bool]:
        return task_info().task_id, threading.current_thread() is threading.main_thread()

    @workflow
    async def work(ctx: Context) -> tuple[str, bool]:
        return await ctx.run(where)

    async with open_runtime(tmp_path / "claw.db", workflows=[work]) as runtime:
        assert await (await runtime.start(work)).result() == ("where", False)


async def test_a_workflow_function_called_with_a_context_is_a_part_of_the_caller(
    open_claw_runtime, storage
):
    """Its tasks are the caller's."""

    @task
    async def step(n: int) -> int:
        return n

    @workflow
    async def part(ctx: Context, n: int) -> int:
        return await ctx.run(step, n)

    @workflow
    async def whole(ctx: Context) -> int:
        return await part(ctx, 1) + await part(ctx, 2)

    async with open_claw_runtime(storage, workflows=[whole]) as runtime:
        handle = await runtime.start(whole)
        assert await handle.result() == 3
        assert [one.id for one in await handle.tasks()] == ["step", "step#2"]
