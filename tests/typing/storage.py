"""What type checkers must know of storage and its records; checked, never run."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import assert_type

import trio

from claw_actors import (
    Backend,
    ErrorRecord,
    MemoryStorage,
    SQLiteStorage,
    Status,
    Storage,
    TaskState,
    TaskStatus,
    WorkflowFilter,
    WorkflowPage,
    WorkflowState,
    open_storage,
)
from claw_actors.storage import JSON, Transaction


async def storage_is_opened_by_path_or_by_backend() -> None:
    async with open_storage("orders.db") as storage:
        assert_type(storage, Storage)
    async with open_storage(pathlib.Path("orders.db"), max_payload_bytes=1_000):
        pass
    async with open_storage(trio.Path("orders.db")):
        pass
    async with open_storage(SQLiteStorage(pathlib.Path("orders.db"), accept_loss=True)):
        pass
    async with open_storage(MemoryStorage()):
        pass
    open_storage(b"orders.db")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    open_storage(None)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def calls_return_records(storage: Storage, state: WorkflowState, task: TaskState) -> None:
    assert_type(await storage.create_workflow(state), WorkflowState)
    assert_type(await storage.save_workflow(state), WorkflowState)
    assert_type(await storage.get_workflow("order-1"), WorkflowState)
    assert_type(await storage.list_workflows(), WorkflowPage)
    assert_type(await storage.list_workflows(WorkflowFilter(name="checkout")), WorkflowPage)
    assert_type(await storage.get_task("order-1", "charge"), TaskState)
    assert_type(await storage.list_tasks("order-1"), tuple[TaskState, ...])
    await storage.save_task("order-1", task)
    await storage.delete_workflow("order-1")
    await storage.list_workflows({"name": "checkout"})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await storage.create_workflow("order-1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def a_transaction_collects_and_does_not_wait(storage: Storage, task: TaskState) -> None:
    async with storage.transaction() as transaction:
        assert_type(transaction, Transaction)
        transaction.create_workflow(WorkflowState(id="order-1", name="checkout"))
        transaction.save_task("order-1", task)
        transaction.delete_workflow("order-2")
        transaction.get_workflow("order-1")  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        await transaction.save_task("order-1", task)  # type: ignore[func-returns-value, misc]  # pyright: ignore[reportGeneralTypeIssues]


def a_state_knows_its_types(state: WorkflowState) -> None:
    assert_type(state.id, str)
    assert_type(state.status, Status)
    assert_type(state.metadata, Mapping[str, str])
    assert_type(state.input, JSON)
    assert_type(state.error, ErrorRecord | None)
    assert_type(state.created_at, float | None)
    assert_type(state.status.is_terminal, bool)


def a_task_knows_its_types(task: TaskState) -> None:
    assert_type(task.status, TaskStatus)
    assert_type(task.attempt, int)
    assert_type(task.depends_on, tuple[str, ...])
    assert_type(task.error, ErrorRecord | None)


def a_page_knows_its_types(page: WorkflowPage) -> None:
    assert_type(page.items, tuple[WorkflowState, ...])
    assert_type(page.total, int | None)
    assert_type(page.next_after, int | None)


def statuses_are_taken_as_text_too() -> None:
    WorkflowState(id="order-1", name="checkout", status="failed")
    WorkflowState(id="order-1", name="checkout", status=Status.FAILED)
    WorkflowFilter(status="failed")
    WorkflowFilter(status=[Status.FAILED, "cancelled"], name={"checkout", "refund"})
    TaskState(id="charge", name="charge", status="completed", depends_on=["weigh"])


def records_refuse_what_does_not_fit(state: WorkflowState) -> None:
    WorkflowState("order-1", "checkout")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    WorkflowState(id=1, name="checkout")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    WorkflowState(id="order-1", name="checkout", input={1, 2})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    WorkflowFilter(limit="all")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    WorkflowFilter(tenant="a")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    state.status = Status.FAILED  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def a_backend_is_whole() -> Backend:
    class Half(Backend):
        @property
        def where(self) -> str:
            return "nowhere"

    return Half()  # type: ignore[abstract]  # pyright: ignore[reportAbstractUsage]
