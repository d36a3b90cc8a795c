"""When something is due for a child, for any number of children."""

from __future__ import annotations

import heapq
import itertools
import math

from .child import Child

__all__ = ["Deadlines"]

SLACK = 64
"""How many deadlines that count no more are kept, beyond one for each that counts."""


class Deadlines:
    """The deadlines of children, soonest first; of equal ones, the one set first.

    Setting another deadline leaves the old one where it is: an entry counts while it is its
    child's. Those that count no more are dropped when they come up, or when they have become
    many: there would be one for every start, for a while.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Child]] = []
        self._order = itertools.count()
        self._limit = SLACK

    def __len__(self) -> int:
        return len(self._heap)

    def set(self, child: Child, when: float) -> None:
        """Give a child its deadline in place of the last one; ``math.inf`` is none."""
        child.deadline = when
        if when < math.inf:
            heapq.heappush(self._heap, (when, next(self._order), child))
            if len(self._heap) > self._limit:
                self._sweep()

    def _sweep(self) -> None:
        counting = {
            child: entry for entry in self._heap if (child := entry[2]).deadline == entry[0]
        }
        self._heap[:] = counting.values()
        heapq.heapify(self._heap)
        self._limit = 2 * len(self._heap) + SLACK

    def soonest(self) -> float:
        """Return the first deadline; infinite if there is none."""
        heap = self._heap
        while heap and heap[0][2].deadline != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else math.inf

    def pop_due(self, now: float) -> Child | None:
        """Take out the child whose deadline is over first, if there is one."""
        return heapq.heappop(self._heap)[2] if self.soonest() <= now else None
