"""A cell: what survives an incarnation's death, and what its supervisor sees of it.

Apart from :class:`Cells`, because those who bring a cell to life and those who judge its crashes
know one cell each, and nothing of the others.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Never

import attrs
import trio

from ..actors import Behaviour, Life

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..definitions import Workflow
    from ..log_context import Subject
    from ..storage.records import Loaded
    from .rest import Left, Rest
    from .sequencer import Sequencer
    from .stopping import CutOffTask
    from .timers import Timer

__all__ = ["Cell", "CellCounts", "Instance"]


@attrs.define
class CellCounts:
    """What became of instances, for ``statistics()``."""

    started: int = 0
    crashes: int = 0
    quarantined: int = 0
    ended: int = 0
    passivated: int = 0
    activated: int = 0


@attrs.define(eq=False)
class Cell:
    """One instance in memory.

    Attributes:
        pk, id, life: the instance, and the life it was last known to have.
        subject: what the log says that it is about.
        workflow: its code.
        activation: what the next incarnation starts from, if that is loaded already.
        due_by: the deadline that it was brought back for, in POSIX seconds: it has fallen due,
            though the wall clock, set back, may say otherwise.
        restarts: the crashes in its window, as stored.
        sign_of_life: set when it has recorded something, parked, crashed or ended.
        sequencer: of the incarnation that runs.
        healthy: the timer after which it counts as healthy.
        rest: of the last incarnation that ran.
        stopping: its supervisor has asked it to stop.
        look_again: something was asked for that its present incarnation will not do: when it has
            left memory, look whether it has to come back.
        paused: its last incarnation was paused.
        is_over: it has ended or is quarantined, or somebody has dropped it from memory who knows
            better: nothing of it goes on by itself.
        cut_off: tasks of its last incarnation that were cut off in the middle of an attempt.
    """

    pk: int
    id: str
    life: int
    subject: Subject
    workflow: Workflow[..., object]
    activation: Loaded | None
    restarts: tuple[float, ...]
    sign_of_life: trio.Event = attrs.field(factory=trio.Event)
    due_by: float = -math.inf
    sequencer: Sequencer | None = None
    healthy: Timer | None = None
    stopping: bool = False
    look_again: bool = False
    rest: Rest | None = None
    paused: bool = False
    is_over: bool = False
    cut_off: tuple[CutOffTask, ...] = ()

    @property
    def left(self) -> Left | None:
        """How it has left memory, if it only waits."""
        return None if self.rest is None else self.rest.left


class Instance(Behaviour[Never, None]):
    """One incarnation of an instance, as its supervisor sees it."""

    def __init__(self, run: Callable[[Cell], Awaitable[None]], cell: Cell) -> None:
        self._run = run
        self._cell = cell

    async def run(self, life: Life) -> None:
        life.started()
        await self._run(self._cell)

    def request_stop(self, life: Life, reason: str, deadline: float) -> None:  # noqa: ARG002
        """Seal it: task bodies that end within the grace are still recorded."""
        self._cell.stopping = True
        if self._cell.sequencer is not None:
            self._cell.sequencer.leaving.seal(reason)
        else:  # it is only about to come to life
            life.cancel(reason)
