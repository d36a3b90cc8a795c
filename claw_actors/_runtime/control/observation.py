"""What can be seen of the workflows of a database from any process, whoever owns it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final, cast

import trio

from ..._core.failures import ErrorRecord
from ..._core.lifecycle import Status
from ...definitions import Workflow
from ...errors import (
    ControlRefusedError,
    SerializationError,
    WorkflowCancelledError,
    WorkflowFailedError,
    WorkflowQuarantinedError,
)
from ...storage.history import HistoryEntry
from ...storage.model import (
    JSON,
    TaskState,
    WorkflowCounts,
    WorkflowFilter,
    WorkflowPage,
    WorkflowState,
)
from ...storage.opening import Sight
from ...storage.reading import StorageReads
from ...storage.validation import check_printable
from ..config import RuntimeConfig
from ..recovery_plan import RecoveryPlan, plan_recovery
from ..registry import Registry
from ..shown import (
    DeadMessage,
    decode_value,
    look_for_value,
    read_dead_letters,
    read_value,
    read_values,
)
from .courier import Courier, NoOwner
from .figures import AskFigures, OwnerStatistics, read_figures

__all__ = ["Observation"]

_FIRST_LOOK_S: Final = 0.02
_LAST_LOOK_S: Final = 1.0


class Observation:
    """Reads by itself, beside the owner or without one; only how the owner is, it is asked."""

    def __init__(self, sight: Sight, courier: Courier) -> None:
        self._sight = sight
        self._reads = StorageReads(sight, courier.codec)
        self._courier = courier

    async def get(self, id: str) -> WorkflowState:
        """Return all that is stored of a workflow, but for its tasks.

        Raises:
            NotFoundError: there is no such workflow.
            StorageUnavailableError, StorageVersionError, StorageCorruptError: it cannot be read.
        """
        return await self._reads.get_workflow(id)

    async def list(self, query: WorkflowFilter | None = None) -> WorkflowPage:
        """Read one page of workflows, newest first; see :class:`WorkflowFilter`."""
        return await self._reads.list_workflows(query)

    async def count(self) -> WorkflowCounts:
        """Count workflows by status, with the oldest of those that have not ended and the next due.

        Raises:
            StorageUnavailableError, StorageVersionError, StorageCorruptError: it cannot be read.
        """
        return await self._reads.count_workflows()

    async def tasks(self, id: str) -> tuple[TaskState, ...]:
        """Return a workflow's tasks: the ended ones in the order they ended, then the others.

        Raises:
            NotFoundError: there is no such workflow.
        """
        return await self._reads.list_tasks(id)

    async def history(
        self, id: str, *, after: HistoryEntry | None = None, limit: int = 1_000
    ) -> tuple[HistoryEntry, ...]:
        """Return the next entries of a workflow's journal, in the order of their recording.

        Args:
            id: the workflow.
            after: the last entry of the page before; ``None`` begins with the start.
            limit: how many at most, from 1 to 1,000. Where values are large there may be fewer.

        Returns:
            Entries of its present run; none if nothing follows so far. Where it has continued as
            a new run meanwhile, that one's, from its start.

        Raises:
            NotFoundError: there is no such workflow.
            InvalidInputError: the limit is out of range.
        """
        return await self._reads.list_history(id, after=after, limit=limit)

    async def dead_letters(
        self, id: str, *, after: int = 0, limit: int = 100
    ) -> tuple[DeadMessage, ...]:
        """Return messages that a workflow could not take, in the order they were put aside.

        Args:
            id: the workflow.
            after: only those with a larger number; of a page, the last one's.
            limit: how many at most, from 1 to 10,000.

        Raises:
            NotFoundError: there is no such workflow.
            InvalidInputError: a number out of range.
        """
        return await read_dead_letters(self._sight, self._courier.codec, id, after, limit)

    async def result(self, id: str) -> JSON:
        """Wait until a workflow has ended, and return its result as JSON.

        It looks again and again, at most once a second, and waits for as long as it takes: set a
        limit with ``trio.fail_after``.

        Raises:
            WorkflowFailedError, WorkflowCancelledError, WorkflowQuarantinedError: it ended so.
            NotFoundError: there is no such workflow, or none any more.

        Cancelled, only the waiting ends.
        """
        pause_s = _FIRST_LOOK_S
        while True:
            state = await self.get(id)
            match state.status:
                case Status.COMPLETED:
                    return state.result
                case Status.FAILED:
                    none = ErrorRecord((), "no error was recorded")
                    raise WorkflowFailedError(id, state.error or none)
                case Status.CANCELLED:
                    raise WorkflowCancelledError(id, state.reason)
                case Status.QUARANTINED:
                    raise WorkflowQuarantinedError(id, state.reason)
                case _:
                    await trio.sleep(pause_s)
                    pause_s = min(2 * pause_s, _LAST_LOOK_S)

    async def value(self, id: str, key: str) -> JSON:
        """Return what a workflow shows of itself, as it was set last; also after its end.

        Raises:
            NotFoundError: there is no such workflow, or it has not set that value.
        """
        value = await read_value(self._sight, self._courier.codec, id, key, object)
        return cast("JSON", value)

    async def values(self, id: str) -> dict[str, JSON]:
        """Return all that a workflow shows of itself, by key.

        Raises:
            NotFoundError: there is no such workflow.
        """
        values = await read_values(self._sight, self._courier.codec, id)
        return cast("dict[str, JSON]", values)

    async def wait_value(self, id: str, key: str) -> JSON:
        """Wait until a workflow has set a value, and return it; it waits as :meth:`result` does.

        Raises:
            WorkflowClosedError: it has ended without.
            WorkflowQuarantinedError: it is parked.
            NotFoundError: there is no such workflow, or none any more.

        Cancelled, only the waiting ends.
        """
        check_printable("key", key)
        value = decode_value(self._courier.codec, id, key, await self._wait_for(id, key), object)
        return cast("JSON", value)

    async def _wait_for(self, id: str, key: str) -> bytes:
        pause_s = _FIRST_LOOK_S
        while (value := await look_for_value(self._sight, id, key)) is None:
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LAST_LOOK_S)
        return value

    async def owner(self) -> OwnerStatistics | None:
        """Ask the runtime that owns the database who it is and what it has done; ``None`` without one.

        Raises:
            OwnerUnreachableError: somebody owns it, and could not be asked in time.
            ControlRefusedError: who answers on the control socket refuses; it may be of an older
                version, which does not tell.

        Cancelled, only the waiting ends.
        """

        async def find_owner() -> str | None:
            return await self._sight.read(self._sight.backend.find_owner)

        answer = await self._courier.ask(AskFigures(), find_owner)
        if answer is NoOwner.NONE:
            return None
        try:
            return read_figures(answer, self._courier.codec)
        except SerializationError as error:
            raise ControlRefusedError(self._courier.socket_path, str(error)) from error

    async def plan_recovery(
        self,
        workflows: Iterable[Workflow[..., object]] | None = None,
        *,
        config: RuntimeConfig | None = None,
    ) -> RecoveryPlan:
        """Find out what would come back if the database were opened now, and what would not.

        It reads what :meth:`Runtime.recover` reads, journals too, and sorts it by the same rules,
        but changes nothing and runs no code. Where the database has an owner, the plan is for its
        being killed now.

        Args:
            workflows: the code that there will be, as for :func:`open_runtime`; without, none is
                called unknown.
            config: that of the runtime which will open it; its limits count.

        Raises:
            DefinitionError: something in ``workflows`` is none, or two have the same name and
                version.
            StorageUnavailableError, StorageVersionError, StorageCorruptError: it cannot be read.
        """
        registry = None if workflows is None else Registry(workflows)
        return await plan_recovery(self._sight, registry, config or RuntimeConfig(), time.time())
