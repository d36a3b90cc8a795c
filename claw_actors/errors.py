"""Every exception that claw_actors raises on purpose: one flat family under :class:`ClawError`.

A program decides by class and by attributes, never by parsing a message. Each message says what
happened and what to do about it. Exceptions of the libraries below (sqlite3, cattrs, ``OSError``)
are mapped to these where they enter, and kept as ``__cause__``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._core.failures import ErrorRecord
    from ._core.supervision.policy import ChildCrash

__all__ = [
    "ActorCrashedError",
    "ActorStoppedError",
    "AskCycleError",
    "ChildRunningError",
    "ChildStartError",
    "ClawError",
    "ConfigurationError",
    "ContextMisuseError",
    "ControlRefusedError",
    "DeadlineExceededError",
    "DefinitionError",
    "DuplicateChildError",
    "DuplicateKeyError",
    "ForeignAwaitError",
    "InstanceSealed",
    "InvalidArgumentsError",
    "InvalidInputError",
    "InvalidTransitionError",
    "JournalLimitError",
    "MailboxFullError",
    "NonDeterminismError",
    "NotFoundError",
    "OutcomeUnknownError",
    "OwnerUnreachableError",
    "PayloadTooLargeError",
    "RequestOutcomeUnknownError",
    "RequestRefusedError",
    "RestartLimitExceededError",
    "RetryAfter",
    "RollbackFailedError",
    "RuntimeClosedError",
    "SerializationError",
    "StaleWriteError",
    "StorageCorruptError",
    "StorageLockedError",
    "StorageUnavailableError",
    "StorageVersionError",
    "SupervisorStoppedError",
    "TaskFailedError",
    "TaskTimeoutError",
    "TransactionDeniedError",
    "TransactionsUnsupportedError",
    "UnknownChildError",
    "UnknownWorkflowError",
    "WorkflowCancelledError",
    "WorkflowClosedError",
    "WorkflowFailedError",
    "WorkflowFailure",
    "WorkflowQuarantinedError",
]


class ClawError(Exception):
    """Base of every error of claw_actors; catch it to catch them all.

    Attributes:
        entry_n: of one that a workflow's journal has recorded, and that every replay raises again:
            the number of its entry; 0 of any other.
    """

    entry_n: int = 0

    def __copy__(self) -> Self:
        # `BaseException` would call the class with the message, and ours take what it is made of.
        twin = type(self).__new__(type(self), *self.args)
        twin.__dict__.update(self.__dict__)
        return twin


# -- storage ---------------------------------------------------------------------------------


class NotFoundError(ClawError):
    """No workflow, task or value has this id. Nothing was changed.

    Attributes:
        kind: ``"workflow"``, ``"task"`` or ``"value"``.
        id: the id that was asked for.
    """

    def __init__(self, kind: str, id: str) -> None:
        super().__init__(f"no {kind} has the id {id!r}")
        self.kind = kind
        self.id = id


class DuplicateKeyError(ClawError):
    """The id is taken, by something that differs from what was asked. Nothing was changed.

    Attributes:
        id: the id that is taken.
        differs: what differs from the stored one (``"workflow"``, ``"arguments"``); empty where
            only the id was compared.
    """

    def __init__(self, id: str, differs: Sequence[str] = ()) -> None:
        what = f", but not with the same {' and '.join(differs)}" if differs else ""
        super().__init__(f"a workflow with the id {id!r} exists{what}; use another id")
        self.id = id
        self.differs: tuple[str, ...] = tuple(differs)


class StaleWriteError(ClawError):
    """The write was based on something that has changed since. Nothing was changed.

    Read again and decide anew. Inside the runtime this is the fence that keeps an old
    incarnation, or an old owner, from writing.

    Attributes:
        id: the workflow.
        what: what was compared: ``"revision"``, ``"life"``, ``"journal"`` or ``"task"``.
        expected: the value the writer had; of a task, the status it was to get.
        found: the value that is stored; of a task, how it ended.
        differs: of a task whose outcome was saved again, what differs from the recorded one.
    """

    def __init__(
        self, id: str, what: str, expected: object, found: object, differs: Sequence[str] = ()
    ) -> None:
        if what == "task":
            other = f", with another {' and another '.join(differs)}" if differs else ""
            message = (
                f"a task of workflow {id!r} has ended already: {found!r} is recorded{other};"
                " what is recorded is never changed"
            )
        else:
            message = (
                f"workflow {id!r} has changed: {what} {expected!r} was expected, {found!r} is"
                " stored; read it again"
            )
        super().__init__(message)
        self.id = id
        self.what = what
        self.expected = expected
        self.found = found
        self.differs: tuple[str, ...] = tuple(differs)


class SerializationError(ClawError):
    """A value cannot be written as strict JSON, or a stored one does not fit its type.

    Attributes:
        what: what was being encoded or decoded, such as ``"argument 'order' of charge_card"``.
        type_name: the type that was declared or found.
        reason: what is wrong with it.
    """

    def __init__(self, what: str, type_name: str, reason: str) -> None:
        super().__init__(f"{what} ({type_name}): {reason}")
        self.what = what
        self.type_name = type_name
        self.reason = reason


class PayloadTooLargeError(ClawError):
    """An encoded value is over the limit. Nothing was changed.

    Store large data elsewhere (a file, an object store) and pass its name.

    Attributes:
        what: which value.
        size_bytes: its encoded size.
        limit_bytes: the limit in force.
    """

    def __init__(self, what: str, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"{what} is {size_bytes:,} bytes encoded, over the limit of {limit_bytes:,};"
            " store large data elsewhere and pass its name"
        )
        self.what = what
        self.size_bytes = size_bytes
        self.limit_bytes = limit_bytes


class StorageUnavailableError(ClawError):
    """Storage cannot take the call now (disk full, missing directory, busy, closed). Not applied.

    Attributes:
        where: the path, or the name of the backend.
        reason: what the system said.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"storage {where} is unavailable: {reason}")
        self.where = where
        self.reason = reason


