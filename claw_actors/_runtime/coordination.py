"""What the children of an instance coordinate with: locks, events, semaphores.

All of them stand on ``ctx.wait_until``: nothing is written, and the order is deterministic. Who
waits first is served first, because conditions are judged in the order in which they were asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ContextMisuseError, InvalidInputError

if TYPE_CHECKING:
    from types import TracebackType

    from .sequencer import Sequencer
    from .strand import Strand

__all__ = ["Event", "Lock", "Semaphore"]


class Event:
    """Something that happens once, and that children can wait for; made by ``ctx.event()``."""

    def __init__(self, sequencer: Sequencer) -> None:
        self._sequencer = sequencer
        self._is_set = False

    def __repr__(self) -> str:
        return f"<Event of workflow {self._sequencer.id!r}, {'' if self._is_set else 'not '}set>"

    def is_set(self) -> bool:
        """Tell whether it has happened."""
        return self._is_set

    def set(self) -> None:
        """Let it happen; again is no harm. Who waits goes on when it gets the turn.

        Raises:
            ContextMisuseError: called by anything but running code of the workflow.
        """
        self._sequencer.turns.running("an event")
        self._is_set = True

    async def wait(self) -> None:
        """Wait until it has happened. Cancelled, it raises in its turn.

        Raises:
            ContextMisuseError: called by anything but running code of the workflow.
        """
        strand = self._sequencer.turns.running("an event")
        await strand.wait_until(self.is_set, self)


class Semaphore:
    """A number of places; who finds none waits. Made by ``ctx.semaphore(n)``.

    ``async with semaphore:`` takes a place for the length of the block.
    """

    def __init__(self, sequencer: Sequencer, value: int) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise InvalidInputError("value", value, "a whole number, at least 0")
        self._sequencer = sequencer
        self._value = value

    def __repr__(self) -> str:
        return f"<Semaphore of workflow {self._sequencer.id!r}, {self._value} free>"

    @property
    def value(self) -> int:
        """How many places are free."""
        return self._value

    async def acquire(self) -> None:
        """Take a place, when there is one. Cancelled, it has taken none.

        Raises:
            ContextMisuseError: called by anything but running code of the workflow.
        """
        strand = self._sequencer.turns.running("a semaphore")
        await strand.wait_until(lambda: self._value > 0, self)
        self._value -= 1

    def release(self) -> None:
        """Give a place back, or add one.

        Raises:
            ContextMisuseError: called by anything but running code of the workflow.
        """
        self._sequencer.turns.running("a semaphore")
        self._value += 1

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


class Lock:
    """Held by one context at a time; made by ``ctx.lock()``.

    ``async with lock:`` holds it for the length of the block.
    """

    def __init__(self, sequencer: Sequencer) -> None:
        self._sequencer = sequencer
        self._owner: Strand | None = None

    def __repr__(self) -> str:
        state = "free" if self._owner is None else f"held by the {self._owner}"
        return f"<Lock of workflow {self._sequencer.id!r}, {state}>"

    def locked(self) -> bool:
        """Tell whether somebody holds it."""
        return self._owner is not None

    async def acquire(self) -> None:
        """Take it, when it is free. Cancelled, it is not held.

        Raises:
            ContextMisuseError: it is held by this very context, or this is called by anything but
                running code of the workflow.
        """
        strand = self._sequencer.turns.running("a lock")
        if self._owner is strand:
            raise ContextMisuseError(f"the {strand} holds this lock, and would wait for itself")
        await strand.wait_until(lambda: self._owner is None, self)
        self._owner = strand

    def release(self) -> None:
        """Give it back.

        Raises:
            ContextMisuseError: called by anything but the context that holds it.
        """
        strand = self._sequencer.turns.running("a lock")
        if self._owner is not strand:
            raise ContextMisuseError(
                f"the {strand} released a lock that it does not hold; who acquires it releases it"
            )
        self._owner = None

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()
