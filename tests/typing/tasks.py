"""What type checkers must know of tasks and of ``ctx.run``; checked, never run."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import assert_type

import attrs

from claw_actors import Context, Retry, Task, TaskInfo, task, task_info
from claw_actors.definitions import AsyncTask, ThreadTask


@attrs.frozen
class Order:
    id: str


@attrs.frozen
class Payment:
    amount: float


@task
async def charge(order: Order, amount: float = 1.0, *, note: str = "") -> Payment:
    raise NotImplementedError


@task
def weigh(order: Order, /) -> int:
    raise NotImplementedError


@task
async def notify(*addresses: str) -> None:
    raise NotImplementedError


@task()
async def with_empty_parentheses(order: Order, /) -> Payment:
    raise NotImplementedError


@task(name="collect", retry=Retry(max_attempts=3, give_up_on=(ValueError,)), timeout=10.0)
async def with_options(order: Order, /) -> Payment:
    raise NotImplementedError


@task(timeout=10)
def plain_with_options(order: Order, /) -> list[str]:
    raise NotImplementedError


def a_declaration_keeps_its_parameters_and_its_result() -> None:
    assert_type(weigh, ThreadTask[[Order], int])
    assert_type(with_empty_parentheses, AsyncTask[[Order], Payment])
    assert_type(with_options, AsyncTask[[Order], Payment])
    assert_type(plain_with_options, ThreadTask[[Order], list[str]])
    assert_type(with_options.name, str)
    assert_type(with_options.timeout, float | None)
    assert_type(with_options.retry, Retry)


async def run_returns_what_the_body_returns(ctx: Context, order: Order) -> None:
    assert_type(await ctx.run(charge, order), Payment)
    assert_type(await ctx.run(charge, order, 2.5, note="second"), Payment)
    assert_type(await ctx.run(charge, order, amount=2), Payment)
    assert_type(await ctx.run(weigh, order), int)
    assert_type(await ctx.run(with_empty_parentheses, order), Payment)
    assert_type(await ctx.run(with_options, order), Payment)
    assert_type(await ctx.run(plain_with_options, order), list[str])
    await ctx.run(notify)
    await ctx.run(notify, "a", "b")


async def run_refuses_wrong_arguments(ctx: Context, order: Order) -> None:
    await ctx.run(charge, "order-1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await ctx.run(charge)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await ctx.run(charge, order, 1.0, "note")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await ctx.run(charge, order, nota="bene")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await ctx.run(weigh, order, 2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await ctx.run(weigh, 2)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await ctx.run(notify, 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await ctx.run(with_options, order, retry=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def undecorated(order: Order) -> int:
    raise NotImplementedError


async def run_refuses_what_is_no_task(ctx: Context, order: Order) -> None:
    await ctx.run(undecorated, order)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    await ctx.run(charge(order))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]


async def what_is_run_is_typed_where_it_goes(ctx: Context, order: Order) -> float:
    grams: float = await ctx.run(weigh, order)
    perhaps: Payment | None = await ctx.run(charge, order)
    anything: object = await ctx.run(plain_with_options, order)
    assert [grams, perhaps, anything]
    return await ctx.run(weigh, order)


async def a_wrong_place_for_it_is_refused(ctx: Context, order: Order) -> int:
    return await ctx.run(charge, order)  # type: ignore[arg-type]  # pyright: ignore[reportReturnType]


async def a_result_is_awaited(ctx: Context, order: Order) -> Payment:
    return ctx.run(charge, order)  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


async def options_change_no_types(ctx: Context, order: Order) -> None:
    assert_type(weigh.options(retry=Retry(), timeout=1), Task[[Order], int])
    assert_type(await ctx.run(charge.options(id="deposit", timeout=3), order, note="x"), Payment)
    assert_type(await ctx.run(weigh.options(id="scales"), order), int)
    await ctx.run(weigh.options(id="scales"), "order")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    weigh.options(name="scales")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    weigh.options(timeout="1 s")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    weigh.options(retry=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def outside_a_task_is_the_function_it_was(order: Order) -> None:
    assert_type(weigh(order), int)
    pending: Coroutine[object, object, Payment] = charge(order)
    assert_type(await pending, Payment)
    assert_type(await charge(order), Payment)
    weigh("order")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await charge(order, "1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def a_declaration_refuses_wrong_options() -> None:
    task(retry=3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    task(timeout="1 s")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    task(attempts=3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    task("collect")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType, reportCallIssue]
    Retry(max_attempts="3")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Retry(3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def tasks_of_any_types_fit_into_one_list() -> None:
    every: list[Task[..., object]] = [charge, weigh, notify]
    amounts: list[Task[[Order], float]] = [weigh]
    assert [*every, *amounts]


def a_result_is_not_narrowed() -> Task[[Order], bool]:
    return weigh  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


def a_body_knows_itself() -> None:
    assert_type(task_info(), TaskInfo)
    assert_type(task_info().attempt, int)
    assert_type(task_info().idempotency_key, str)
    assert_type(task_info().heartbeat({"done": 3}), None)
    assert_type(task_info().details, object)
    assert_type(task_info().details_as(Payment), Payment | None)
    assert_type(task_info().details_as(list[int]), list[int] | None)
