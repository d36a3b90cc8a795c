"""Which ended workflows are kept, and which may go. Nothing else is ever pruned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from .lifecycle import TERMINAL, Status

__all__ = ["Ended", "Rule", "next_size", "select"]


@attrs.frozen
class Ended:
    """An ended workflow that nothing above it needs any more.

    Attributes:
        pk, id, name, status: which one, and how it ended.
        ended_at: when the last of it and its children has ended, in POSIX seconds; ``None`` if one
            of them has not.
    """

    pk: int
    id: str
    name: str
    status: Status
    ended_at: float | None


@attrs.frozen(kw_only=True)
class Rule:
    """What may go. All conditions must hold.

    Attributes:
        ended_before: only what has ended before this, in POSIX seconds.
        keep: of each name, this many of the ended ones stay in any case: those started last.
        statuses: only what ended so.
        names: only workflows of these names; ``None`` means all.
    """

    ended_before: float
    keep: int = 0
    statuses: frozenset[Status] = TERMINAL
    names: frozenset[str] | None = None

    def concerns(self, one: Ended) -> bool:
        """Tell whether a workflow is one of those that this is about."""
        return one.status in self.statuses and (self.names is None or one.name in self.names)


def select(
    page: Iterable[Ended], rule: Rule, kept: Mapping[str, int]
) -> tuple[list[Ended], dict[str, int]]:
    """Choose what goes.

    Args:
        page: the next workflows, those started last first.
        rule: what may go.
        kept: by name, how many stay already for being among the last.

    Returns:
        What goes, and ``kept`` for the page after this one.
    """
    counts = dict(kept)
    chosen: list[Ended] = []
    for one in page:
        if not rule.concerns(one):
            continue
        if counts.get(one.name, 0) < rule.keep:
            counts[one.name] = counts.get(one.name, 0) + 1
        elif one.ended_at is not None and one.ended_at < rule.ended_before:
            chosen.append(one)
    return chosen, counts


def next_size(size: int, took_s: float, budget_s: float, bounds: tuple[int, int]) -> int:
    """Choose how much the next commit takes, so that it lasts as long as it may.

    By a factor of two at most: one commit that was held up says little.

    Args:
        size: how much the last one took.
        took_s: how long it lasted.
        budget_s: how long it may last.
        bounds: the least and the most.
    """
    factor = budget_s / took_s if took_s else 2.0
    least, most = bounds
    return min(most, max(least, int(size * min(2.0, max(0.5, factor)))))
