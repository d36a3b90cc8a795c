"""The runtime's own retention: what has ended is pruned at the start, and now and then."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from .._core.lifecycle import TERMINAL, Status
from ..errors import ClawError
from .pruning import prune_all, rule_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from .config import Retention
    from .pruning import Pruner

__all__ = ["Retainer"]

_log = logging.getLogger("claw_actors.retention")

RETRY_S: Final = 60.0
"""After this a pass that has failed is tried again, if the next one is not due before."""


class Retainer:
    """Prunes by a rule that does not change."""

    def __init__(
        self,
        pruner: Pruner,
        retention: Retention,
        wall: Callable[[], float],
    ) -> None:
        self._pruner = pruner
        self._retention = retention
        self._wall = wall

    async def live(self) -> None:
        """Prune, and again after each interval, until cancelled."""
        while True:
            pause_s = self._retention.interval
            try:
                await self._pass()
            except ClawError as error:
                pause_s = min(pause_s, RETRY_S)
                _log.warning("nothing was pruned, in %g s again: %s", pause_s, error)
            await trio.sleep(pause_s)

    async def _pass(self) -> None:
        retention = self._retention
        if retention.older_than is not None or retention.keep is not None:
            rule = rule_of(
                self._wall(),
                older_than=retention.older_than,
                keep=retention.keep,
                status=TERMINAL if retention.failed else TERMINAL - {Status.FAILED},
            )
            report = await prune_all(partial(self._pruner.step, rule))
            if report.pruned:
                _log.info("pruned %d workflows, %d bytes freed", report.pruned, report.bytes_freed)
        if retention.remember_ids is not None:
            await self._pruner.forget(self._wall() - retention.remember_ids)
