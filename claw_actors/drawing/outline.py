"""A timeline as a tree of paths: bars of one nursery stand together, in the order they began."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from .timeline import Bar, BarKind, Timeline
from .wording import length

__all__ = ["Row", "outline"]


@attrs.frozen
class Row:
    """One line of a picture.

    Attributes:
        depth: how many paths it stands under.
        label: the last part of its path.
        bar: what is drawn; ``None`` for what only holds others.
        begin, end: from when to when it goes, in POSIX seconds.
    """

    depth: int
    label: str
    bar: Bar | None
    begin: float
    end: float

    def remark(self, *, times: str = "×", state: str = "") -> str:
        """Say what stands beside the bar: how long it took, how often it was tried, and its note.

        Args:
            times: what stands before the number of attempts.
            state: how it went, where the picture does not show it.
        """
        bar = self.bar
        if bar is None:
            return ""
        took = "" if bar.kind is BarKind.MARK else length(self.end - self.begin)
        tried = f"{times}{bar.attempts}" if bar.attempts > 1 else ""
        return "  ".join(filter(None, [took, tried, state, bar.note]))


@attrs.define
class _Node:
    """A path, with what was done under exactly it, and the paths below."""

    bars: list[Bar] = attrs.field(factory=list[Bar])
    below: dict[str, _Node] = attrs.field(factory=dict[str, "_Node"])


def outline(timeline: Timeline) -> list[Row]:
    """Return the rows of a timeline, from top to bottom."""
    root = _Node()
    for bar in timeline.bars:
        node = root
        for part in bar.path:
            node = node.below.setdefault(part, _Node())
        node.bars.append(bar)
    return list(_rows(root, 0, timeline.end))


def _rows(parent: _Node, depth: int, now: float) -> Iterator[Row]:
    # Bars come in the order in which they began, so paths do, too.
    for label, node in parent.below.items():
        for bar in node.bars:
            yield Row(depth, label, bar, bar.begin, now if bar.end is None else bar.end)
        if node.below:
            below = list(_rows(node, depth + 1, now))
            if not node.bars:
                yield Row(depth, label, None, *_span(below))
            yield from below


def _span(rows: Iterable[Row]) -> tuple[float, float]:
    times = [(row.begin, row.end) for row in rows]
    return min(begin for begin, _ in times), max(end for _, end in times)
