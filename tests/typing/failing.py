"""What type checkers must know of failure and rollback; checked, never run."""

from __future__ import annotations

from typing import assert_type

from claw_actors import Context, RollbackFailedError, RollbackHandler, TaskFailedError, task


@task
async def refund(order: str, cents: int = 0, *, note: str = "") -> str:
    raise NotImplementedError


@task
def release(seat: str, /) -> None:
    raise NotImplementedError


async def no_task(seat: str) -> None: ...


async def a_handler_is_called_as_it_is_declared(ctx: Context) -> None:
    assert_type(ctx.on_rollback(refund, "order", 7, note="x"), RollbackHandler)
    assert_type(ctx.on_rollback(release.options(id="seat"), "4a").discard(), None)
    ctx.on_rollback(refund, 7)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ctx.on_rollback(release)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    ctx.on_rollback(no_task, "4a")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]


def a_failure_tells_what_failed(failed: TaskFailedError, stopped: RollbackFailedError) -> None:
    for error in (failed, stopped):
        assert_type(error.task_id, str)
        assert_type(error.name, str)
        assert_type(error.attempts, int)
        assert_type(error.error.message, str)
    assert_type(stopped.id, str)
