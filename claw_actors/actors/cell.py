"""The cell: what survives an actor's death.

It holds the mailbox, those who wait for answers, and the history. Refs point to it, so they stay
valid over restarts; an actor that is deleted and another of the same name have different cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal, Never, TypeAlias, assert_never

import attrs
import trio

from ..errors import (
    ActorCrashedError,
    ActorStoppedError,
    AskCycleError,
    ClawError,
    MailboxFullError,
)
from .mailbox import Envelope, Mailbox, MailboxSpec
from .replies import Reply
from .reports import DeadLetter, DeadLetterReason

if TYPE_CHECKING:
    from .behaviour import Behaviour, Life

__all__ = ["ActorState", "ActorStatistics", "Cell", "Down", "Handling", "handling"]

ActorState: TypeAlias = Literal["down", "waiting", "starting", "up", "stopping"]


@attrs.frozen
class Down:
    """The end of an incarnation, as a monitor sees it.

    Attributes:
        path: the actor.
        incarnation: the one that has ended; 0 if there was none yet.
        error: what it raised, or ``None`` if it ended by itself or was stopped.
        final: whether no further incarnation follows, unless somebody restarts it by hand.
    """

    path: str
    incarnation: int
    error: Exception | None
    final: bool


@attrs.frozen(kw_only=True)
class ActorStatistics:
    """What an actor has done, over all its incarnations.

    Attributes:
        path: its id under those of its supervisors.
        state: ``"down"``, ``"waiting"`` (to be started), ``"starting"``, ``"up"``, ``"stopping"``.
        incarnation: how many there were.
        mailbox: messages that wait.
        capacity: messages that may wait.
        handled: messages dealt with.
        dead_letters: messages not dealt with.
        late_replies: answers that nobody waited for any more.
        crashes: incarnations that crashed.
    """

    path: str
    state: ActorState
    incarnation: int
    mailbox: int
    capacity: int
    handled: int
    dead_letters: int
    late_replies: int
    crashes: int


@attrs.define(eq=False)
class Handling:
    """One message being dealt with, and whom that waits for."""

    cell: Cell
    asking: dict[Cell, int] | None = None


handling: ContextVar[Handling] = ContextVar("claw_actors_handling")
"""What the running code deals with. A Trio task that outlives it keeps a stale one."""


class Cell:
    """An actor's place under its supervisor."""

    __slots__ = (
        "_monitors",
        "_owed",
        "_when_down",
        "behaviour",
        "crashes",
        "current",
        "dead_letters",
        "handled",
        "incarnation",
        "is_down",
        "last_error",
        "last_message",
        "late_replies",
        "life",
        "mailbox",
        "on_dead_letter",
        "path",
        "state",
        "trio_task",
    )

    def __init__(
        self,
        path: str,
        mailbox: MailboxSpec,
        state: Callable[[], ActorState],
        on_dead_letter: Callable[[DeadLetter], None],
    ) -> None:
        self.path: str = path
        self.mailbox: Mailbox = Mailbox(mailbox)
        self.state: Callable[[], ActorState] = state
        self.on_dead_letter: Callable[[DeadLetter], None] = on_dead_letter
        self.incarnation: int = 0
        self.is_down: bool = False
        self.behaviour: Behaviour[Never, object] | None = None
        self.life: Life | None = None
        self.trio_task: trio.lowlevel.Task | None = None
        # What is being dealt with, for finding cycles of asks.
        self.current: Handling | None = None
        self.last_message: str | None = None
        self.last_error: Exception | None = None
        self.handled: int = 0
        self.dead_letters: int = 0
        self.late_replies: int = 0
        self.crashes: int = 0
        # Answers owed by this incarnation for messages it has taken.
        self._owed: dict[Reply, None] = {}
        self._monitors: dict[Callable[[Down], None], None] = {}
        # Told when it is down for good.
        self._when_down: dict[Callable[[], None], None] = {}

    def __repr__(self) -> str:
        return f"<Cell {self.path!r}, {self.state()}>"

    # -- messages ---------------------------------------------------------------------------------

    def tell(self, message: object) -> bool:
        """Send a message; ``False`` if there is no room and its sender may wait for some.

        Raises:
            MailboxFullError: there is no room, and the policy is to fail.
        """
        return self._post(Envelope(message))

    def tell_or_fail(self, message: object) -> None:
        """Send a message, or raise ``MailboxFullError`` if there is no room."""
        if not self.tell(message):
            raise MailboxFullError(self.path, self.mailbox.capacity)

    async def tell_waiting(self, message: object) -> None:
        """Send a message, and wait until there is room."""
        task = trio.lowlevel.current_task()
        envelope = Envelope(message, taken=lambda: trio.lowlevel.reschedule(task))

        def abort(_: trio.lowlevel.RaiseCancelT) -> trio.lowlevel.Abort:
            self.mailbox.withdraw(envelope)
            return trio.lowlevel.Abort.SUCCEEDED

        self.mailbox.wait_for_room(envelope)
        await trio.lowlevel.wait_task_rescheduled(abort)

    async def ask(self, message: object) -> object:
        """Send a request and wait for its answer."""
        if self.is_down:
            raise ActorStoppedError(self.path)
        asker = handling.get(None)
        if asker is not None and asker.cell.current is not asker:
            asker = None  # it has been dealt with: nobody waits for this Trio task any more
        if asker is not None:
            self._refuse_cycle(asker)
        reply = Reply(trio.lowlevel.current_task(), self._answered)
        envelope = Envelope(message, reply)

        def abort(_: trio.lowlevel.RaiseCancelT) -> trio.lowlevel.Abort:
            reply.give_up()
            self._owed.pop(reply, None)
            self.mailbox.withdraw(envelope)
            return trio.lowlevel.Abort.SUCCEEDED

        if not self._post(envelope):
            self.mailbox.wait_for_room(envelope)
        if asker is None:
            return await trio.lowlevel.wait_task_rescheduled(abort)
        asking = asker.asking = asker.asking or {}
        asking[self] = asking.get(self, 0) + 1
        try:
            return await trio.lowlevel.wait_task_rescheduled(abort)
        finally:
            asking[self] -= 1

    def _post(self, envelope: Envelope) -> bool:
        if self.is_down:
            self.undelivered(envelope, "not_running")
            return True
        match verdict := self.mailbox.put(envelope):
            case "taken":
                return True
            case "drop_newest":
                if envelope.reply is not None:
                    # Raised, not sent: whoever asks does not wait for a reply yet.
                    envelope.reply.give_up()
                self.undelivered(envelope, "dropped_newest")
                if envelope.reply is not None:
                    raise MailboxFullError(self.path, self.mailbox.capacity)
                return True
            case "drop_oldest":
                self.undelivered(self.mailbox.replace_oldest(envelope), "dropped_oldest")
                self.mailbox.wake()
                return True
            case "full":
                if self.mailbox.blocks:
                    return False
                raise MailboxFullError(self.path, self.mailbox.capacity)
            case _:  # pragma: no cover - the literal is closed
                assert_never(verdict)

    def _refuse_cycle(self, asker: Handling) -> None:
        """Look whether this actor waits for the asker, directly or through others."""
        came_from: dict[Cell, Cell] = {}
        frontier: list[Cell] = [self]
        while frontier:
            cell = frontier.pop()
            if cell is asker.cell:
                path = [cell.path]
                while cell is not self:
                    cell = came_from[cell]
                    path.append(cell.path)
                raise AskCycleError([asker.cell.path, *reversed(path)])
            for other in cell.waits_for():
                if other is not self and other not in came_from:
                    came_from[other] = cell
                    frontier.append(other)

    def waits_for(self) -> Iterator[Cell]:
        """Name those whose answers the message in hand waits for."""
        if self.current is not None and self.current.asking:
            yield from (cell for cell, asks in self.current.asking.items() if asks)

    def _answered(self, reply: Reply, late: bool) -> None:
        self._owed.pop(reply, None)
        self.late_replies += late

    def owes(self, reply: Reply) -> None:
        """This incarnation has taken a request, and owes an answer."""
        self._owed[reply] = None

    def owes_no_more(self, reply: Reply) -> None:
        """The request was put back: the next incarnation may answer it."""
        self._owed.pop(reply, None)

    def undelivered(self, envelope: Envelope, reason: DeadLetterReason) -> None:
        """Nobody deals with this message."""
        self.dead_letters += 1
        self.on_dead_letter(DeadLetter(self.path, envelope.message, reason))
        if envelope.reply is not None and envelope.reply.is_awaited:
            error: ClawError = ActorStoppedError(self.path)
            if reason in {"dropped_oldest", "dropped_newest"}:
                error = MailboxFullError(self.path, self.mailbox.capacity)
            envelope.reply.fail(error)

    # -- lives ------------------------------------------------------------------------------------

    def end_of_life(self, error: Exception | None) -> None:
        """An incarnation is gone: whoever waits for an answer that it owed gets an error."""
        self.behaviour = self.life = self.trio_task = self.current = None
        self.mailbox.unstash()
        self.mailbox.drop_signals()
        self.last_error = error
        if error is not None:
            self.crashes += 1
        owed, self._owed = self._owed, {}
        for reply in owed:
            if error is None:
                reply.fail(ActorStoppedError(self.path))
                continue
            crash = ActorCrashedError(self.path, self.incarnation)
            crash.__cause__ = error
            reply.fail(crash)

    def tell_monitors(self, incarnation: int, error: Exception | None) -> None:
        """The supervisor has decided what follows the end of an incarnation."""
        down = Down(self.path, incarnation, error, self.is_down)
        monitors, self._monitors = self._monitors, {}
        for notify in monitors:
            notify(down)

    def close(self) -> None:
        """No incarnation follows, unless somebody restarts it by hand."""
        self.is_down = True
        for envelope in self.mailbox.clear():
            self.undelivered(envelope, "stopped")
        when_down, self._when_down = self._when_down, {}
        for notify in when_down:
            notify()

    def when_down(self, notify: Callable[[], None]) -> Callable[[], None]:
        """Have ``notify`` called once no incarnation follows; returns how to take that back."""
        self._when_down[notify] = None

        def take_back() -> None:
            self._when_down.pop(notify, None)

        return take_back

    async def wait_down(self) -> None:
        """Wait until no incarnation follows."""
        if self.is_down:
            await trio.lowlevel.checkpoint()
            return
        down = trio.Event()
        take_back = self.when_down(down.set)
        try:
            await down.wait()
        finally:
            take_back()

    # -- monitors ---------------------------------------------------------------------------------

    def monitor(self, notify: Callable[[Down], None]) -> None:
        """Have ``notify`` called when the incarnation ends; at once if none runs."""
        if self.life is None:
            notify(Down(self.path, self.incarnation, self.last_error, self.is_down))
        else:
            self._monitors[notify] = None

    def unmonitor(self, notify: Callable[[Down], None]) -> None:
        """Have it called no more."""
        self._monitors.pop(notify, None)

    def statistics(self) -> ActorStatistics:
        """Return what it has done."""
        return ActorStatistics(
            path=self.path,
            state=self.state(),
            incarnation=self.incarnation,
            mailbox=len(self.mailbox),
            capacity=self.mailbox.capacity,
            handled=self.handled,
            dead_letters=self.dead_letters,
            late_replies=self.late_replies,
            crashes=self.crashes,
        )
