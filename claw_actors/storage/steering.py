"""Changing from outside where workflows stand: pause, resume, terminate.

One operation does the whole of it, for a workflow and for all below it that were not abandoned: a
request that was read, decided on and written in steps would race with the incarnation, and a crash
between the steps would leave half a tree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias, assert_never

import attrs

from .._core.lifecycle import TERMINAL, UNFINISHED, Event, Status, allowed, apply
from ..errors import InvalidTransitionError, WorkflowClosedError
from .records import RowChange, WorkflowRow

if TYPE_CHECKING:
    from .._core.journal import Entry

__all__ = ["ABANDON", "Reported", "Steer", "Steered", "Steering"]

Steering: TypeAlias = Literal[Event.PAUSE, Event.RESUME, Event.TERMINATE]

ABANDON = "abandon"
"""What ``on_close`` says of a child that is none of its parent's business."""


@attrs.frozen
class Steer:
    """Change where a workflow stands, in memory or not, and its children with it.

    That is its children that were not abandoned, and theirs, whatever the status of those in
    between. Each that the event is possible for gets the entry and the change of
    :meth:`change_of`; one that ends loses its open work. The others are left as they are, and so
    is a child whose row is damaged.

    Pausing one that is paused changes nothing of it, nor does resuming one that is unfinished.

    Refused with ``NotFoundError``; ``WorkflowClosedError`` if the workflow has ended;
    ``InvalidTransitionError`` if it is quarantined and to be paused or resumed.

    Attributes:
        id: the workflow.
        event: what happens to it.
        entry: what records it, in the journal of each; it begins at ``entry.at``.
        reason: why, for people; of a pause or a termination.
    """

    id: str
    event: Steering
    entry: Entry
    reason: str | None = None

    def check(self, row: WorkflowRow) -> None:
        """Make sure that it can be done to the workflow itself; for backends.

        Raises:
            WorkflowClosedError, InvalidTransitionError: it cannot.
        """
        if row.status in TERMINAL:
            raise WorkflowClosedError(self.id, row.status)
        if not self._is_done(row) and not allowed(row.status, self.event):
            advice = "nothing of it runs; retry or terminate it"
            raise InvalidTransitionError(self.id, row.status, self.event, advice)

    def _is_done(self, row: WorkflowRow) -> bool:
        match self.event:
            case Event.PAUSE:
                return row.status is Status.PAUSED
            case Event.RESUME:
                return row.status in UNFINISHED
            case Event.TERMINATE:
                return False
            case _:  # pragma: no cover - the type is closed; the type checker proves it
                assert_never(self.event)

    def change_of(self, row: WorkflowRow) -> RowChange | None:
        """Say what changes of one row; ``None`` if nothing does. For backends."""
        if self._is_done(row) or not allowed(row.status, self.event):
            return None
        change = RowChange(status=apply(row.status, self.event), reason=self.reason, wake_at=None)
        if self.event is not Event.TERMINATE:
            return change
        # The next life, so that nothing the old one still writes is taken.
        return attrs.evolve(
            change, life=row.life + 1, completed_at=self.entry.at, restarts=(), recoveries=0
        )


@attrs.frozen
class Reported:
    """What the parent was told of the end of a child.

    Attributes:
        pk, id: the parent.
        entry: the entry in its journal, with its number.
    """

    pk: int
    id: str
    entry: Entry


@attrs.frozen
class Steered:
    """Answer to :class:`Steer`.

    Attributes:
        changed: the row of each that has changed, as it now is, with the number that its entry was
            given. Parents come before their children.
        reported: what parents were told of those that have ended, as by an ``Advance``.
    """

    changed: tuple[tuple[WorkflowRow, int], ...]
    reported: tuple[Reported, ...] = ()
