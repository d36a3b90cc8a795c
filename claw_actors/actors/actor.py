"""Actors: state that one Trio task owns, changed by messages, one at a time."""

from __future__ import annotations

import abc
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Never, cast

import trio

from ..errors import ContextMisuseError, MailboxFullError, RequestRefusedError
from .behaviour import Behaviour, Life, Message_contra, Reply_co
from .cell import Cell, Down, Handling, handling
from .mailbox import Envelope
from .ref import ActorRef
from .replies import Reply

if TYPE_CHECKING:
    from .supervisor import Supervisor

__all__ = ["Actor"]

_log = logging.getLogger("claw_actors.actors")

YIELD_EVERY = 16
"""Messages after which others get a turn, although more are waiting."""


class Actor(Behaviour[Message_contra, Reply_co], Generic[Message_contra, Reply_co]):
    """Owns some state, and deals with messages one at a time.

    Subclass it, keep what you need in attributes, and give the class (or any function that makes
    one) to a :class:`ChildSpec` as its factory: a crashed actor is replaced by a new object, so
    nothing of a broken state is carried on.
    """

    _life: Life | None = None
    _envelope: Envelope | None = None
    _done: bool = False
    _watched: dict[Callable[[Down], None], Cell] | None = None

    # -- what an author writes --------------------------------------------------------------------

    async def on_start(self) -> None:
        """Get ready; messages wait until this has returned. An exception is a failed start."""
        return

    @abc.abstractmethod
    async def receive(self, message: Message_contra) -> Reply_co:
        """Deal with one message.

        What it returns is the answer, if the message was asked (:meth:`ActorRef.ask`). An
        exception is a crash, but for :class:`RequestRefusedError`. On a crash the message is not
        repeated: whoever asked gets ``ActorCrashedError``, and what was told becomes a dead letter.

        Cancelled when the grace of a stop is over.
        """

    async def on_stop(self) -> None:
        """Clean up: run however the actor ends, unless :meth:`on_start` itself has failed.

        When it ends because it was cancelled, only shielded awaits get through here.
        """
        return

    async def on_down(self, down: Down) -> None:  # noqa: ARG002 - for whoever overrides it
        """An actor that this one watches (:meth:`watch`) has ended an incarnation."""
        return

    # -- what an author uses ----------------------------------------------------------------------

    @property
    def ref(self) -> ActorRef[Message_contra, Reply_co]:
        """The actor's own ref, to be given to others."""
        return ActorRef(self._alive().cell)

    @property
    def supervisor(self) -> Supervisor:
        """The supervisor that runs it; ask it for siblings by name, or to start some."""
        return self._alive().supervisor

    @property
    def incarnation(self) -> int:
        """Which life of the actor this is, from 1."""
        return self._alive().incarnation

    def stop(self) -> None:
        """End after the message in hand; a permanent actor is started again."""
        self._alive()
        self._done = True

    def stash(self) -> None:
        """Put the message in hand aside, to come back with :meth:`unstash` or a restart.

        Raises:
            MailboxFullError: as many are aside already as the mailbox holds.
            ContextMisuseError: no message is in hand.
        """
        envelope = self._in_hand()
        cell = self._alive().cell
        if not cell.mailbox.stash(envelope):
            raise MailboxFullError(cell.path, cell.mailbox.capacity)
        if envelope.reply is not None:
            cell.owes_no_more(envelope.reply)
        self._envelope = None

    def unstash(self) -> None:
        """Put what is aside back, before everything that waits, in the order it came."""
        self._alive().cell.mailbox.unstash()

    def defer(self) -> Reply:
        """Answer the request in hand later, by ``reply.send(value)``; others come in between.

        Raises:
            ContextMisuseError: no request is in hand (a message that was told has no answer).
        """
        envelope = self._in_hand()
        if envelope.reply is None:
            raise ContextMisuseError("this message was told, not asked: it has no reply")
        reply, envelope.reply = envelope.reply, None
        return reply

    def watch(self, ref: ActorRef[Never, object]) -> None:
        """Have :meth:`on_down` called when the other's incarnation ends; at once if none runs."""
        mailbox = self._alive().cell.mailbox
        watched = self._watched = self._watched or {}

        def notify(down: Down) -> None:
            del watched[notify]
            mailbox.signal(lambda: self.on_down(down))

        watched[notify] = ref.cell
        ref.cell.monitor(notify)

    def _alive(self) -> Life:
        if self._life is None:
            raise ContextMisuseError("the actor does not run: use this in its methods only")
        return self._life

    @property
    def _holds(self) -> bool:
        """Whether the message in hand has not been put aside."""
        return self._envelope is not None

    def _in_hand(self) -> Envelope:
        if self._envelope is None:
            raise ContextMisuseError("no message is in hand: use this in receive() only, once")
        return self._envelope

    # -- how it lives -----------------------------------------------------------------------------

    async def run(self, life: Life) -> None:
        """Start, deal with messages until asked to stop, and clean up."""
        self._life = life
        cell = life.cell
        try:
            self._begin(cell)
            await self.on_start()
            try:
                life.started()
                await self._serve(cell)
            finally:
                self._begin(cell)
                await self.on_stop()  # noqa: ASYNC102 - whether to shield is for its author to say
        finally:
            for notify, other in (self._watched or {}).items():
                other.unmonitor(notify)

    @staticmethod
    def _begin(cell: Cell) -> None:
        """From now on something is dealt with: who asks meanwhile makes others wait for this."""
        cell.current = Handling(cell)
        handling.set(cell.current)

    def request_stop(self, life: Life, reason: str, deadline: float) -> None:  # noqa: ARG002
        """Have it end after the message in hand."""
        self._done = True
        life.cell.mailbox.wake()

    async def _serve(self, cell: Cell) -> None:
        mailbox = cell.mailbox
        cell.current = None
        in_a_row = 0
        while not self._done:
            signal = mailbox.take_signal()
            envelope = None if signal is not None else mailbox.take()
            if envelope is not None:
                await self._deal_with(cell, envelope)
            elif signal is not None:
                self._begin(cell)
                await cast("Any", signal)()
                cell.current = None
            else:
                in_a_row = 0
                await mailbox.wait()
                continue
            in_a_row += 1
            if in_a_row % YIELD_EVERY:
                await trio.lowlevel.checkpoint_if_cancelled()
            else:
                await trio.lowlevel.checkpoint()

    async def _deal_with(self, cell: Cell, envelope: Envelope) -> None:
        self._envelope = envelope
        reply, message = envelope.reply, envelope.message
        if reply is not None:
            cell.owes(reply)
        self._begin(cell)
        cell.last_message = type(message).__name__
        try:
            answer = await self.receive(cast("Message_contra", message))
        except RequestRefusedError as refusal:
            if not self._holds:
                _log.warning("actor %s refused what it had put aside: %s", cell.path, refusal)
            elif reply is None:
                _log.warning("actor %s refused a message: %s", cell.path, refusal)
                cell.undelivered(envelope, "refused")
            else:  # also if it was deferred
                twin = refusal.__copy__()
                twin.__cause__ = refusal
                reply.fail(twin)
        except BaseException as error:
            if reply is None and self._holds:
                crashed = isinstance(error, Exception)
                cell.undelivered(envelope, "crashed" if crashed else "stopped")
            raise
        else:
            # Unless it was put aside, or will be answered later.
            if envelope.reply is not None and self._holds:
                envelope.reply.send(answer)
            cell.handled += self._holds
        cell.current = self._envelope = None
