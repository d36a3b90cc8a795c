"""What type checkers must know of workflows, runtimes and handles; checked, never run."""

from __future__ import annotations

import datetime
import random
import uuid
from collections.abc import Awaitable
from typing import assert_type

import attrs
import trio

from claw_actors import (
    Context,
    MemoryStorage,
    RecoveryReport,
    Restart,
    Runtime,
    RuntimeConfig,
    RuntimeStatistics,
    SQLiteStorage,
    Status,
    StopReport,
    TaskState,
    Workflow,
    WorkflowFailure,
    WorkflowFilter,
    WorkflowHandle,
    WorkflowPage,
    WorkflowState,
    open_runtime,
    workflow,
)


@attrs.frozen
class Order:
    id: str


@attrs.frozen
class Receipt:
    total: float


class OrderRejected(WorkflowFailure):
    """A failure on purpose."""


@workflow
async def checkout(ctx: Context, order: Order, copies: int) -> Receipt:
    raise NotImplementedError


@workflow
async def nightly(ctx: Context) -> None:
    raise NotImplementedError


@workflow()
async def with_empty_parentheses(ctx: Context, order: Order, /) -> int:
    raise NotImplementedError


@workflow
async def with_default(ctx: Context, order: Order, copies: int = 1) -> Receipt:
    raise NotImplementedError


@workflow
async def with_rest(ctx: Context, *orders: Order) -> list[Receipt]:
    raise NotImplementedError


@workflow
async def with_keyword(ctx: Context, order: Order, *, copies: int) -> Receipt:
    raise NotImplementedError


@workflow(
    name="checkout", version=2, restart=Restart(max_restarts=5, within=60.0), failures=(KeyError,)
)
async def with_options(ctx: Context, order: Order, /) -> list[Receipt]:
    raise NotImplementedError


def a_declaration_keeps_its_parameters_and_its_result() -> None:
    assert_type(nightly, Workflow[[], None])
    assert_type(with_empty_parentheses, Workflow[[Order], int])
    assert_type(with_options, Workflow[[Order], list[Receipt]])
    assert_type(with_options.name, str)
    assert_type(with_options.version, int)
    assert_type(with_options.restart, Restart)


async def start_gives_a_handle_of_the_result(runtime: Runtime, order: Order) -> None:
    assert_type(await runtime.start(checkout, order, 2), WorkflowHandle[Receipt])
    assert_type(await runtime.start(with_empty_parentheses, order), WorkflowHandle[int])
    assert_type(await runtime.start(with_options, order), WorkflowHandle[list[Receipt]])
    assert_type(await runtime.start(nightly), WorkflowHandle[None])
    assert_type(await runtime.start(with_default, order), WorkflowHandle[Receipt])
    assert_type(await runtime.start(with_default, order, 2), WorkflowHandle[Receipt])
    assert_type(await runtime.start(with_rest), WorkflowHandle[list[Receipt]])
    assert_type(await runtime.start(with_rest, order, order), WorkflowHandle[list[Receipt]])
    handle = await runtime.start(
        checkout,
        order,
        2,
        id="order-1",
        metadata={"tenant": "a"},
        description="the first",
        on_existing="replace_closed",
    )
    assert_type(handle, WorkflowHandle[Receipt])
    assert_type(await handle.result(), Receipt)


async def start_refuses_wrong_arguments(runtime: Runtime, order: Order) -> None:
    await runtime.start(checkout, "order", 2)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await runtime.start(checkout, order)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await runtime.start(checkout, order, 2, 3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await runtime.start(nightly, order)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await runtime.start(checkout, order, copies=2)  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]
    await runtime.start(with_rest, order, 2)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await runtime.start(nightly, id=7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await runtime.start(nightly, metadata={"n": 1})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]
    await runtime.start(nightly, on_existing="ignore")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def start_passes_arguments_by_position_only(runtime: Runtime, order: Order) -> None:
    await runtime.start(with_keyword, order)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await runtime.start(with_keyword, order, copies=2)  # type: ignore[arg-type, call-arg]  # pyright: ignore[reportCallIssue]


