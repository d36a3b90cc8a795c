"""Attempts of tasks: what follows a failed one, and how the last one is recorded.

However a body ends, its context goes on only when the entry that says so has been delivered. An
attempt that failed and will be repeated is stored as open work, so that a restart of the process
resets neither the count nor the due time; only an attempt that *ended* counts.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Any

import trio

from .._core.identity import digest
from .._core.retry import GiveUp, Retry, decide_retry
from ..definitions import Task, TransactionalTask
from ..errors import ClawError, TransactionsUnsupportedError
from .bodies import Bodies, TaskCounts
from .endings import Cancelled, Delivered, Returned
from .open_work import OpenWork
from .undertaking import Undertaking

if TYPE_CHECKING:
    from .._core.journal import Entry, OpenTask
    from ..storage.codec import Codec
    from ..storage.records import WorkflowRow
    from .endings import Ending
    from .environment import Environment
    from .long_running import LongRunning
    from .operation import Operation
    from .sequencer import Sequencer
    from .strand import Strand
    from .undertaking import Call

__all__ = ["Attempts"]

_log = logging.getLogger("claw_actors.workflows")


class Attempts:
    """Works on the tasks of one incarnation."""

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
        self._open = {task.op: task for task in open_tasks}
        self._environment = environment
        self._counts = counts
        self._bodies = Bodies(
            sequencer,
            row.run_key,
            codec=codec,
            environment=environment,
            threads=threads,
            long_running=long_running,
            counts=counts,
        )

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

    async def perform(self, strand: Strand, operation: Operation, call: Call[Any]) -> object:
        """Run a task's body until it is done with, record its outcome, and wait for the turn.

        Returns:
            The delivered entry; or ``None`` if the instance left memory meanwhile.
        """
        sequencer = self._sequencer
        stored = self._open.pop(operation.id, None)
        work = OpenWork(sequencer, operation.id, call.task.name, stored)
        undertaking = Undertaking(strand, operation, call, work)
        sequencer.bodies += 1
        try:
            if work.due_at is not None:
                # Its length is not known any more; but it began after the first attempt.
                await self._wait_until(work.due_at, length=work.due_at - work.started_at)
            ending = await self._repeat(undertaking)
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
        return await self._conclude(undertaking, ending)

    async def _repeat(self, undertaking: Undertaking) -> Ending:
        """Make attempts until one is final."""
        work = undertaking.work
        while self._sequencer.leaving.sealed is None:
            ending = await self._bodies.attempt(undertaking)
            if isinstance(ending, Cancelled | Delivered):
                return ending
            work.ended += 1
            if isinstance(ending, Returned) or ending.final:
                return ending
            due_at = self._next_due(undertaking.task.retry, ending.error, work)
            if due_at is None:
                return ending
            await self._record_retry(work.retry(ending.error, due_at))
            await self._wait_until(due_at)
        return Cancelled()

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

    async def _conclude(self, undertaking: Undertaking, ending: Ending) -> object:
        """Record how it ended, and wait until that is delivered."""
        if isinstance(ending, Delivered):
            return ending.entry
        sequencer, strand = self._sequencer, undertaking.strand
        cancelled = isinstance(ending, Cancelled)
        if sequencer.leaving.failure is None and not (
            cancelled and sequencer.leaving.sealed is not None
        ):
            sequencer.operations.post(
                undertaking.operation,
                undertaking.entry(ending, attempt=undertaking.work.ended),
                closed=undertaking.closed,
            )
        if sequencer.leaving.sealed is None:
            return await strand.wait_for_entry()
        sequencer.leaving.seal(sequencer.leaving.sealed)  # perhaps its grace was for this body
        sequencer.operations.close(undertaking.operation)
        await strand.give_way()
        return None
