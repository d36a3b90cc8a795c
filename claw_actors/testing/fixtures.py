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
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

import pytest
import trio.testing

from .._runtime.environment import Environment
from .._runtime.runtime import Runtime, open_runtime
from .clock import virtual_environment

__all__ = ["OpenRuntime", "claw_environment", "open_claw_runtime"]

OpenRuntime: TypeAlias = Callable[..., AbstractAsyncContextManager[Runtime]]


@pytest.fixture
def claw_environment(autojump_clock: trio.testing.MockClock) -> Environment:
    """An environment whose wall time follows virtual time, seeded, without threads."""
    return virtual_environment()


@pytest.fixture
def open_claw_runtime(claw_environment: Environment) -> OpenRuntime:
    """``open_runtime`` under a mock clock that jumps ahead whenever everything waits."""
    return functools.partial(open_runtime, environment=claw_environment)
