"""What workflow code does with messages."""

from __future__ import annotations

import json
import logging
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar, cast, overload

from .._core.failures import describe
from .._core.identity import digest, send_key
from .._core.journal import Entry, EntryKind, message
from .._core.requests import is_reserved
from ..errors import DeadlineExceededError, InvalidInputError, SerializationError
from ..storage.operations import Send
from ..storage.records import DeadLetter
from ..storage.refusals import refusal_in
from ..storage.validation import check_id, check_printable
from .bearings import Bearings
from .instants import checked_length
from .operation import Operation
from .replies import Request, refusal_of
from .scopes import CancelScope, open_deadline

__all__ = ["Messaging"]

T = TypeVar("T")

_log = logging.getLogger("claw_actors.workflows")


class Messaging(Bearings):
    """The operations of a context that have to do with messages."""

    async def send(
        self, workflow_id: str, topic: str, payload: object, *, idempotency_key: str | None = None
    ) -> None:
        """Send a message to another workflow, or to this one; it is durable when this returns.

        Message and checkpoint are in one commit: it is sent once, however often the code is
        replayed, and once also if a retry of this workflow does it again.

        Args:
            workflow_id: the receiver.
            topic: 1 to 200 characters of printable text; ``ctx.receive`` names the same.
            payload: what task arguments may be; it is read as the type that the receiver names.
            idempotency_key: 1 to 200 characters of printable text, instead of one that stands for
                this very operation: the receiver drops a second message with the same key.

        Raises:
            NotFoundError: there is no such workflow; recorded, the same on every replay. Uncaught
                it fails the workflow, like a task that failed. So do the next two.
            WorkflowClosedError: the receiver has ended.
            StorageCorruptError: what is stored of the receiver cannot be read.
            InvalidInputError: id, topic or key are not possible.
            SerializationError, PayloadTooLargeError: the payload cannot be stored.
            NonDeterminismError: the journal says that something else came here.
            ContextMisuseError: used from another Trio task, or in a task body.

        Cancelled, nothing was sent. If it was on its way already, this ends as if it had not been
        cancelled; the next operation raises.
        """
        check_id(None, None, workflow_id)
        check_printable("topic", topic)
        if idempotency_key is not None:
            check_printable("idempotency_key", idempotency_key)
        attempts = self._surroundings.attempts
        data = attempts.codec.encode_sent(payload, f"message {topic!r} to {workflow_id!r}")
        strand = self._strand
        strand.check()
        asked = strand.asked("send", "send", EntryKind.SEND)
        key = idempotency_key or send_key(self.workflow_id, self._surroundings.run_key, asked.op)
        arguments = json.dumps([workflow_id, topic, idempotency_key]).encode() + data

        def begin(operation: Operation) -> None:
            at = self._sequencer.time()
            sent = Send(workflow_id, message(topic, at, data), key)
            operations = self._sequencer.operations
            entry = operations.entry(operation, at, digest=digest(arguments))
            operations.post(operation, entry, sends=(sent,))

        entry = cast("Entry", await strand.wait(Operation(strand, asked, begin=begin)))
        attempts.compare(entry, arguments)
        if (refusal := refusal_in(entry)) is not None:
            raise refusal
        if entry.life == self._sequencer.life:
            self._surroundings.message_counts.sent += 1

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

    @overload
    async def receive_request(
        self, topic: str, *, timeout: float | None = None
    ) -> Request[object]: ...
    @overload
    async def receive_request(
        self, topic: str, type: type[T], *, timeout: float | None = None
    ) -> Request[T]: ...
    @overload
    async def receive_request(
        self, topic: str, type: object, *, timeout: float | None = None
    ) -> Request[object]: ...
    async def receive_request(
        self,
        topic: str,
        type: object = object,  # noqa: A002 - the name of what it is
        *,
        timeout: float | None = None,
    ) -> Request[object]:
        """Take the oldest unread message of a topic, to reply to it; see :meth:`receive`.

        Who has sent it with ``handle.ask`` waits for ``request.reply(...)``. If it does not fit
        the type, that one is told so.

        Args:
            topic, timeout: as for :meth:`receive`.
            type: what ``request.payload`` is read as.

        Raises:
            DeadlineExceededError, InvalidInputError, DefinitionError, NonDeterminismError,
                ContextMisuseError: see :meth:`receive`.

        Cancelled, it has taken no message.
        """
        request, payload = await self._receive(topic, type, timeout)
        codec = self._surroundings.attempts.codec
        return Request(self._sequencer, codec, request, payload)

    def set_value(self, key: str, value: object) -> None:
        """Show something of this workflow to those outside: ``handle.value``, ``wait_value``.

        Of one key the last value counts. It is stored with the workflow's next checkpoint, or as
        soon as it waits, or with its end; it can be read after that, too.

        Args:
            key: 1 to 200 characters of printable text, not beginning with ``/reply/``.
            value: what task results may be; it is read as the type that the reader names.

        Raises:
            InvalidInputError: the key is not possible.
            SerializationError, PayloadTooLargeError: the value cannot be stored.
            ContextMisuseError: used from another Trio task, or in a task body.
            InstanceSealed: the instance leaves memory.
        """
        self._strand.check_open()
        check_printable("key", key)
        if is_reserved(key):
            raise InvalidInputError("key", key, "another beginning than that of replies")
        what = f"value {key!r} of workflow {self.workflow_id!r}"
        self._sequencer.writes.notes.show(
            key, self._surroundings.attempts.codec.encode_sent(value, what)
        )

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
            taken = inbox.take(topic)
            if taken.n in inbox.put_aside:
                continue
            try:
                value = codec.decode(taken.value or b"null", declared, f"message {topic!r}")
            except SerializationError as error:
                self._put_aside(taken, error)
                continue
            if not self.is_replaying:
                self._surroundings.message_counts.received += 1
            return taken, value

    def _put_aside(self, letter: Entry, error: SerializationError) -> None:
        """Make a dead letter of a message that does not fit."""
        sequencer = self._sequencer
        # What the sender wrote may be in it: of any length, and with what backends refuse.
        reason = describe(error).message.replace("\0", "")
        _log.warning(
            "workflow %s: message %d of topic %r was put aside as a dead letter: %s",
            self.workflow_id,
            letter.n,
            letter.name,
            reason,
        )
        self._surroundings.message_counts.dead_letters += 1
        at = sequencer.time()
        sequencer.writes.put_aside(
            letter,
            DeadLetter(letter.name, at, reason, letter.value),
            refusal_of(letter, reason),
        )
