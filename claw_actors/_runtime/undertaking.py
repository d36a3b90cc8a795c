"""A call of a task, and what it is while it is worked on: whose, and what is recorded of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, assert_never

import attrs

from .._core.failures import describe
from .._core.identity import digest, idempotency_key
from .._core.journal import Entry, EntryKind, EntryStatus
from ..storage.codec import encode_error
from ..task_context import Heart, TaskInfo
from .endings import Cancelled, Raised, Returned

if TYPE_CHECKING:
    from ..definitions import Task
    from .open_work import OpenWork
    from .operation import Operation
    from .sequencer import Sequencer
    from .signatures import Signature
    from .strand import Strand

__all__ = ["Call", "Undertaking"]

R = TypeVar("R")


@attrs.frozen
class Call(Generic[R]):
    """A task with its arguments, which fit.

    Attributes:
        task: the task.
        signature: of its function.
        data: the encoded arguments.
    """

    task: Task[..., R]
    signature: Signature
    data: bytes

    @property
    def name(self) -> str:
        """What its id is made of."""
        return self.task.id or self.task.name


@attrs.frozen
class Undertaking:
    """A call that is being worked on.

    Attributes:
        strand: whose context has asked for it.
        operation: what that waits for.
        call: the task, with its arguments.
        work: where its attempts stand.
    """

    strand: Strand
    operation: Operation
    call: Call[Any]
    work: OpenWork

    @property
    def task(self) -> Task[..., Any]:
        """What is done."""
        return self.call.task

    @property
    def sequencer(self) -> Sequencer:
        """The order of the incarnation that does it."""
        return self.strand.sequencer

    @property
    def closed(self) -> tuple[str, ...]:
        """The ops of open work that end with it."""
        return (self.operation.id,) if self.work.is_stored else ()

    def info(self, run_key: str, heart: Heart) -> TaskInfo:
        """Make what the body of the next attempt may know.

        Args:
            run_key: of the workflow's run.
            heart: what its heartbeats go to.
        """
        id = self.work.id
        return TaskInfo(
            workflow_id=self.sequencer.id,
            task_id=id,
            name=self.task.name,
            attempt=self.work.ended + 1,
            idempotency_key=idempotency_key(self.sequencer.id, run_key, id),
            heart=heart,
        )

    def entry(self, ending: Returned | Raised | Cancelled, *, attempt: int) -> Entry:
        """Make what records how it ended.

        Args:
            ending: how.
            attempt: how many attempts have ended by then.
        """
        stored: bytes | None = None
        cut_off_since: int | None = None
        match ending:
            case Returned(value):
                status, stored = EntryStatus.OK, value
            case Raised(error):
                status, stored = EntryStatus.FAILED, encode_error(describe(error))
            case Cancelled():
                status = EntryStatus.CANCELLED
                cut_off_since = self.strand.unwinds_since
            case _:
                assert_never(ending)
        return Entry(
            op=self.operation.id,
            name=self.task.name,
            kind=EntryKind.TASK,
            status=status,
            at=self.sequencer.time(),
            after=self.operation.asked.after,
            life=self.sequencer.life,
            attempt=attempt,
            started_at=self.work.started_at,
            digest=digest(self.call.data),
            ref=cut_off_since,
            value=stored,
        )
