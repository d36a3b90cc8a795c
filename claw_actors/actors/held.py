"""A child, as the keeper of its supervisor holds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Never

import attrs
import outcome
import trio

from .._core.supervision.actions import Crashed
from .._core.supervision.child import Child
from .behaviour import Life
from .cell import Cell
from .reports import CrashReport, StuckReport, await_stack
from .specs import ChildSpec

if TYPE_CHECKING:
    from .keeper import Keeper

__all__ = ["Held"]


@attrs.define(eq=False)
class Held:
    """A child, as its keeper holds it."""

    spec: ChildSpec[Never, object]
    child: Child
    cell: Cell
    nested: Keeper | None = None
    last_life: Life | None = None
    # Who waits for its first start, and for its being down.
    on_started: Callable[[outcome.Outcome[None]], None] | None = None
    down: trio.Event = attrs.field(factory=trio.Event)

    @property
    def life(self) -> Life:
        """Its last incarnation; there is one."""
        assert self.last_life is not None
        return self.last_life

    def report_crash(self, action: Crashed, *, restarts: int) -> CrashReport:
        """Describe how its incarnation has ended."""
        cell = self.cell
        return CrashReport(
            path=cell.path,
            incarnation=cell.incarnation,  # the machine may be one further already
            error=action.error,
            last_message=cell.last_message,
            mailbox=len(cell.mailbox),
            restarts=restarts,
            decision=action.verdict.value,
            delay=action.delay,
        )

    def report_stuck(self, now: float) -> StuckReport:
        """Describe that it was cancelled, and where it waits all the same."""
        task = self.cell.trio_task
        return StuckReport(
            path=self.cell.path,
            incarnation=self.child.incarnation,
            cancelled_for=now - self.life.cancelled_at,
            stack=() if task is None else await_stack(task),
        )
