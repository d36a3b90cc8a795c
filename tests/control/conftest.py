"""What the tests of the control socket share: an operator that notes, and a client's side of a talk."""

from __future__ import annotations

import json
import os

import attrs
import pytest
import trio
from trio.testing import memory_stream_pair

from claw_actors._runtime.control import owner
from claw_actors._runtime.control.server import ControlLimits, ControlServer
from claw_actors.storage.codec import Codec

HANG_S = 100.0
"""Longer than anything here may take, in virtual seconds."""


class FakeOperator:
    """Notes what it is asked to do.

    Attributes:
        done: what was done to the end.
        troubles: raised by the next operations.
        hold: waited for by each operation, if set.
        begun: set by an operation that has begun.
        cancelled: how many were cancelled.
    """

    def __init__(self):
        self.done, self.troubles, self.hold = [], [], None
        self.begun, self.cancelled = trio.Event(), 0

    async def _do(self, *what):
        self.begun.set()
        if self.troubles:
            raise self.troubles.pop()
        if self.hold is not None:
            try:
                await self.hold.wait()
            except trio.Cancelled:
                self.cancelled += 1
                raise
        self.done.append(what)

    def statistics(self):
        raise ZeroDivisionError("a bug")

    async def start_by_name(self, name, args=(), *, id, metadata, description, on_existing):
        await self._do("start", id, name, args, metadata, description, on_existing)

    async def cancel(self, id, reason=None):
        await self._do("cancel", id, reason)

    async def terminate(self, id, reason=None):
        await self._do("terminate", id, reason)

    async def pause(self, id, reason=None):
        await self._do("pause", id, reason)

    async def resume(self, id):
        await self._do("resume", id)

    async def retry(self, id):
        await self._do("retry", id)

    async def fork(self, id, *, at, new_id=None):
        await self._do("fork", id, at, new_id)

    async def delete(self, id, *, force=False):
        await self._do("delete", id, force)

    async def send(self, id, topic, payload, *, idempotency_key=None):
        await self._do("send", id, topic, payload, idempotency_key)

    async def request(self, id, topic, payload, *, idempotency_key):
        await self._do("request", id, topic, payload, idempotency_key)


@attrs.define
class Talk:
    """The client's side of a conversation, by hand."""

    stream: trio.abc.Stream
    left: bytes = b""

    async def say(self, message) -> None:
        data = message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n"
        await self.stream.send_all(data)

    async def hear(self):
        """Return the next message, or ``None`` if the other side has hung up."""
        while b"\n" not in self.left:
            with trio.fail_after(HANG_S):
                data = await self.stream.receive_some()
            if not data:
                return None
            self.left += data
        line, _, self.left = self.left.partition(b"\n")
        return json.loads(line)

    async def greet(self):
        await self.say({"claw_control": [1]})
        assert await self.hear() == {"claw_control": 1}
        return self

    async def ask(self, op, **arguments):
        await self.say({"op": op, "args": arguments})
        return await self.hear()


@pytest.fixture
def operator():
    return FakeOperator()


LIMITS = ControlLimits(max_line_bytes=1_000, max_clients=4)


@pytest.fixture
def server(operator):
    return ControlServer(operator, Codec(), LIMITS, peer_uid=lambda stream: os.geteuid())


@pytest.fixture
def connect(server, nursery):
    """Begin a conversation with the server; it closes its end when it has had enough."""

    def begin() -> Talk:
        ours, theirs = memory_stream_pair()

        async def serve():
            async with theirs:
                await server.converse(theirs)

        nursery.start_soon(serve)
        return Talk(ours)

    return begin


@pytest.fixture
def lost(monkeypatch):
    """Lose the answer to the first request, and to the next one whenever this list is cleared."""
    real, lost = owner._Asking.ask, []

    async def lose_the_first(asking):
        answer = await real(asking)
        if not lost:
            lost.append(answer)
            raise asking.failure("its owner hung up")
        return answer

    monkeypatch.setattr(owner._Asking, "ask", lose_the_first)
    return lost