class StorageLockedError(ClawError):
    """Another runtime owns this database. There is never a second writer.

    Attributes:
        path: the database file.
        holder: who holds it, as it named itself.
        passing: whether it may be free in a moment: its holder only visits it
            (:func:`open_client`), or has taken it just now and not said who it is.
    """

    def __init__(self, path: str, holder: str, *, passing: bool = False) -> None:
        super().__init__(f"{path} is owned by {holder}; one file has one owner at a time")
        self.path = path
        self.holder = holder
        self.passing = passing


class StorageCorruptError(ClawError):
    """Stored bytes are not what was written. Nothing was changed.

    Attributes:
        where: the file, or the record in it.
        reason: how it was noticed.
        advice: what to do next.
    """

    def __init__(self, where: str, reason: str, advice: str) -> None:
        super().__init__(f"{where} is damaged: {reason}. {advice}")
        self.where = where
        self.reason = reason
        self.advice = advice


class StorageVersionError(ClawError):
    """The database was written by another version of claw_actors. Nothing was changed.

    If it was a newer one, upgrade to open it. An older one's is brought up to date by the next
    runtime that opens it; a visitor (:func:`open_client`) leaves that to the runtime.

    Attributes:
        path: the database file.
        found: its schema version.
        supported: the newest version that this installation reads.
    """

    def __init__(self, path: str, found: int, supported: int) -> None:
        advice = (
            "upgrade claw_actors to open it"
            if found > supported
            else "open it with a runtime first, which brings it up to date"
        )
        super().__init__(
            f"{path} has schema version {found}, this claw_actors reads up to {supported}; {advice}"
        )
        self.path = path
        self.found = found
        self.supported = supported


class OutcomeUnknownError(ClawError):
    """An I/O error struck during a commit: it may or may not be on disk.

    Whoever gets this must stop, and recover from what is stored.

    Attributes:
        where: the path, or the name of the backend.
        reason: what the system said.
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(
            f"a commit to {where} ended in an I/O error, so it may or may not be stored: {reason}."
            " Close and reopen; recovery reads what is there"
        )
        self.where = where
        self.reason = reason


# -- declaring and starting ---------------------------------------------------------------------


class InvalidInputError(ClawError):
    """A value handed to the API is not acceptable. Nothing was changed.

    Attributes:
        field: which one.
        value: what was given, as text.
        allowed: what would be acceptable.
    """

    def __init__(self, field: str, value: object, allowed: str) -> None:
        text = repr(value)
        super().__init__(f"{field} {text if len(text) <= 200 else text[:200] + '…'}: {allowed}")
        self.field = field
        self.value = text
        self.allowed = allowed


class ConfigurationError(ClawError):
    """A setting cannot be what it is set to, or a file of settings cannot be read.

    Attributes:
        source: the file, ``the environment`` or ``the arguments``.
        key: what the source calls the setting; ``None`` if the whole file is meant.
        value: what was given, as text; ``None`` if the whole file is meant.
        allowed: what would be acceptable; of a file, what is wrong with it.
    """

    def __init__(self, source: str, key: str | None, value: object, allowed: str) -> None:
        if key is None:
            super().__init__(f"{source}: {allowed}")
            self.value = None
        else:
            text = repr(value)
            text = text if len(text) <= 200 else text[:200] + "…"
            super().__init__(f"{source}: {key} = {text}: {allowed}")
            self.value = text
        self.source = source
        self.key = key
        self.allowed = allowed


class InvalidArgumentsError(ClawError):
    """The arguments do not fit the function's signature. Nothing was started.

    Attributes:
        name: the workflow or task.
        reason: what does not fit.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} cannot be called with these arguments: {reason}")
        self.name = name
        self.reason = reason


