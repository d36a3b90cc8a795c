"""What workflow code does with messages."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, TypeVar, overload

from .._core.failures import describe
from ..errors import DeadlineExceededError, SerializationError
from ..storage.records import DeadLetter
from ..storage.validation import check_printable
from .bearings import Bearings
from .instants import checked_length
from .scopes import CancelScope, open_deadline

if TYPE_CHECKING:
    from .._core.journal import Entry

__all__ = ["Messaging"]

T = TypeVar("T")

_log = logging.getLogger("claw_actors.workflows")


class Messaging(Bearings):
    """The operations of a context that have to do with messages."""

    @overload
    async def receive(self, topic: str, *, timeout: float | None = None) -> object: ...
    @overload
    async def receive(self, topic: str, type: type[T], *, timeout: float | None = None) -> T: ...
    @overload
    async def receive(
        self, topic: str, type: object, *, timeout: float | None = None
    ) -> object: ...
    async def receive(
        self,
        topic: str,
        type: object = object,  # noqa: A002 - the name of what it is
        *,
        timeout: float | None = None,
    ) -> object:
        """Take the oldest unread message of a topic, or wait for one.

        Messages of a topic come first in, first out. Taking one writes nothing: it is in the
        journal since it was sent, and a replay takes the same. Of several contexts that wait for
        a topic, who waits first is served first.

        A message that does not fit the type is put aside: it becomes a dead letter, which is
        logged and counted, and this goes on waiting. No sender can crash a workflow.

        Args:
            topic: 1 to 200 characters of printable text.
            type: what the payload is read as, strictly; by default it comes as plain JSON.
            timeout: seconds from the workflow's last checkpoint that this waits at most; the
                deadline is durable, as ``ctx.fail_after``'s is. With 0 only what is there
                already is taken.

        Raises:
            DeadlineExceededError: no message has come in time.
            InvalidInputError: the topic or the time-out is not possible.
            DefinitionError: nothing can be read as that type.
            NonDeterminismError: the journal says that something else came here.
            ContextMisuseError: used from another Trio task, or in a task body.

        Cancelled, it has taken no message.
        """
        _, value = await self._receive(topic, type, timeout)
        return value

    async def _receive(
        self, topic: str, declared: object, timeout: float | None
    ) -> tuple[Entry, object]:
        """Take the next message that fits; return its entry and its payload."""
        check_printable("topic", topic)
        self._surroundings.attempts.codec.check_type(declared, f"topic {topic!r}")
        length = None if timeout is None else checked_length(timeout)
        self._strand.check_open()
        if length == 0:
            found = await self._next(topic, declared, is_patient=False)
            if found is None:
                raise DeadlineExceededError(self._sequencer.now)
            return found
        limit = self._limit(length)
        with limit as scope:
            found = await self._next(topic, declared, is_patient=True)
            assert found is not None
            return found
        assert scope is not None  # it has cut the block short
        raise DeadlineExceededError(scope.deadline)

    def _limit(self, length: float | None) -> AbstractContextManager[CancelScope | None]:
        if length is None:
            return nullcontext()
        return open_deadline(self._strand, "receive", self._sequencer.now + length, length)

    async def _next(
        self, topic: str, declared: object, *, is_patient: bool
    ) -> tuple[Entry, object] | None:
        """Take the next message that fits; of what does not, make dead letters.

        Args:
            topic, declared: what is asked for.
            is_patient: wait for one; otherwise ``None`` says that there is none.
        """
        inbox, codec = self._sequencer.inbox, self._surroundings.attempts.codec
        while True:
            # Also if there is one already: others who are ready come first, as ever.
            await self._strand.wait_until(
                lambda: inbox.has(topic) or not is_patient, (inbox, topic) if is_patient else None
            )
            if not inbox.has(topic):
                return None
            message = inbox.take(topic)
            if message.n in inbox.put_aside:
                continue
            try:
                value = codec.decode(message.value or b"null", declared, f"message {topic!r}")
            except SerializationError as error:
                self._put_aside(message, error)
                continue
            if not self.is_replaying:
                self._surroundings.message_counts.received += 1
            return message, value

    def _put_aside(self, message: Entry, error: SerializationError) -> None:
        """Make a dead letter of a message that does not fit."""
        sequencer = self._sequencer
        # What the sender wrote may be in it: of any length, and with what backends refuse.
        reason = describe(error).message.replace("\0", "")
        _log.warning(
            "workflow %s: message %d of topic %r was put aside as a dead letter: %s",
            self.workflow_id,
            message.n,
            message.name,
            reason,
        )
        self._surroundings.message_counts.dead_letters += 1
        at = max(sequencer.wall(), sequencer.now)
        sequencer.put_aside(message, DeadLetter(message.name, at, reason, message.value))
