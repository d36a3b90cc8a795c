"""What an author declares: workflows and tasks.

A declaration is an immutable value beside its function: nothing is registered globally, and a
task stays callable as the function it was, for unit tests.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    Literal,
    NoReturn,
    ParamSpec,
    TypeVar,
    cast,
    overload,
)

import attrs

from ._core.bounds import at_least
from ._core.identity import is_valid_name
from ._core.restart import Restart
from ._core.retry import Retry
from .errors import ContextMisuseError, DefinitionError, WorkflowFailure
from .task_context import Place, place

if TYPE_CHECKING:
    from ._core.transacting import Connection
    from ._runtime.context import Context

__all__ = [
    "AsyncTask",
    "Restart",
    "Retry",
    "Task",
    "ThreadTask",
    "TransactionalTask",
    "Workflow",
    "task",
    "workflow",
]

P = ParamSpec("P")
R = TypeVar("R")
# What returns an int is also something that returns a float: so a checker accepts
# `total: float = await ctx.run(count, ...)`, and workflows of all results in one list.
R_co = TypeVar("R_co", covariant=True)

ONCE = Retry(max_attempts=1)
"""The default: effects are repeated only where the author says that they may be."""


def _check_name(name: object, kind: str) -> str:
    if not isinstance(name, str) or not is_valid_name(name):
        raise DefinitionError(
            f"{name!r} cannot name a {kind}: use up to 100 letters, digits and _ . - beginning"
            f" with a letter or _; pass name=... to @{kind}"
        )
    return name


def _check_version(version: object, name: str) -> int:
    if isinstance(version, int) and not isinstance(version, bool) and 1 <= version < 2**63:
        return version
    raise DefinitionError(f"version {version!r} of {name} is not a whole number from 1")


def _check_failures(failures: object, name: str) -> tuple[type[Exception], ...]:
    classes = cast("tuple[object, ...]", failures) if isinstance(failures, tuple) else (None,)
    if all(isinstance(cls, type) and issubclass(cls, Exception) for cls in classes):
        return cast("tuple[type[Exception], ...]", failures)
    raise DefinitionError(f"failures={failures!r} of {name} is not a tuple of exception classes")


def _refuse_direct_call(name: str) -> NoReturn:
    raise ContextMisuseError(
        f"task {name} was called directly in workflow code, so that its outcome would not be"
        f" recorded: await ctx.run({name}, ...)"
    )


@attrs.frozen(eq=False)
class Task(Generic[P, R_co]):
    """A unit of work with effects; made by :func:`task`.

    Outside workflow code, calling it calls the function. In workflow code only
    ``await ctx.run(task, ...)`` runs it, and its outcome is recorded once.

    Attributes:
        fn: the function.
        name: its name in ids and journals.
        retry: what follows a failed attempt.
        timeout: limit of one attempt, in seconds; ``None`` for none.
        heartbeat_timeout: how long an attempt may send no heartbeat, in seconds; ``None`` for
            ever.
        id: a name set by hand for this use, instead of ``name``; see :meth:`options`.
    """

    fn: Callable[P, object]
    name: str
    retry: Retry = ONCE
    timeout: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(at_least(0))
    )
    id: str | None = None
    heartbeat_timeout: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(at_least(0))
    )

    def options(
        self,
        *,
        id: str | None = None,
        retry: Retry | None = None,
        timeout: float | None = None,
        heartbeat_timeout: float | None = None,
    ) -> Task[P, R_co]:
        """Return this task with some options changed for one use.

        ``await ctx.run(charge.options(id="deposit"), order)``.

        Args:
            id: a name set by hand, which its id is made of.
            retry: another policy.
            timeout: another limit of one attempt, in seconds.
            heartbeat_timeout: another limit of its silence, in seconds.

        Raises:
            DefinitionError: the name has characters that ids are made of.
        """
        changes: dict[str, object] = {
            "retry": retry,
            "timeout": timeout,
            "heartbeat_timeout": heartbeat_timeout,
        }
        if id is not None:
            changes["id"] = _check_name(id, "task")
        given = {name: value for name, value in changes.items() if value is not None}
        return cast("Task[P, R_co]", attrs.evolve(cast("Any", self), **given))


@attrs.frozen(eq=False)
class AsyncTask(Task[P, R_co]):
    """A task whose body is an async function: it runs in the workflow's own Trio task."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[object, object, R_co]:
        """Call the function itself.

        Raises:
            ContextMisuseError: in workflow code.
        """
        if place.get() is Place.WORKFLOW:
            _refuse_direct_call(self.name)
        return cast("Coroutine[object, object, R_co]", self.fn(*args, **kwargs))


