"""A conversation between two processes: JSON objects, one a line, over a stream.

The client says which versions it speaks, and the owner which of them it will be::

    {"claw_control": [1]}                       {"claw_control": 1}
    {"op": "cancel", "args": {"id": "a"}}       {"done": null}
    {"op": "retry", "args": {"id": "b"}}        {"failed": {"type": "NotFoundError", …}}

One request after the other. ``{"refused": why, "again": false}`` in place of an answer means that
nothing was done, and ends the conversation; with ``true`` it is worth another try.
"""

from __future__ import annotations

import json
from typing import Final, TypeAlias, cast

import trio

from ..._core.error_data import Plain
from ..._core.lines import LineBuffer, LineTooLong

__all__ = ["VERSION", "Conversation", "HungUp", "Nonsense", "answer_hello", "hello"]

VERSION: Final = 1
"""Raised when the two sides would misunderstand each other otherwise."""

_CHUNK_BYTES: Final = 65_536

Message: TypeAlias = dict[str, Plain]


class HungUp(Exception):
    """The other side is gone."""


class Nonsense(Exception):
    """What came is no message."""


def hello() -> Message:
    """Return what a client says first."""
    return {"claw_control": [VERSION]}


def answer_hello(message: Message) -> Message:
    """Choose the version to go on with.

    Raises:
        Nonsense: it is none of ours, or we have none in common.
    """
    match message:
        case {"claw_control": list(versions), **rest} if not rest:
            if VERSION in versions:
                return {"claw_control": VERSION}
            raise Nonsense(f"version {VERSION} is spoken here, and you speak {versions}")
        case _:
            raise Nonsense('a conversation begins with {"claw_control": [version, …]}')


class Conversation:
    """One side of it."""

    def __init__(self, stream: trio.abc.Stream, max_line_bytes: int) -> None:
        """Begin it.

        Args:
            stream: to the other side; whoever opened it closes it.
            max_line_bytes: what is longer is no message.
        """
        self._stream = stream
        self._lines = LineBuffer(max_line_bytes)

    async def receive(self) -> Message:
        """Wait for a message.

        Raises:
            HungUp: there will be none.
            Nonsense: it is too long, or no JSON object. Nothing that comes later can be read.
        """
        while (line := self._next_line()) is None:
            await self._receive_some()
        try:
            message = cast("object", json.loads(line))
        except (ValueError, RecursionError) as error:
            raise Nonsense(f"that is no JSON: {error}") from error
        if not isinstance(message, dict):
            raise Nonsense("a message is a JSON object")
        return cast("Message", message)

    async def send(self, message: Message) -> None:
        """Send a message.

        Raises:
            HungUp: nobody reads it.
        """
        # The escape of a lone surrogate is JSON's, too.
        line = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
        try:
            await self._stream.send_all(line.encode("utf-8", "backslashreplace") + b"\n")
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise HungUp from error

    async def wait_hung_up(self) -> None:
        """Wait until the other side is gone, or says more than anybody would who waits."""
        try:
            while len(self._lines) <= self._lines.max_bytes:
                await self._receive_some()
        except HungUp:
            pass

    def _next_line(self) -> bytes | None:
        try:
            return self._lines.take()
        except LineTooLong as error:
            raise Nonsense(str(error)) from error

    async def _receive_some(self) -> None:
        try:
            data = await self._stream.receive_some(_CHUNK_BYTES)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise HungUp from error
        if not data:
            raise HungUp
        self._lines.feed(bytes(data))
