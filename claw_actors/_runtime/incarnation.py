"""One life of one instance: from its checkpoint to its end, its crash, or its leaving memory."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, cast

import attrs
import trio

from .._core.failures import behind, consists_of, describe, leaves
from .._core.journal import END_OP, Entry, EntryKind, EntryStatus
from .._core.lifecycle import Event, Status, apply
from .._core.replay import Past
from ..errors import (
    ClawError,
    DeadlineExceededError,
    InstanceSealed,
    PayloadTooLargeError,
    SerializationError,
    StaleWriteError,
    TaskFailedError,
    WorkflowCancelledError,
    WorkflowFailedError,
)
from ..storage.codec import Codec, encode_error
from ..storage.operations import Advance
from ..storage.records import RowChange
from ..storage.refusals import CHILD_REFUSALS, SEND_REFUSALS
from ..task_context import Place, place
from .bearings import Surroundings
from .child_handle import failure_of
from .closing import Closing
from .context import Context
from .driver import Driver
from .rollback import Rollback
from .signatures import workflow_signature
from .strand import Strand

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from ..definitions import Workflow
    from ..storage.records import WorkflowRow
    from .attempts import Attempts
    from .births import Births
    from .continuing import NextRun
    from .inbox import MessageCounts
    from .sequencer import Sequencer
    from .signatures import Signature

__all__ = ["Incarnation", "InstanceFailed"]

_log = logging.getLogger("claw_actors.workflows")


class InstanceFailed(Exception):
    """The instance cannot go on, and a respawn would not mend it: ``__cause__`` says why."""


@attrs.frozen
class _Outcome:
    """How the workflow's function ended, ready to be recorded."""

    event: Event
    status: EntryStatus
    value: bytes | None
    ref: int | None = None


_RECORDED = (
    TaskFailedError,
    DeadlineExceededError,
    WorkflowFailedError,
    WorkflowCancelledError,
    *CHILD_REFUSALS,
    *SEND_REFUSALS,
)
"""What the journal has recorded, or follows from it: a respawn would come to the same end."""

_CANCELLED = _Outcome(Event.CANCEL, EntryStatus.CANCELLED, None)


def _fatal_entry(error: BaseException) -> int | None:
    """Find the entry of the first recorded failure behind an error, so that a retry can void it."""
    recorded = [one.entry_n for one in behind(error) if isinstance(one, ClawError)]
    return min((n for n in recorded if n), default=None)


def _failed(error: Exception) -> _Outcome:
    record = encode_error(describe(error))
    return _Outcome(Event.FAIL, EntryStatus.FAILED, record, _fatal_entry(error))


def _arguments_of(past: Past) -> bytes:
    """Return the encoded arguments; a workflow created without an input has none."""
    value = past.start.value
    return b"{}" if value is None or value == b"null" else value


