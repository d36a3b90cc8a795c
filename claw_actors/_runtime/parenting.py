"""What workflow code does with children: other workflows that it starts, and waits for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple, cast

import trio

from .._core.failures import consists_of, leaves
from .._core.identity import digest
from .._core.journal import Entry, EntryKind
from .._core.offspring import ON_PARENT_CLOSE, OnParentClose, child_id, child_note, read_child
from ..errors import InvalidInputError
from ..storage.operations import Advanced, Created, Result
from ..storage.refusals import refusal_in
from .child_handle import ChildHandle
from .messaging import Messaging
from .operation import Operation
from .scopes import open_shield

if TYPE_CHECKING:
    from .._core.replay import Asked
    from .births import Birth
    from .context import Context
    from .strand import Strand

__all__ = ["Parenting"]

R = TypeVar("R")
Ts = TypeVarTuple("Ts")


class Parenting(Messaging):
    """The operations of a context that have to do with child workflows."""

    async def start_child(
        self,
        workflow: Callable[[Context, *Ts], Awaitable[R]],
        *args: *Ts,
        id: str | None = None,
        on_parent_close: OnParentClose = "wait",
        metadata: Mapping[str, str] | None = None,
        description: str | None = None,
    ) -> ChildHandle[R]:
        """Start another workflow as a child of this one; it is durable when this returns.

        A child is a workflow like any other: it has a journal, restarts and crashes of its own, and
        can be seen and operated from outside. It is started once, however often this code is
        replayed.

        Args:
            workflow: declared with ``@workflow`` and registered with the runtime.
            args: its arguments after ``ctx``, encodable by their annotations.
            id: 1 to 200 characters of ``A-Z a-z 0-9 . _ : -``; by default one that is made of this
                workflow's id, the child's name and a hash.
            on_parent_close: what the end of this workflow does to the child. ``"wait"``: this
                workflow ends after it, as with a nursery: a return waits for it; a failure or a
                cancellation cancels it first. ``"cancel"``: it is cancelled when this workflow
                ends. ``"abandon"``: it is on its own.
            metadata: labels to list by.
            description: free text.

        Raises:
            DuplicateKeyError: the id is taken by something else than a child that this run has
                started, of the same workflow with the same arguments; recorded, the same on every
                replay. Uncaught it fails the workflow, like a task that failed.
            UnknownWorkflowError, DefinitionError: the workflow is not registered.
            InvalidArgumentsError, SerializationError, PayloadTooLargeError: the arguments do not
                fit; the argument is named. Nothing was started.
            InvalidInputError: id, ``on_parent_close``, metadata or description are not possible.
            StorageCorruptError: what is stored under the id cannot be read; recorded.
            NonDeterminismError: the journal says that something else came here.
            ContextMisuseError: used from another Trio task, or in a task body.

        Cancelled, nothing was started. If it was on its way already, this ends as if it had not
        been cancelled; the next operation raises.
        """
        strand, sequencer, births = self._strand, self._sequencer, self._surroundings.births
        strand.check()
        if on_parent_close not in ON_PARENT_CLOSE:
            raise InvalidInputError("on_parent_close", on_parent_close, "wait, cancel or abandon")
        call = births.prepare(
            workflow, args, metadata=metadata, description=description, on_close=on_parent_close
        )
        name, run_key = call.workflow.name, self._surroundings.run_key
        asked = strand.asked(name, name, EntryKind.CHILD)
        chosen = child_id(sequencer.id, run_key, asked.op, name) if id is None else id
        birth = births.conceive(call, chosen, sequencer.id, run_key, asked.op)
        entry = await self._bear(asked, birth)
        self._surroundings.attempts.compare(entry, call.data)
        if (refusal := refusal_in(entry)) is not None:
            raise refusal
        # Of a fork it is a child of its origin, under the id that it was given there.
        recorded, _ = read_child(entry)
        return ChildHandle(
            sequencer, self._context_of, births.codec, recorded, run_key, call.signature.returns
        )

    async def _bear(self, asked: Asked, birth: Birth) -> Entry:
        """Start a child, or take from the journal how that went."""
        operation = Operation(self._strand, asked, begin=lambda one: self._start(one, birth))
        try:
            return cast("Entry", await self._strand.wait(operation))
        except BaseException:
            if operation.write is None:  # taken back; otherwise its answer has yet to come
                birth.end()
            raise

    def _context_of(self, strand: Strand) -> Context:
        """Return the context of another strand of this instance, for what a handle does there."""
        return cast("Context", type(self)(strand, self._surroundings))

    def _start(self, operation: Operation, birth: Birth) -> None:
        """Post the write that starts a child."""
        sequencer, call = self._sequencer, birth.call
        at = sequencer.time()
        entry = sequencer.operations.entry(
            operation, at, digest=digest(call.data), value=child_note(birth.id, call.on_close)
        )

        def started(result: Result) -> None:
            # Called with the commit: what is durable is also brought to life.
            if isinstance(result, Advanced):
                [created] = result.children
                if isinstance(created, Created):
                    sequencer.brood.start(birth.id, call.on_close)
                    birth.live(created)
            birth.end()

        sequencer.operations.post(operation, entry, children=(birth.begin(at),), then=started)

    async def run_child(
        self,
        workflow: Callable[[Context, *Ts], Awaitable[R]],
        *args: *Ts,
        id: str | None = None,
        on_parent_close: OnParentClose = "wait",
        metadata: Mapping[str, str] | None = None,
        description: str | None = None,
    ) -> R:
        """Start another workflow as a child of this one, and return its result.

        Raises:
            WorkflowFailedError, WorkflowCancelledError: how it ended; see ``ChildHandle.result``.
            DuplicateKeyError, StorageCorruptError, UnknownWorkflowError, DefinitionError,
                InvalidArgumentsError, SerializationError, PayloadTooLargeError,
                InvalidInputError, NonDeterminismError, ContextMisuseError: see
                :meth:`start_child`.

        Cancelled, it cancels the child and ends when that has ended, as :meth:`run` does with a
        task; an abandoned child is left alone.
        """
        handle = await self.start_child(
            workflow,
            *args,
            id=id,
            on_parent_close=on_parent_close,
            metadata=metadata,
            description=description,
        )
        try:
            return await handle.result()
        except trio.Cancelled:
            if on_parent_close != "abandon" and self._may_clean_up(self._strand):
                with open_shield(self._strand):
                    await handle.cancel_and_wait("its parent has stopped waiting for it")  # noqa: ASYNC102, ASYNC120 - shielded
            raise

    def _may_clean_up(self, strand: Strand) -> bool:
        """Tell whether what is done now will be done again by every replay.

        It will not if the instance leaves memory, or if a mistake in its code unwinds it.
        """
        if strand.is_sealed:
            return False
        unwinding = strand.sequencer.unwinding
        errors = [unwinding[scope][1] for scope in strand.scopes if scope in unwinding]
        failed = [one for error in errors for one in leaves(error) if isinstance(one, Exception)]
        return all(consists_of(one, self._surroundings.failures) for one in failed)
