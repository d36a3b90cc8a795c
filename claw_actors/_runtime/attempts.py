"""Task bodies: attempts, their time limits, and what follows a failed one.

A body runs outside the turn, in its context's own Trio task and under the workflow's own scopes.
However it ends, the context goes on only when the entry that says so has been delivered. An
attempt that failed and will be repeated is stored as open work, so that a restart of the process
resets neither the count nor the due time; only an attempt that *ended* counts.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import math
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, assert_never, cast

import attrs
import trio

from .._core.failures import describe, leaves
from .._core.identity import digest, idempotency_key
from .._core.journal import Entry, EntryKind, EntryStatus, OpenTask
from .._core.retry import GiveUp, Retry, decide_retry
from ..definitions import AsyncTask, Task, TransactionalTask
from ..errors import (
    ClawError,
    PayloadTooLargeError,
    SerializationError,
    TaskTimeoutError,
    TransactionsUnsupportedError,
)
from ..storage.codec import Codec, encode_error
from ..task_context import Heart, TaskInfo, place
from .endings import Cancelled, Delivered, Raised, Returned
from .environment import AttemptBegun
from .heartbeat import AttemptHeart
from .open_work import OpenWork
from .transacting import transact

if TYPE_CHECKING:
    from .._core.transacting import Connection
    from ..storage.records import WorkflowRow
    from .endings import Ending
    from .environment import Environment
    from .long_running import LongRunning
    from .operation import Operation
    from .sequencer import Sequencer
    from .signatures import Signature
    from .strand import Strand

__all__ = ["Attempts", "TaskCounts"]

_log = logging.getLogger("claw_actors.workflows")


@attrs.define
class TaskCounts:
    """What the tasks of a runtime have done, for ``statistics()``."""

    attempts: int = 0
    retries: int = 0
    replayed: int = 0
    changed_arguments: int = 0


class Attempts:
    """Runs the task bodies of one incarnation."""

    def __init__(
        self,
        sequencer: Sequencer,
        row: WorkflowRow,
        open_tasks: tuple[OpenTask, ...],
        *,
        codec: Codec,
        environment: Environment,
        threads: trio.CapacityLimiter,
        long_running: LongRunning,
        counts: TaskCounts,
    ) -> None:
        self.codec = codec
        self._sequencer = sequencer
        self._row = row
        self._open = {task.op: task for task in open_tasks}
        self._environment = environment
        self._threads = threads
        self._long_running = long_running
        self._counts = counts

    def check(self, task: Task[..., Any]) -> None:
        """Refuse a task that this storage cannot run.

        Raises:
            TransactionsUnsupportedError: it is transactional, and there is no SQL.
        """
        backend = self._sequencer.storage.backend
        if isinstance(task, TransactionalTask) and not backend.transactional:
            raise TransactionsUnsupportedError(task.name, backend.where)

    def note_replayed(self, entry: Entry, data: bytes) -> None:
        """Take note that a task was skipped, and whether it was asked for with other arguments."""
        self._counts.replayed += 1
        self.compare(entry, data)

    def compare(self, entry: Entry, data: bytes) -> None:
        """Take note if something that is recorded was asked for with other arguments."""
        if entry.digest is not None and entry.digest != digest(data):
            self._counts.changed_arguments += 1
            _log.warning(
                "workflow %s: %s %s was recorded with other arguments than the code gives now;"
                " its recorded outcome stands",
                self._sequencer.id,
                entry.kind,
                entry.op,
            )

    async def perform(
        self,
        strand: Strand,
        operation: Operation,
        task: Task[..., Any],
        signature: Signature,
        data: bytes,
    ) -> object:
        """Run a task's body until it is done with, record its outcome, and wait for the turn.

        Returns:
            The delivered entry; or ``None`` if the instance left memory meanwhile.
        """
        sequencer = self._sequencer
        stored = self._open.pop(operation.id, None)
        work = OpenWork(sequencer, operation.id, task.name, stored)
        sequencer.bodies += 1
        try:
            if work.due_at is not None:
                # Its length is not known any more; but it began after the first attempt.
                await self._wait_until(work.due_at, length=work.due_at - work.started_at)
            ending = await self._repeat(strand, operation, task, signature, data, work)
        except trio.Cancelled:  # noqa: ASYNC103 - raised again when its entry is delivered
            strand.check_durable()
            ending = Cancelled()
        except BaseException as error:
            # KeyboardInterrupt and the like. Another context may have the turn: seal, and raise
            # this when it is our turn to leave.
            sequencer.leaving.seal(f"a task body raised {error!r}", at_once=True)
            sequencer.operations.close(operation)
            await strand.give_way()  # noqa: ASYNC120 - that is not cancelled
            raise
        finally:
            sequencer.bodies -= 1
        return await self._conclude(strand, operation, task, ending, work, data)

    async def _repeat(
        self,
        strand: Strand,
        operation: Operation,
        task: Task[..., Any],
        signature: Signature,
        data: bytes,
        work: OpenWork,
    ) -> Ending:
        """Make attempts until one is final."""
        while self._sequencer.leaving.sealed is None:
            if isinstance(task, TransactionalTask):
                ending = await self._transact(strand, operation, task, signature, data, work)
            else:
                ending = await self._watch(strand, task, signature, data, work)
            if isinstance(ending, Cancelled | Delivered):
                return ending
            work.ended += 1
            if isinstance(ending, Returned) or ending.final:
                return ending
            due_at = self._next_due(task.retry, ending.error, work)
            if due_at is None:
                return ending
            await self._record_retry(work.retry(ending.error, due_at))
            await self._wait_until(due_at)
        return Cancelled()

    def _info(self, work: OpenWork, task: Task[..., Any], heart: Heart) -> TaskInfo:
        key = idempotency_key(self._sequencer.id, self._row.run_key, work.id)
        return TaskInfo(
            workflow_id=self._sequencer.id,
            task_id=work.id,
            name=task.name,
            attempt=work.ended + 1,
            idempotency_key=key,
            heart=heart,
        )

    async def _watch(
        self,
        strand: Strand,
        task: Task[..., Any],
        signature: Signature,
        data: bytes,
        work: OpenWork,
    ) -> Ending:
        """Make one attempt, and take note of how far it comes."""
        heart = AttemptHeart(self._sequencer, work, self.codec, task.heartbeat_timeout)
        watched = self._long_running.watch(work.mark_running)
        try:
            info = self._info(work, task, heart)
            return await self._attempt(strand, task, signature, data, info, heart)
        finally:
            watched.end()
            heart.end()
            work.end_attempt()

    async def _transact(
        self,
        strand: Strand,
        operation: Operation,
        task: Task[..., Any],
        signature: Signature,
        data: bytes,
        work: OpenWork,
    ) -> Ending:
        """Make one attempt whose body is committed with its outcome."""
        # Nothing is noted of it: a note would be written behind the outcome that ends it.
        info = self._info(work, task, Heart())
        self._begin(info)
        token = place.set(info)
        variables = contextvars.copy_context()
        place.reset(token)

        def body(connection: Connection) -> bytes:
            args, kwargs = signature.decode_arguments(self.codec, data)
            result = task.fn(connection, *args, **kwargs)
            what = f"result of task {info.task_id!r}"
            return self.codec.round_trip(result, signature.returns, what)[0]

        return await transact(
            strand,
            self._entry(operation, task, Returned(b""), work, data, attempt=info.attempt),
            lambda connection: variables.run(body, connection),
            closed=(operation.id,) if work.is_stored else (),
            limit_s=task.timeout,
        )

    def _begin(self, info: TaskInfo) -> None:
        """Count an attempt, and tell who wants to know."""
        self._counts.attempts += 1
        self._environment.on_attempt(
            AttemptBegun(
                workflow_id=info.workflow_id,
                task_id=info.task_id,
                attempt=info.attempt,
                life=self._sequencer.life,
                delivered=self._sequencer.delivered,
            )
        )

    async def _attempt(
        self,
        strand: Strand,
        task: Task[..., Any],
        signature: Signature,
        data: bytes,
        info: TaskInfo,
        heart: AttemptHeart,
    ) -> Ending:
        """Run the body once."""
        if trio.current_effective_deadline() == -float("inf"):
            return Cancelled()  # before it could start
        self._begin(info)
        began = trio.current_time()
        # Each attempt gets arguments of its own: a body that changes them in place changes
        # nothing for the workflow, which a replay could not repeat.
        args, kwargs = signature.decode_arguments(self.codec, data)
        token = place.set(info)
        try:
            with _limit(task.timeout) as scope, heart.limit() as silence:
                result = await self._call(task, args, kwargs)
            if scope is not None and scope.cancel_called:
                assert task.timeout is not None
                return Raised(TaskTimeoutError(task.timeout))
            if silence is not None and silence.cancel_called:
                assert task.heartbeat_timeout is not None
                return Raised(TaskTimeoutError(task.heartbeat_timeout, silent=True))
            what = f"result of task {info.task_id!r}"
            try:
                value, _ = self.codec.round_trip(result, signature.returns, what)
            except (SerializationError, PayloadTooLargeError) as error:
                # The effect has happened and must not be repeated.
                return Raised(error, final=True)
            return Returned(value)
        except BaseException as error:  # noqa: ASYNC103 - the same
            parts = leaves(error)
            if any(not isinstance(part, Exception | trio.Cancelled) for part in parts):
                raise
            if any(isinstance(part, trio.Cancelled) for part in parts):
                strand.check_durable()
            if all(isinstance(part, trio.Cancelled) for part in parts):
                self._sequencer.leaving.body_cancelled(info, trio.current_time() - began)
                return Cancelled()  # noqa: ASYNC104
            if isinstance(error, Exception):
                return Raised(error)  # noqa: ASYNC104
            # A body that was cancelled, and whose clean-up failed.
            group = cast("BaseExceptionGroup[BaseException]", error)
            return Raised(cast("Exception", group.split(Exception)[0]))  # noqa: ASYNC104
        finally:
            place.reset(token)

    async def _call(
        self, task: Task[..., Any], args: tuple[object, ...], kwargs: dict[str, object]
    ) -> object:
        if isinstance(task, AsyncTask):
            fn = cast("Callable[..., Coroutine[Any, Any, object]]", task.fn)
            return await fn(*args, **kwargs)
        if self._environment.inline:
            await trio.lowlevel.checkpoint()
            return task.fn(*args, **kwargs)
        return await trio.to_thread.run_sync(
            lambda: task.fn(*args, **kwargs), abandon_on_cancel=True, limiter=self._threads
        )

    def _next_due(self, retry: Retry, error: Exception, work: OpenWork) -> float | None:
        try:
            decision = decide_retry(
                retry,
                error,
                attempt=work.ended,
                started_at=work.started_at,
                now=self._sequencer.wall(),
                uniform=self._environment.random.random(),
            )
        except Exception:
            # An author's predicate failed; that the task failed is still the fact to record.
            _log.exception("workflow %s: a retry predicate failed", self._sequencer.id)
            return None
        return None if isinstance(decision, GiveUp) else decision.due_at

    async def _record_retry(self, opened: OpenTask) -> None:
        self._counts.retries += 1
        write = self._sequencer.writes.advance(opened=(opened,))
        try:
            await self._sequencer.storage.submit(write, patient=True)
        except ClawError as refusal:
            self._sequencer.leaving.refused(refusal)

    async def _wait_until(self, due_at: float, *, length: float = math.inf) -> None:
        """Wait until a due time by the wall clock, at most for its length; sealed, not at all."""
        sequencer = self._sequencer
        due = trio.Event()
        timer = sequencer.timers.at(due_at, due.set, length=length)
        stop = sequencer.leaving.on_seal(due.set)
        try:
            await due.wait()
        finally:
            timer.cancel()
            stop()

    async def _conclude(
        self,
        strand: Strand,
        operation: Operation,
        task: Task[..., Any],
        ending: Ending,
        work: OpenWork,
        data: bytes,
    ) -> object:
        """Record how it ended, and wait until that is delivered."""
        sequencer = self._sequencer
        if isinstance(ending, Delivered):
            return ending.entry
        cancelled = isinstance(ending, Cancelled)
        if sequencer.leaving.failure is None and not (
            cancelled and sequencer.leaving.sealed is not None
        ):
            closed = (operation.id,) if work.is_stored else ()
            sequencer.operations.post(
                operation,
                self._entry(operation, task, ending, work, data, attempt=work.ended),
                closed=closed,
            )
        if sequencer.leaving.sealed is None:
            return await strand.wait_for_entry()
        sequencer.leaving.seal(sequencer.leaving.sealed)  # perhaps its grace was for this body
        sequencer.operations.close(operation)
        await strand.give_way()
        return None

    def _entry(
        self,
        operation: Operation,
        task: Task[..., Any],
        ending: Returned | Raised | Cancelled,
        work: OpenWork,
        data: bytes,
        *,
        attempt: int,
    ) -> Entry:
        stored: bytes | None = None
        cut_off_since: int | None = None
        match ending:
            case Returned(value):
                status, stored = EntryStatus.OK, value
            case Raised(error):
                status, stored = EntryStatus.FAILED, encode_error(describe(error))
            case Cancelled():
                status = EntryStatus.CANCELLED
                cut_off_since = operation.strand.unwinds_since
            case _:
                assert_never(ending)
        return Entry(
            op=operation.id,
            name=task.name,
            kind=EntryKind.TASK,
            status=status,
            at=self._sequencer.time(),
            after=operation.asked.after,
            life=self._sequencer.life,
            attempt=attempt,
            started_at=work.started_at,
            digest=digest(data),
            ref=cut_off_since,
            value=stored,
        )


def _limit(timeout: float | None) -> contextlib.AbstractContextManager[trio.CancelScope | None]:
    if timeout is None:
        return contextlib.nullcontext()
    return trio.move_on_after(timeout)  # noqa: ASYNC122 - relative to its entry since Trio 0.27