class DefinitionError(ClawError):
    """A ``@workflow`` or ``@task`` is declared wrongly, or one was expected and not given."""


class UnknownWorkflowError(ClawError):
    """The workflow, or this version of it, is not registered with the runtime.

    Attributes:
        name: the workflow's name.
        version: the version asked for, or ``None`` for the newest.
        known: what is registered, as ``name@version``.
    """

    def __init__(self, name: str, version: int | None, known: Sequence[str]) -> None:
        wanted = name if version is None else f"{name}@{version}"
        super().__init__(
            f"workflow {wanted} is not registered (registered: {', '.join(known) or 'none'});"
            " pass it to open_runtime(workflows=[...])"
        )
        self.name = name
        self.version = version
        self.known: tuple[str, ...] = tuple(known)


class RuntimeClosedError(ClawError):
    """The runtime is closing or closed; nothing was changed."""

    def __init__(self) -> None:
        super().__init__("the runtime is closed; open it again to go on")


class InvalidTransitionError(ClawError):
    """The event is not possible in the workflow's present status. Nothing was changed.

    Attributes:
        id: the workflow.
        status: its status.
        event: what was asked.
    """

    def __init__(self, id: str, status: str, event: str, advice: str = "") -> None:
        super().__init__(
            f"workflow {id!r} is {status}: {event} is not possible"
            + (f"; {advice}" if advice else "")
        )
        self.id = id
        self.status = status
        self.event = event


class WorkflowClosedError(ClawError):
    """The workflow has ended, so it takes no more messages and requests. Nothing was changed.

    Attributes:
        id: the workflow.
        status: how it ended.
    """

    def __init__(self, id: str, status: str) -> None:
        super().__init__(f"workflow {id!r} has ended ({status}) and takes no more requests")
        self.id = id
        self.status = status


# -- from another process ----------------------------------------------------------------------


class OwnerUnreachableError(ClawError):
    """Somebody owns the database, and could not be asked before the time was up. Nothing was done.

    It is just starting or closing, it has no control socket (``RuntimeConfig(control=False)``, or
    ``open_storage``), or it is stuck.

    Attributes:
        path: the database file.
        holder: who owns it, as it named itself.
        reason: how asking it has failed the last time.
    """

    def __init__(self, path: str, holder: str, reason: str) -> None:
        super().__init__(
            f"{path} is owned by {holder}, who could not be asked: {reason}. Nothing was done"
        )
        self.path = path
        self.holder = holder
        self.reason = reason


