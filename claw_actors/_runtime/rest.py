"""The rest of one incarnation: when it only waits, and how it leaves memory then.

Leaving is one step for storage and one for memory. First its row says that it waits, and until
when, on the condition that nothing has arrived since: what arrives later makes the row due by
itself. Only then is it sealed, and its code unwound. What is committed while that lasts is
noticed by who forgets it, and it is brought back at once.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs
import trio

if TYPE_CHECKING:
    from .idling import Idling
    from .sequencer import Sequencer

__all__ = ["Left", "Rest"]

WHY = "it only waits, and leaves memory until there is something to do"

CLOCK_SLACK_S = 1.0
"""How far a wall clock may fall behind before it counts as set back."""


@attrs.frozen
class Left:
    """An instance that has left memory.

    Attributes:
        wake_at: when it is due, in POSIX seconds; infinite if it waits for somebody outside.
        length: seconds until then at most, whatever the wall clock says.
        n: the number of the last entry that it has seen.
    """

    wake_at: float
    length: float
    n: int


class Rest:
    """Whether one incarnation only waits, and its leaving."""

    def __init__(self, sequencer: Sequencer, idling: Idling) -> None:
        self._sequencer = sequencer
        self._idling = idling
        # How it has left, once it has.
        self.left: Left | None = None
        # What the stored row says of it, if that is that it waits.
        self._parked: Left | None = None

    @property
    def was_stirred(self) -> bool:
        """Whether something has come since it has left that nobody will deliver to it."""
        return self.left is not None and self._sequencer.committed_n > self.left.n

    def look(self) -> None:
        """Take note of what it has come to. Called whenever nothing of it is left to deliver."""
        sequencer, parked = self._sequencer, self._parked
        if self.left is not None:
            return
        if not sequencer.is_idle:
            self._parked = None
            self._idling.discard(self)
        elif parked is not None and parked.n == sequencer.committed_n:
            self.left = parked
            sequencer.leaving.seal(WHY)
        else:
            self._parked = None
            self._idling.add(self)

    def leave(self) -> bool:
        """Store that it waits, and leave memory, if nothing arrives before.

        Returns:
            ``False`` if it is not possible now.
        """
        sequencer = self._sequencer
        if not sequencer.is_idle:
            return False
        wake_at = sequencer.waiting.next_deadline()
        length = wake_at - sequencer.wall()
        now = trio.current_time()
        for timer in sequencer.operations.timers_set():
            # In memory a timer knows how long it was meant to last; in storage nobody would.
            if timer.latest - now < timer.deadline - sequencer.wall() - CLOCK_SLACK_S:
                return False
            length = min(length, timer.latest - now)
        leaving = Left(wake_at, length, sequencer.committed_n)

        def stored(done: bool) -> None:
            self._parked = leaving if done else None
            if not done:
                # What it has noted meanwhile waited for this answer, and no commit follows it.
                sequencer.send_notes_if_quiescent()
                self.look()

        due = wake_at if wake_at < math.inf else None
        sequencer.writes.park(due, sequencer.committed_n, stored)
        return True
