"""A timeline for a terminal: one line for each thing, its bar scaled to the width."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from .outline import Row, outline
from .timeline import BarKind, BarState
from .wording import instant, length

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .timeline import Bar, NewLife, Timeline

__all__ = ["timeline_as_text"]

LEAST_BAR_COLUMNS: Final = 20
"""Names and times are never cut. Where there is no room for more, lines are longer."""

TIME_COLUMNS: Final = 12


@attrs.frozen
class _Signs:
    """What bars are made of.

    Attributes:
        states: of tasks and children, by how they went.
        kinds: of what is no task, by what it is.
        mark: what has no length.
        group: what only holds others.
        goes_on: the end of what has not ended.
        life: above where a new life began.
        times: before the number of attempts.
        to: between two times.
    """

    states: dict[BarState, str]
    kinds: dict[BarKind, str]
    mark: str
    group: str
    goes_on: str
    life: str
    times: str
    to: str


_UNICODE: Final = _Signs(
    {
        BarState.OK: "█",
        BarState.FAILED: "▚",
        BarState.CANCELLED: "░",
        BarState.OPEN: "▒",
        BarState.VOID: "·",
    },
    {BarKind.SLEEP: "─", BarKind.LIMIT: "┄", BarKind.WAIT: "─", BarKind.CHILD: "▬"},
    mark="◆",
    group="┈",
    goes_on="▶",
    life="▼",
    times="×",
    to="–",
)

_ASCII: Final = _Signs(
    {
        BarState.OK: "#",
        BarState.FAILED: "X",
        BarState.CANCELLED: "/",
        BarState.OPEN: "+",
        BarState.VOID: ".",
    },
    {BarKind.SLEEP: "-", BarKind.LIMIT: "~", BarKind.WAIT: "-", BarKind.CHILD: "="},
    mark="*",
    group=":",
    goes_on=">",
    life="v",
    times="x",
    to="-",
)


def timeline_as_text(timeline: Timeline, *, width: int = 100, ascii_only: bool = False) -> str:
    """Draw a timeline as lines of text.

    Args:
        timeline: what is drawn.
        width: how many columns there are; more are used where names need them.
        ascii_only: use no other characters for bars, where an encoding has none. Names stay as
            they are.

    Returns:
        Lines, each ended by a newline.
    """
    signs = _ASCII if ascii_only else _UNICODE
    rows = outline(timeline)
    labels = ["  " * row.depth + row.label for row in rows]
    label_columns = max(map(len, labels), default=0)
    columns = max(LEAST_BAR_COLUMNS, width - label_columns - 2 - TIME_COLUMNS)
    scale = _Scale(timeline.begin, timeline.span, columns)
    times = f"{instant(timeline.begin)} {signs.to} {instant(timeline.end)}"
    lines = [timeline.title, f"{times}  {length(timeline.end - timeline.begin)}"]
    if timeline.lives:
        lines.append(f"{'':{label_columns}}  {_lives(timeline.lives, scale, signs)}")
    for label, row in zip(labels, rows, strict=True):
        drawn = f"{label:{label_columns}}  {_draw(row, scale, signs):{columns}}"
        lines.append(f"{drawn}  {_remark(row, signs)}".rstrip())
    return "".join(f"{line}\n" for line in lines)


@attrs.frozen
class _Scale:
    """Time as columns."""

    begin: float
    span: float
    columns: int

    def at(self, instant: float) -> int:
        """Return the column of an instant; the last one for what comes later."""
        return min(self.columns - 1, int((instant - self.begin) / self.span * self.columns))


def _draw(row: Row, scale: _Scale, signs: _Signs) -> str:
    first, last = scale.at(row.begin), scale.at(row.end)
    if row.bar is None:
        return " " * first + signs.group * (last - first + 1)
    if row.bar.kind is BarKind.MARK:
        return " " * first + signs.mark
    sign = _sign(row.bar, signs)
    if row.bar.end is None:
        return " " * first + sign * (last - first) + signs.goes_on
    return " " * first + sign * (last - first + 1)


def _sign(bar: Bar, signs: _Signs) -> str:
    if bar.state in (BarState.OK, BarState.OPEN):
        return signs.kinds.get(bar.kind, signs.states[bar.state])
    return signs.states[bar.state]


def _remark(row: Row, signs: _Signs) -> str:
    """Say what stands beside a bar; in words also how it went, if that was not well."""
    if row.bar is None or row.bar.state in (BarState.OK, BarState.OPEN):
        return row.remark(times=signs.times)
    return row.remark(times=signs.times, state=row.bar.state)


def _lives(lives: Sequence[NewLife], scale: _Scale, signs: _Signs) -> str:
    """Mark where lives began; where two marks would overlap, the later one is left out."""
    line = ""
    for life in lives:
        column = scale.at(life.before)
        if column >= len(line) or not line:
            line = f"{line:{column}}{signs.life}life {life.number} "
    return line.rstrip()
