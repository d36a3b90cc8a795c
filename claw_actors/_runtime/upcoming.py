"""What is still to be delivered: the past and the live commits, as one queue.

A replay does what the first run did because nobody can tell from the queue which of the two an
entry came from. The sequencer alone takes entries out; what ends otherwise than by its entry gives
that up, and it is passed over when it comes.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from .._core.journal import outlives

if TYPE_CHECKING:
    from .._core.journal import Entry
    from .._core.replay import Past

__all__ = ["Upcoming"]


class Upcoming:
    """The entries of one incarnation that are committed and not delivered."""

    def __init__(self, past: Past) -> None:
        # Invariant: in commit order.
        self.queue: deque[Entry] = past.entries
        # Numbers of those that nobody wants any more.
        self.given_up: set[int] = set()
        # Of the past, those that end what has not been asked for yet: by operation.
        self._recorded = past.by_op
        self._past_n = past.last_n

    @property
    def holds_past(self) -> bool:
        """Whether something of the past is still to be delivered."""
        return any(entry.n <= self._past_n and entry.n not in self.given_up for entry in self.queue)

    def match(self, op: str) -> Entry | None:
        """Return what the past says about an operation that is asked for now, if it does."""
        return self._recorded.pop(op, None)

    def give_up(self, entry: Entry) -> None:
        """Have an entry passed over."""
        self.given_up.add(entry.n)

    def void(self, n: int) -> set[int]:
        """Take out what followed from the entry numbered ``n``, and that one.

        Returns:
            The numbers of those that were taken out.
        """
        gone = {entry.n for entry in self.queue if not outlives(entry, n)}
        self.queue = deque(entry for entry in self.queue if entry.n not in gone)
        self._recorded = {op: one for op, one in self._recorded.items() if one.n not in gone}
        return gone
