"""Errors inside workflow code, and of the tasks it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .family import ClawError
from .starting import InvalidInputError

if TYPE_CHECKING:
    from .._core.failures import ErrorRecord

__all__ = [
    "ContextMisuseError",
    "DeadlineExceededError",
    "ForeignAwaitError",
    "InstanceSealed",
    "JournalLimitError",
    "NonDeterminismError",
    "RetryAfter",
    "RollbackFailedError",
    "TaskFailedError",
    "TaskTimeoutError",
    "TransactionDeniedError",
    "TransactionsUnsupportedError",
    "WorkflowFailure",
]


class WorkflowFailure(ClawError):
    """Raise this, or a subclass, in workflow code to fail the workflow on purpose, at once.

    Any other exception that leaves a workflow function is a crash, which is supervised: the
    workflow is respawned from its checkpoint.
    """


class TaskFailedError(ClawError):
    """A task has used up its retries; the same class and content live and on replay.

    Attributes:
        task_id: the task's id within its workflow.
        name: the task's name.
        attempts: how many attempts ended.
        error: type names, message and traceback of the last attempt's exception.
    """

    def __init__(
        self, task_id: str, name: str, attempts: int, error: ErrorRecord, *, entry_n: int = 0
    ) -> None:
        tries = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        super().__init__(f"task {task_id!r} failed after {tries}: {error}")
        self.task_id = task_id
        self.name = name
        self.attempts = attempts
        self.error = error
        self.entry_n = entry_n

    def is_(self, exception_type: type[BaseException]) -> bool:
        """Tell whether the task's exception was an instance of this type (by its stored names)."""
        return self.error.is_(exception_type)


class RollbackFailedError(ClawError):
    """A rollback handler has used up its retries, so the rollback stopped there.

    The workflow is quarantined with this as its reason. ``retry`` runs the handler again, and
    then those that were registered before it.

    Attributes:
        id: the workflow.
        task_id: the handler's id, such as ``rollback/refund``.
        name: its task's name.
        attempts: how many attempts ended.
        error: type names, message and traceback of the last attempt's exception.
    """

    def __init__(self, id: str, task_id: str, name: str, attempts: int, error: ErrorRecord) -> None:
        tries = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        super().__init__(
            f"the rollback of workflow {id!r} stopped at handler {task_id!r}, which failed after"
            f" {tries}: {error}; mend the cause, then retry"
        )
        self.id = id
        self.task_id = task_id
        self.name = name
        self.attempts = attempts
        self.error = error


class DeadlineExceededError(ClawError):
    """A block of ``ctx.fail_after`` took longer than it may.

    Uncaught it fails the workflow, like a task that failed: a replay would come to the same end.

    Attributes:
        deadline: when the time was up, in POSIX seconds.
    """

    def __init__(self, deadline: float) -> None:
        super().__init__(f"the block was not done by its deadline, {deadline:.3f}")
        self.deadline = deadline


class TaskTimeoutError(ClawError):
    """One attempt of a task took longer than it may. It counts as a failed attempt.

    Attributes:
        timeout_s: the limit, in seconds.
        silent: whether it is the limit of its silence, ``heartbeat_timeout``; otherwise it is
            ``timeout``.
    """

    def __init__(self, timeout_s: float, *, silent: bool = False) -> None:
        what = "sent no heartbeat for" if silent else "took longer than"
        super().__init__(f"the attempt {what} {timeout_s:g} s")
        self.timeout_s = timeout_s
        self.silent = silent


class TransactionDeniedError(ClawError):
    """A statement that a transactional task must not run; nothing of it was done.

    Denied are transaction control, ``PRAGMA``, ``ATTACH``, temporary and virtual tables, and
    everything about the tables of claw_actors, reading included.

    Attributes:
        reason: what SQLite says about it.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"a statement is not allowed in a transactional task: {reason}; it may read and change"
            " tables of its own"
        )
        self.reason = reason


class TransactionsUnsupportedError(ClawError):
    """A transactional task cannot run on this storage; nothing was started or written.

    Attributes:
        name: the task's name.
        where: the storage.
    """

    def __init__(self, name: str, where: str) -> None:
        super().__init__(
            f"task {name} is transactional, and {where} is no SQL database: open the runtime with"
            " SQLite, or declare the task without transactional=True"
        )
        self.name = name
        self.where = where


class RetryAfter(ClawError):
    """Raise this in a task body: this attempt failed, try again after that many seconds.

    It uses up an attempt like any failure; only the delay is set by hand.

    Attributes:
        seconds: the delay before the next attempt.
    """

    def __init__(self, seconds: float, message: str = "") -> None:
        if not 0 <= seconds < float("inf"):
            raise InvalidInputError("seconds", seconds, "a finite number, at least 0")
        super().__init__(message or f"retry after {seconds:g} s")
        self.seconds = seconds


class NonDeterminismError(ClawError):
    """The workflow's code does not do what its journal says it did.

    The instance is quarantined with its journal untouched: deploy the code it started with,
    then ``retry`` it.

    Attributes:
        id: the workflow.
        expected: what the journal says came here.
        got: what the code asked for.
    """

    def __init__(self, id: str, expected: str, got: str) -> None:
        super().__init__(
            f"workflow {id!r} diverged from its journal: expected {expected}, got {got}."
            " Workflow code must decide by its arguments and by what ctx returned, and by nothing"
            " else (no clock, no random, no I/O, no global state)"
        )
        self.id = id
        self.expected = expected
        self.got = got


class ForeignAwaitError(ClawError):
    """Workflow code awaited something that is not an operation of its context.

    A replay could not repeat it. Put effects into a ``@task`` and ``await ctx.run(...)``; wait
    with ``ctx.sleep``; for things side by side there are ``ctx.open_nursery``, ``ctx.wait_until``
    and ``ctx.lock``, ``ctx.event``, ``ctx.semaphore``, ``ctx.channel``.

    Attributes:
        where: file, line and function of the await.
    """

    def __init__(self, where: str) -> None:
        super().__init__(
            f"workflow code awaited something other than ctx, at {where}; put it into a @task and"
            " await ctx.run(...), wait with ctx.sleep(...), or coordinate children with"
            " ctx.open_nursery(), ctx.wait_until(...), ctx.lock(), ctx.event(), ctx.channel(n)"
        )
        self.where = where


class JournalLimitError(ClawError):
    """The journal of one run has reached its limit; the instance is quarantined.

    Raise ``max_journal_entries`` and ``retry`` it, or split the work over several workflows.

    Attributes:
        id: the workflow.
        limit: how many entries are allowed.
    """

    def __init__(self, id: str, limit: int) -> None:
        super().__init__(
            f"the journal of workflow {id!r} has reached its limit of {limit:,} entries; raise"
            " max_journal_entries and retry it, or split the work over several workflows"
        )
        self.id = id
        self.limit = limit


class ContextMisuseError(ClawError):
    """A context was used where it must not be: from another Trio task, or inside a task body."""


class InstanceSealed(BaseException):
    """A context was used while its instance leaves memory (shutdown, crash, divergence).

    Nothing is recorded any more, whatever a ``finally`` does. It is no ``Exception``, so that
    ``except Exception`` in workflow code does not keep a stopped instance alive; never catch it.

    Attributes:
        why: what sealed the instance.
    """

    def __init__(self, why: str) -> None:
        super().__init__(f"the instance is leaving memory ({why}); nothing is recorded any more")
        self.why = why