class ControlRefusedError(ClawError):
    """Who answers on the control socket refuses to be asked, or is none of ours. Nothing was done.

    Attributes:
        path: the control socket.
        reason: what it said, or what is wrong with it.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"nothing was done through {path}: {reason}")
        self.path = path
        self.reason = reason


class RequestOutcomeUnknownError(ClawError):
    """The owner was asked, and has not answered: what it was asked for may or may not be done.

    Look at the workflow before you ask again.

    Attributes:
        operation: what was asked for: ``"cancel"``, ``"retry"`` ….
        id: the workflow.
        reason: why there is no answer.
    """

    def __init__(self, operation: str, id: str, reason: str) -> None:
        super().__init__(
            f"{operation} of workflow {id!r} may or may not be done: {reason}; look before you"
            " ask again"
        )
        self.operation = operation
        self.id = id
        self.reason = reason


# -- results --------------------------------------------------------------------------------------


class WorkflowFailedError(ClawError):
    """``result()``: the workflow failed.

    Attributes:
        id: the workflow.
        error: type names, message and traceback of what it failed with.
    """

    def __init__(self, id: str, error: ErrorRecord) -> None:
        super().__init__(f"workflow {id!r} failed: {error}")
        self.id = id
        self.error = error


class WorkflowCancelledError(ClawError):
    """``result()``: the workflow was cancelled.

    Attributes:
        id: the workflow.
        reason: the reason given with the request, or ``None``.
    """

    def __init__(self, id: str, reason: str | None) -> None:
        super().__init__(f"workflow {id!r} was cancelled" + (f": {reason}" if reason else ""))
        self.id = id
        self.reason = reason


class WorkflowQuarantinedError(ClawError):
    """``result()``: the workflow kept crashing and is parked, with its journal untouched.

    Mend the cause, then ``retry`` it.

    Attributes:
        id: the workflow.
        reason: the last crash, or why it was parked.
    """

    def __init__(self, id: str, reason: str | None) -> None:
        super().__init__(
            f"workflow {id!r} is quarantined: {reason or 'no reason recorded'};"
            " mend the cause, then retry it"
        )
        self.id = id
        self.reason = reason


# -- inside workflow code ---------------------------------------------------------------------------


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


# -- actors and supervision --------------------------------------------------------------------


class RestartLimitExceededError(ClawError):
    """A supervisor has given up: its children had to be restarted too often within its window.

    All its children are stopped. Under another supervisor this is a crash like any other; from
    ``open_supervisor`` it comes out of the block. ``__cause__`` is the error of the last crash.

    Attributes:
        supervisor: its path; empty for the root.
        history: the crashes in the window, oldest first.
    """

    def __init__(self, supervisor: str, history: Sequence[ChildCrash]) -> None:
        last = history[-1]
        why = "it ended" if last.error is None else repr(last.error)
        super().__init__(
            f"supervisor {supervisor or '/'!r} gave up after {len(history)} crashes;"
            f" the last was child {last.id!r}: {why}"
        )
        self.supervisor = supervisor
        self.history: tuple[ChildCrash, ...] = tuple(history)


class ChildStartError(ClawError):
    """A child did not start: it raised (``__cause__``), took too long, or was stopped meanwhile.

    A supervisor that was booting has stopped what it had started; one that was running goes on
    without this child.

    Attributes:
        id: the child.
        why: what happened.
    """

    def __init__(self, id: str, why: str) -> None:
        super().__init__(f"child {id!r} did not start: {why}")
        self.id = id
        self.why = why


class DuplicateChildError(ClawError):
    """The supervisor has a child of this id, perhaps one that is just ending. Nothing was started.

    Attributes:
        id: the id that is taken.
    """

    def __init__(self, id: str) -> None:
        super().__init__(f"there is a child {id!r}; stop and delete it first, or use another id")
        self.id = id


class UnknownChildError(ClawError):
    """The supervisor has no child of this id.

    Attributes:
        id: the id that was asked for.
    """

    def __init__(self, id: str) -> None:
        super().__init__(f"there is no child {id!r}; temporary ones are forgotten when they end")
        self.id = id


class ChildRunningError(ClawError):
    """The child runs, so it cannot be restarted by hand or deleted; stop it first.

    Attributes:
        id: the child.
    """

    def __init__(self, id: str) -> None:
        super().__init__(f"child {id!r} runs; stop it first")
        self.id = id


class SupervisorStoppedError(ClawError):
    """The supervisor is stopping, or has stopped, and takes no more children.

    Attributes:
        supervisor: its path; empty for the root.
    """

    def __init__(self, supervisor: str) -> None:
        super().__init__(f"supervisor {supervisor or '/'!r} is stopping")
        self.supervisor = supervisor


class ActorCrashedError(ClawError):
    """The actor crashed while it dealt with the request. ``__cause__`` is what it raised.

    Whether the request had an effect is not known; it is not repeated. The next incarnation
    answers the next request.

    Attributes:
        id: the actor's path.
        incarnation: the one that crashed.
    """

    def __init__(self, id: str, incarnation: int) -> None:
        super().__init__(f"actor {id!r} crashed (incarnation {incarnation}) while it was asked")
        self.id = id
        self.incarnation = incarnation


class ActorStoppedError(ClawError):
    """The actor has stopped, or stopped before it answered; there is no further incarnation.

    Attributes:
        id: the actor's path.
    """

    def __init__(self, id: str) -> None:
        super().__init__(f"actor {id!r} has stopped and answers no more")
        self.id = id


class MailboxFullError(ClawError):
    """The actor's mailbox is full, and it was said not to wait. The message was not taken.

    Attributes:
        id: the actor's path.
        capacity: how many messages the mailbox holds.
    """

    def __init__(self, id: str, capacity: int) -> None:
        super().__init__(f"the mailbox of actor {id!r} is full ({capacity} messages)")
        self.id = id
        self.capacity = capacity


class AskCycleError(ClawError):
    """An actor asked one that waits for it, directly or through others: no answer could ever come.

    The request was not sent. Use ``tell``, or split what the actors share into a third one.

    Attributes:
        path: the actors, from the one that asked round to itself.
    """

    def __init__(self, path: Sequence[str]) -> None:
        super().__init__(f"these actors would wait for each other: {' -> '.join(path)}")
        self.path: tuple[str, ...] = tuple(path)


class RequestRefusedError(ClawError):
    """A request was refused: by an actor, or by a workflow that could not read it.

    Raise this, or a subclass, in an actor's ``receive`` to refuse a request without crashing the
    actor. Whoever asked gets it raised, as a copy. For a message that was told, it is logged.
    """
