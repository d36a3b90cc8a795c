"""Crashes: what is stored about one, and what follows from it.

The policy decides; here its verdict becomes durable before the supervisor acts on it. So a restart
of the process does not forgive what an instance has done.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from .._core.failures import describe
from .._core.lifecycle import Event, Status, apply
from .._core.restart import Quarantine, decide_restart
from .._core.supervision.policy import ExitDecision
from ..actors import Exit, GiveUp, RestartAfter
from ..errors import ClawError
from ..storage.operations import Advance
from ..storage.records import RowChange
from .incarnation import InstanceFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..storage.actor import StorageActor
    from .cell import Cell, CellCounts
    from .environment import Environment

__all__ = ["MAX_REASON_CHARS", "Crashes"]

_log = logging.getLogger("claw_actors.workflows")

MAX_REASON_CHARS = 1_000


def _brief(reason: str) -> str:
    reason = reason.replace("\0", "")
    return reason if len(reason) <= MAX_REASON_CHARS else reason[: MAX_REASON_CHARS - 1] + "…"


class Crashes:
    """Who stores the crashes of instances."""

    def __init__(
        self,
        storage: StorageActor,
        environment: Environment,
        counts: CellCounts,
        changed: Callable[[str], None],
    ) -> None:
        """Make it.

        Args:
            storage: where crashes are stored.
            environment: the clock.
            counts: where they are counted.
            changed: told of each instance that a crash was stored of.
        """
        self._storage = storage
        self._environment = environment
        self._counts = counts
        self._changed = changed

    async def decide(self, cell: Cell, exit: Exit) -> ExitDecision:
        """Store a crash, and tell the supervisor what follows."""
        if exit.error is None:
            return GiveUp()
        now = self._environment.wall()
        failed_for_good = isinstance(exit.error, InstanceFailed)
        error = exit.error.__cause__ if failed_for_good else exit.error
        assert error is not None
        self._counts.crashes += 1
        about = cell.subject.extra
        verdict = decide_restart(cell.workflow.restart, cell.restarts, now)
        reason = _brief(str(describe(error)))
        if failed_for_good or isinstance(verdict, Quarantine):
            event, due_at = Event.QUARANTINE, None
            self._counts.quarantined += 1
            _log.error("workflow %s: quarantined: %s", cell.id, reason, exc_info=error, extra=about)
        else:
            event, due_at = Event.CRASH, verdict.due_at
            _log.warning(
                "workflow %s: crashed, will be respawned", cell.id, exc_info=error, extra=about
            )
        change = RowChange(
            status=apply(Status.RUNNING, event),
            reason=reason,
            restarts=verdict.restarts,
            wake_at=due_at,
            recoveries=0,
        )
        try:
            write = Advance(cell.pk, cell.id, cell.life, change=change)
            await self._storage.submit(write, patient=True)
        except ClawError as refusal:
            _log.error(
                "workflow %s: its crash could not be stored: %s", cell.id, refusal, extra=about
            )
            return GiveUp()
        cell.restarts, cell.is_over = verdict.restarts, event is Event.QUARANTINE
        cell.sign_of_life.set()
        self._changed(cell.id)
        return GiveUp() if due_at is None else RestartAfter(max(0.0, due_at - now))
