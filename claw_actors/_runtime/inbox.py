"""The messages of one instance that its code has not received yet, by topic.

The sequencer puts each in here in commit order; ``ctx.receive`` takes from here. Neither writes
anything: the message itself is the journal entry, so a replay fills the inbox in the same order and
takes the same messages out. What is left at the end stays unread.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from .._core.journal import Entry

__all__ = ["Inbox", "MessageCounts"]


@attrs.define
class MessageCounts:
    """What became of messages, for ``statistics()``."""

    sent: int = 0
    received: int = 0
    dead_letters: int = 0


class Inbox:
    """First in, first out for each topic."""

    def __init__(
        self, put_aside: frozenset[int] = frozenset(), answered: frozenset[int] = frozenset()
    ) -> None:
        """Make an empty inbox.

        Args:
            put_aside: the numbers of messages that an earlier life has made dead letters. They
                come in here like any other, so that a replay has the same turns, and are to be
                dropped when they are taken.
            answered: the numbers of requests that an earlier life has replied to.
        """
        self.put_aside: frozenset[int] = put_aside
        self.answered: frozenset[int] = answered
        # Invariant: no topic without messages.
        self._topics: dict[str, deque[Entry]] = {}

    def __repr__(self) -> str:
        return f"<Inbox, unread: { ({topic: len(some) for topic, some in self._topics.items()}) }>"

    def put(self, message: Entry) -> None:
        """Add a message behind the others of its topic."""
        self._topics.setdefault(message.name, deque()).append(message)

    def has(self, topic: str) -> bool:
        """Tell whether there is a message for a topic."""
        return topic in self._topics

    def take(self, topic: str) -> Entry:
        """Take the oldest message of a topic, which has one."""
        messages = self._topics[topic]
        message = messages.popleft()
        if not messages:
            del self._topics[topic]
        return message

    def unread(self) -> list[Entry]:
        """Return what was delivered and never taken, in commit order."""
        return sorted((one for some in self._topics.values() for one in some), key=lambda e: e.n)
