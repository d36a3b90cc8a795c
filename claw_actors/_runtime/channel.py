"""A channel between the children of one instance: first in, first out, bounded, deterministic.

Nothing of it is written: a replay sends and receives the same values again.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

import trio

from ..errors import InvalidInputError

if TYPE_CHECKING:
    from .sequencer import Sequencer

__all__ = ["Channel"]

T = TypeVar("T")


class Channel(Generic[T]):
    """Values on their way from some children to others; made by ``ctx.channel(n)``.

    ``async for value in channel:`` receives until it is closed and empty.
    """

    def __init__(self, sequencer: Sequencer, capacity: int) -> None:
        if isinstance(capacity, bool) or not isinstance(capacity, int) or capacity < 0:
            raise InvalidInputError("capacity", capacity, "a whole number, at least 0")
        self._sequencer = sequencer
        self._capacity = capacity
        self._values: deque[T] = deque()
        # With them a channel without a buffer knows whether somebody is there to take a value.
        self._receivers = 0
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<Channel of workflow {self._sequencer.id!r}, {len(self)} values, {state}>"

    def __len__(self) -> int:
        """Count the values that nobody has taken yet."""
        return len(self._values)

    async def send(self, value: T) -> None:
        """Put a value in, when there is room: in the buffer, or because somebody waits for it.

        Cancelled, it was not sent.

        Raises:
            trio.ClosedResourceError: the channel is closed.
            ContextMisuseError: called by anything but running code of the workflow.
        """
        strand = self._sequencer.turns.running("a channel")
        await strand.wait_until(lambda: self._closed or self._has_room(), (self, "send"))
        if self._closed:
            raise trio.ClosedResourceError(f"{self!r}: nothing can be sent any more")
        self._values.append(value)

    def _has_room(self) -> bool:
        return len(self._values) < (self._capacity or min(1, self._receivers))

    async def receive(self) -> T:
        """Take the next value, when there is one. Cancelled, it has taken none.

        Raises:
            trio.EndOfChannel: the channel is closed and empty.
            ContextMisuseError: called by anything but running code of the workflow.
        """
        strand = self._sequencer.turns.running("a channel")
        self._receivers += 1
        try:
            await strand.wait_until(lambda: self._values or self._closed, (self, "receive"))
        finally:
            self._receivers -= 1
        if not self._values:
            raise trio.EndOfChannel(f"{self!r}: nothing comes any more")
        return self._values.popleft()

    def close(self) -> None:
        """Say that nothing will be sent any more; again is no harm. What is in it can be received.

        Raises:
            ContextMisuseError: called by anything but running code of the workflow.
        """
        self._sequencer.turns.running("a channel")
        self._closed = True

    def __aiter__(self) -> Channel[T]:
        return self

    async def __anext__(self) -> T:
        try:
            return await self.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None
