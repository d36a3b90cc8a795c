"""Requests in workflow code, and replies on their way back to who has asked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from .._core.requests import reply_key
from ..errors import ContextMisuseError, RequestRefusedError

if TYPE_CHECKING:
    from .._core.journal import Entry
    from ..storage.codec import Codec
    from .sequencer import Sequencer
    from .writes import Values

__all__ = ["Request", "decode_reply", "refusal_of"]

T_co = TypeVar("T_co", covariant=True)


class Request(Generic[T_co]):
    """A message that is to be replied to; what ``ctx.receive_request`` returns.

    Attributes:
        topic: what it was sent to.
        payload: what was asked.
    """

    def __init__(self, sequencer: Sequencer, codec: Codec, message: Entry, payload: T_co) -> None:
        self.topic: str = message.name
        self.payload: T_co = payload
        self._sequencer = sequencer
        self._codec = codec
        self._message = message
        self._answered = False

    def __repr__(self) -> str:
        state = "answered" if self._answered else "open"
        return f"<Request {self.topic!r} of workflow {self._sequencer.id!r}, {state}>"

    def reply(self, value: object) -> None:
        """Answer it. The reply is durable before the asker gets it, and outlives the workflow.

        The first reply counts: it stays also if the workflow is retried from before it. Of a
        message that was only sent, nobody waits for the reply, and it goes nowhere.

        Args:
            value: what task results may be; it is read as the type that the asker names.

        Raises:
            SerializationError, PayloadTooLargeError: it cannot be stored; reply with another one.
            ContextMisuseError: it has been answered, or this is called by anything but running
                code of the workflow.
            InstanceSealed: the instance leaves memory.
        """
        strand = self._sequencer.turns.running("a request")
        strand.check_open()
        if self._answered:
            raise ContextMisuseError(f"{self!r} was answered twice; the first reply counts")
        data = self._codec.encode_sent(value, f"reply to {self.topic!r}")
        self._answered = True
        key = reply_key(self._message)
        if key is not None and self._message.n not in self._sequencer.inbox.answered:
            at = self._sequencer.time()
            reply = ((key, b'{"value":' + data + b"}"),)
            self._sequencer.writes.answer(self._message, reply, at)


def refusal_of(message: Entry, reason: str) -> Values:
    """Make the reply to a message that has become a dead letter; nothing if nobody asked."""
    key = reply_key(message)
    return () if key is None else ((key, json.dumps({"refused": reason}).encode()),)


def decode_reply(codec: Codec, data: bytes, declared: Any, what: str) -> object:
    """Read a stored reply.

    Raises:
        RequestRefusedError: the workflow could not take the request.
        SerializationError: the reply does not fit the type.
    """
    reply = cast("dict[str, object]", codec.decode(data, dict[str, object], what))
    if "refused" in reply:
        raise RequestRefusedError(str(reply["refused"]))
    return codec.from_plain(reply["value"], declared, what)
