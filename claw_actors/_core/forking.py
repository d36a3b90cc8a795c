"""What a fork begins with: another workflow's journal, up to the outcome of one task.

A journal that ends anywhere can be gone on from: that is what recovery does. So a fork is the past
of another workflow, cut off before a task, under another id.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

import attrs

from .journal import Entry, EntryKind, EntryStatus, effective
from .offspring import read_child

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .offspring import OnParentClose

__all__ = ["Fork", "forked", "origin_of", "start_name"]

START = "start"
FORK = "fork:"
"""What the name of a start begins with whose workflow is a fork; its origin's id follows."""


def start_name(forked_from: str | None) -> str:
    """Return the name of a start entry."""
    return START if forked_from is None else FORK + forked_from


def origin_of(start: Entry) -> str | None:
    """Return the id of the workflow that this one was forked from; ``None`` if it was not."""
    return start.name.removeprefix(FORK) if start.name.startswith(FORK) else None


@attrs.frozen
class Fork:
    """What a fork begins with.

    Attributes:
        entries: its journal, the start first, numbered from 0.
        unended: the origin's children that were started in it, are to be waited for, and have not
            ended: their ends would never come to the fork.
    """

    entries: tuple[Entry, ...]
    unended: tuple[str, ...]


def forked(journal: Iterable[Entry], at: str, origin: str) -> Fork | None:
    """Return what a fork begins with.

    That is everything before the outcome of a task, in commit order; and behind it, as if they came
    now, the ends of those children that had been started by then: the children stay its origin's,
    and tell nobody else.

    Args:
        journal: one run's entries in the order of their numbers.
        at: the task whose outcome, and all that was committed after it, is left out.
        origin: the id of the workflow whose journal this is.

    Returns:
        ``None`` if no outcome of that task counts.
    """
    entries = effective(journal)
    places = (i for i, one in enumerate(entries) if one.kind is EntryKind.TASK and one.op == at)
    place = next(places, None)
    if place is None:
        return None
    children = _children(entries[:place])
    ends = [one for one in entries if one.kind is EntryKind.CHILD_END]
    later = {one.name: one for one in reversed(ends) if one.name in children}
    for one in ends:
        if one.n < entries[place].n:
            later.pop(one.name, None)
    copied = [*entries[:place], *sorted(later.values(), key=lambda one: one.n)]
    ended = {one.name for one in ends}
    unended = [id for id, fate in children.items() if id not in ended and fate == "wait"]
    return Fork(_renumbered(copied, place, origin), tuple(unended))


def _children(entries: Iterable[Entry]) -> dict[str, OnParentClose]:
    """Return the children that were started, with what their parent's end does to them."""
    started = (one for one in entries if one.kind is EntryKind.CHILD)
    return dict(read_child(one) for one in started if one.status is EntryStatus.OK)


def _renumbered(entries: list[Entry], place: int, origin: str) -> tuple[Entry, ...]:
    """Number entries anew, and what they say of each other; ``place`` of them are the past."""
    numbers = [entry.n for entry in entries[:place]]

    def now(n: int | None) -> int | None:
        # The last one that is left up to there: what was voided in between is forgotten.
        return None if n is None else bisect_right(numbers, n) - 1

    start, *rest = (
        # As if saved from outside: no incarnation of the fork has written them.
        attrs.evolve(entry, n=n, after=now(entry.after), ref=now(entry.ref), life=0)
        for n, entry in enumerate(entries)
    )
    return attrs.evolve(start, name=start_name(origin)), *rest
