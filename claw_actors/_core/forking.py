"""What a fork begins with: another workflow's journal, up to the outcome of one task.

A journal that ends anywhere can be gone on from: that is what recovery does. So a fork is the past
of another workflow, cut off before a task, under another id.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

import attrs

from .journal import Entry, EntryKind, effective

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["forked", "origin_of", "start_name"]

START = "start"
FORK = "fork:"
"""What the name of a start begins with whose workflow is a fork; its origin's id follows."""


def start_name(forked_from: str | None) -> str:
    """Return the name of a start entry."""
    return START if forked_from is None else FORK + forked_from


def origin_of(start: Entry) -> str | None:
    """Return the id of the workflow that this one was forked from; ``None`` if it was not."""
    return start.name.removeprefix(FORK) if start.name.startswith(FORK) else None


def forked(journal: Iterable[Entry], at: str, origin: str) -> tuple[Entry, ...] | None:
    """Return the entries that a fork begins with, the start first, numbered from 0.

    Args:
        journal: one run's entries in the order of their numbers.
        at: the task whose outcome, and all that was committed after it, is left out.
        origin: the id of the workflow whose journal this is.

    Returns:
        ``None`` if no outcome of that task counts.
    """
    entries = effective(journal)
    numbers: list[int] = []
    for entry in entries:
        if entry.kind is EntryKind.TASK and entry.op == at:
            break
        numbers.append(entry.n)
    else:
        return None

    def renumbered(n: int | None) -> int | None:
        # The last one that is left up to there: what was voided in between is forgotten.
        return None if n is None else bisect_right(numbers, n) - 1

    start, *rest = (
        # As if saved from outside: no incarnation of the fork has written them.
        attrs.evolve(entry, n=n, after=renumbered(entry.after), ref=renumbered(entry.ref), life=0)
        for n, entry in enumerate(entries[: len(numbers)])
    )
    return attrs.evolve(start, name=start_name(origin)), *rest
