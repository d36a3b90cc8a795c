"""What operators do keeps the type of the result; checked by mypy and pyright, never run."""

from __future__ import annotations

from typing import NoReturn, assert_type

from claw_actors import Context, Runtime, WorkflowHandle, workflow


@workflow
async def counting(ctx: Context, upto: int) -> int:
    return upto


async def a_fork_has_the_result_of_its_origin(handle: WorkflowHandle[int]) -> None:
    assert_type(await handle.fork(at="step"), WorkflowHandle[int])
    assert_type(await (await handle.fork(at="step", new_id="b")).result(), int)
    await handle.fork()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await handle.fork("step")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


async def by_id_nothing_is_known_of_it(runtime: Runtime) -> None:
    assert_type(await runtime.fork("a", at="step"), WorkflowHandle[object])
    assert_type(await runtime.pause("a", "lunch"), None)
    assert_type(await runtime.resume("a"), None)
    assert_type(await runtime.terminate("a"), None)
    assert_type(await runtime.delete("a", force=True), None)
    await runtime.pause("a", 1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def nothing_comes_after_the_next_run(ctx: Context) -> int:
    # No return is missed: the checkers know that it does not come back.
    await ctx.continue_as_new(1, "two")


async def it_never_returns(ctx: Context) -> NoReturn:
    await ctx.continue_as_new()
