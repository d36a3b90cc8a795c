"""The children of one run: what its journal says of them, and what their parent's end does to them."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast

from .journal import Entry, EntryKind, EntryStatus

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ON_PARENT_CLOSE",
    "OnParentClose",
    "child_id",
    "child_note",
    "close_key",
    "read_child",
    "started_by",
]

OnParentClose: TypeAlias = Literal["wait", "cancel", "abandon"]

ON_PARENT_CLOSE: Final[tuple[OnParentClose, ...]] = ("wait", "cancel", "abandon")

MAX_ID_CHARS = 200
HASH_BYTES = 8


def child_id(parent_id: str, run_key: str, op: str, name: str) -> str:
    """Make the id of a child that was given none: readable, and the same whenever it is asked for.

    Args:
        parent_id, run_key: who starts it, and in which run.
        op: the operation that starts it.
        name: its workflow's name.
    """
    whole = f"{parent_id}/{run_key}/{op}".encode()
    ending = f".{name}-{hashlib.blake2b(whole, digest_size=HASH_BYTES).hexdigest()}"
    return parent_id[: MAX_ID_CHARS - len(ending)] + ending


def close_key(parent_id: str, run_key: str) -> str:
    """Name the request to cancel that the end of a run sends to its children: each takes it once."""
    whole = f"{parent_id}/{run_key}".encode()
    return "/close/" + hashlib.blake2b(whole, digest_size=HASH_BYTES).hexdigest()


def child_note(id: str, on_close: OnParentClose) -> bytes:
    """Encode what the entry of a started child says: which one it is, and what becomes of it."""
    return json.dumps([id, on_close]).encode()


def read_child(entry: Entry) -> tuple[str, OnParentClose]:
    """Read what :func:`child_note` wrote."""
    id, on_close = cast("tuple[str, OnParentClose]", json.loads(entry.value or b""))
    return id, on_close


def started_by(journal: Iterable[Entry]) -> dict[str, OnParentClose]:
    """Return the children that a run has started, by id, with what its end does to them.

    Those whose start was voided are among them: they exist. Those that a fork has taken over from
    its origin are not: they are its origin's.

    Args:
        journal: one run's entries, voided ones included.
    """
    return dict(
        read_child(entry)
        for entry in journal
        if entry.kind is EntryKind.CHILD and entry.status is EntryStatus.OK and entry.life
    )
