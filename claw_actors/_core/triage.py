"""Who comes back when a database is opened, with whom, and who does not.

The same sorting is done by a recovery and by a report of what a recovery would do, so that the two
cannot differ.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from .lifecycle import Status

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SUSPECT_AFTER", "RecoveryVerdict", "Triage", "decide_recovery", "quarantine_reason"]

SUSPECT_AFTER: Final = 1
"""Recoveries without progress after which an instance is recovered alone."""


class RecoveryVerdict(enum.StrEnum):
    """What becomes of an unfinished instance when its database is opened."""

    TOGETHER = "together"
    """It comes back in a wave, with others."""
    ALONE = "alone"
    """It comes back with nobody else recovering beside it: it may be what killed the process."""
    LATER = "later"
    """It has crashed, and its respawn is not due yet."""
    IN_TURN = "in_turn"
    """What it waited for is over; it comes back when there is room in memory."""
    QUARANTINE = "quarantine"
    """It does not come back: it was recovered too often without progress."""
    UNKNOWN = "unknown"
    """It does not come back: the code does not have its workflow or version."""
    DAMAGED = "damaged"
    """It does not come back: what is stored of it cannot be read."""

    @property
    def comes_back(self) -> bool:
        """Whether it runs again at the opening or by itself later."""
        return _COMES_BACK[self]


_COMES_BACK: Mapping[RecoveryVerdict, bool] = {
    RecoveryVerdict.TOGETHER: True,
    RecoveryVerdict.ALONE: True,
    RecoveryVerdict.LATER: True,
    RecoveryVerdict.IN_TURN: True,
    RecoveryVerdict.QUARANTINE: False,
    RecoveryVerdict.UNKNOWN: False,
    RecoveryVerdict.DAMAGED: False,
}


def decide_recovery(recoveries: int, limit: int) -> RecoveryVerdict:
    """Decide how an unfinished instance comes back.

    An instance is only ever counted past ``SUSPECT_AFTER`` while it runs alone, so a bystander
    of a poisonous one never reaches the limit.

    Args:
        recoveries: recoveries after unclean ends without progress since, as stored.
        limit: how many are allowed.
    """
    if recoveries >= limit:
        return RecoveryVerdict.QUARANTINE
    if recoveries >= SUSPECT_AFTER:
        return RecoveryVerdict.ALONE
    return RecoveryVerdict.TOGETHER


def quarantine_reason(recoveries: int) -> str:
    """Say why an instance that was recovered so often does not come back."""
    return f"recovered {recoveries} times after the process died, without progress"


class Triage:
    """Sorts the unfinished instances of one opening, in the order in which they are found."""

    def __init__(self, *, counted: bool, limit: int, now: float, room: int) -> None:
        """Begin.

        Args:
            counted: whether the end before this opening was unclean; only then recoveries count.
            limit: how many recoveries without progress are allowed.
            now: POSIX seconds.
            room: how many fit in memory; it holds back only those that fell due.
        """
        self._counted = counted
        self._limit = limit
        self.now = now
        self._room = room

    def judge(
        self, *, status: Status, wake_at: float | None, recoveries: int, known: bool
    ) -> RecoveryVerdict:
        """Decide what becomes of the next one.

        Args:
            status: pending or running; or waiting, and due by now.
            wake_at: when a pending one may respawn, in POSIX seconds.
            recoveries: as stored.
            known: whether the code has its workflow.
        """
        if status is Status.WAITING and self._room <= 0:
            return RecoveryVerdict.IN_TURN
        if not known:
            return RecoveryVerdict.UNKNOWN
        if status is Status.PENDING and wake_at is not None and wake_at > self.now:
            return RecoveryVerdict.LATER
        verdict = RecoveryVerdict.TOGETHER
        if self._counted:
            verdict = decide_recovery(recoveries, self._limit)
        if verdict is not RecoveryVerdict.QUARANTINE:
            self._room -= 1
        return verdict
