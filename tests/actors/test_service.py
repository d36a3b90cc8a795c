"""Plain async functions as children."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors.actors import ChildSpec, open_supervisor, service
from claw_actors.errors import ChildStartError

pytestmark = pytest.mark.usefixtures("autojump_clock")


async def test_a_function_runs_with_its_arguments_until_it_is_cancelled(autojump_clock):
    """It has started at once."""
    log = []

    async def serve(name, number):
        log.append((name, number))
        try:
            await trio.sleep_forever()
        finally:
            log.append("cancelled")

    async with open_supervisor(ChildSpec("s", service(serve, "a", 1))):
        await wait_all_tasks_blocked()
    assert log == [("a", 1), "cancelled"]


async def test_a_function_with_a_task_status_says_when_it_has_started(autojump_clock):
    """As under ``nursery.start``."""

    async def serve(*, task_status):
        await trio.sleep(3)
        task_status.started("ready")
        await trio.sleep_forever()

    async with open_supervisor(ChildSpec("s", service(serve))):
        assert trio.current_time() == 3


async def test_a_function_that_fails_before_it_has_started_has_not_started(autojump_clock):
    """With its error."""

    async def serve(*, task_status):
        raise ValueError("cannot listen")

    with pytest.raises(ChildStartError, match="cannot listen"):
        async with open_supervisor(ChildSpec("s", service(serve))):
            pass


async def test_a_function_that_returns_has_ended(autojump_clock):
    """A permanent one is called anew, a transient one is done."""
    calls = []

    async def work(name):
        calls.append(name)
        await trio.sleep(1)

    async with open_supervisor(
        ChildSpec("p", service(work, "p")), ChildSpec("t", service(work, "t"), "transient")
    ):
        await trio.sleep(2)
    assert calls == ["p", "t", "p"]