@attrs.frozen(eq=False)
class ThreadTask(Task[P, R_co]):
    """A task whose body is a plain function: it runs in a worker thread.

    A thread cannot be interrupted: on a timeout or a cancellation it is abandoned, and keeps its
    place among the worker threads until it ends.
    """

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function itself.

        Raises:
            ContextMisuseError: in workflow code.
        """
        if place.get() is Place.WORKFLOW:
            _refuse_direct_call(self.name)
        return cast("R_co", self.fn(*args, **kwargs))


@attrs.frozen(eq=False)
class TransactionalTask(Task[P, R_co]):
    """A task whose body is committed together with its outcome, in the workflows' own database.

    The body is a plain function ``(connection, *args)``; callers pass the arguments after the
    connection.
    """

    def __call__(self, connection: Connection, /, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function itself, with any connection.

        Raises:
            ContextMisuseError: in workflow code.
        """
        if place.get() is Place.WORKFLOW:
            _refuse_direct_call(self.name)
        return cast("R_co", cast("Callable[..., object]", self.fn)(connection, *args, **kwargs))


class _TransactionalDecorator:
    """``@task(transactional=True)``, typed."""

    def __init__(self, name: str | None, retry: Retry, timeout: float | None) -> None:
        self._name, self._retry, self._timeout = name, retry, timeout

    def __call__(self, fn: Callable[Concatenate[Connection, P], R]) -> TransactionalTask[P, R]:
        if not inspect.isroutine(fn) or inspect.iscoroutinefunction(fn):
            raise DefinitionError(
                f"@task(transactional=True) goes on a plain function (connection, *args), not on"
                f" {fn!r}"
            )
        if not inspect.signature(fn).parameters:
            raise DefinitionError(
                f"transactional task {fn.__name__} takes no connection as its first argument"
            )
        name = _check_name(fn.__name__ if self._name is None else self._name, "task")
        called = cast("Callable[P, object]", fn)
        return TransactionalTask(called, name, self._retry, self._timeout)


class _TaskDecorator:
    """``@task(...)``, typed for async and plain functions."""

    def __init__(
        self,
        name: str | None,
        retry: Retry,
        timeout: float | None,
        heartbeat_timeout: float | None,
    ) -> None:
        self._name, self._retry = name, retry
        self._timeout, self._heartbeat_timeout = timeout, heartbeat_timeout

    # A coroutine function fits both overloads; it is the first that is meant.
    @overload
    def __call__(  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
        self,
        fn: Callable[P, Coroutine[object, object, R]],
    ) -> AsyncTask[P, R]: ...
    @overload
    def __call__(self, fn: Callable[P, R]) -> ThreadTask[P, R]: ...
    def __call__(self, fn: Callable[..., object]) -> object:
        if not callable(fn) or inspect.isclass(fn) or inspect.isasyncgenfunction(fn):
            raise DefinitionError(f"@task goes on an async or a plain function, not on {fn!r}")
        given = getattr(fn, "__name__", "") if self._name is None else self._name
        name = _check_name(given, "task")
        silence = self._heartbeat_timeout
        made: Task[..., object]
        if inspect.iscoroutinefunction(fn):
            made = AsyncTask(fn, name, self._retry, self._timeout, heartbeat_timeout=silence)
        else:
            made = ThreadTask(fn, name, self._retry, self._timeout, heartbeat_timeout=silence)
        return made


# A coroutine function fits the first two overloads; it is the first that is meant.
@overload
def task(  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
    fn: Callable[P, Coroutine[object, object, R]],
    /,
) -> AsyncTask[P, R]: ...
@overload
def task(fn: Callable[P, R], /) -> ThreadTask[P, R]: ...
@overload
def task(
    *,
    name: str | None = None,
    retry: Retry = ONCE,
    timeout: float | None = None,
    heartbeat_timeout: float | None = None,
    transactional: Literal[False] = False,
) -> _TaskDecorator: ...
@overload
def task(
    *,
    name: str | None = None,
    retry: Retry = ONCE,
    timeout: float | None = None,
    transactional: Literal[True],
) -> _TransactionalDecorator: ...
def task(
    fn: Callable[..., object] | None = None,
    /,
    *,
    name: str | None = None,
    retry: Retry = ONCE,
    timeout: float | None = None,
    heartbeat_timeout: float | None = None,
    transactional: bool = False,
) -> object:
    """Declare a task: a unit of work with effects, whose outcome is recorded once.

    The body runs at least once; once its outcome is recorded it never runs again. Arguments and
    result must be encodable as JSON by their annotations.

    Args:
        fn: an async function, or a plain one, which runs in a worker thread.
        name: its name in ids and journals; the function's name by default. Changing it makes
            running workflows diverge.
        retry: what follows a failed attempt; by default nothing does.
        timeout: limit of one attempt, in seconds. A body that swallows the cancellation has
            still timed out. On a plain function the thread is abandoned.
        heartbeat_timeout: how long an attempt may go without ``task_info().heartbeat()``, in
            seconds; then it has timed out.
        transactional: the function is ``(connection, *args)``, and what it does with the
            connection is committed together with its outcome: exactly once. Only where storage is
            SQLite. It runs in storage's own thread, and all writes wait for it.

    Returns:
        The task; or the decorator, if called without a function.

    Raises:
        DefinitionError: this is no function, or the name is not possible; a transactional task
            is an async function, or has a ``heartbeat_timeout``.
        InvalidInputError: a timeout is not possible.
    """
    if transactional:
        if fn is not None or heartbeat_timeout is not None:
            raise DefinitionError(
                "@task(transactional=True) is called without a function and a heartbeat_timeout"
            )
        return _TransactionalDecorator(name, retry, timeout)
    decorator = _TaskDecorator(name, retry, timeout, heartbeat_timeout)
    return decorator if fn is None else decorator(fn)


