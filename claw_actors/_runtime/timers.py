"""The one who watches deadlines: one Trio task for all timers of a runtime.

A timer fires at or after its wall-clock deadline, never before. A clock that jumps forward makes
timers due; one that jumps back does not extend them beyond the length they had when they were
set.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from typing import TypeAlias

import attrs
import trio

__all__ = ["Timer", "Timers"]

SHORTEST_SLEEP_S = 1e-4
"""Rounding can leave a rest so small that no clock moves while it is slept."""

FEWEST_TO_CLEAR = 64
"""Dead timers that are not worth clearing away."""

Order: TypeAlias = "list[tuple[float, int, Timer]]"


@attrs.define(eq=False)
class Timer:
    """One deadline. ``fn`` is called once, by the timer task, unless it is cancelled before."""

    deadline: float
    latest: float
    fn: Callable[[], None] | None
    on_cancel: Callable[[], None]

    def cancel(self) -> None:
        """Never call ``fn``."""
        if self.fn is not None:
            self.fn = None
            self.on_cancel()


class Timers:
    """All timers of a runtime, ordered by wall clock and by length."""

    def __init__(self, wall: Callable[[], float], clock_check_s: float) -> None:
        """Make the timers of a runtime.

        Args:
            wall: the wall clock, POSIX seconds.
            clock_check_s: how long a jump of the wall clock may go unnoticed.
        """
        self._wall = wall
        self._clock_check_s = clock_check_s
        self._order = itertools.count()
        # Both hold every timer; the one that comes due in either has fired. Dead ones, fired or
        # cancelled, stay until they are due, but never more than half are dead.
        self._by_wall: Order = []
        self._by_length: Order = []
        self._alive = 0
        self._changed = trio.Event()

    def at(self, deadline: float, fn: Callable[[], None], *, length: float = math.inf) -> Timer:
        """Set a timer.

        Args:
            deadline: POSIX seconds.
            fn: called when it is due; must neither block nor raise.
            length: seconds that it may take at most, whatever the wall clock says.
        """
        left = deadline - self._wall()
        latest = trio.current_time() + max(0.0, min(left, length))
        timer = Timer(deadline, latest, fn, self._one_less)
        self._alive += 1
        order = next(self._order)
        heapq.heappush(self._by_wall, (timer.deadline, order, timer))
        heapq.heappush(self._by_length, (timer.latest, order, timer))
        if self._by_wall[0][2] is timer or self._by_length[0][2] is timer:
            self._changed.set()
        return timer

    async def run(self) -> None:
        """Fire timers until cancelled."""
        while True:
            self._changed = trio.Event()
            pause = self._fire_due()
            with trio.move_on_after(max(pause, SHORTEST_SLEEP_S)):
                await self._changed.wait()

    def _one_less(self) -> None:
        """A timer is dead: clear the dead ones away when they are more than those alive."""
        self._alive -= 1
        for heap in (self._by_wall, self._by_length):
            if len(heap) > FEWEST_TO_CLEAR + 2 * self._alive:
                heap[:] = [entry for entry in heap if entry[2].fn is not None]
                heapq.heapify(heap)

    def _fire_due(self) -> float:
        """Fire what is due, and return the seconds until it is worth looking again."""
        pause = math.inf
        for heap, clock in ((self._by_wall, self._wall), (self._by_length, trio.current_time)):
            while heap and (heap[0][2].fn is None or heap[0][0] <= clock()):
                timer = heapq.heappop(heap)[2]
                fn, timer.fn = timer.fn, None
                if fn is not None:
                    self._one_less()
                    fn()
            if heap:
                pause = min(pause, heap[0][0] - clock(), self._clock_check_s)
        return pause
