"""What a supervisor runs: something that starts, lives, and can be asked to stop."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

import attrs
import trio

if TYPE_CHECKING:
    from .cell import Cell
    from .keeper import Keeper
    from .supervisor import Supervisor

__all__ = ["Behaviour", "Life", "Message_contra", "Reply_co"]

Message_contra = TypeVar("Message_contra", contravariant=True)
Reply_co = TypeVar("Reply_co", covariant=True)


@attrs.define(eq=False)
class Life:
    """One incarnation, as the behaviour that lives it sees it.

    Attributes:
        path: the child's id under those of its supervisors: ``"pool/worker"``.
        incarnation: which one, from 1.
        keeper: runs it.
        cell: what survives the incarnation.
        scope: cancelled when the grace is over.
        cancelled_at: when it was first cancelled, in seconds of Trio's clock; infinite if never.
    """

    path: str
    incarnation: int
    keeper: Keeper
    cell: Cell
    _acknowledge: Callable[[], None]
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    cancelled_at: float = math.inf

    @property
    def supervisor(self) -> Supervisor:
        """The supervisor that runs it."""
        return self.keeper.supervisor

    def started(self) -> None:
        """Say that it has started: its supervisor goes on to the next child."""
        self._acknowledge()

    def cancel(self, reason: str) -> None:
        """Cancel the incarnation, for whoever wants to know why: ``reason``."""
        self.cancelled_at = min(self.cancelled_at, trio.current_time())
        self.scope.cancel(reason=reason)


class Behaviour(abc.ABC, Generic[Message_contra, Reply_co]):
    """What a child does in one incarnation; made anew, by the spec's factory, for each.

    :class:`Actor`, ``service(...)`` and :class:`SupervisorSpec` make the usual ones. Subclass it
    for a child that has to be stopped in a way of its own.
    """

    @abc.abstractmethod
    async def run(self, life: Life) -> None:
        """Live. Call ``life.started()`` when others may rely on it.

        Returning is the end. An ``Exception`` is a crash; ``Cancelled``, ``KeyboardInterrupt``
        and ``SystemExit`` propagate through the supervisor.
        """

    def request_stop(self, life: Life, reason: str, deadline: float) -> None:  # noqa: ARG002
        """End soon. Must neither block nor raise. By default this cancels.

        Args:
            life: the one to end.
            reason: why.
            deadline: when it will be cancelled, in seconds of Trio's clock.
        """
        life.cancel(reason)
