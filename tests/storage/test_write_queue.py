"""The queue by itself: what is refused with the life that it was written in."""

from __future__ import annotations

import pytest

from claw_actors._core.journal import message
from claw_actors.errors import StaleWriteError
from claw_actors.storage.operations import Advance, Send, Transact
from claw_actors.storage.write_queue import Write, WriteQueue
from claw_actors.testing.conformance.samples import an_outcome

REFUSAL = StaleWriteError("one", "life", 1, 2)


def advance(life: int, pk: int = 1) -> Advance:
    return Advance(pk, "one", life, (an_outcome("t"),))


def transact(life: int, pk: int = 1) -> Transact:
    return Transact(advance(life, pk), lambda connection: b"null", None)


def send() -> Send:
    return Send("one", message("topic", 1.0, b"1"))


@pytest.fixture
def refused() -> list[object]:
    """What was answered with an error, in order."""
    return []


@pytest.fixture
def queue() -> WriteQueue:
    """A queue that gives out one write at a time."""
    return WriteQueue(max_queue=10, max_group=1)


@pytest.fixture
def put(queue, refused):
    """Queue an operation."""

    def put(operation: object) -> Write:
        write = Write(operation, lambda result: refused.append(operation), patient=False)
        queue.add(write)
        return write

    return put


@pytest.mark.parametrize("make", [advance, transact])
async def test_a_fence_refuses_what_older_lives_have_queued(queue, put, refused, make):
    """Their advances and their transactions; nobody else's."""
    old = put(make(1))
    others = [put(one) for one in (make(2), make(1, pk=2), send())]
    await queue.fence(1, 2)
    assert refused == [old.operation]
    assert all(one.queued for one in others)


@pytest.mark.parametrize("make", [advance, transact])
def test_what_follows_a_refused_write_of_a_life_is_refused_with_it(queue, put, refused, make):
    """It was based on that; what others have queued was not."""
    first, later = put(make(1)), put(make(1))
    others = [put(one) for one in (make(2), make(1, pk=2), send())]
    assert queue.take() == [first]
    queue.refuse_followers(first, REFUSAL)
    assert refused == [later.operation]
    assert all(one.queued for one in others)


def test_a_message_has_no_followers(queue, put, refused):
    """Whoever sent it writes nothing that builds on it."""
    sent, after = put(send()), put(advance(1))
    assert queue.take() == [sent]
    queue.refuse_followers(sent, REFUSAL)
    assert refused == []
    assert after.queued
