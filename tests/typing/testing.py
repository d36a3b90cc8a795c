"""What type checkers must know of the tools for tests; checked, never run."""

from __future__ import annotations

from typing import assert_type

from claw_actors import Backend, Context, MemoryStorage, Runtime, RuntimeConfig, workflow
from claw_actors.testing import CrashPoint, Exploration, When, conformance, explore
from claw_actors.testing.fixtures import OpenRuntime


@workflow
async def checkout(ctx: Context, order: str) -> float:
    raise NotImplementedError


@workflow
async def nightly(ctx: Context) -> None:
    raise NotImplementedError


async def scenario(runtime: Runtime) -> float:
    return await (await runtime.start(checkout, "a", id="order-1")).result()


def a_scenario_is_explored() -> None:
    assert_type(explore(scenario, workflows=[checkout, nightly]), Exploration)
    explore(
        scenario,
        workflows=[checkout],
        seeds=[3],
        crashes=[CrashPoint(1, When.AFTER, 2)],
        config=RuntimeConfig(),
    )
    explore(checkout, workflows=[checkout])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    explore(scenario, workflows=[scenario])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
    CrashPoint(1, "after")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def a_backend_is_held_to_its_contract(make: type[MemoryStorage]) -> None:
    for case in conformance.CASES:
        assert_type(case, conformance.Case)
        case(make)
        case(make())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    backend: Backend = make()
    assert_type(backend.where, str)


async def a_fixture_opens_a_runtime(open_claw_runtime: OpenRuntime) -> None:
    async with open_claw_runtime(MemoryStorage(), workflows=[checkout]) as runtime:
        assert_type(runtime, Runtime)
