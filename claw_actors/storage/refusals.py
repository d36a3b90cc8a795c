"""Why a message could not be sent, or a child not be started, as it is recorded in a journal.

A replay must raise what the live run did, with the same attributes. So a refusal is kept as what
its class is made of, and not as text.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, TypeAlias, assert_never, cast

from .._core.journal import EntryStatus
from ..errors import (
    DuplicateKeyError,
    HistoryPrunedError,
    NotFoundError,
    SerializationError,
    StorageCorruptError,
    WorkflowClosedError,
)

if TYPE_CHECKING:
    from .._core.journal import Entry

__all__ = [
    "CHILD_REFUSALS",
    "SEND_REFUSALS",
    "ChildRefusal",
    "Refusal",
    "SendRefusal",
    "decode_refusal",
    "encode_refusal",
    "refusal_in",
]

SendRefusal: TypeAlias = NotFoundError | WorkflowClosedError | StorageCorruptError
"""Nobody has the id, it has ended, or what is stored of it cannot be read."""

SEND_REFUSALS: Final = (NotFoundError, WorkflowClosedError, StorageCorruptError)

ChildRefusal: TypeAlias = DuplicateKeyError | StorageCorruptError
"""The id is taken by something else, or what is stored under it cannot be read."""

CHILD_REFUSALS: Final = (DuplicateKeyError, StorageCorruptError)

Refusal: TypeAlias = SendRefusal | ChildRefusal


def encode_refusal(error: Refusal) -> bytes:
    """Encode a refusal: its class by a word of ours, then the arguments that make it."""
    parts: list[str | float]
    match error:
        case NotFoundError():
            parts = ["not_found", error.kind, error.id]
            if error.pruned_at is not None:
                parts.append(error.pruned_at)
        case WorkflowClosedError():
            parts = ["closed", error.id, error.status]
        case StorageCorruptError():
            parts = ["corrupt", error.where, error.reason, error.advice]
        case HistoryPrunedError():
            times = error.ended_at, error.pruned_at
            parts = ["pruned", error.id, error.status, *times, *error.differs]
        case DuplicateKeyError():
            parts = ["duplicate", error.id, *error.differs]
        case _:  # pragma: no cover - the union is closed; the type checker proves it
            assert_never(error)
    # A damaged record may be described by text that is no Unicode. Its escape is JSON's, too.
    return json.dumps(parts, ensure_ascii=False, separators=(",", ":")).encode(
        "utf-8", "backslashreplace"
    )


def decode_refusal(data: bytes) -> Refusal:
    """Decode what :func:`encode_refusal` wrote; the error is a new one at each call.

    Raises:
        SerializationError: the bytes are something else.
    """
    try:
        parts = cast("list[object]", json.loads(data))
        match parts:
            case ["not_found", str(kind), str(id)]:
                return NotFoundError(kind, id)
            case ["not_found", str(kind), str(id), float(pruned_at)]:
                return NotFoundError(kind, id, pruned_at)
            case ["closed", str(id), str(status)]:
                return WorkflowClosedError(id, status)
            case ["corrupt", str(where), str(reason), str(advice)]:
                return StorageCorruptError(where, reason, advice)
            case ["pruned", str(id), str(status), float(ended), float(pruned), *differs]:
                return HistoryPrunedError(id, status, ended, pruned, cast("list[str]", differs))
            case ["duplicate", str(id), *differs]:
                return DuplicateKeyError(id, cast("list[str]", differs))
            case _:
                raise ValueError(f"{parts!r} is no refusal")
    except ValueError as error:
        raise SerializationError("a stored refusal", "Refusal", str(error)) from error


def refusal_in(entry: Entry) -> Refusal | None:
    """Return why what an entry stands for was refused, as an error that names the entry.

    ``None`` if it was not refused.

    Raises:
        SerializationError: what is stored of it is something else.
    """
    if entry.status is not EntryStatus.FAILED:
        return None
    refusal = decode_refusal(entry.value or b"")
    refusal.entry_n = entry.n
    return refusal
