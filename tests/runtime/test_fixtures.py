"""The fixtures for those who test workflows."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from claw_actors import Context, MemoryStorage, workflow
from claw_actors.testing.clock import EPOCH


@workflow
async def remind(ctx: Context, name: str) -> str:
    await ctx.sleep(2_592_000)
    return f"reminded {name}"


async def test_a_month_passes_at_once(open_claw_runtime):
    """Though the test itself asks for no clock."""
    async with open_claw_runtime(MemoryStorage(), workflows=[remind]) as runtime:
        assert await (await runtime.start(remind, "ada")).result() == "reminded ada"
    assert trio.current_time() >= 2_592_000


async def test_the_wall_clock_is_virtual(claw_environment):
    """It follows the clock that the test runs under."""
    await trio.sleep(7)
    assert claw_environment.wall() == EPOCH + 7


@pytest.fixture
def own_clock() -> MockClock:
    """A clock that does not jump by itself."""
    return MockClock()


async def test_a_clock_that_the_test_asks_for_is_the_one_it_gets(claw_environment, own_clock):
    """It is not overruled."""
    own_clock.jump(5)
    assert trio.current_time() == 5
    assert claw_environment.wall() == EPOCH + 5


def test_a_plain_test_may_have_an_environment(claw_environment):
    """It may run Trio by itself."""

    async def main() -> float:
        await trio.sleep(3)
        return claw_environment.wall()

    assert trio.run(main, clock=MockClock(autojump_threshold=0)) == EPOCH + 3