async def a_handle_knows_its_types(handle: WorkflowHandle[Receipt]) -> None:
    assert_type(handle.id, str)
    assert_type(await handle.result(), Receipt)
    assert_type(await handle.status(), Status)
    assert_type(await handle.state(), WorkflowState)
    assert_type(await handle.tasks(), tuple[TaskState, ...])
    await handle.cancel()
    await handle.cancel("too late")
    await handle.retry()


def a_handle_of_a_result_is_one_of_a_wider_result(
    handle: WorkflowHandle[bool],
) -> WorkflowHandle[int]:
    return handle


def not_the_other_way_round(handle: WorkflowHandle[int]) -> WorkflowHandle[bool]:
    return handle  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


async def a_handle_by_id_knows_no_result(runtime: Runtime) -> None:
    handle = await runtime.get("order-1")
    assert_type(handle, WorkflowHandle[object])
    assert_type(await handle.result(), object)


async def a_runtime_knows_its_types(runtime: Runtime) -> None:
    assert_type(await runtime.list(), WorkflowPage)
    assert_type(await runtime.list(WorkflowFilter(status="failed", limit=10)), WorkflowPage)
    assert_type(await runtime.status("order-1"), Status)
    assert_type(await runtime.result("order-1"), object)
    assert_type(await runtime.recover(), RecoveryReport)
    assert_type(runtime.statistics(), RuntimeStatistics)
    assert_type(runtime.stop_report, StopReport | None)


async def workflows_of_any_types_are_registered_together() -> None:
    async with open_runtime("orders.db", workflows=[checkout, nightly, with_options]) as runtime:
        assert_type(runtime, Runtime)
    async with open_runtime(
        SQLiteStorage("orders.db", durability="process"),
        workflows=(checkout, nightly),
        config=RuntimeConfig(grace=1),
    ):
        pass
    async with open_runtime(MemoryStorage(), workflows=[checkout]):
        pass
    async with open_runtime(MemoryStorage(), workflows={nightly, checkout}):
        pass
    every: list[Workflow[..., object]] = [checkout, nightly]
    async with open_runtime(MemoryStorage(), workflows=every):
        pass
    declared: list[Workflow[[Order, int], Receipt]] = [checkout]
    async with open_runtime(MemoryStorage(), workflows=declared):
        pass
    async with open_runtime(MemoryStorage()):
        pass


async def undecorated(ctx: Context, order: Order) -> int:
    raise NotImplementedError


async def open_runtime_refuses_what_is_none() -> None:
    open_runtime(MemoryStorage(), workflows=[undecorated])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    open_runtime(MemoryStorage(), workflows=checkout)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    open_runtime(7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    open_runtime(MemoryStorage(), config={"grace": 1})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    SQLiteStorage("orders.db", durability="none")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def plain(ctx: Context, order: Order) -> int:
    raise NotImplementedError


async def without_context(order: Order) -> int:
    raise NotImplementedError


def a_declaration_refuses_what_is_none() -> None:
    workflow(plain)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    workflow(without_context)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    workflow(version="1")(undecorated)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    workflow(restart=3)  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    workflow(failures=[KeyError])  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]
    workflow("checkout")  # type: ignore[call-overload]  # pyright: ignore[reportArgumentType]


async def a_part_keeps_its_types(ctx: Context, order: Order) -> None:
    assert_type(await checkout(ctx, order, 1), Receipt)
    assert_type(checkout(ctx, order, 1), Awaitable[Receipt])
    await checkout(ctx, order, "1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await checkout(order, 1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def a_context_knows_its_types(ctx: Context) -> None:
    assert_type(ctx.workflow_id, str)
    assert_type(ctx.attempt, int)
    assert_type(ctx.now(), float)
    assert_type(ctx.random, random.Random)
    assert_type(ctx.uuid4(), uuid.UUID)
    assert_type(ctx.is_replaying, bool)
    assert_type(ctx.journal_length, int)
    ctx.log.info("said once")
    await ctx.sleep(1)
    await ctx.sleep_until(1.5)
    await ctx.sleep_until(datetime.datetime.now(datetime.UTC))
    await ctx.sleep("1 s")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await ctx.sleep_until(datetime.timedelta(1))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def main() -> Receipt:
    async with open_runtime("orders.db", workflows=[checkout]) as runtime:
        handle = await runtime.start(checkout, Order("1"), 2)
        return await handle.result()


def trio_run_takes_such_a_program() -> None:
    assert_type(trio.run(main), Receipt)
