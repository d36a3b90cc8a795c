"""Brings a request to whoever can do it: the owner, or else this process, for that moment."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import attrs
import trio

from ..._core.bounds import at_least
from ..._core.error_data import Plain
from ...errors import (
    ClawError,
    OwnerUnreachableError,
    RequestOutcomeUnknownError,
    StorageLockedError,
)
from ...storage.codec import Codec
from .address import PeerUid, peer_uid
from .owner import NotAsked, ask_owner
from .requests import Question, Request
from .visit import visit

__all__ = ["Courier", "FindOwner", "NoOwner"]

FindOwner: TypeAlias = Callable[[], Awaitable[str | None]]

_PAUSE_S: Final = 0.05
"""Between two attempts: an owner that starts or closes is soon done with it."""


class NoOwner(enum.Enum):
    """Nobody owns the database: an answer that is none of the owner's."""

    NONE = "none"


@attrs.frozen(kw_only=True)
class Courier:
    """Brings requests.

    Attributes:
        path: the database.
        socket_path: where its owner can be met.
        codec: of requests.
        timeout: seconds to try for, with each request.
        peer_uid: tells whose process answers.
    """

    path: str
    socket_path: str
    codec: Codec
    timeout: float = attrs.field(validator=at_least(0))
    peer_uid: PeerUid = peer_uid

    async def bring(self, request: Request, *, repeatable: bool = False) -> Plain:
        """Have something done: by the owner, or without one in a visit.

        Args:
            request: what.
            repeatable: whether it may be asked for again if nobody knows whether it was done.

        Raises:
            OwnerUnreachableError: somebody owns it and could not be asked in time.
            ControlRefusedError: whoever answers there refuses.
            RequestOutcomeUnknownError: it was asked for, and not answered.
            ClawError: as the operation does; or why the database cannot be opened.

        Cancelled, it may or may not be done.
        """
        deadline = trio.current_time() + self.timeout
        unknown = None
        while True:
            try:
                return await self._try(request, deadline)
            except OwnerUnreachableError as error:
                failure: ClawError = error
            except RequestOutcomeUnknownError as error:
                failure = unknown = error
            if trio.current_time() >= deadline or (unknown is not None and not repeatable):
                # That nobody could be asked the last time says nothing of the time before.
                raise failure if unknown is None else unknown
            await trio.sleep(_PAUSE_S)

    async def ask(self, question: Question, find_owner: FindOwner) -> Plain | NoOwner:
        """Ask the owner something that only it can tell.

        Args:
            question: what.
            find_owner: finds out who it is, as it named itself, if there is one.

        Returns:
            The answer; or that there is no owner.

        Raises:
            OwnerUnreachableError: somebody owns it and could not be asked in time.
            ControlRefusedError: whoever answers there refuses.

        Cancelled, nothing is different.
        """
        deadline = trio.current_time() + self.timeout
        while True:
            try:
                return await ask_owner(
                    self.socket_path, question, self.codec, deadline, self.peer_uid
                )
            except NotAsked as error:
                reason = str(error)
            holder = await find_owner()
            if holder is None:
                return NoOwner.NONE
            if trio.current_time() >= deadline:
                raise OwnerUnreachableError(self.path, holder, reason)
            await trio.sleep(_PAUSE_S)

    async def _try(self, request: Request, deadline: float) -> Plain:
        try:
            return await ask_owner(self.socket_path, request, self.codec, deadline, self.peer_uid)
        except NotAsked as error:
            reason = str(error)
        try:
            return await visit(self.path, request, self.codec)
        except StorageLockedError as locked:
            raise OwnerUnreachableError(self.path, locked.holder, reason) from locked
