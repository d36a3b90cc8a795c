"""What a workflow shows of itself, to whoever can read its storage: values, and dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from .._core.lifecycle import Status
from .._core.requests import is_reserved
from ..errors import NotFoundError, WorkflowClosedError, WorkflowQuarantinedError
from ..storage.validation import check_number, check_printable

if TYPE_CHECKING:
    from ..storage.codec import Codec
    from ..storage.reading import ReadSource

__all__ = [
    "DeadMessage",
    "decode_value",
    "look_for_value",
    "read_dead_letters",
    "read_value",
    "read_values",
]

MAX_LETTERS = 10_000
"""How many dead letters are read at a time."""


@attrs.frozen
class DeadMessage:
    """A message that its workflow could not take; what ``handle.dead_letters()`` returns.

    Attributes:
        number: grows from one of a workflow to the next, with gaps perhaps.
        topic: where it was sent to.
        at: when it was put aside, in POSIX seconds.
        reason: why, for people.
        payload: what was sent, as plain JSON.
    """

    number: int
    topic: str
    at: float
    reason: str
    payload: object


async def read_dead_letters(
    source: ReadSource, codec: Codec, id: str, after: int, limit: int
) -> tuple[DeadMessage, ...]:
    """Read messages that a workflow could not take; see ``Runtime.dead_letters``."""
    check_number("after", after, 0, 2**63 - 1)
    check_number("limit", limit, 1, MAX_LETTERS)
    what = f"dead letter of workflow {id!r}"
    return tuple(
        DeadMessage(
            one.seq,
            one.topic,
            one.at,
            one.reason,
            codec.decode(one.payload or b"null", object, what),
        )
        for one in await source.read(source.backend.list_dead_letters, id, after, limit)
    )


async def read_value(source: ReadSource, codec: Codec, id: str, key: str, declared: Any) -> object:
    """Read what a workflow shows under a key; see ``Runtime.value``."""
    check_printable("key", key)
    data = await source.read(source.backend.get_value, id, key)
    if data is None:
        raise NotFoundError("value", key)
    return decode_value(codec, id, key, data, declared)


async def read_values(source: ReadSource, codec: Codec, id: str) -> dict[str, object]:
    """Read all that a workflow shows, as plain JSON; see ``Runtime.values``."""
    return {
        one.key: decode_value(codec, id, one.key, one.value, object)
        for one in await source.read(source.backend.list_values, id)
        if not is_reserved(one.key)
    }


async def look_for_value(source: ReadSource, id: str, key: str) -> bytes | None:
    """Read a value that somebody waits for; ``None`` if it may still come.

    Raises:
        NotFoundError: there is no such workflow.
        WorkflowClosedError: it has ended without.
        WorkflowQuarantinedError: it is parked, without.
    """
    row = (await source.read(source.backend.get_workflow, id)).row
    # In this order: what an ended workflow has not set by now, it never will.
    data = await source.read(source.backend.get_value, id, key)
    if data is None and row.status.is_terminal:
        raise WorkflowClosedError(id, row.status)
    if data is None and row.status is Status.QUARANTINED:
        raise WorkflowQuarantinedError(id, row.reason)
    return data


def decode_value(codec: Codec, id: str, key: str, data: bytes, declared: Any) -> object:
    """Read a stored value as what it is declared to be."""
    return codec.decode(data, declared, f"value {key!r} of workflow {id!r}")
