"""Where the running code is."""

from __future__ import annotations

import pytest
import trio

from claw_actors.errors import ContextMisuseError
from claw_actors.task_context import Place, TaskInfo, place, task_info

INFO = TaskInfo(
    workflow_id="order-1", task_id="pay", name="pay", attempt=1, idempotency_key="order-1/k/pay"
)


@pytest.fixture
def in_task():
    token = place.set(INFO)
    yield
    place.reset(token)


def test_code_is_outside_by_default():
    """Of workflows and of tasks."""
    assert place.get() is Place.OUTSIDE


@pytest.mark.parametrize("where", list(Place))
def test_outside_a_task_body_there_is_no_task(where):
    """Neither in workflow code nor outside of it."""
    token = place.set(where)
    try:
        with pytest.raises(ContextMisuseError, match="outside a task body"):
            task_info()
    finally:
        place.reset(token)


async def test_a_task_body_knows_itself(in_task):
    """In its Trio task, in the children of it, and in worker threads."""
    found = [task_info(), await trio.to_thread.run_sync(task_info)]

    async def child():
        found.append(task_info())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(child)
        nursery.start_soon(child)
    assert found == [INFO] * 4
