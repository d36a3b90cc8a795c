"""The runtime: starting workflows, finding them, waiting for their results, and its own end.

What is done to them (``intervention``) and exchanged with them (``correspondence``) it inherits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple, cast

import trio

from .._core.failures import ErrorRecord
from .._core.lifecycle import OnExisting, Status
from ..actors import Supervisor
from ..definitions import Workflow
from ..errors import (
    NotFoundError,
    RuntimeClosedError,
    UnknownWorkflowError,
    WorkflowCancelledError,
    WorkflowFailedError,
    WorkflowQuarantinedError,
)
from ..storage.actor import StorageActor
from ..storage.client import Storage
from ..storage.codec import Codec, decode_error
from ..storage.model import WorkflowFilter, WorkflowPage
from ..storage.records import StoredWorkflow
from ..storage.validation import check_id
from .cells import Cells
from .environment import Environment
from .handle import WorkflowHandle
from .intervention import Intervention
from .recovery import Recovery
from .recovery_report import RecoveryReport
from .registry import Registry
from .signatures import workflow_signature
from .starting import Starter
from .statistics import RuntimeStatistics
from .stopping import StopReport

if TYPE_CHECKING:
    from .context import Context

__all__ = ["Runtime"]

R = TypeVar("R")
Ts = TypeVarTuple("Ts")


def _error_of(stored: StoredWorkflow) -> ErrorRecord:
    """Read what a failed workflow failed with; one saved by hand may not say."""
    if stored.end is None or stored.end.value is None:
        return ErrorRecord((), "no error was recorded")
    return decode_error(stored.end.value)


class Runtime(Intervention):
    """Runs workflows durably. Made by :func:`open_runtime`, for the length of its block.

    Attributes:
        recovery_report: what was found and brought back when the runtime was opened.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        actor: StorageActor,
        cells: Cells,
        recovery: Recovery,
        registry: Registry,
        codec: Codec,
        environment: Environment,
    ) -> None:
        super().__init__(actor, cells, codec, environment)
        self._storage = Storage(actor, codec, environment.wall)
        self._supervisor = supervisor
        self._cells = cells
        self._recovery = recovery
        self._registry = registry
        self._starter = Starter(actor, cells, codec, environment, self.delete)
        self.recovery_report: RecoveryReport = RecoveryReport()
        self._closed = trio.Event()
        self._opened_at = trio.current_time()

    @property
    def stop_report(self) -> StopReport | None:
        """What was interrupted and cut off; ``None`` until the block of ``open_runtime`` has ended."""
        return self._cells.stops.report

    @property
    def storage(self) -> Storage:
        """The client of the storage actor; for reading. What runs is written by the runtime."""
        return self._storage

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise RuntimeClosedError

    # -- starting and finding -----------------------------------------------------------------------

    async def start(
        self,
        workflow: Callable[[Context, *Ts], Awaitable[R]],
        *args: *Ts,
        id: str | None = None,
        metadata: Mapping[str, str] | None = None,
        description: str | None = None,
        on_existing: OnExisting = "attach",
    ) -> WorkflowHandle[R]:
        """Start a workflow; it is durable when this returns.

        If the id is taken by the same workflow with the same arguments, whether it still runs or
        has ended, this attaches to it: so starting can safely be repeated after a crash.

        Args:
            workflow: declared with ``@workflow`` and registered with the runtime.
            args: its arguments after ``ctx``, encodable by their annotations.
            id: 1 to 200 characters of ``A-Z a-z 0-9 . _ : -``; a random UUID by default.
            metadata: labels to list by.
            description: free text.
            on_existing: ``"raise"`` refuses any id that is taken; ``"replace_closed"`` deletes
                one that has ended, and starts anew; also one whose history was pruned.

        Raises:
            HistoryPrunedError: a workflow had the id and was pruned; it is a
                ``DuplicateKeyError`` that says when.
            DuplicateKeyError: the id is taken; it says what differs.
            UnknownWorkflowError, DefinitionError: the workflow is not registered.
            InvalidArgumentsError, SerializationError, PayloadTooLargeError: the arguments do not
                fit; the argument is named.
            InvalidInputError: id, metadata or description are not possible.
            RuntimeClosedError: the runtime is closing.
            StorageUnavailableError, OutcomeUnknownError: see their docs.

        Cancelled means not started.
        """
        self._check_open()
        self._registry.check(workflow)
        id, pk = await self._starter.start(
            cast("Workflow[..., R]", workflow),
            args,
            id=id,
            metadata=metadata,
            description=description,
            on_existing=on_existing,
        )
        return WorkflowHandle(self, id, pk)

    async def start_by_name(
        self,
        name: str,
        args: Sequence[object] = (),
        *,
        id: str | None = None,
        metadata: Mapping[str, str] | None = None,
        description: str | None = None,
        on_existing: OnExisting = "attach",
    ) -> WorkflowHandle[object]:
        """Start the newest version of a workflow, for those who have its name and not its code.

        What an operator or a web form gives is checked against the workflow's own signature.

        Args:
            name: of a workflow that is registered with the runtime.
            args: its arguments after ``ctx``, in order, as JSON knows them.
            id, metadata, description, on_existing: see :meth:`start`.

        Raises:
            UnknownWorkflowError: no workflow of this name is registered.
            InvalidArgumentsError: the arguments do not fit; the argument is named.
            ClawError: as :meth:`start` does.

        Cancelled means not started.
        """
        self._check_open()
        definition = self._registry.named(name)
        signature = workflow_signature(definition)
        return await self.start(
            definition,
            *signature.read_arguments(self._codec, args),
            id=id,
            metadata=metadata,
            description=description,
            on_existing=on_existing,
        )

    async def fork(self, id: str, *, at: str, new_id: str | None = None) -> WorkflowHandle[object]:
        """Start a new workflow from another one's past, up to a task; durable when this returns.

        The new one has everything that was recorded before the outcome of that task: outcomes,
        messages, time-outs, in their order. So it is where the other one was then, and goes on
        from there, with the task first. It has the other's random numbers, and idempotency keys
        of its own. Labels and description are copied; dead letters are not, and it has no parent.
        Children stay those of the other one: what became of them is taken over, also if they have
        ended after the task. (One that has not, and that nobody has to wait for, never ends for
        the fork.) Values are what its code sets, as the past is replayed.

        The other workflow, which may stand anywhere, is not touched.

        Args:
            id: the workflow whose past is copied.
            at: the id of one of its tasks that has ended, as in ``handle.tasks()``.
            new_id: the id of the new workflow; a random UUID by default.

        Raises:
            NotFoundError: there is no such workflow, or no outcome of such a task.
            InvalidTransitionError: a child that was started before that task has not ended.
            DuplicateKeyError: the new id is taken.
            UnknownWorkflowError: its code is not registered.
            InvalidInputError: the new id is not possible.
            RuntimeClosedError: the runtime is closing.
            StorageUnavailableError, OutcomeUnknownError: see their docs.

        Cancelled means not started.
        """
        self._check_open()
        return await self.get(await self._lifecycle.fork(id, at=at, new_id=new_id))

    async def get(self, id: str) -> WorkflowHandle[object]:
        """Return a handle of an existing workflow.

        Raises:
            NotFoundError: there is none.
            InvalidInputError: this is not an id.
        """
        check_id(None, None, id)
        stored = await self._actor.read(self._actor.backend.get_workflow, id)
        return WorkflowHandle(self, id, stored.row.pk)

    async def list(self, query: WorkflowFilter | None = None) -> WorkflowPage:
        """Read one page of workflows, newest first; see :class:`WorkflowFilter`."""
        return await self._storage.list_workflows(query)

    async def status(self, id: str) -> Status:
        """Return where a workflow stands.

        Raises:
            NotFoundError: there is no such workflow.
        """
        return (await self._storage.get_workflow(id)).status

    async def result(self, id: str) -> object:
        """Wait until a workflow has ended, and return its result; see ``WorkflowHandle.result``."""
        return await self.result_of(id, None)

    async def result_of(self, id: str, pk: int | None) -> object:
        """Do the same for who means a certain one of those that had the id one after the other.

        Args:
            id: the workflow.
            pk: the key that storage gave it; ``None`` means whichever has the id.
        """
        while True:
            self._check_open()
            change = self._cells.change_of(id)
            stored = await self._actor.read(self._actor.backend.get_workflow, id)
            if pk is not None and stored.row.pk != pk:
                raise NotFoundError("workflow", id)  # another one has its id
            match stored.row.status:
                case Status.COMPLETED:
                    return self._decode_result(stored)
                case Status.FAILED:
                    raise WorkflowFailedError(id, _error_of(stored))
                case Status.CANCELLED:
                    raise WorkflowCancelledError(id, stored.row.reason)
                case Status.QUARANTINED:
                    raise WorkflowQuarantinedError(id, stored.row.reason)
                case _:
                    await change.wait()

    def _decode_result(self, stored: StoredWorkflow) -> object:
        row = stored.row
        declared: Any = object
        try:
            workflow = self._registry.find(row.name, row.version)
            declared = workflow_signature(workflow).returns
        except UnknownWorkflowError:
            pass  # of code that is gone, the plain JSON is what can be had
        if stored.end is None or stored.end.value is None:
            return None
        return self._codec.decode(stored.end.value, declared, f"result of workflow {row.id!r}")

    # -- the runtime itself ---------------------------------------------------------------------------

    async def recover(self) -> RecoveryReport:
        """Bring back everything unfinished that is not in memory; ``open_runtime`` does it.

        Doing it again does nothing. One workflow that cannot come back stops nothing.
        """
        self._check_open()
        return await self._recovery.run()

    def statistics(self) -> RuntimeStatistics:
        """Return what has been done so far."""
        counts, tasks = self._cells.counts, self._cells.lives.task_counts
        messages = self._cells.lives.message_counts
        return RuntimeStatistics(
            up_seconds=trio.current_time() - self._opened_at,
            active=len(self._cells),
            idle=self._cells.idle,
            running_tasks=tasks.running,
            started=counts.started,
            ended=counts.ended,
            crashes=counts.crashes,
            quarantined=counts.quarantined,
            passivated=counts.passivated,
            activated=counts.activated,
            attempts=tasks.attempts,
            retries=tasks.retries,
            replayed=tasks.replayed,
            changed_arguments=tasks.changed_arguments,
            sent=messages.sent,
            received=messages.received,
            dead_letters=messages.dead_letters,
            storage=self._actor.statistics(),
        )

    def request_stop(
        self, reason: str = "it was asked to stop", grace: float | None = None
    ) -> None:
        """Cancel the block of ``open_runtime``, and so close the runtime; for signal handlers.

        Args:
            reason: why.
            grace: seconds that running task bodies get to end and be recorded; by default
                ``config.grace``. Said again, it can only become less.

        See :func:`stop_on_signals`.
        """
        self.close()
        self._cells.begin_stop(reason)
        self._supervisor.request_stop(reason)
        if grace is not None:
            self._cells.hasten(reason, grace)
            if not grace:
                self._actor.hurry()

    async def wait_stopped(self) -> None:
        """Wait until everything has stopped, storage last; the block may not have ended then."""
        await self._supervisor.wait_stopped()

    def close(self) -> None:
        """Refuse what comes from now on. The end of ``open_runtime``'s block does it."""
        self._closed.set()
        self._cells.changed_all()
