"""Durable cancel scopes: a replay is cancelled where, and only where, the first run was.

A deadline is ``ctx.now()`` plus a length, or a given instant. Nothing is written when a scope
opens, and a replay derives the same deadline. Only its firing is an entry, delivered in order.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

from .._core.journal import EntryKind
from .operation import Operation

if TYPE_CHECKING:
    from .strand import Strand

__all__ = ["CancelScope", "open_deadline", "open_shield"]


class CancelScope:
    """A durable cancel scope: of ``ctx.move_on_after`` and its like, or of a nursery.

    It is cancelled by its deadline, once that is recorded, or by running code of its workflow;
    by nobody else, because a replay could not repeat that.
    """

    def __init__(self, strand: Strand, scope: trio.CancelScope, deadline: float = math.inf) -> None:
        self._strand = strand
        self._scope = scope
        self._deadline = deadline

    def __repr__(self) -> str:
        state = "cancelled" if self.cancel_called else "open"
        return f"<durable CancelScope of the {self._strand}, {state}>"

    @property
    def deadline(self) -> float:
        """When it is cancelled, in POSIX seconds; infinite for a nursery's."""
        return self._deadline

    @property
    def cancel_called(self) -> bool:
        """Whether it was cancelled, by its deadline or by :meth:`cancel`."""
        return self._scope.cancel_called

    @property
    def cancelled_caught(self) -> bool:
        """Whether the block was cut short by it. Only meaningful after the block."""
        return self._scope.cancelled_caught

    def cancel(self, reason: str | None = None) -> None:
        """Cancel what runs in the block, and what will: each of its operations raises.

        Args:
            reason: for who reads tracebacks.

        Raises:
            ContextMisuseError: called by anything but running code of the workflow.
        """
        self._strand.sequencer.turns.running("a durable cancel scope")
        self._scope.cancel(reason=reason)


@contextmanager
def open_deadline(
    strand: Strand, name: str, deadline: float, length: float
) -> Generator[CancelScope]:
    """Open a scope with a deadline.

    Args:
        strand: whose.
        name: what its id is made of.
        deadline: POSIX seconds. If that is not later than the last checkpoint, the scope is
            cancelled from the start, and nothing is written.
        length: seconds that it lasts at most, whatever the wall clock says.
    """
    sequencer = strand.sequencer
    with trio.CancelScope() as scope, strand.within((*strand.scopes, scope)):
        asked = strand.asked(name, name, EntryKind.TIMEOUT)
        operation = Operation(strand, asked, deadline, length, scope=scope)
        if deadline <= sequencer.now:
            scope.cancel(reason=f"the deadline of {operation.id} has passed")
        else:
            sequencer.operations.match(operation)
            sequencer.operations.ask(operation)
        try:
            yield CancelScope(strand, scope, deadline)
        finally:
            sequencer.operations.close(operation)


@contextmanager
def open_shield(strand: Strand) -> Generator[None]:
    """Keep out the cancellation of every scope around the block."""
    with trio.CancelScope(shield=True), strand.within(()):
        yield
