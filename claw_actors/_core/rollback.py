"""What a journal says about a rollback: whether it has begun, and where it has stopped.

A rollback is an ordinary part of the journal: each handler is a task whose id begins with
``rollback/``. No author's code can make such an id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .journal import Entry, EntryKind, EntryStatus, effective

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ROLLBACK", "has_begun", "stopped_at"]

ROLLBACK = "rollback"
"""The path of all handlers: no nursery of a workflow's root may be called so."""


def _handlers(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries of handlers that count."""
    of_handlers = f"{ROLLBACK}/"
    return [
        entry
        for entry in effective(entries)
        if entry.kind is EntryKind.TASK and entry.op.startswith(of_handlers)
    ]


def has_begun(entries: Iterable[Entry]) -> bool:
    """Tell whether a handler has had an outcome: from then on what was done is being undone."""
    return bool(_handlers(entries))


def stopped_at(entries: Iterable[Entry]) -> int | None:
    """Find the entry of the handler that is out of retries, so that a retry can void it.

    Returns:
        Its number; ``None`` if no handler has failed. What no retry has voided yet is the last
        handler's: after it none was asked for.
    """
    for entry in _handlers(entries):
        if entry.status is EntryStatus.FAILED:
            return entry.n
    return None
