"""The breaker's memory: crashes of all children lately, and until when nobody comes back."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from .policy import Breaker

__all__ = ["CrashCounter"]


class CrashCounter:
    """Counts crashes for a breaker.

    Attributes:
        until: when crashed children come back at the earliest.
    """

    def __init__(self, breaker: Breaker, dice: Callable[[], float]) -> None:
        self.until: float = -math.inf
        self._breaker = breaker
        self._dice = dice
        self._crashes: deque[float] = deque()

    def count(self, now: float) -> bool:
        """Count one more; tells whether that was one too many, so that the pause begins."""
        crashes = self._crashes
        crashes.append(now)
        while len(crashes) > 1 and now - crashes[0] >= self._breaker.within:
            crashes.popleft()
        if len(crashes) <= self._breaker.max_crashes:
            return False
        crashes.clear()
        self.until = now + self._breaker.pause
        return True

    def after_pause(self) -> float:
        """Choose when a child comes back: they are spread over as long a time again."""
        return self.until + self._dice() * self._breaker.pause
