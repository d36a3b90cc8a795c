"""A child workflow, as its parent's code sees it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from .._core.identity import digest, send_key
from .._core.journal import CANCEL_OP, Entry, EntryKind, EntryStatus
from ..errors import (
    NotFoundError,
    WorkflowCancelledError,
    WorkflowClosedError,
    WorkflowFailedError,
)
from ..storage.codec import Codec, decode_error
from ..storage.operations import Send
from ..storage.refusals import refusal_in
from ..storage.validation import check_free_text
from .operation import Operation

if TYPE_CHECKING:
    from .context import Context
    from .sequencer import Sequencer
    from .strand import Strand

__all__ = ["ChildHandle", "failure_of"]

R_co = TypeVar("R_co", covariant=True)

MAX_REASON_CHARS = 1_000


def failure_of(entry: Entry) -> WorkflowFailedError | WorkflowCancelledError:
    """Make the error that a child's end is raised as, if it has not completed; a new one each time.

    It is what ``result()`` of a handle raises outside, and the same live and on replay.
    """
    error: WorkflowFailedError | WorkflowCancelledError
    if entry.status is EntryStatus.FAILED:
        error = WorkflowFailedError(entry.name, decode_error(entry.value or b""))
    else:
        reason = cast("str | None", json.loads(entry.value or b"null"))
        error = WorkflowCancelledError(entry.name, reason)
    error.entry_n = entry.n
    return error


class ChildHandle(Generic[R_co]):
    """A child of a workflow, as the workflow's code holds it; made by ``ctx.start_child``.

    Every context of the workflow may use it, while its code runs. It is good for one run: a
    workflow outside holds a ``WorkflowHandle``.

    Attributes:
        id: the child.
    """

    def __init__(
        self,
        sequencer: Sequencer,
        context_of: Callable[[Strand], Context],
        codec: Codec,
        id: str,
        run_key: str,
        returns: object,
    ) -> None:
        self.id = id
        self._sequencer = sequencer
        self._context_of = context_of
        self._codec = codec
        self._run_key = run_key
        self._returns = returns

    def __repr__(self) -> str:
        return f"<ChildHandle {self.id!r} of workflow {self._sequencer.id!r}>"

    async def result(self) -> R_co:
        """Wait until the child has ended, and return its result.

        Nothing is written: the end of a child is in the journal since it was committed. While the
        child is paused, or quarantined, this waits; the ``reason`` of both workflows says so if it
        is quarantined.

        Returns:
            What the child has returned, through storage.

        Raises:
            WorkflowFailedError: it failed. Uncaught it fails this workflow, as a task that failed
                does; so does the next one.
            WorkflowCancelledError: it was cancelled, or terminated.
            SerializationError: the result does not fit the declared type any more.
            NonDeterminismError: the journal says that something else came here.
            ContextMisuseError: called by anything but running code of the workflow.

        Cancelled, only the waiting ends; the child goes on.
        """
        await self._wait()
        entry = self._sequencer.brood.take_end(self.id)
        if entry.status is not EntryStatus.OK:
            raise failure_of(entry)
        what = f"result of workflow {self.id!r}"
        return cast("R_co", self._codec.decode(entry.value or b"null", self._returns, what))

    async def _wait(self) -> None:
        brood = self._sequencer.brood
        await self._running().wait_until(lambda: brood.has_ended(self.id), (brood, self.id))

    def _running(self) -> Strand:
        return self._sequencer.turns.running("the handle of a child")

    async def send(
        self, topic: str, payload: object, *, idempotency_key: str | None = None
    ) -> None:
        """Send the child a message; see ``ctx.send``."""
        context = self._context_of(self._running())
        await context.send(self.id, topic, payload, idempotency_key=idempotency_key)

    async def cancel(self, reason: str | None = None) -> None:
        """Ask the child to cancel itself; the request is durable when this returns.

        It waits for nothing more: ``result()`` raises ``WorkflowCancelledError`` when the child has
        cleaned up. If the child has ended already, or was deleted, nothing happens.

        Args:
            reason: stored with the child; at most 1,000 characters.

        Raises:
            StorageCorruptError: what is stored of the child cannot be read; recorded.
            InvalidInputError: the reason is too long.
            NonDeterminismError: the journal says that something else came here.
            ContextMisuseError: called by anything but running code of the workflow.

        Cancelled, nothing was asked. If the request was on its way already, this ends as if it had
        not been cancelled; the next operation raises.
        """
        check_free_text("reason", reason, MAX_REASON_CHARS)
        strand, sequencer = self._running(), self._sequencer
        asked = strand.asked("cancel_child", "cancel_child", EntryKind.SEND)
        value = self._codec.encode(reason, object, "reason")
        key = send_key(sequencer.id, self._run_key, asked.op)
        arguments = digest(json.dumps([self.id, reason]).encode())

        def begin(operation: Operation) -> None:
            at = sequencer.time()
            request = Entry(CANCEL_OP, "cancel", EntryKind.CANCEL, EntryStatus.OK, at, value=value)
            entry = sequencer.operations.entry(operation, at, digest=arguments)
            sequencer.operations.post(operation, entry, sends=(Send(self.id, request, key),))

        entry = cast("Entry", await strand.wait(Operation(strand, asked, begin=begin)))
        refusal = refusal_in(entry)
        if refusal is not None and not isinstance(refusal, NotFoundError | WorkflowClosedError):
            raise refusal

    async def cancel_and_wait(self, reason: str) -> None:
        """Cancel the child, and wait until it has cleaned up; for ``ctx.run_child``."""
        await self.cancel(reason)
        await self._wait()
