"""What outsiders exchange with a workflow: messages to it, and what it shows of itself.

Everything here acts on storage alone: it does not matter whether the workflow is in memory, and
what waits is woken by the commit that it waits for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar, cast, overload

from .._core.journal import MESSAGE_OP, message
from .._core.requests import reply_key, request_op
from ..storage.operations import Send, Sent
from ..storage.validation import check_printable
from .replies import decode_reply
from .shown import decode_value, look_for_value, read_dead_letters, read_value, read_values

if TYPE_CHECKING:
    import trio

    from .._core.journal import Entry
    from ..storage.actor import StorageActor
    from ..storage.codec import Codec
    from .environment import Environment
    from .inbox import MessageCounts
    from .shown import DeadMessage

__all__ = ["Correspondence", "Watch"]

T = TypeVar("T")


class Watch(Protocol):
    """Who knows when a workflow has set a value, or has ended."""

    def value_change_of(self, id: str) -> trio.Event:
        """Return an event that is set at the next change; get it before looking."""
        ...


class Correspondence:
    """Messages, requests, values and dead letters of workflows, from outside."""

    def __init__(
        self,
        actor: StorageActor,
        codec: Codec,
        environment: Environment,
        watch: Watch,
        message_counts: MessageCounts,
    ) -> None:
        self._actor = actor
        self._codec = codec
        self._environment = environment
        self._watch = watch
        self._message_counts = message_counts

    def _check_open(self) -> None:
        """Raise ``RuntimeClosedError`` where that can be."""

    # -- to it --------------------------------------------------------------------------------------

    async def send(
        self, id: str, topic: str, payload: object, *, idempotency_key: str | None = None
    ) -> None:
        """Send a message to a workflow; it is durable when this returns.

        It waits in the workflow's journal until ``ctx.receive`` takes it, wherever the workflow is
        by then: not in memory, paused, quarantined, or in a later process.

        Args:
            id: the workflow.
            topic: 1 to 200 characters of printable text; ``ctx.receive`` names the same.
            payload: what JSON, attrs, dataclasses and the other types of task arguments can say;
                it is read as the type that the receiver names.
            idempotency_key: 1 to 200 characters of printable text: a second message with the
                same key is dropped, whatever has become of the first.

        Raises:
            NotFoundError: there is no such workflow.
            WorkflowClosedError: it has ended already.
            SerializationError, PayloadTooLargeError: the payload cannot be stored.
            InvalidInputError: topic or key are not possible.
            RuntimeClosedError: the runtime is closing.
            StorageUnavailableError, OutcomeUnknownError: see their docs. With a key it is safe to
                send again.

        Cancelled means not sent.
        """
        await self._submit(id, topic, payload, MESSAGE_OP, idempotency_key)

    async def _submit(
        self, id: str, topic: str, payload: object, op: str, key: str | None
    ) -> Entry:
        self._check_open()
        check_printable("topic", topic)
        data = self._codec.encode_sent(payload, f"message {topic!r} to workflow {id!r}")
        entry = message(topic, self._environment.wall(), data, op)
        answer = await self._actor.submit(Send(id, entry, key))
        assert isinstance(answer, Sent)
        self._message_counts.sent += not answer.duplicate
        return entry

    @overload
    async def ask(
        self, id: str, topic: str, payload: object, *, idempotency_key: str | None = None
    ) -> object: ...
    @overload
    async def ask(
        self,
        id: str,
        topic: str,
        payload: object,
        type: type[T],
        *,
        idempotency_key: str | None = None,
    ) -> T: ...
    @overload
    async def ask(
        self,
        id: str,
        topic: str,
        payload: object,
        type: object,
        *,
        idempotency_key: str | None = None,
    ) -> object: ...
    async def ask(
        self,
        id: str,
        topic: str,
        payload: object,
        type: object = object,  # noqa: A002 - the name of what it is
        *,
        idempotency_key: str | None = None,
    ) -> object:
        """Send a request to a workflow, and wait for its reply, which is durable by then.

        The workflow takes it with ``ctx.receive_request``. The same request with the same key
        gets the same reply: after a crash of who asks or of the workflow, and after its end.

        Args:
            id: the workflow.
            topic, payload: as for :meth:`send`.
            type: what the reply is read as, strictly; by default it comes as plain JSON.
            idempotency_key: 1 to 200 characters of printable text, that stand for this request;
                by default it is a new one, and its reply cannot be asked for again.

        Raises:
            NotFoundError: there is no such workflow, or it was deleted meanwhile.
            WorkflowClosedError: it has ended, without a reply.
            WorkflowQuarantinedError: it is parked. The request is kept; ask again with its key.
            RequestRefusedError: the payload is not what the workflow asked for; it is a dead
                letter.
            SerializationError: the payload cannot be stored, or the reply is no such type.
            DefinitionError: nothing can be read as that type.
            PayloadTooLargeError, InvalidInputError, RuntimeClosedError, StorageUnavailableError,
                OutcomeUnknownError: see :meth:`send`.

        Cancelled, only the waiting ends, once the request was sent. Use a Trio scope to wait for
        so long and no longer.
        """
        self._codec.check_type(type, f"reply to {topic!r}")
        if idempotency_key is None:
            idempotency_key = f"{self._environment.random.getrandbits(128):032x}"
        check_printable("idempotency_key", idempotency_key)
        op = request_op(idempotency_key)
        request = await self._submit(id, topic, payload, op, op)
        data = await self._wait_for(id, cast("str", reply_key(request)))
        return decode_reply(self._codec, data, type, f"reply to {topic!r} of workflow {id!r}")

    async def request(self, id: str, topic: str, payload: object, *, idempotency_key: str) -> None:
        """Send a request to a workflow, and do not wait for its reply.

        It is durable when this returns. Whoever calls :meth:`ask` with the same key gets the reply.

        Args:
            id, topic, payload: as for :meth:`send`.
            idempotency_key: as for :meth:`ask`.

        Raises:
            NotFoundError, WorkflowClosedError, SerializationError, PayloadTooLargeError,
                InvalidInputError, RuntimeClosedError, StorageUnavailableError,
                OutcomeUnknownError: see :meth:`send`.

        Cancelled means not sent.
        """
        check_printable("idempotency_key", idempotency_key)
        op = request_op(idempotency_key)
        await self._submit(id, topic, payload, op, op)

    # -- of it --------------------------------------------------------------------------------------

    @overload
    async def value(self, id: str, key: str) -> object: ...
    @overload
    async def value(self, id: str, key: str, type: type[T]) -> T: ...
    @overload
    async def value(self, id: str, key: str, type: object) -> object: ...
    async def value(
        self,
        id: str,
        key: str,
        type: object = object,  # noqa: A002 - the name of what it is
    ) -> object:
        """Return what a workflow shows of itself, as it was set last; also after its end.

        Args:
            id: the workflow.
            key: what ``ctx.set_value`` has named it.
            type: what it is read as, strictly; by default it comes as plain JSON.

        Raises:
            NotFoundError: there is no such workflow, or it has not set that value.
            SerializationError: it is no such type.
            InvalidInputError: the key is not possible.
            RuntimeClosedError: the runtime is closing.
        """
        self._check_open()
        return await read_value(self._actor, self._codec, id, key, type)

    @overload
    async def wait_value(self, id: str, key: str) -> object: ...
    @overload
    async def wait_value(self, id: str, key: str, type: type[T]) -> T: ...
    @overload
    async def wait_value(self, id: str, key: str, type: object) -> object: ...
    async def wait_value(
        self,
        id: str,
        key: str,
        type: object = object,  # noqa: A002 - the name of what it is
    ) -> object:
        """Wait until a workflow has set a value, and return it; see :meth:`value`.

        Raises:
            WorkflowClosedError: it has ended without.
            WorkflowQuarantinedError: it is parked.
            NotFoundError: there is no such workflow, or it was deleted meanwhile.
            SerializationError, InvalidInputError, RuntimeClosedError: see :meth:`value`.

        Cancelled, only the waiting ends.
        """
        check_printable("key", key)
        return decode_value(self._codec, id, key, await self._wait_for(id, key), type)

    async def values(self, id: str) -> dict[str, object]:
        """Return all that a workflow shows of itself, by key, as plain JSON.

        Raises:
            NotFoundError: there is no such workflow.
            RuntimeClosedError: the runtime is closing.
        """
        self._check_open()
        return await read_values(self._actor, self._codec, id)

    async def dead_letters(
        self, id: str, *, after: int = 0, limit: int = 100
    ) -> tuple[DeadMessage, ...]:
        """Return messages that a workflow could not take, in the order they were put aside.

        Args:
            id: the workflow.
            after: only those with a larger number; of a page, the last one's.
            limit: how many at most, from 1 to 10,000.

        Raises:
            NotFoundError: there is no such workflow.
            InvalidInputError: a number out of range.
            RuntimeClosedError: the runtime is closing.
        """
        self._check_open()
        return await read_dead_letters(self._actor, self._codec, id, after, limit)

    async def _wait_for(self, id: str, key: str) -> bytes:
        """Wait until a value is set, and return it."""
        while True:
            self._check_open()
            change = self._watch.value_change_of(id)
            data = await look_for_value(self._actor, id, key)
            if data is not None:
                return data
            await change.wait()
