"""Pytest fixtures for those who test workflows. Needs pytest and pytest-trio.

Switch them on in your ``conftest.py``::

    pytest_plugins = ["claw_actors.testing.fixtures"]

A workflow that sleeps for a month is then tested in milliseconds::

    async def test_reminds_after_a_month(open_claw_runtime):
        async with open_claw_runtime(MemoryStorage(), workflows=[remind]) as runtime:
            handle = await runtime.start(remind, "ada")
            assert await handle.result() == "reminded"
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias, TypeVar

import pytest
import trio
import trio.testing

from .._runtime.environment import Environment
from .._runtime.opening import open_runtime
from .._runtime.runtime import Runtime
from .clock import virtual_environment

__all__ = ["OpenRuntime", "claw_environment", "open_claw_runtime"]

T = TypeVar("T")

OpenRuntime: TypeAlias = Callable[..., AbstractAsyncContextManager[Runtime]]


def _run_under(
    ours: trio.abc.Clock,
    fn: Callable[[], Awaitable[T]],
    *,
    clock: trio.abc.Clock | None = None,
    instruments: Sequence[trio.abc.Instrument] = (),
) -> T:
    """Run a test under our clock, unless it has asked for another one by itself."""
    return trio.run(fn, clock=clock or ours, instruments=instruments)


@pytest.fixture
def claw_environment(
    request: pytest.FixtureRequest, autojump_clock: trio.testing.MockClock
) -> Environment:
    """An environment whose wall time follows virtual time, seeded, without threads."""
    node: pytest.Item = request.node
    if node.get_closest_marker("trio") is not None:
        # pytest-trio itself looks for a clock only among what the test function asks for.
        run = functools.partial(_run_under, autojump_clock)
        node.add_marker(pytest.mark.trio(run=run), append=False)
    return virtual_environment()


@pytest.fixture
def open_claw_runtime(claw_environment: Environment) -> OpenRuntime:
    """``open_runtime`` under a mock clock that jumps ahead whenever everything waits."""
    return functools.partial(open_runtime, environment=claw_environment)
