"""Calls of tasks: checked and encoded before anything is written, then run or replayed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from trio.lowlevel import checkpoint_if_cancelled

from .._core.journal import Entry, EntryKind, EntryStatus
from ..definitions import Task, TransactionalTask
from ..errors import DefinitionError, TaskFailedError
from ..storage.codec import decode_error
from .operation import BEGIN, Operation
from .signatures import signature_of
from .undertaking import Call

if TYPE_CHECKING:
    from .._core.replay import Asked
    from .attempts import Attempts
    from .strand import Strand

__all__ = ["asked_of", "perform", "prepare"]

R = TypeVar("R")


def prepare(
    attempts: Attempts, task: Task[..., R], args: tuple[object, ...], kwargs: dict[str, object]
) -> Call[R]:
    """Check and encode a call.

    Raises:
        DefinitionError: this is no task.
        InvalidArgumentsError, SerializationError, PayloadTooLargeError: the arguments do not fit.
        TransactionsUnsupportedError: it is transactional, and there is no SQL.
    """
    if not isinstance(task, Task):
        raise DefinitionError(f"{task!r} is no task; declare it with @task")
    attempts.check(task)
    # The connection is not an argument that anybody passes.
    is_transactional = isinstance(task, TransactionalTask)
    signature = signature_of(task.fn, task.name, skip_first=is_transactional)
    return Call(task, signature, signature.encode_arguments(attempts.codec, args, kwargs))


async def perform(strand: Strand, attempts: Attempts, asked: Asked, call: Call[R]) -> R:
    """Run a call's task and return its result; or, if it is recorded already, just that.

    Raises:
        TaskFailedError: it used up its retries.
        NonDeterminismError: the journal says that something else came here.
        trio.Cancelled: it was cancelled, and that is recorded.
    """
    operation = Operation(strand, asked)
    strand.inside = True
    try:
        await strand.enter()
        strand.sequencer.operations.match(operation)
        entry = await strand.give_up_turn(operation)
        while isinstance(entry, Entry) and _is_not_repeated(strand, entry):
            strand.sequencer.void(entry)
            entry = await strand.give_up_turn(operation)
        if entry is BEGIN:
            entry = await attempts.perform(strand, operation, call)
        elif isinstance(entry, Entry):  # otherwise the instance leaves memory before it came
            attempts.note_replayed(entry, call.data)
        return cast("R", await _outcome(strand, attempts, operation, entry, call))
    finally:
        strand.operation = None
        strand.inside = False


def _is_not_repeated(strand: Strand, entry: Entry) -> bool:
    """Tell whether the body was cut off by an exception that has not come again.

    A child had crashed, and now it does not; or its failure was voided by a retry.
    """
    is_cut_off = entry.status is EntryStatus.CANCELLED and entry.ref is not None
    return is_cut_off and not strand.is_sealed and not strand.is_cancelled


async def _outcome(
    strand: Strand, attempts: Attempts, operation: Operation, entry: object, call: Call[Any]
) -> object:
    """Return a task's result, or raise what its entry says."""
    if isinstance(entry, Entry) and not strand.is_sealed:
        if entry.status is EntryStatus.OK:
            what = f"result of task {operation.id!r}"
            return attempts.codec.decode(entry.value or b"null", call.signature.returns, what)
        if entry.status is EntryStatus.FAILED:
            error = decode_error(entry.value or b"")
            raise TaskFailedError(
                operation.id, call.task.name, entry.attempt, error, entry_n=entry.n
            )
    await checkpoint_if_cancelled()
    if strand.is_sealed:
        raise strand.sealed_error()
    raise strand.sequencer.leaving.diverge(f"{operation.asked}, cancelled", "no cancellation here")


def asked_of(strand: Strand, call: Call[Any]) -> Asked:
    """Say what a strand asks for with a call."""
    return strand.asked(call.name, call.task.name, EntryKind.TASK)
