"""The writes that the storage actor has taken and not answered yet, in order.

A write is queued, and can be withdrawn; or in flight, and can only be waited for; or answered, just
once. That is all that is decided here: when a group is committed, and what its results mean, is the
storage actor's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import trio

from ..errors import ClawError, StaleWriteError
from .operations import Advance, Claim, Operation, Result, Transact

__all__ = ["Write", "WriteQueue", "fresh", "is_of_a_life"]


@attrs.define(eq=False)
class Write:
    """One write on its way: queued (it can be withdrawn), in flight (it cannot), or answered."""

    operation: Operation
    done: Callable[[Result], None]
    patient: bool
    queued: bool = True


def fresh(error: ClawError) -> ClawError:
    """Copy an error for one more receiver: a raised exception must not be shared by two tasks."""
    # Not copy.copy: that calls the class with the message alone.
    twin = type(error).__new__(type(error), *error.args)
    twin.__dict__.update(error.__dict__)
    twin.__cause__ = error
    return twin


def is_of_a_life(operation: Operation) -> bool:
    """Tell whether an operation makes sense only to an incarnation, or to who begins one."""
    return isinstance(operation, Advance | Transact | Claim)


def _advance_of(operation: Operation) -> Advance | None:
    """Return what an incarnation writes with an operation, if one does."""
    if isinstance(operation, Transact):
        return operation.advance
    return operation if isinstance(operation, Advance) else None


def _is_conditional(refusal: ClawError) -> bool:
    """Tell whether a write was only refused because something else arrived before it.

    Its author has reckoned with that, and what it wrote later does not build on it.
    """
    return isinstance(refusal, StaleWriteError) and refusal.what == "journal"


class WriteQueue:
    """Bounded for those who wait for room; a running workflow waits for its answers instead."""

    def __init__(self, max_queue: int, max_group: int) -> None:
        # How many were answered with an error.
        self.refused: int = 0
        self._max_queue = max_queue
        self._max_group = max_group
        # Invariant: what is here is queued; what is taken out is in flight or answered.
        self._queue: dict[Write, None] = {}
        self._in_flight: Sequence[Write] = ()
        # Invariant: empty unless the queue is full.
        self._waiting: dict[Write, None] = {}
        self._more = trio.Event()
        self._landed = trio.lowlevel.ParkingLot()

    def __len__(self) -> int:
        return len(self._queue)

    # -- coming and going -------------------------------------------------------------------------

    def add(self, write: Write) -> None:
        """Queue a write, whether there is room or not."""
        self._queue[write] = None
        self._more.set()

    def add_in_turn(self, write: Write) -> None:
        """Queue a write as soon as there is room; whoever waits already comes first."""
        full = self._waiting or len(self._queue) >= self._max_queue
        (self._waiting if full else self._queue)[write] = None
        self._more.set()

    def withdraw(self, write: Write) -> bool:
        """Take a queued write back; ``False`` if it is too late. Its ``done`` is not called."""
        if not write.queued:
            return False
        write.queued = False
        for queue in (self._queue, self._waiting):
            queue.pop(write, None)
        self._fill()
        return True

    def _fill(self) -> None:
        """Let in as many as there is room for, those who waited longest first."""
        while self._waiting and len(self._queue) < self._max_queue:
            write = next(iter(self._waiting))
            del self._waiting[write]
            self._queue[write] = None

    async def wait_for_more(self) -> None:
        """Wait until something may have come, or :meth:`wake` was called."""
        self._more = trio.Event()
        await self._more.wait()

    def wake(self) -> None:
        """Let who waits for more look again."""
        self._more.set()

    # -- one group --------------------------------------------------------------------------------

    def take(self) -> list[Write]:
        """Take the next group out; it is in flight until it has landed."""
        group: list[Write] = []
        for write in self._queue:
            alone = isinstance(write.operation, Transact)
            if len(group) >= self._max_group or (alone and group):
                break
            group.append(write)
            if alone:
                break
        for write in group:
            write.queued = False
            del self._queue[write]
        self._in_flight = group
        self._fill()
        return group

    def land(self) -> Sequence[Write]:
        """Take note that nothing is in flight any more, and return what was.

        What is put back or answered in the same step is so before anybody who waited runs.
        """
        group, self._in_flight = self._in_flight, ()
        self._landed.unpark_all()
        return group

    def put_back(self, writes: Sequence[Write]) -> None:
        """Queue writes again that were in flight: in order, and first."""
        for write in writes:
            write.queued = True
        self._queue = dict.fromkeys([*writes, *self._queue])

    # -- answers ----------------------------------------------------------------------------------

    def answer(self, write: Write, result: Result) -> None:
        """Answer a write that is in the queue no more."""
        if isinstance(result, ClawError):
            self.refused += 1
        write.done(result)

    def refuse_followers(self, refused: Write, error: ClawError) -> None:
        """Refuse what was queued after a refused write of an incarnation and builds on it."""
        first = _advance_of(refused.operation)
        if first is None or _is_conditional(error):
            return
        for write in self._withdrawable():
            later = _advance_of(write.operation)
            if later and (later.pk, later.life) == (first.pk, first.life):
                self.withdraw(write)
                self.answer(write, fresh(error))

    def refuse_all(
        self, refusal: Callable[[], ClawError], only: Callable[[Operation], bool] = lambda _: True
    ) -> None:
        """Refuse what is queued.

        Args:
            refusal: makes the error of each.
            only: tells which are refused.
        """
        for write in self._withdrawable():
            if only(write.operation):
                self.withdraw(write)
                self.answer(write, refusal())

    async def fence(self, pk: int, life: int) -> None:
        """Refuse what older incarnations have queued, and wait for what is in flight of them.

        Args:
            pk: the workflow.
            life: writes with a smaller life are older.
        """

        def is_older(write: Write) -> bool:
            advance = _advance_of(write.operation)
            return advance is not None and advance.pk == pk and advance.life < life

        while True:
            for write in [write for write in self._withdrawable() if is_older(write)]:
                self.withdraw(write)
                advance = _advance_of(write.operation)
                assert advance is not None
                self.answer(write, StaleWriteError(advance.id, "life", advance.life, life))
            if not any(is_older(write) for write in self._in_flight):
                return
            # What was in flight may be queued again afterwards: storage was unavailable.
            await self._landed.park()

    def _withdrawable(self) -> list[Write]:
        return [*self._queue, *self._waiting]
