"""A nursery whose children outlive the cancellation of the block, so that they end in order."""

from __future__ import annotations

import pytest
import trio

from claw_actors.actors.nursery import open_service_nursery

pytestmark = pytest.mark.usefixtures("autojump_clock")


async def test_what_cancels_the_block_does_not_reach_the_children(autojump_clock):
    """They are still at work in the block's own clean-up, and are waited for."""
    seen = []

    async def serve(stop: trio.Event) -> None:
        await stop.wait()
        await trio.sleep(1)
        seen.append("served")

    stop = trio.Event()
    with trio.move_on_after(5) as scope:
        async with open_service_nursery() as services:
            services.start_soon(serve, stop)
            try:
                await trio.sleep_forever()
            finally:
                seen.append("cleaned up")
                stop.set()
    assert scope.cancelled_caught
    assert seen == ["cleaned up", "served"]
    assert trio.current_time() == 6


async def test_leaving_the_block_waits_for_the_children(autojump_clock):
    """They are not cancelled by its end."""

    async def serve() -> None:
        await trio.sleep(3)

    async with open_service_nursery() as services:
        services.start_soon(serve)
    assert trio.current_time() == 3


async def test_its_own_scope_ends_the_children(autojump_clock):
    """For services that go on for ever."""
    async with open_service_nursery() as services:
        services.start_soon(trio.sleep_forever)
        services.cancel_scope.cancel(reason="enough")


async def test_an_exception_of_the_block_passes_unchanged(autojump_clock):
    """Not wrapped into a group; the children are waited for first."""
    ended = []

    async def serve() -> None:
        await trio.sleep(3)
        ended.append(True)

    error = KeyError("of the block")
    with pytest.raises(KeyError) as caught:
        async with open_service_nursery() as services:
            services.start_soon(serve)
            raise error
    assert caught.value is error
    assert ended == [True]


async def test_a_failing_child_cancels_the_block_and_the_others(autojump_clock):
    """And is raised as a group."""
    seen = []

    async def fail() -> None:
        await trio.sleep(1)
        raise ValueError("of a child")

    async def other() -> None:
        try:
            await trio.sleep_forever()
        finally:
            seen.append("other")

    with pytest.RaisesGroup(pytest.RaisesExc(ValueError, match="child"), flatten_subgroups=True):
        async with open_service_nursery() as services:
            services.start_soon(fail)
            services.start_soon(other)
            try:
                await trio.sleep_forever()
            finally:
                seen.append("block")
    assert sorted(seen) == ["block", "other"]


async def test_a_cancellation_before_it_is_open_is_seen_by_the_block(autojump_clock):
    """Opening it is not interrupted half way."""
    seen = []
    with trio.CancelScope() as scope:
        scope.cancel()
        async with open_service_nursery() as services:
            seen.append(services)
            await trio.lowlevel.checkpoint()
            seen.append("not reached")
    assert scope.cancelled_caught
    assert len(seen) == 1
