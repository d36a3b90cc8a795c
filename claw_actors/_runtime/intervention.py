"""What an operator does to workflows through a runtime: it is refused once that closes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from .correspondence import Correspondence
from .lifecycle import Lifecycle
from .pruning import Pruner, prune_all, rule_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._core.lifecycle import Status
    from .._core.retention import Rule
    from ..storage.actor import StorageActor
    from ..storage.codec import Codec
    from .cells import Cells
    from .environment import Environment
    from .pruning import OnPruned, Place, PruneReport, Stepped

__all__ = ["Intervention"]


class Intervention(Correspondence):
    """Operations that change how a workflow goes on, or end it. They are durable first."""

    def __init__(
        self,
        actor: StorageActor,
        cells: Cells,
        codec: Codec,
        environment: Environment,
    ) -> None:
        super().__init__(actor, codec, environment, cells, cells.lives.message_counts)
        self._lifecycle = Lifecycle(actor, cells, codec, environment)
        self.pruner: Pruner = Pruner(actor, cells, environment.wall, gentle=True)

    async def cancel(self, id: str, reason: str | None = None) -> None:
        """Ask a workflow to cancel itself; the request is durable when this returns.

        It is delivered in order, like an outcome: running task bodies are cancelled, and every
        later operation raises ``Cancelled``. A quarantined workflow gets it when it is retried.

        Args:
            id: the workflow.
            reason: stored, and shown to who waits for the result; at most 1,000 characters.

        Raises:
            NotFoundError: there is no such workflow.
            WorkflowClosedError: it has ended already.
            RuntimeClosedError: the runtime is closing.
            InvalidInputError: the reason is too long.
            StorageUnavailableError, OutcomeUnknownError: see their docs.

        Cancelled means not requested.
        """
        self._check_open()
        await self._lifecycle.cancel(id, reason)

    async def pause(self, id: str, reason: str | None = None) -> None:
        """Stop a workflow where it stands, until it is resumed; durable when this returns.

        No operation of it starts any more. A task body that runs may end and is recorded, but is
        not retried; then the workflow leaves memory. What comes for it meanwhile is kept:
        messages, a request to cancel. Timers and deadlines keep their instants, and what fell due
        is delivered after the resume. Who waits for the result goes on waiting. Its children
        that were not abandoned are paused with it, in the same commit.

        Pausing a workflow that is paused does nothing.

        Args:
            id: the workflow.
            reason: stored, and shown in its state; at most 1,000 characters.

        Raises:
            NotFoundError: there is no such workflow.
            WorkflowClosedError: it has ended already.
            InvalidTransitionError: it is quarantined, so nothing of it runs.
            RuntimeClosedError: the runtime is closing.
            InvalidInputError: the reason is too long.
            StorageUnavailableError, OutcomeUnknownError: see their docs.

        Cancelled while it is stored means not paused.
        """
        self._check_open()
        await self._lifecycle.pause(id, reason)

    async def resume(self, id: str) -> None:
        """Let a paused workflow go on from where it stood; durable when this returns.

        It comes back soon, as after a crash: by replay. Its children that are paused and were not
        abandoned are resumed with it. Resuming one that is not paused does nothing.

        Raises:
            NotFoundError: there is no such workflow.
            WorkflowClosedError: it has ended.
            InvalidTransitionError: it is quarantined; ``retry`` it.
            UnknownWorkflowError: its code is not registered.
            RuntimeClosedError: the runtime is closing.
            StorageUnavailableError, OutcomeUnknownError: see their docs.

        Cancelled means not resumed.
        """
        self._check_open()
        await self._lifecycle.resume(id)

    async def terminate(self, id: str, reason: str | None = None) -> None:
        """End a workflow at once, whatever it does; durable when this returns.

        Nothing of it is recorded any more: no clean-up, no rollback. Task bodies that run are
        cancelled. It is ``cancelled``, with the reason, and so are its children that were not
        abandoned, in the same commit. Where its clean-up matters, ``cancel`` it.

        Args:
            id: the workflow.
            reason: stored, and shown to who waits for the result; at most 1,000 characters.

        Raises:
            NotFoundError: there is no such workflow.
            WorkflowClosedError: it has ended already.
            RuntimeClosedError: the runtime is closing.
            InvalidInputError: the reason is too long.
            StorageUnavailableError, OutcomeUnknownError: see their docs.

        Cancelled while it is stored means not terminated; later, only the waiting for it to leave
        memory ends.
        """
        self._check_open()
        await self._lifecycle.terminate(id, reason)

    async def retry(self, id: str) -> None:
        """Let a failed or quarantined workflow go on from where it stood.

        Of a quarantined one the crash count is forgotten, and its journal is replayed as it
        stands; but a rollback handler that was out of retries runs again. Of a failed one, the task
        failure that was fatal is voided with everything that came after it (kept for the history);
        what was recorded before is not repeated. If that was the failure of a child, the child
        goes on first, and is waited for again.

        Raises:
            NotFoundError: there is no such workflow.
            InvalidTransitionError: it is neither failed nor quarantined; or it has failed, and
                what it did, or what its child did, was rolled back.
            UnknownWorkflowError: its code is not registered.
            RuntimeClosedError: the runtime is closing.
            StorageUnavailableError, OutcomeUnknownError: see their docs.

        Cancelled means not retried.
        """
        self._check_open()
        await self._lifecycle.retry(id)

    async def delete(self, id: str, *, force: bool = False) -> None:
        """Delete a workflow with all that hangs on it, and its children with theirs.

        They disappear in one commit. Children that were abandoned stay. A parent that waits for the
        workflow is told that it was cancelled.

        Args:
            id: the workflow.
            force: terminate those that have not ended; none of their code runs any more.

        Raises:
            NotFoundError: there is no such workflow.
            InvalidTransitionError: it, or one of its children, has not ended, and ``force`` is not
                set. (Quarantined ones need no force: nothing of them runs.)
            RuntimeClosedError: the runtime is closing.
            StorageUnavailableError, OutcomeUnknownError: see their docs.

        Cancelled while it is stored means not deleted; later, only the waiting for it to leave
        memory ends.
        """
        self._check_open()
        await self._lifecycle.delete(id, force=force)

    async def prune(
        self,
        *,
        older_than: float | None = None,
        keep: int | None = None,
        status: Status | str | Iterable[Status | str] | None = None,
        name: str | Iterable[str] | None = None,
        dry_run: bool = False,
        on_pruned: OnPruned = lambda ids: None,
    ) -> PruneReport:
        """Remove workflows that have ended, with all that hangs on them, and give back their space.

        Their ids are remembered: starting one of them again is refused with ``HistoryPrunedError``.
        All conditions given must hold, and ``older_than`` or ``keep`` must be given. Children that
        were not abandoned go with their parent, and stay as long as it does (but for those of an
        earlier run of it): if one of a family has not ended, or not long enough ago, all stay.

        It goes on in small commits, with pauses where others write, so that these get at least
        half of the time.

        Args:
            older_than: seconds since they ended; 0 means all that have.
            keep: of each name, this many of the ended ones stay: those that were started last.
            status: ``completed``, ``failed`` or ``cancelled``, or several; all by default.
            name: only workflows of this name, or of these.
            dry_run: only tell what would go.
            on_pruned: told of the ids, some at a time; of a dry run, too.

        Raises:
            InvalidInputError: neither of both is given, or a value is not possible.
            RuntimeClosedError: the runtime is closing.
            StorageUnavailableError, OutcomeUnknownError: see their docs.

        Cancelled, what was pruned until then is pruned.
        """
        rule = rule_of(
            self._environment.wall(), older_than=older_than, keep=keep, status=status, name=name
        )

        async def step(place: Place) -> Stepped:
            self._check_open()
            act = self.pruner.dry_run if dry_run else self.pruner.step
            return await act(rule, place)

        return attrs.evolve(await prune_all(step, on_pruned), dry_run=dry_run)

    async def prune_some(self, rule: Rule, place: Place) -> Stepped:
        """Do a step of :meth:`prune`; for other processes."""
        self._check_open()
        return await self.pruner.step(rule, place)
