"""Which task bodies run for so long that it is worth a note.

Every attempt is watched, and nearly every one ends before anybody looks. A timer of its own would
cost each of them two heaps and a wake-up of the timer task; here all of them have the same length, so
that a queue in order of their beginning is all it takes, and one timer for the first of them.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs
import trio

if TYPE_CHECKING:
    from .timers import Timers

__all__ = ["LONG_S", "LongRunning", "Watched"]

LONG_S = 1.0
"""Seconds of work after which a task body is long-running."""


@attrs.define(eq=False)
class Watched:
    """One attempt; ``fn`` is called once, if it is still running when it has become long."""

    long_at: float
    fn: Callable[[], None] | None

    def end(self) -> None:
        """It has ended: never call ``fn``."""
        self.fn = None


class LongRunning:
    """All attempts of a runtime that have begun and are not yet long-running."""

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        # In order of their beginning, and so of `long_at`; those that have ended are dropped when
        # they come first.
        self._watched: deque[Watched] = deque()
        self._is_timed = False

    def watch(self, fn: Callable[[], None]) -> Watched:
        """Have ``fn`` called, by the timer task, when an attempt that begins now is long-running.

        Args:
            fn: must neither block nor raise.
        """
        while self._watched and self._watched[0].fn is None:
            self._watched.popleft()
        watched = Watched(trio.current_time() + LONG_S, fn)
        self._watched.append(watched)
        if not self._is_timed:
            self._set_timer()
        return watched

    def _set_timer(self) -> None:
        self._is_timed = True
        # By length alone: a wall clock that jumps makes no attempt longer.
        length = self._watched[0].long_at - trio.current_time()
        self._timers.at(math.inf, self._look, length=length)

    def _look(self) -> None:
        self._is_timed = False
        now = trio.current_time()
        while self._watched and (self._watched[0].fn is None or self._watched[0].long_at <= now):
            watched = self._watched.popleft()
            fn, watched.fn = watched.fn, None
            if fn is not None:
                fn()
        if self._watched:
            self._set_timer()
