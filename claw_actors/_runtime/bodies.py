"""Task bodies: one attempt, in this Trio task, in a thread, or in a commit; and its time limits.

A body runs outside the turn, in its context's own Trio task and under the workflow's own scopes.
"""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, cast

import attrs
import trio

from .._core.failures import leaves
from ..definitions import AsyncTask, Task, TransactionalTask
from ..errors import PayloadTooLargeError, SerializationError, TaskTimeoutError
from ..storage.codec import Codec
from ..task_context import Heart, TaskInfo, place
from .endings import Cancelled, Raised, Returned
from .environment import AttemptBegun
from .heartbeat import AttemptHeart
from .transacting import transact

if TYPE_CHECKING:
    from .._core.transacting import Connection
    from .endings import Ending
    from .environment import Environment
    from .long_running import LongRunning
    from .sequencer import Sequencer
    from .undertaking import Undertaking

__all__ = ["Bodies", "TaskCounts"]


@attrs.define
class TaskCounts:
    """What the tasks of a runtime have done, for ``statistics()``."""

    running: int = 0
    attempts: int = 0
    retries: int = 0
    replayed: int = 0
    changed_arguments: int = 0


class Bodies:
    """Runs task bodies of one incarnation, once each time it is asked to."""

    def __init__(
        self,
        sequencer: Sequencer,
        run_key: str,
        *,
        codec: Codec,
        environment: Environment,
        threads: trio.CapacityLimiter,
        long_running: LongRunning,
        counts: TaskCounts,
    ) -> None:
        self._sequencer = sequencer
        self._run_key = run_key
        self._codec = codec
        self._environment = environment
        self._threads = threads
        self._long_running = long_running
        self._counts = counts

    async def attempt(self, undertaking: Undertaking) -> Ending:
        """Make one attempt."""
        if isinstance(undertaking.task, TransactionalTask):
            return await self._transact(undertaking)
        return await self._watch(undertaking)

    async def _watch(self, undertaking: Undertaking) -> Ending:
        """Make one attempt, and take note of how far it comes."""
        work = undertaking.work
        heart = AttemptHeart(self._sequencer, work, self._codec, undertaking.task.heartbeat_timeout)
        watched = self._long_running.watch(work.mark_running)
        try:
            return await self._run(undertaking, undertaking.info(self._run_key, heart), heart)
        finally:
            watched.end()
            heart.end()
            work.end_attempt()

    async def _transact(self, undertaking: Undertaking) -> Ending:
        """Make one attempt whose body is committed with its outcome."""
        task, call = undertaking.task, undertaking.call
        # Nothing is noted of it: a note would be written behind the outcome that ends it.
        info = undertaking.info(self._run_key, Heart())
        self._begin(info)
        token = place.set(info)
        variables = contextvars.copy_context()
        place.reset(token)

        def body(connection: Connection) -> bytes:
            args, kwargs = call.signature.decode_arguments(self._codec, call.data)
            result = task.fn(connection, *args, **kwargs)
            what = f"result of task {info.task_id!r}"
            return self._codec.round_trip(result, call.signature.returns, what)[0]

        self._counts.running += 1
        try:
            return await transact(
                undertaking.strand,
                undertaking.entry(Returned(b""), attempt=info.attempt),
                lambda connection: variables.run(body, connection),
                closed=undertaking.closed,
                limit_s=task.timeout,
            )
        finally:
            self._counts.running -= 1

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

    async def _run(self, undertaking: Undertaking, info: TaskInfo, heart: AttemptHeart) -> Ending:
        """Run the body once."""
        if trio.current_effective_deadline() == -float("inf"):
            return Cancelled()  # before it could start
        task, signature = undertaking.task, undertaking.call.signature
        self._begin(info)
        began = trio.current_time()
        # Each attempt gets arguments of its own: a body that changes them in place changes
        # nothing for the workflow, which a replay could not repeat.
        args, kwargs = signature.decode_arguments(self._codec, undertaking.call.data)
        token = place.set(info)
        self._counts.running += 1
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
                value, _ = self._codec.round_trip(result, signature.returns, what)
            except (SerializationError, PayloadTooLargeError) as error:
                # The effect has happened and must not be repeated.
                return Raised(error, final=True)
            return Returned(value)
        except BaseException as error:  # noqa: ASYNC103 - raised again when its entry is delivered
            parts = leaves(error)
            if any(not isinstance(part, Exception | trio.Cancelled) for part in parts):
                raise
            if any(isinstance(part, trio.Cancelled) for part in parts):
                undertaking.strand.check_durable()
            if all(isinstance(part, trio.Cancelled) for part in parts):
                self._sequencer.leaving.body_cancelled(info, trio.current_time() - began)
                return Cancelled()  # noqa: ASYNC104
            if isinstance(error, Exception):
                return Raised(error)  # noqa: ASYNC104
            # A body that was cancelled, and whose clean-up failed.
            group = cast("BaseExceptionGroup[BaseException]", error)
            return Raised(cast("Exception", group.split(Exception)[0]))  # noqa: ASYNC104
        finally:
            self._counts.running -= 1
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


def _limit(timeout: float | None) -> contextlib.AbstractContextManager[trio.CancelScope | None]:
    if timeout is None:
        return contextlib.nullcontext()
    return trio.move_on_after(timeout)  # noqa: ASYNC122 - relative to its entry since Trio 0.27
