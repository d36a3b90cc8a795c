"""A workflow from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar, cast, overload

from .._core.lifecycle import Status
from ..storage.model import WorkflowFilter

if TYPE_CHECKING:
    from ..storage.history import HistoryEntry
    from ..storage.model import TaskState, WorkflowPage, WorkflowState
    from .runtime import Runtime
    from .shown import DeadMessage

__all__ = ["WorkflowHandle"]

R_co = TypeVar("R_co", covariant=True)
T = TypeVar("T")


class WorkflowHandle(Generic[R_co]):
    """One workflow, by id. Cheap: it holds nothing, and stays good over crashes and restarts.

    Made by ``Runtime.start`` and ``Runtime.get``.

    Attributes:
        id: the workflow.
    """

    def __init__(self, runtime: Runtime, id: str, pk: int | None = None) -> None:
        self._runtime = runtime
        self._pk = pk
        self.id = id

    def __repr__(self) -> str:
        return f"<WorkflowHandle {self.id!r}>"

    async def result(self) -> R_co:
        """Wait until the workflow has ended, and return its result.

        While it is paused, or waits for a respawn, this waits.

        Raises:
            WorkflowFailedError: it failed.
            WorkflowCancelledError: it was cancelled.
            WorkflowQuarantinedError: it is parked after too many crashes, or a divergence.
            NotFoundError: it was deleted or pruned meanwhile, whoever has its id now.
            RuntimeClosedError: the runtime closed meanwhile.
            SerializationError: the stored result does not fit the declared type any more.

        Cancelled, only the waiting ends.
        """
        return cast("R_co", await self._runtime.result_of(self.id, self._pk))

    async def status(self) -> Status:
        """Return where it stands.

        Raises:
            NotFoundError: there is no such workflow any more.
        """
        return (await self.state()).status

    async def state(self) -> WorkflowState:
        """Return all that is stored of it, but for its tasks.

        Raises:
            NotFoundError: there is no such workflow any more.
        """
        return await self._runtime.storage.get_workflow(self.id)

    async def tasks(self) -> tuple[TaskState, ...]:
        """Return its tasks: the ended ones in the order they ended, then the others.

        Of these it knows those that are to be retried, and those whose body has been running for
        more than a second (or had been, when the process died).

        Raises:
            NotFoundError: there is no such workflow any more.
        """
        return await self._runtime.storage.list_tasks(self.id)

    async def history(
        self, *, after: HistoryEntry | None = None, limit: int = 1_000
    ) -> tuple[HistoryEntry, ...]:
        """Return the next entries of its journal, in the order of their recording.

        Args:
            after: the last entry of the page before; ``None`` begins with the start.
            limit: how many at most, from 1 to 1,000. Where values are large there may be fewer.

        Returns:
            Entries of its present run; none if nothing follows so far. Where it has continued as
            a new run meanwhile, that one's, from its start.

        Raises:
            NotFoundError: there is no such workflow any more.
            InvalidInputError: the limit is out of range.
        """
        return await self._runtime.storage.list_history(self.id, after=after, limit=limit)

    async def children(self, *, limit: int = 100, after: int | None = None) -> WorkflowPage:
        """Return a page of the workflows that it has started, newest first.

        Args:
            limit: page size, 1 to 1,000.
            after: the ``next_after`` of the page before.

        Raises:
            NotFoundError: there is no such workflow any more.
        """
        await self.state()
        return await self._runtime.list(WorkflowFilter(parent=self.id, limit=limit, after=after))

    async def send(
        self, topic: str, payload: object, *, idempotency_key: str | None = None
    ) -> None:
        """Send it a message; see ``Runtime.send``."""
        await self._runtime.send(self.id, topic, payload, idempotency_key=idempotency_key)

    @overload
    async def ask(
        self, topic: str, payload: object, *, idempotency_key: str | None = None
    ) -> object: ...
    @overload
    async def ask(
        self, topic: str, payload: object, type: type[T], *, idempotency_key: str | None = None
    ) -> T: ...
    @overload
    async def ask(
        self, topic: str, payload: object, type: object, *, idempotency_key: str | None = None
    ) -> object: ...
    async def ask(
        self,
        topic: str,
        payload: object,
        type: object = object,  # noqa: A002 - the name of what it is
        *,
        idempotency_key: str | None = None,
    ) -> object:
        """Send it a request, and wait for its reply; see ``Runtime.ask``."""
        return await self._runtime.ask(
            self.id, topic, payload, type, idempotency_key=idempotency_key
        )

    @overload
    async def value(self, key: str) -> object: ...
    @overload
    async def value(self, key: str, type: type[T]) -> T: ...
    @overload
    async def value(self, key: str, type: object) -> object: ...
    async def value(
        self,
        key: str,
        type: object = object,  # noqa: A002 - the name of what it is
    ) -> object:
        """Return what it shows of itself under a key; see ``Runtime.value``."""
        return await self._runtime.value(self.id, key, type)

    @overload
    async def wait_value(self, key: str) -> object: ...
    @overload
    async def wait_value(self, key: str, type: type[T]) -> T: ...
    @overload
    async def wait_value(self, key: str, type: object) -> object: ...
    async def wait_value(
        self,
        key: str,
        type: object = object,  # noqa: A002 - the name of what it is
    ) -> object:
        """Wait until it has set a value, and return it; see ``Runtime.wait_value``."""
        return await self._runtime.wait_value(self.id, key, type)

    async def values(self) -> dict[str, object]:
        """Return all that it shows of itself, by key; see ``Runtime.values``."""
        return await self._runtime.values(self.id)

    async def dead_letters(self, *, after: int = 0, limit: int = 100) -> tuple[DeadMessage, ...]:
        """Return messages that it could not take; see ``Runtime.dead_letters``."""
        return await self._runtime.dead_letters(self.id, after=after, limit=limit)

    async def cancel(self, reason: str | None = None) -> None:
        """Ask it to cancel itself; see ``Runtime.cancel``."""
        await self._runtime.cancel(self.id, reason)

    async def pause(self, reason: str | None = None) -> None:
        """Stop it where it stands, until it is resumed; see ``Runtime.pause``."""
        await self._runtime.pause(self.id, reason)

    async def resume(self) -> None:
        """Let it go on after a pause; see ``Runtime.resume``."""
        await self._runtime.resume(self.id)

    async def terminate(self, reason: str | None = None) -> None:
        """End it at once, without clean-up; see ``Runtime.terminate``."""
        await self._runtime.terminate(self.id, reason)

    async def fork(self, *, at: str, new_id: str | None = None) -> WorkflowHandle[R_co]:
        """Start a new workflow from its past, up to a task; see ``Runtime.fork``."""
        fork = await self._runtime.fork(self.id, at=at, new_id=new_id)
        return cast("WorkflowHandle[R_co]", fork)

    async def delete(self, *, force: bool = False) -> None:
        """Delete it with all that hangs on it; see ``Runtime.delete``."""
        await self._runtime.delete(self.id, force=force)

    async def retry(self) -> None:
        """Let it go on after a failure or a quarantine; see ``Runtime.retry``."""
        await self._runtime.retry(self.id)
