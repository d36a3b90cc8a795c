"""The owner's side: who may come in, how much they may say, and for how long.

Nobody who comes here can slow the engine or grow in its memory: clients, lines, waits and
operations have limits, each client is a Trio task of its own, and an operation is what any other
caller of the runtime would do. A client that hangs up while it waits is like a caller that is
cancelled: what was not committed by then is not done.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from typing import Final, cast

import attrs
import trio

from ..._core.error_data import Plain, error_to_plain
from ...errors import (
    ClawError,
    RequestOutcomeUnknownError,
    RuntimeClosedError,
    SerializationError,
)
from ...storage.codec import Codec
from .address import PeerUid, listening, peer_uid
from .requests import NAMES, REQUESTS, UNKNOWN, Asked, Owner, answer, workflow_of
from .wire import Conversation, HungUp, Message, Nonsense, answer_hello

__all__ = ["MAX_REQUEST_BYTES", "ControlLimits", "ControlServer"]

_log = logging.getLogger("claw_actors.control")

MAX_REQUEST_BYTES: Final = 65_536
"""What a request may have besides its payload."""

_CLOSING: Final[Message] = {"refused": "its owner is closing", "again": True}


@attrs.frozen(kw_only=True)
class ControlLimits:
    """Bounds of the control server.

    Attributes:
        max_clients: how many may talk at once; another one is told to try again.
        max_line_bytes: the longest request.
        idle_s: how long a client may take to say something, whole.
        operation_s: how long an operation may take; then it is given up.
        answer_s: how long a client may take to read an answer.
    """

    max_clients: int = 32
    max_line_bytes: int
    idle_s: float = 30.0
    operation_s: float = 30.0
    answer_s: float = 1.0


class _Refused(Exception):
    """The end of a conversation: nothing was done."""

    def __init__(self, reason: str, *, again: bool = False) -> None:
        super().__init__(reason)
        self.message: Message = {"refused": reason, "again": again}


class ControlServer:
    """Serves the owner to other processes."""

    def __init__(
        self,
        owner: Owner,
        codec: Codec,
        limits: ControlLimits,
        peer_uid: PeerUid = peer_uid,
    ) -> None:
        """Serve what this owner can do and tell.

        Args:
            owner: does what is asked for.
            codec: reads requests.
            limits: of all clients.
            peer_uid: tells whose process a client is.
        """
        self._owner = owner
        self._codec = codec
        self._limits = limits
        self._peer_uid = peer_uid
        self._clients = 0

    async def serve(
        self, path: str, task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve at this path until cancelled. Where that cannot be, say so and go on without.

        Args:
            path: of the socket.
            task_status: told when clients can come.
        """
        try:
            with listening(path) as listener:
                await trio.serve_listeners(self._let_in, [listener], task_status=task_status)
        except OSError as error:
            _log.warning(
                "there is no control socket at %s: %s. Other processes can read, and cannot act"
                " on workflows while this one runs",
                path,
                error,
            )
            task_status.started()

    async def _let_in(self, stream: trio.SocketStream) -> None:
        """Talk to a client that has connected; whatever goes wrong with it is its own matter."""
        self._clients += 1
        try:
            await self.converse(stream, refusal=self._why_not(stream))
        except Exception:
            _log.exception("a conversation with a control client went wrong")
        finally:
            self._clients -= 1
            await trio.aclose_forcefully(stream)

    def _why_not(self, stream: trio.SocketStream) -> Message | None:
        """Say why a client is not let in, if it is not."""
        uid = self._peer_uid(stream)
        if uid != os.geteuid():
            _log.warning("a process of user %d was refused at the control socket", uid)
            reason = f"its owner is of user {os.geteuid()}, and you are of user {uid}"
            return {"refused": reason, "again": False}
        if self._clients > self._limits.max_clients:
            return {"refused": "it has too many clients at present", "again": True}
        return None

    async def converse(self, stream: trio.abc.Stream, refusal: Message | None = None) -> None:
        """Talk to one client until one of both has enough.

        Args:
            stream: to the client; it is not closed.
            refusal: why it is not let in.
        """
        talk = Conversation(stream, self._limits.max_line_bytes)
        try:
            if refusal is not None:
                await self._answer(talk, refusal)
                return
            await self._answer(talk, answer_hello(await self._receive(talk)))
            while True:
                request = self._read(await self._receive(talk))
                await self._answer(talk, await self._perform(talk, request))
        except Nonsense as nonsense:
            await self._say_last(talk, {"refused": str(nonsense), "again": False})
        except _Refused as refused:
            await self._say_last(talk, refused.message)
        except HungUp:
            pass

    async def _receive(self, talk: Conversation) -> Message:
        with trio.move_on_after(self._limits.idle_s):
            return await talk.receive()
        raise _Refused(f"nothing was said for {self._limits.idle_s:g} s")

    def _read(self, message: Message) -> Asked:
        match message:
            case {"op": str(name), "args": dict(arguments), **rest} if not rest:
                cls = REQUESTS.get(name)
            case _:
                raise _Refused('a request is {"op": name, "args": {…}}')
        if cls is None:
            raise _Refused(f"{UNKNOWN}{name!r}; it knows {', '.join(REQUESTS)}")
        try:
            return cast("Asked", self._codec.from_plain(arguments, cls, f"request {name!r}"))
        except SerializationError as error:
            raise _Refused(str(error)) from error

    # -- one request ----------------------------------------------------------------------------

    async def _perform(self, talk: Conversation, request: Asked) -> Message:
        answer = None
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_if_hung_up, talk, nursery.cancel_scope)
                with trio.move_on_after(self._limits.operation_s) as limit:
                    answer = await self._do(request)
                nursery.cancel_scope.cancel(reason="it is done")
        except BaseException:
            # The server itself is being stopped. What is cancelled is not done, and may be asked
            # for again: of the next owner, or as a visitor. What is done is told.
            last = _CLOSING if answer is None else answer
            await self._say_last(talk, last)  # noqa: ASYNC102 - shielded, and short
            raise
        if answer is not None:
            return answer
        if limit.cancelled_caught:
            raise _Refused(f"it was given up after {self._limits.operation_s:g} s")
        raise HungUp

    async def _do(self, request: Asked) -> Message:
        try:
            return {"done": await answer(self._owner, request)}
        except RuntimeClosedError:
            return _CLOSING
        except ClawError as error:
            return {"failed": cast("Plain", error_to_plain(error))}
        except Exception as error:
            id = workflow_of(request)
            _log.exception(
                "a request from another process could not be done: %r",
                request,
                extra={} if id is None else {"workflow_id": id},
            )
            name = NAMES[type(request)]
            unknown = RequestOutcomeUnknownError(name, id, f"its owner failed: {error!r}")
            return {"failed": cast("Plain", error_to_plain(unknown))}

    async def _answer(self, talk: Conversation, message: Message) -> None:
        """Send an answer, also while the server is being stopped: what is done is done."""
        with trio.move_on_after(self._limits.answer_s, shield=True) as limit:
            await talk.send(message)
        if limit.cancelled_caught:
            raise HungUp

    async def _say_last(self, talk: Conversation, message: Message) -> None:
        with suppress(HungUp):
            await self._answer(talk, message)


async def _cancel_if_hung_up(talk: Conversation, scope: trio.CancelScope) -> None:
    await talk.wait_hung_up()
    scope.cancel(reason="the client hung up")