class Incarnation:
    """Runs a workflow's function from its checkpoint; made anew for each life."""

    def __init__(
        self,
        workflow: Workflow[..., object],
        sequencer: Sequencer,
        attempts: Attempts,
        row: WorkflowRow,
        past: Past,
        codec: Codec,
        next_run: NextRun,
        message_counts: MessageCounts,
        births: Births,
    ) -> None:
        self.sequencer = sequencer
        self._workflow = workflow
        self._strand = Strand(sequencer)
        # What fails the workflow at once; any other exception is a crash.
        self._failures = (*_RECORDED, *workflow.all_failures)
        self._next_run = next_run
        self._rollback = Rollback(sequencer, attempts)
        surroundings = Surroundings(
            attempts,
            self._rollback,
            next_run,
            row.run_key,
            row.seed,
            self._failures,
            message_counts,
            births,
        )
        self._closing = Closing(sequencer, self._strand, row.run_key)
        self._context = Context(self._strand, surroundings)
        self._past = past
        self._codec = codec

    async def run(self) -> Status | None:
        """Run to the end.

        Returns:
            The terminal status that was recorded; ``None`` if it left memory before.

        Raises:
            InstanceFailed: it diverged from its journal, or broke a rule; quarantine it.
            Exception: a crash.
        """
        sequencer = self.sequencer
        token = place.set(Place.WORKFLOW)
        status: Status | None = None
        try:
            with sequencer.leaving.scope:
                outcome = await self._call()
                status = await self._finish(outcome)
        except BaseException as error:  # noqa: ASYNC103 - sorted, and what is not ours goes on
            if sequencer.leaving.sealed is None:
                raise
            self._unwound(error)
        finally:
            sequencer.leaving.seal("it ended")
            place.reset(token)
            # The next incarnation must not read the journal before our last write is answered.
            with trio.CancelScope(shield=True):
                await sequencer.writes.wait_settled()
            sequencer.storage.unlisten(sequencer.pk, sequencer)
        # What the code does wrong when the next run has begun stops nothing.
        if sequencer.leaving.failure is not None and self._next_run.row is None:
            raise self._sorted(sequencer.leaving.failure)
        return status

    def _sorted(self, failure: ClawError) -> Exception:
        """Return what a latched error is to the supervisor."""
        unwinding = self.sequencer.leaving.diverged_in
        if isinstance(unwinding, Exception) and not consists_of(unwinding, self._failures):
            # A child has crashed before its past was consumed, where it did not before; the past
            # of the others says what they did then. That is a crash like any other.
            return unwinding
        failed = InstanceFailed()
        failed.__cause__ = failure
        return failed

    def _unwound(self, error: BaseException) -> None:
        """Sort out what a sealed instance ended with: its own matters end here, others go on."""
        parts = leaves(error)
        others: BaseException | None = error
        if isinstance(error, BaseExceptionGroup):
            group = cast("BaseExceptionGroup[BaseException]", error)
            others = group.split((Exception, InstanceSealed))[1]
        elif isinstance(error, Exception | InstanceSealed):
            others = None
        failed = [part for part in parts if isinstance(part, Exception)]
        if failed and self.sequencer.leaving.failure is None:
            _log.warning("workflow %s: its clean-up failed: %r", self.sequencer.id, failed[0])
        if others is not None:
            raise others

    async def _call(self) -> _Outcome:
        """Call the workflow's function, and sort its result or error into an outcome."""
        sequencer, workflow = self.sequencer, self._workflow
        signature = workflow_signature(workflow)
        value: object = None
        try:
            with trio.CancelScope() as scope:
                self._strand.begin(scope)
                args, kwargs = self._arguments(signature)
                # A coroutine: @workflow takes nothing but async functions.
                called = workflow.fn(self._context, *args, **kwargs)
                value = await Driver(cast("Coroutine[Any, Any, object]", called), self._strand)
        except Exception as error:
            if not consists_of(error, self._failures):
                raise
            return _failed(error)
        if sequencer.leaving.sealed is not None or sequencer.cancel_requested:
            return _CANCELLED
        try:
            what = f"result of workflow {sequencer.id!r}"
            encoded, _ = self._codec.round_trip(value, signature.returns, what)
        except (SerializationError, PayloadTooLargeError) as error:
            return _failed(error)  # another attempt would not mend that
        return _Outcome(Event.COMPLETE, EntryStatus.OK, encoded)

    def _arguments(self, signature: Signature) -> tuple[tuple[object, ...], dict[str, object]]:
        try:
            return signature.decode_arguments(self._codec, _arguments_of(self._past))
        except SerializationError as error:
            # The code cannot be called any more; another attempt would not mend that.
            self.sequencer.leaving.fail(error)
            raise

    async def _finish(self, outcome: _Outcome) -> Status | None:
        """Roll back what has to be, and record the end, unless the instance has been sealed.

        A cancellation that was committed before the end wins, so the end is written only if
        nothing has been added to the journal since.
        """
        sequencer = self.sequencer
        while True:
            outcome = await self._end_children(outcome)
            if outcome.event is Event.COMPLETE and sequencer.drain(until_cancelled=True):
                outcome = _CANCELLED
                continue
            if outcome.event is not Event.COMPLETE and sequencer.leaving.sealed is None:
                await self._rollback.run()
            sequencer.drain()
            if sequencer.leaving.sealed is not None:
                return None
            status = apply(Status.RUNNING, outcome.event)
            expected = sequencer.committed_n
            try:
                await sequencer.storage.submit(self._end(outcome, status), patient=True)
            except ClawError as error:
                superseded = isinstance(error, StaleWriteError) and error.what == "journal"
                if superseded and sequencer.committed_n > expected:
                    continue  # something has arrived: deliver it first
                sequencer.leaving.refused(error)
            else:
                return status

    async def _end_children(self, outcome: _Outcome) -> _Outcome:
        """Wait for the children that are to be waited for; return what the outcome is now."""
        sequencer = self.sequencer
        while sequencer.leaving.sealed is None:
            completing = outcome.event is Event.COMPLETE
            failed = await self._closing.wait(completing=completing)
            if not completing:
                break
            if sequencer.cancel_requested:
                outcome = _CANCELLED
            elif failed is not None:
                outcome = _failed(failure_of(failed))
            else:
                break
        return outcome

    def _end(self, outcome: _Outcome, status: Status) -> Advance:
        sequencer = self.sequencer
        now = sequencer.time()
        entry = Entry(
            op=END_OP,
            name="end",
            kind=EntryKind.END,
            status=outcome.status,
            at=now,
            after=sequencer.delivered,
            life=sequencer.life,
            ref=outcome.ref,
            value=outcome.value,
        )
        reason: str | None = None
        if outcome.event is Event.CANCEL and sequencer.cancel_reason is not None:
            reason = cast("str | None", json.loads(sequencer.cancel_reason))
        change = RowChange(
            status=status,
            reason=reason,
            completed_at=now,
            wake_at=None,
            restarts=(),
            recoveries=0,
        )
        sends, requests = self._closing.at_the_end()
        return Advance(
            sequencer.pk,
            sequencer.id,
            sequencer.life,
            (entry, *requests),
            change=change,
            expect_n=sequencer.committed_n,
            sends=sends,
            values=sequencer.writes.notes.values,
            values_at=now,
        )
