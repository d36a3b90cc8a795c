"""The storage actor: the only one that writes; one write at a time, in groups.

While one commit is in the worker thread, the next group forms: no timer, no delay when idle, one
thread hop per group. Everyone else holds a client and waits for an answer.

The contract:

- An answer that is no error means durable. ``trio.Cancelled`` means not applied: a write still
  queued is withdrawn, one in flight is waited for (milliseconds). A typed refusal means not
  applied. ``OutcomeUnknownError`` means nobody knows: stop, and recover from what is stored.
- Everything that was taken is answered before the actor ends, because whoever waits for a write
  in flight refuses to be cancelled.
- Answers and wake-ups are given by this actor, after the commit, in commit order, synchronously.
- If an incarnation's write is refused, its later queued ones are refused with it: they were
  based on the one that failed. (Not if it asked for the end of the journal to be where it was.)
- While storage is unavailable (disk full), patient writes, those of running workflows, stay
  queued and are tried again; the others are refused with the reason.
- After an I/O error the backend is let go and opened again, by the actor's supervisor. What was
  in flight is answered with ``OutcomeUnknownError``; what incarnations have queued is refused, as
  their lives end with it; what others have queued waits for the reopening.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar, TypeVarTuple, cast

import attrs
import outcome
import trio
from trio.lowlevel import Abort, RaiseCancelT, current_task, reschedule, wait_task_rescheduled

from ..errors import (
    ClawError,
    OutcomeUnknownError,
    StorageLockedError,
    StorageUnavailableError,
)
from .backend import Backend, OpenReport
from .executor import Executor
from .listeners import Listener, Listeners
from .operations import Answer, Delete, Deleted, Operation, Result
from .write_queue import Write, WriteQueue, fresh, is_of_a_life

__all__ = ["StorageActor", "StorageLimits", "StorageStatistics"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_log = logging.getLogger("claw_actors.storage")

VISITOR_POLL_S = 0.02


@attrs.frozen(kw_only=True)
class StorageLimits:
    """Bounds of the storage actor.

    Attributes:
        max_queue: operations that may be queued; further callers wait for their turn.
        max_group: operations in one commit.
        first_pause_s, longest_pause_s: between attempts while storage is unavailable; doubling.
        idle_s: how long nothing must be queued before space is given back.
        visitor_s: how long an opening waits for a visitor to leave.
    """

    max_queue: int = 10_000
    max_group: int = 1_000
    first_pause_s: float = 0.05
    longest_pause_s: float = 1.0
    idle_s: float = 1.0
    visitor_s: float = 5.0


@attrs.frozen(kw_only=True)
class StorageStatistics:
    """What the storage actor has done since it started.

    Attributes:
        commits: groups committed.
        operations: operations in them.
        largest_group: the most operations in one.
        refused: operations answered with an error.
        queued: operations queued now.
        last_commit_seconds: how long the last commit took; ``None`` before the first.
        unavailable: why storage cannot write at present, or ``None``.
    """

    commits: int
    operations: int
    largest_group: int
    refused: int
    queued: int
    last_commit_seconds: float | None
    unavailable: str | None


class StorageActor:
    """Owns a backend. Made by ``open_storage_actor``; users hold :class:`Storage`."""

    def __init__(self, backend: Backend, executor: Executor, limits: StorageLimits) -> None:
        self.backend = backend
        # What the last opening has found.
        self.report: OpenReport | None = None
        # Why it had to stop, if it did; and once it is not opened again, why it never will be.
        self.trouble: ClawError | None = None
        self.failure: ClawError | None = None
        # Called in order when an error has made it stop.
        self.on_failure: list[Callable[[], None]] = []
        # Told of entries for workflows that nobody listens to: they may have to be woken.
        self.on_unheard: Callable[[int, str], None] = lambda pk, id: None
        self._executor = executor
        self._limits = limits
        self._queue = WriteQueue(limits.max_queue, limits.max_group)
        self._listeners = Listeners(self._report_unheard)
        # Whether what an unclean end has cut off is dealt with, if there was one.
        self.ends_clean: bool = True
        self._closing = False
        self._hurried = False
        # Set while it can be used: from the start, and again after each reopening.
        self._usable = trio.Event()
        self._usable.set()
        self._unavailable: str | None = None
        self._commits = self._operations = self._largest = 0
        self._last_commit_s: float | None = None

    # -- for clients ------------------------------------------------------------------------------

    async def submit(
        self, operation: Operation, *, patient: bool = False
    ) -> Answer | tuple[Answer, ...]:
        """Have an operation committed, and return its answer.

        Waits while the queue is full. Returned means durable; cancelled means not applied.

        Args:
            operation: what to write.
            patient: wait while storage is unavailable, instead of being refused.

        Raises:
            ClawError: its refusal; nothing was applied, but for ``OutcomeUnknownError``.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        task = current_task()
        write = Write(operation, lambda result: reschedule(task, outcome.Value(result)), patient)
        if not self._refuse(write):
            self._queue.add_in_turn(write)

        def abort(_: RaiseCancelT) -> Abort:
            return Abort.SUCCEEDED if self.withdraw(write) else Abort.FAILED

        result = cast("Result", await wait_task_rescheduled(abort))
        if isinstance(result, ClawError):
            raise result
        return result

    def post(
        self, operation: Operation, done: Callable[[Result], None], patient: bool = True
    ) -> Write:
        """Queue an operation without waiting; ``done`` is called with its answer, just once.

        Not bounded by ``max_queue``: only running workflows post, and each waits for what it
        posted before it posts more.
        """
        write = Write(operation, done, patient)
        if not self._refuse(write):
            self._queue.add(write)
        return write

    def _refuse(self, write: Write) -> bool:
        lives_end = self.trouble is not None and is_of_a_life(write.operation)
        if self.failure is None and not self._closing and not lives_end:
            return False
        # Answered from the loop, never from inside the call: callers hold invariants here.
        write.queued = False
        refusal = self._refusal()
        trio.lowlevel.current_trio_token().run_sync_soon(self._queue.answer, write, refusal)
        return True

    def withdraw(self, write: Write) -> bool:
        """Take a queued write back; ``False`` if it is too late. Its ``done`` is not called."""
        return self._queue.withdraw(write)

    async def fence(self, pk: int, life: int) -> None:
        """Make sure that no write of an older incarnation can commit any more.

        Queued ones are refused; one in flight is waited for. Call this before reading what the
        next incarnation starts from.

        Args:
            pk: the workflow.
            life: writes with a smaller life are dropped.
        """
        await self._queue.fence(pk, life)

    async def read(self, fn: Callable[[*Ts], T], *args: *Ts) -> T:
        """Run one of the backend's read methods. Never waits behind a write.

        While the backend is being reopened after an error, this waits for that.
        """
        while True:
            if not self._closing:
                await self._usable.wait()
            if self._closing or self.failure is not None:
                # Who is being cancelled because of that should see only that.
                await trio.lowlevel.checkpoint_if_cancelled()
                raise self._refusal()
            opening = self.report
            try:
                return await self._executor.read(fn, *args)
            except StorageUnavailableError:
                if self.trouble is None and self.report is opening:
                    raise
                # It was let go in the middle of the read.

    def listen(self, pk: int, listener: Listener) -> None:
        """Tell ``listener`` of entries; see :meth:`Listeners.listen`."""
        self._listeners.listen(pk, listener)

    def expect_nobody(self, pk: int) -> None:
        """Nobody will listen after all; see :meth:`Listeners.expect_nobody`."""
        self._listeners.expect_nobody(pk)

    def unlisten(self, pk: int, listener: Listener) -> None:
        """Stop telling ``listener``; see :meth:`Listeners.unlisten`."""
        self._listeners.unlisten(pk, listener)

    def statistics(self) -> StorageStatistics:
        """Return what has been done so far."""
        return StorageStatistics(
            commits=self._commits,
            operations=self._operations,
            largest_group=self._largest,
            refused=self._queue.refused,
            queued=len(self._queue),
            last_commit_seconds=self._last_commit_s,
            unavailable=self._unavailable,
        )

    def hurry(self) -> None:
        """Be patient no more: while storage is unavailable, every write is refused."""
        self._hurried = True

    def close(self) -> None:
        """Finish what is queued, then end; what comes later is refused."""
        self._closing = True
        self._queue.wake()

    # -- the loop ---------------------------------------------------------------------------------

    async def live(self, started: Callable[[], None]) -> None:
        """Open the backend, commit groups until closed or failed, and let go of it.

        Args:
            started: called when it is open, and deletes that were cut off are finished.

        Raises:
            ClawError: it cannot be opened; or what has made it stop. It may live again then.
        """
        # Shielded: it is stopped by `close`, after those who still need it; and half an opening
        # would leave a lock behind.
        with trio.CancelScope(shield=True):
            self.report = await self._open()
            try:
                # Who only visits recovers nothing, and must not hide an unclean end from who will.
                self.ends_clean = self.report.clean
                self._resume(self.report, started)
                await self._serve()
            except BaseException:
                await self._executor.write(self.backend.abandon)  # noqa: ASYNC102 - shielded above
                raise
            clean = self.ends_clean
            await self._executor.write(lambda: self.backend.close(clean=clean))

    async def _open(self) -> OpenReport:
        """Open the backend; who holds it only for a moment is waited for."""
        give_up_at = trio.current_time() + self._limits.visitor_s
        while True:
            try:
                return await self._executor.write(self.backend.open)
            except StorageLockedError as error:
                late = trio.current_time() >= give_up_at
                if late or self._closing or not error.passing:
                    raise
            await trio.sleep(VISITOR_POLL_S)

    def _resume(self, report: OpenReport, started: Callable[[], None]) -> None:
        """It is open: finish deletes that were cut off, and let everybody in."""
        if self.trouble is not None:
            _log.warning("storage %s is open again", self.backend.where)
        self.trouble = None
        self._usable.set()
        unfinished = len(report.unfinished_deletes)

        def deleted(operation: Delete, result: Result) -> None:
            nonlocal unfinished
            if isinstance(result, Deleted) and not result.done:
                delete(operation)
                return
            unfinished -= 1
            if not unfinished and not isinstance(result, ClawError):
                started()

        def delete(operation: Delete) -> None:
            # Patient: the wait for space on a full disk is no reason not to open.
            self.post(operation, lambda result: deleted(operation, result))

        for pk in report.unfinished_deletes:
            delete(Delete("", pk))
        if not unfinished:
            started()

    async def run(self) -> None:
        """Commit groups until closed, or until storage fails; it lives no second time."""
        with trio.CancelScope(shield=True):
            try:
                await self._serve()
            except Exception:
                self.give_up()
            except BaseException:
                self.give_up()
                raise

    async def _serve(self) -> None:
        try:
            await self._run()
        except Exception as error:
            trouble = self._interrupt(error)
            if trouble is error:
                raise
            raise trouble from error
        except BaseException as error:
            # Whoever waits for a write in flight refuses to be cancelled: answer first.
            self._interrupt(error)
            raise

    async def _run(self) -> None:
        pause_s = self._limits.first_pause_s
        while await self._wait_for_work():
            group = self._queue.take()
            began = trio.current_time()
            try:
                results = await self._executor.write(
                    self.backend.commit, [write.operation for write in group]
                )
            except StorageUnavailableError as error:
                self._put_back(group, error)
                if self._unavailable is None:
                    _log.warning("%s; running workflows wait for it", error)
                self._unavailable = error.reason
                if self._queue:
                    await trio.sleep(pause_s)
                pause_s = min(2 * pause_s, self._limits.longest_pause_s)
            else:
                if self._unavailable is not None:
                    _log.warning("storage %s is available again", self.backend.where)
                self._unavailable, pause_s = None, self._limits.first_pause_s
                self._last_commit_s = trio.current_time() - began
                self._answer_group(group, results)
                # Who has been answered may leave memory before the next group comes.
                del group, results

    async def _wait_for_work(self) -> bool:
        if not self._queue and not self._closing and self._commits:
            with trio.move_on_after(self._limits.idle_s):
                # A write may also come and be withdrawn.
                while not self._queue and not self._closing:
                    await self._queue.wait_for_more()
            if not self._queue and not self._closing:
                await self._tidy()
        while not self._queue and not self._closing:
            await self._queue.wait_for_more()
        return bool(self._queue)

    async def _tidy(self) -> None:
        try:
            await self._executor.write(self.backend.tidy)
        except ClawError as error:
            # Space was not given back; the next commit tells whether anything is really wrong.
            _log.warning("could not give back space: %s", error)

    def _put_back(self, group: Sequence[Write], error: StorageUnavailableError) -> None:
        """Keep the patient ones, in order and first; refuse the others. Closing, refuse all."""
        self._queue.land()
        kept = [
            write for write in group if write.patient and not self._hurried and not self._closing
        ]
        self._queue.put_back(kept)
        for write in group:
            if not write.queued:
                self._queue.answer(write, fresh(error))

    def _answer_group(self, group: Sequence[Write], results: Sequence[Result]) -> None:
        self._queue.land()
        self._commits += 1
        self._operations += len(group)
        self._largest = max(self._largest, len(group))
        for write, result in zip(group, results, strict=True):
            self._queue.answer(write, result)
            if isinstance(result, ClawError):
                self._queue.refuse_followers(write, result)
            else:
                self._listeners.announce(write.operation, result)
        self._listeners.finish()

    def _report_unheard(self, pk: int, id: str) -> None:
        self.on_unheard(pk, id)  # whoever that is by now

    # -- the end ----------------------------------------------------------------------------------

    def _refusal(self) -> ClawError:
        if self.trouble is not None:
            return StorageUnavailableError(self.backend.where, f"it has failed: {self.trouble}")
        return StorageUnavailableError(self.backend.where, "it is closed")

    def _interrupt(self, error: BaseException) -> ClawError:
        """Storage has to stop: answer what was in flight and what incarnations have queued."""
        if isinstance(error, ClawError):
            trouble = error
        else:
            # A defect of the backend says nothing about what was stored.
            trouble = OutcomeUnknownError(self.backend.where, repr(error))
            trouble.__cause__ = error
        self.trouble = trouble
        self._usable = trio.Event()
        _log.error("storage failed: %s", trouble)
        for write in self._queue.land():
            self._queue.answer(write, fresh(trouble))
        self._queue.refuse_all(self._refusal, only=is_of_a_life)
        for notify in self.on_failure:
            notify()
        return trouble

    def give_up(self) -> None:
        """It lives no more: answer everything, and refuse what comes."""
        self.failure = self.trouble
        self._closing = True
        self._queue.refuse_all(self._refusal)
        self._usable.set()
