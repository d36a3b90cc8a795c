"""Supervisors: they start, watch, restart and stop actors by policy.

This is what their users see. What happens is decided by a pure machine
(``_core.supervision.machine``) and carried out by a keeper (``keeper``).
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Never

import outcome
import trio

from ..errors import UnknownChildError
from .behaviour import Message_contra, Reply_co
from .cell import ActorState
from .ref import ActorRef
from .specs import ChildSpec
from .statistics import ChildInfo, SupervisorStatistics

if TYPE_CHECKING:
    from .keeper import Keeper

__all__ = ["Supervisor"]


class Supervisor:
    """Starts, watches, restarts and stops children. Made by :func:`open_supervisor`."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper

    def __repr__(self) -> str:
        return f"<Supervisor {self._keeper.path or '/'!r}, {len(self._keeper.machine.children)} children>"

    def __len__(self) -> int:
        return len(self._keeper.machine.children)

    @property
    def path(self) -> str:
        """Its id under those of its supervisors; empty for the root."""
        return self._keeper.path

    # -- children at run time -----------------------------------------------------------------------

    async def start_child(
        self, spec: ChildSpec[Message_contra, Reply_co]
    ) -> ActorRef[Message_contra, Reply_co]:
        """Start one more child, after the others, and wait until it has started.

        Args:
            spec: the child.

        Returns:
            Its ref.

        Raises:
            ChildStartError: it did not start, and is no child of this supervisor.
            DuplicateChildError: there is a child of this id, perhaps one that is just ending.
            SupervisorStoppedError: the supervisor is stopping.

        Cancelled, the child is started nevertheless.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        task = trio.lowlevel.current_task()
        waiting = True

        def on_started(result: outcome.Outcome[None]) -> None:
            if waiting:
                trio.lowlevel.reschedule(task, result)

        def abort(_: trio.lowlevel.RaiseCancelT) -> trio.lowlevel.Abort:
            nonlocal waiting
            waiting = False
            return trio.lowlevel.Abort.SUCCEEDED

        held = self._keeper.add(spec, on_started)
        await trio.lowlevel.wait_task_rescheduled(abort)
        return ActorRef(held.cell)

    def start_child_soon(
        self, spec: ChildSpec[Message_contra, Reply_co]
    ) -> ActorRef[Message_contra, Reply_co]:
        """Start one more child without waiting for it; if it does not start, that is logged.

        Raises:
            DuplicateChildError, SupervisorStoppedError: see :meth:`start_child`.
        """
        return ActorRef(self._keeper.add(spec, None).cell)

    async def stop_child(
        self, id: str, *, reason: str = "it is not needed any more", grace: float = math.inf
    ) -> None:
        """Stop a child, and wait until it is down. A temporary child is forgotten then.

        Args:
            id: which.
            reason: why.
            grace: seconds it gets to end by itself, if less than its own.

        Raises:
            UnknownChildError: there is none of this id.

        Cancelled, the child is stopped nevertheless. A child waiting for its restart is just not
        restarted.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        held = self._keeper.find(id)
        down = held.down
        self._keeper.stop(held, reason, grace)
        await down.wait()

    def restart_child(self, id: str) -> None:
        """Start a child again that is down; its ref reaches it again.

        Raises:
            UnknownChildError: there is none of this id.
            ChildRunningError: it is not down.
            SupervisorStoppedError: the supervisor is stopping.
        """
        self._keeper.restart(self._keeper.find(id))

    def delete_child(self, id: str) -> None:
        """Forget a child that is down.

        Raises:
            UnknownChildError: there is none of this id.
            ChildRunningError: it is not down.
        """
        self._keeper.delete(self._keeper.find(id))

    # -- looking ----------------------------------------------------------------------------------

    def __contains__(self, id: str) -> bool:
        return id in self._keeper.held

    def which_children(self) -> tuple[ChildInfo, ...]:
        """List the children, in the order in which they start."""
        return tuple(
            ChildInfo(
                id=held.spec.id,
                restart=held.spec.restart,
                state=held.child.phase.value,
                incarnation=held.child.incarnation,
                ref=ActorRef(held.cell),
            )
            for held in self._keeper.held.values()
        )

    def count_children(self) -> dict[ActorState, int]:
        """Count the children by state."""
        return dict(Counter(held.child.phase.value for held in self._keeper.held.values()))

    def find(self, path: str) -> ActorRef[Never, object]:
        """Return the ref of a child, or of one further down (``"pool/worker"``).

        The type says nothing about its messages; ``typing.cast`` what you know.

        Raises:
            UnknownChildError: there is none.
        """
        id, _, rest = path.partition("/")
        held = self._keeper.find(id)
        if not rest:
            return ActorRef(held.cell)
        if held.nested is None:
            raise UnknownChildError(path)
        return held.nested.supervisor.find(rest)

    def nested(self, id: str) -> Supervisor:
        """Return the supervisor that runs as a child; each of its incarnations is another one.

        Raises:
            UnknownChildError: there is none, or it does not run now.
        """
        nested = self._keeper.find(id).nested
        if nested is None:
            raise UnknownChildError(id)
        return nested.supervisor

    def statistics(self) -> SupervisorStatistics:
        """Return what it has done so far."""
        until = self._keeper.machine.breaker_until
        return SupervisorStatistics(
            path=self._keeper.path,
            children=self.count_children(),
            restarts=self._keeper.machine.history,
            crashes=self._keeper.crashes,
            dead_letters=self._keeper.watchers.dead_letters,
            breaker_until=until if until > trio.current_time() else None,
        )

    # -- its own end --------------------------------------------------------------------------------

    def request_stop(
        self, reason: str = "it was asked to stop", grace: float | None = None
    ) -> None:
        """Stop all children, last one first, and end; the block of ``open_supervisor`` is cancelled.

        Args:
            reason: why.
            grace: seconds that it takes at most; by default what the supervisor was made with.
                Said again, it can only become less: ``grace=0`` cancels all at once.
        """
        self._keeper.shut_down(reason, grace)

    async def wait_stopped(self) -> None:
        """Wait until all children are gone and none will be started."""
        await self._keeper.finished.wait()