@attrs.frozen(eq=False)
class Workflow(Generic[P, R_co]):
    """An async function ``(ctx, *args)`` whose progress is durable; made by :func:`workflow`.

    Calling it with a context calls the function, as a part of the calling workflow.

    Attributes:
        fn: the function.
        name, version: what its instances are stored under. An instance stays with the version
            that it started with.
        restart: the budget of crashes.
        failures: exceptions that fail the workflow at once, instead of being a crash.
    """

    fn: Callable[Concatenate[Context, P], Awaitable[R_co]]
    name: str
    version: int = 1
    restart: Restart = Restart()  # noqa: RUF009 - immutable
    failures: tuple[type[Exception], ...] = ()

    def __call__(self, ctx: Context, *args: P.args, **kwargs: P.kwargs) -> Awaitable[R_co]:
        """Call the function itself, as a part of the workflow that ``ctx`` belongs to."""
        return self.fn(ctx, *args, **kwargs)

    @property
    def all_failures(self) -> tuple[type[Exception], ...]:
        """What fails the workflow at once."""
        return (WorkflowFailure, *self.failures)


class _WorkflowDecorator:
    """``@workflow(...)``, typed."""

    def __init__(
        self,
        name: str | None,
        version: int,
        restart: Restart,
        failures: tuple[type[Exception], ...],
    ) -> None:
        self._name, self._version = name, version
        self._restart, self._failures = restart, failures

    def __call__(self, fn: Callable[Concatenate[Context, P], Awaitable[R]]) -> Workflow[P, R]:
        if not inspect.iscoroutinefunction(fn):
            raise DefinitionError(
                f"@workflow goes on an async function (ctx, *args), not on {fn!r}"
            )
        if not inspect.signature(fn).parameters:
            raise DefinitionError(
                f"workflow function {fn.__name__} takes no ctx as its first argument"
            )
        name = _check_name(fn.__name__ if self._name is None else self._name, "workflow")
        version = _check_version(self._version, name)
        return Workflow(fn, name, version, self._restart, _check_failures(self._failures, name))


@overload
def workflow(fn: Callable[Concatenate[Context, P], Awaitable[R]], /) -> Workflow[P, R]: ...
@overload
def workflow(
    *,
    name: str | None = None,
    version: int = 1,
    restart: Restart = ...,
    failures: tuple[type[Exception], ...] = (),
) -> _WorkflowDecorator: ...
def workflow(
    fn: Callable[..., Awaitable[object]] | None = None,
    /,
    *,
    name: str | None = None,
    version: int = 1,
    restart: Restart = Restart(),  # noqa: B008 - immutable
    failures: tuple[type[Exception], ...] = (),
) -> object:
    """Declare a workflow: an async function ``(ctx, *args)`` whose progress is durable.

    Its code must be deterministic: it decides by its arguments and by what ``ctx`` returned, and
    by nothing else. Effects belong in tasks.

    Args:
        fn: the function.
        name: what instances are stored under; the function's name by default.
        version: which version of the code this is, from 1. Register old versions beside the new
            one while instances of them run.
        restart: the budget of crashes within a window; over it, the instance is quarantined.
        failures: exceptions that fail the workflow at once. ``WorkflowFailure``,
            ``TaskFailedError``, ``DeadlineExceededError``, and what a child has ended with or a
            message was refused with always do, and so do groups of only these; any other
            exception is a crash.

    Returns:
        The workflow; or the decorator, if called without a function.

    Raises:
        DefinitionError: this is no async function with a context, or name, version or
            failures are not possible.
    """
    decorator = _WorkflowDecorator(name, version, restart, failures)
    return decorator if fn is None else decorator(fn)
