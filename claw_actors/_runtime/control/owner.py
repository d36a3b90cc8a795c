"""How a client asks the owner: one connection for one request."""

from __future__ import annotations

import os
from typing import Final, cast

import trio

from ..._core.error_data import Plain, plain_to_error
from ...errors import ControlRefusedError, RequestOutcomeUnknownError
from ...storage.codec import Codec
from .address import NotThere, PeerUid, connect
from .requests import NAMES, UNKNOWN, Asked, Question, workflow_of
from .wire import VERSION, Conversation, HungUp, Message, Nonsense, hello

__all__ = ["NotAsked", "ask_owner"]

_MAX_ANSWER_BYTES: Final = 4 << 20


class NotAsked(Exception):
    """The owner was not asked, or has not begun: it is worth another try."""


async def ask_owner(
    path: str, request: Asked, codec: Codec, deadline: float, peer_uid: PeerUid
) -> Plain:
    """Ask the owner to do or to tell something, and return its answer.

    Args:
        path: of its socket.
        request: what for.
        codec: encodes the request.
        deadline: how long to wait, in seconds of Trio's clock.
        peer_uid: tells whose process answers.

    Raises:
        NotAsked: nobody was reached in time, or asks for another try.
        ControlRefusedError: it is not done, and asking again will not help.
        RequestOutcomeUnknownError: it was asked, and there is no answer.
        ClawError: as the operation does.

    Cancelled, it may or may not be done.
    """
    try:
        stream = connect(path)
    except NotThere as error:
        raise NotAsked(str(error)) from error
    except OSError as error:
        raise ControlRefusedError(path, str(error)) from error
    try:
        # Who could put a socket here is not who may hear of our workflows.
        if (uid := peer_uid(stream)) != os.geteuid():
            raise ControlRefusedError(path, f"a process of user {uid} answers there")
        asking = _Asking(Conversation(stream, _MAX_ANSWER_BYTES), path, request, codec)
        with trio.move_on_at(deadline):
            await asking.greet()
            return asking.read(await asking.ask())
        raise asking.failure("it did not answer in time")
    finally:
        await trio.aclose_forcefully(stream)


class _Asking:
    """One request on its way, and how far it has come."""

    def __init__(self, talk: Conversation, path: str, request: Asked, codec: Codec) -> None:
        self._talk = talk
        self._path = path
        self._request = request
        self._codec = codec
        self._sent = False

    def failure(self, reason: str) -> Exception:
        """Say what it means that there is no answer."""
        request = self._request
        if self._sent and not isinstance(request, Question):
            return RequestOutcomeUnknownError(
                NAMES[type(request)], workflow_of(request), f"{reason}, after it was asked"
            )
        # Without its end, a line is not heard.
        return NotAsked(reason)

    async def greet(self) -> None:
        """Agree on a version."""
        answer = await self._exchange(hello())
        if self._accepted(answer) != {"claw_control": VERSION}:
            raise ControlRefusedError(self._path, "what answers there is no owner of ours")

    async def ask(self) -> Message:
        """Ask for it; from here on it may be done."""
        request, name = self._request, NAMES[type(self._request)]
        arguments = self._codec.to_plain(request, type(request), f"request {name!r}")
        asked: Message = {"op": name, "args": cast("Plain", arguments)}
        return self._accepted(await self._exchange(asked, last=True))

    def read(self, answer: Message) -> Plain:
        """Return what was done, or raise what was raised."""
        match answer:
            case {"done": value, **rest} if not rest:
                return value
            case {"failed": data, **rest} if not rest:
                try:
                    failed = plain_to_error(data)
                except ValueError as error:
                    raise self.failure(f"its owner's answer makes no sense ({error})") from error
                raise failed
            case _:
                raise self.failure("its owner's answer makes no sense")

    async def _exchange(self, message: Message, *, last: bool = False) -> Message:
        try:
            try:
                await self._talk.send(message)
                self._sent = last
            except HungUp:
                pass  # it may have said why before
            return await self._talk.receive()
        except HungUp:
            raise self.failure("its owner hung up") from None
        except Nonsense as error:
            if self._sent:
                raise self.failure(f"its owner's answer makes no sense ({error})") from error
            raise ControlRefusedError(self._path, f"what answers there: {error}") from error

    def _accepted(self, answer: Message) -> Message:
        """Return an answer that is no refusal: refused is not done."""
        match answer:
            case {"refused": str(reason), "again": bool(again)}:
                if again:
                    raise NotAsked(reason)
                if reason.startswith(UNKNOWN):
                    reason = f"{reason}. Its owner runs an older claw_actors than you do"
                raise ControlRefusedError(self._path, reason)
            case _:
                return answer
