"""When those who left memory are due: timers for the next of them, and none for the others.

Storage knows when each instance is due, by an index. Here stand the next ones of that index, up to a
horizon; the rest cost nothing. When the last one before the horizon is due, the next window is read.
Who leaves memory with a time before the horizon gets a timer at once; if that makes too many, the
horizon comes nearer.

A wall clock that is set back makes nobody who has a timer wait for longer than was meant. For those
past the horizon, their length counts from when it is their turn to be looked at.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeAlias

import attrs
import trio

if TYPE_CHECKING:
    from ..storage.records import WakeTime
    from .timers import Timer, Timers

__all__ = ["WAKE_WINDOW", "Wakes"]

WAKE_WINDOW = 1_000
"""How many waiting instances have a timer; at most twice as many."""

Place: TypeAlias = "tuple[float, int]"

EARLIEST: Final[Place] = (-math.inf, 0)
LATEST: Final[Place] = (math.inf, 0)


@attrs.frozen
class _Wait:
    """One instance with a timer.

    Attributes:
        place: where it stands in the order of those that wait.
        timer: fires when it is due.
    """

    place: Place
    timer: Timer


class Wakes:
    """The timers of passive instances."""

    def __init__(
        self, timers: Timers, wake: Callable[[str, float], None], look: Callable[[], None]
    ) -> None:
        """Make it without timers.

        Args:
            timers: of the runtime.
            wake: called with the id of who is due, and with the time at which it was to be.
            look: called when the next window is to be read: :meth:`look_further`, then.
        """
        self._timers = timers
        self._wake = wake
        self._look = look
        self._waits: dict[str, _Wait] = {}
        # Invariant: whoever is passive, and due at or before this, has a timer, or was woken.
        self._horizon: Place = EARLIEST
        self._further: Timer | None = None
        # Who has left while the next window was being read, which may not show it.
        self._meanwhile: dict[str, tuple[Place, float]] | None = None
        # One window is read at a time: recoveries may also be asked for.
        self._looking = trio.Lock()

    def __len__(self) -> int:
        return len(self._waits)

    def add(self, wake_at: float, pk: int, id: str, length: float) -> None:
        """An instance has left memory.

        Args:
            wake_at: when it is due, in POSIX seconds.
            pk, id: which.
            length: seconds until then at most, whatever the wall clock says.
        """
        self.discard(id)
        if self._meanwhile is not None:
            self._meanwhile[id] = ((wake_at, pk), length)
        self._add((wake_at, pk), id, length)

    def discard(self, id: str) -> float:
        """An instance is passive no more.

        Returns:
            The time that it is at least, in POSIX seconds, though the wall clock may have been set
            back since it left; minus infinity if that is not known.
        """
        wait = self._waits.pop(id, None)
        if wait is None:
            return -math.inf
        wait.timer.cancel()
        return wait.timer.deadline - (wait.timer.latest - trio.current_time())

    def reset(self) -> None:
        """Forget everybody; the next window begins with the first."""
        for id in list(self._waits):
            self.discard(id)
        self._move_horizon(EARLIEST, math.inf)

    async def look_further(
        self,
        read: Callable[[Place, int], Awaitable[list[WakeTime]]],
        is_active: Callable[[str], bool],
    ) -> None:
        """Read the next window, and set its timers.

        Args:
            read: reads the next so many who wait past a place.
            is_active: tells whether one is in memory.
        """
        async with self._looking:
            while True:
                horizon = self._horizon
                meanwhile: dict[str, tuple[Place, float]] = {}
                self._meanwhile = meanwhile
                try:
                    window = await read(horizon, WAKE_WINDOW)
                finally:
                    self._meanwhile = None
                if self._horizon == horizon:
                    break  # otherwise it has come nearer meanwhile, or all was forgotten
            self._take(window, meanwhile, is_active)

    def _take(
        self,
        window: list[WakeTime],
        meanwhile: dict[str, tuple[Place, float]],
        is_active: Callable[[str], bool],
    ) -> None:
        """Set the timers of a window that was read."""
        if len(window) < WAKE_WINDOW:
            self._move_horizon(LATEST, math.inf)
        else:
            self._move_horizon(window[-1].place, window[-1].length)
        # Whoever has come and gone meanwhile is known better from that.
        found = {one.id: (one.place, one.length) for one in window} | meanwhile
        for id, (place, length) in found.items():
            if id not in self._waits and not is_active(id):
                self._add(place, id, length)

    def _add(self, place: Place, id: str, length: float) -> None:
        if place > self._horizon:
            return
        timer = self._timers.at(place[0], lambda: self._due(id, place[0]), length=length)
        self._waits[id] = _Wait(place, timer)
        if len(self._waits) > 2 * WAKE_WINDOW:
            self._shrink()

    def _due(self, id: str, wake_at: float) -> None:
        del self._waits[id]
        self._wake(id, wake_at)

    def _shrink(self) -> None:
        """Let the horizon come nearer: one window of timers is kept."""
        order = sorted(self._waits, key=lambda id: self._waits[id].place)
        last = self._waits[order[WAKE_WINDOW - 1]]
        for id in order[WAKE_WINDOW:]:
            self.discard(id)
        self._move_horizon(last.place, last.timer.latest - trio.current_time())

    def _move_horizon(self, place: Place, length: float) -> None:
        if self._further is not None:
            self._further.cancel()
            self._further = None
        self._horizon = place
        if EARLIEST < place < LATEST:
            self._further = self._timers.at(place[0], self._look, length=length)
