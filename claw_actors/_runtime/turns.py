"""The turn: at most one context of an instance runs at a time.

Who is next is decided by the sequencer. Here stands only who has the turn, who may have it as
soon as it is free, and how somebody is woken who gets it.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

import trio
from outcome import Value
from trio.lowlevel import current_task

from ..errors import ContextMisuseError

if TYPE_CHECKING:
    from .strand import Strand

__all__ = ["Turns"]


class Turns:
    """Who has the turn in one incarnation."""

    def __init__(self) -> None:
        # Invariant: None, or the only strand whose workflow code runs.
        self.holder: Strand | None = None
        # The strand that gives up its turn right now, and has not parked yet.
        self.giving_up: Strand | None = None
        # How many turns were given.
        self.count: int = 0
        self._created = 0
        self._runnable: list[tuple[int, Strand]] = []

    def number(self) -> int:
        """Count a new strand: its place in the order of creation."""
        self._created += 1
        return self._created

    def queue(self, strand: Strand) -> None:
        """Let a strand run when the turn is free: it was started, cancelled, or has joined."""
        heapq.heappush(self._runnable, (strand.order, strand))

    def give_to_next(self) -> bool:
        """Give the turn to the first that is queued, in order of creation; ``False`` if none is."""
        if not self._runnable:
            return False
        self.give(heapq.heappop(self._runnable)[1])
        return True

    def give(self, strand: Strand) -> None:
        """Give the turn to a strand, which is free to go on then."""
        self.holder = strand
        self.count += 1
        if strand.start is not None:
            start, strand.start = strand.start, None
            start()
        else:
            self.wake(strand)

    def wake(self, strand: Strand) -> None:
        """Let a strand go on with what its ``wake`` says."""
        if strand is self.giving_up:
            strand.resumed = True  # it has not parked: it goes on by itself
        else:
            strand.parked = False
            assert strand.trio_task is not None
            trio.lowlevel.reschedule(strand.trio_task, strand.wake or Value(None))

    def running(self, what: str) -> Strand:
        """Return the strand that calls this; it has the turn.

        Args:
            what: what it uses, for the error.

        Raises:
            ContextMisuseError: called from anywhere but running workflow code of the instance.
        """
        holder = self.holder
        if holder is not None and current_task() is holder.trio_task:
            return holder
        raise ContextMisuseError(
            f"{what} was used outside of running workflow code; it belongs to one instance, and"
            " only the workflow function and its children use it, never a task body, a predicate"
            " or another Trio task"
        )
