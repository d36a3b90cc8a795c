"""What outsiders exchange with a workflow: messages to it, and what it could not take of them.

Everything here acts on storage alone: it does not matter whether the workflow is in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .._core.journal import message
from ..storage.operations import Send, Sent
from ..storage.validation import check_printable

if TYPE_CHECKING:
    from ..storage.actor import StorageActor
    from ..storage.codec import Codec
    from .inbox import MessageCounts

__all__ = ["Correspondence"]


class Correspondence:
    """Sends to workflows from outside, and reads what they keep for outsiders."""

    def __init__(
        self,
        storage: StorageActor,
        codec: Codec,
        wall: Callable[[], float],
        counts: MessageCounts,
    ) -> None:
        self._storage = storage
        self._codec = codec
        self._wall = wall
        self._counts = counts

    async def send(self, id: str, topic: str, payload: object, key: str | None) -> None:
        """Send a message; see ``Runtime.send``."""
        check_printable("topic", topic)
        data = self._codec.encode_sent(payload, f"message {topic!r} to workflow {id!r}")
        answer = await self._storage.submit(Send(id, message(topic, self._wall(), data), key))
        assert isinstance(answer, Sent)
        self._counts.sent += not answer.duplicate
