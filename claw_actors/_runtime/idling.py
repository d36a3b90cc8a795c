"""Who leaves memory: those that have waited for long, and the longest when memory is crowded.

All instances have the same time to stay, so that a queue in the order in which they began to wait
is all it takes, and one timer for the first of them. An instance that waits for less than that
costs an entry in a dictionary.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from .rest import Rest
    from .timers import Timers

__all__ = ["Idling"]


class Idling:
    """All instances of a runtime that are in memory and only wait."""

    def __init__(
        self, timers: Timers, count: Callable[[], int], *, idle_after: float, max_active: int
    ) -> None:
        """Make it without instances.

        Args:
            timers: of the runtime.
            count: tells how many instances are in memory, whether they wait or not.
            idle_after: seconds after which one that waits leaves.
            max_active: how many may be in memory before others have to leave earlier.
        """
        self._timers = timers
        self._count = count
        self._idle_after = idle_after
        self._max_active = max_active
        # Since when, by Trio's clock; the first began to wait first.
        self._since: dict[Rest, float] = {}
        # Those that are on their way out: they count no more.
        self._leaving: set[Rest] = set()
        self._is_timed = False

    def __len__(self) -> int:
        """How many there are, those on their way out included."""
        return len(self._since) + len(self._leaving)

    def add(self, rest: Rest) -> None:
        """This one waits; if it did so already, nothing changes."""
        if rest in self._since:
            return
        self._leaving.discard(rest)
        self._since[rest] = trio.current_time()
        if not self._is_timed:
            self._set_timer()
        self.make_room()

    def discard(self, rest: Rest) -> None:
        """This one waits no more, or is gone."""
        self._since.pop(rest, None)
        self._leaving.discard(rest)

    def make_room(self, needed: int = 0) -> int:
        """Have the longest idle leave, until so many more fit in, or nobody is idle.

        Returns:
            How many fit in now, those counted that are on their way out; at least 0.
        """
        room = self._max_active - self._count() + len(self._leaving)
        while room < needed and self._since:
            rest = next(iter(self._since))
            if self._let_go(rest):
                room += 1
        return max(0, room)

    def _let_go(self, rest: Rest) -> bool:
        del self._since[rest]
        if not rest.leave():
            return False  # it comes again when something has happened to it
        self._leaving.add(rest)
        return True

    def _set_timer(self) -> None:
        self._is_timed = True
        first = next(iter(self._since.values()))
        # By length alone: a wall clock that jumps makes nobody wait for longer.
        length = first + self._idle_after - trio.current_time()
        self._timers.at(math.inf, self._look, length=length)

    def _look(self) -> None:
        self._is_timed = False
        now = trio.current_time()
        while self._since:
            rest, since = next(iter(self._since.items()))
            if since + self._idle_after > now:
                break
            self._let_go(rest)
        if self._since:
            self._set_timer()
