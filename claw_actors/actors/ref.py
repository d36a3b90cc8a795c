"""Refs: how others reach an actor, over all its incarnations."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, cast

import trio

from .behaviour import Message_contra, Reply_co

if TYPE_CHECKING:
    from .cell import ActorStatistics, Cell, Down

__all__ = ["ActorRef", "Monitor"]


class Monitor:
    """Waits for the end of an incarnation."""

    def __init__(self) -> None:
        self._fired = trio.Event()
        self._down: Down | None = None

    @property
    def down(self) -> Down | None:
        """How it ended, or ``None`` while it runs."""
        return self._down

    async def wait(self) -> Down:
        """Wait until it ends, and return how. Cancelled, nothing changes."""
        await self._fired.wait()
        assert self._down is not None
        return self._down

    def fire(self, down: Down) -> None:
        """Take note that it has ended; called by the cell."""
        self._down = down
        self._fired.set()


class ActorRef(Generic[Message_contra, Reply_co]):
    """Reaches one actor, whichever incarnation lives.

    Two refs to the same actor are equal. A ref to an actor that was deleted never reaches another
    one of the same name.
    """

    __slots__ = ("cell",)

    def __init__(self, cell: Cell) -> None:
        self.cell: Cell = cell

    def __repr__(self) -> str:
        return f"<ActorRef {self.path!r}, {self.cell.state()}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ActorRef) and other.cell is self.cell

    def __hash__(self) -> int:
        return hash(self.cell)

    @property
    def path(self) -> str:
        """The actor's id under those of its supervisors, such as ``"pool/worker"``."""
        return self.cell.path

    async def tell(self, message: Message_contra) -> None:
        """Send a message, and do not wait until it is dealt with.

        Messages of one sender are dealt with in the order they were sent. A message to an actor
        that has stopped for good becomes a dead letter; one to an actor that is about to be
        restarted waits for it.

        Args:
            message: any object; it is not copied.

        Raises:
            MailboxFullError: there is no room, and the mailbox's policy is ``"fail"``.

        Waits for room if the policy is ``"block"``. Cancelled means not sent.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        if self.cell.tell(message):
            await trio.lowlevel.cancel_shielded_checkpoint()
        else:
            await self.cell.tell_waiting(message)

    def tell_nowait(self, message: Message_contra) -> None:
        """Send a message, or raise if there is no room.

        Raises:
            MailboxFullError: there is no room, and the policy is not to drop something.
        """
        self.cell.tell_or_fail(message)

    async def ask(self, message: Message_contra) -> Reply_co:
        """Send a request, and return the answer. It always ends.

        Limit the wait with a cancel scope: ``with trio.fail_after(1): await ref.ask(...)``.

        Args:
            message: any object; it is not copied.

        Returns:
            What the actor's ``receive`` returned for it.

        Raises:
            ActorCrashedError: the actor crashed while it dealt with this request.
            ActorStoppedError: it has stopped for good, or stopped before it answered.
            AskCycleError: the actor waits for the one that asks.
            MailboxFullError: there is no room, and the policy is not to wait.
            RequestRefusedError: ``receive`` raised it.

        Cancelled, a request that is still in the mailbox is never dealt with; the answer to one
        that was taken is dropped and counted.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        return cast("Reply_co", await self.cell.ask(message))

    @contextmanager
    def monitor(self) -> Generator[Monitor]:
        """Watch the actor's present incarnation for the length of a block.

        ``with ref.monitor() as monitor: down = await monitor.wait()``. It fires at once if no
        incarnation runs.
        """
        monitor = Monitor()
        self.cell.monitor(monitor.fire)
        try:
            yield monitor
        finally:
            self.cell.unmonitor(monitor.fire)

    async def wait_stopped(self) -> None:
        """Wait until the actor is down for good: stopped, given up, or ended."""
        await self.cell.wait_down()

    def statistics(self) -> ActorStatistics:
        """Return what the actor has done so far."""
        return self.cell.statistics()
