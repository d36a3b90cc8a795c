"""A timeline for a browser: one SVG that stands alone, light or dark, without a script.

What each bar stands for is said in full by its tooltip.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

import attrs

from .outline import Row, outline
from .timeline import BarKind, BarState
from .wording import instant, length, one_line

if TYPE_CHECKING:
    from .timeline import NewLife, Timeline

__all__ = ["timeline_as_svg"]

MARGIN: Final = 16
HEAD: Final = 84
"""Title, times, legend and axis."""
FOOT: Final = 34
BARS: Final = 860
"""How wide time is, in pixels."""
ROW: Final = 22
CROWDED_ROW: Final = 16
CROWDED: Final = 100
"""With more rows they are lower."""
CHARACTER: Final = 7.3
"""How wide one is, at most, in the font that is used, of 12 pixels."""
TITLE_CHARACTER: Final = 9.2
"""The same in the title's, of 15."""
INDENT: Final = 14
TICKS: Final = 8
LEAST_BAR: Final = 3.0

STEPS_S: Final = (
    *(1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0),
    *(60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 10_800.0, 21_600.0, 43_200.0),
)

DAY_S: Final = 86_400.0

STYLE: Final = """
svg { font: 12px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; }
.paper { fill: #ffffff; } text { fill: #1f2328; } .faint { fill: #656d76; }
.title { font-size: 15px; font-weight: 600; } .band { fill: #f6f8fa; }
.grid { stroke: #d8dee4; stroke-width: 1; }
.life { stroke: #8250df; stroke-width: 1.5; stroke-dasharray: 4 3; } .lifetext { fill: #8250df; }
.away { fill: #8250df; opacity: 0.08; }
.ok { fill: #2da44e; } .failed { fill: #cf222e; } .cancelled { fill: #9a6700; }
.open { fill: #218bff; } .void { fill: #afb8c1; }
.sleep, .wait { fill: #8c959f; opacity: 0.55; } .limit { fill: #bc4c00; }
.child { fill: #8250df; } .mark { fill: #0969da; } .group { fill: #afb8c1; }
@media (prefers-color-scheme: dark) {
.paper { fill: #0d1117; } text { fill: #e6edf3; } .faint { fill: #8d96a0; }
.band { fill: #161b22; } .grid { stroke: #30363d; }
.life { stroke: #a371f7; } .lifetext { fill: #a371f7; } .away { fill: #a371f7; opacity: 0.14; }
.ok { fill: #3fb950; } .failed { fill: #f85149; } .cancelled { fill: #d29922; }
.open { fill: #58a6ff; } .void { fill: #484f58; }
.sleep, .wait { fill: #8d96a0; } .limit { fill: #db6d28; }
.child { fill: #a371f7; } .mark { fill: #58a6ff; } .group { fill: #484f58; }
}
"""

LEGEND: Final = (*("ok", "failed", "cancelled", "open", "void", "sleep", "limit", "child", "mark"),)


@attrs.frozen
class _Sheet:
    """Where things are drawn.

    Attributes:
        begin, span: of time, in seconds.
        left: where time begins, in pixels.
        row: how high a row is.
        rows: how many there are.
        right: how wide the text behind bars is.
    """

    begin: float
    span: float
    left: float
    row: int
    rows: int
    right: float

    @property
    def width(self) -> float:
        return self.left + BARS + self.right + MARGIN

    @property
    def bottom(self) -> int:
        return HEAD + self.row * self.rows

    def x(self, at: float) -> float:
        """Return where an instant is."""
        return self.left + (at - self.begin) / self.span * BARS


def timeline_as_svg(timeline: Timeline) -> str:
    """Draw a timeline as an SVG document.

    Args:
        timeline: what is drawn.

    Returns:
        The document, which refers to nothing outside it.
    """
    rows = outline(timeline)
    labels = (INDENT * row.depth + CHARACTER * len(row.label) for row in rows)
    remarks = (CHARACTER * len(row.remark()) for row in rows)
    sheet = _Sheet(
        timeline.begin,
        timeline.span,
        left=math.ceil(MARGIN + max(labels, default=0.0) + 12),
        row=CROWDED_ROW if len(rows) > CROWDED else ROW,
        rows=len(rows),
        right=math.ceil(max(remarks, default=0.0) + 12),
    )
    width = max(sheet.width, 2 * MARGIN + TITLE_CHARACTER * len(timeline.title))
    height = sheet.bottom + FOOT
    name = html.escape(one_line(timeline.title))
    size = f'width="{width:g}" height="{height}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{name}">',
            f"<style>{STYLE}</style>",
            f'<rect class="paper" {size}/>',
            *_head(timeline),
            *_stripes(sheet, width),
            *_axis(sheet),
            *_lives(timeline.lives, sheet),
            *(line for n, row in enumerate(rows) for line in _drawn(n, row, sheet)),
            "</svg>\n",
        ]
    )


def _text(x: float, y: float, text: str, style: str = "", anchor: str = "start") -> str:
    classes = f' class="{style}"' if style else ""
    at = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}"{classes}{at}>{html.escape(one_line(text))}</text>'


def _head(timeline: Timeline) -> Iterator[str]:
    yield _text(MARGIN, 26, timeline.title, "title")
    whole = length(timeline.end - timeline.begin)
    times = f"{instant(timeline.begin)} – {instant(timeline.end)}, {whole}"
    yield _text(MARGIN, 44, times, "faint")
    x = float(MARGIN)
    for name in LEGEND:
        yield f'<rect class="{name}" x="{x:.1f}" y="53" width="10" height="8" rx="2"/>'
        yield _text(x + 14, 61, name, "faint")
        x += 14 + CHARACTER * (len(name) + 2)


def _stripes(sheet: _Sheet, width: float) -> Iterator[str]:
    """Every other row has a ground, so that the eye finds its label."""
    for n in range(1, sheet.rows, 2):
        y = HEAD + n * sheet.row
        yield f'<rect class="band" y="{y}" width="{width:g}" height="{sheet.row}"/>'


def _axis(sheet: _Sheet) -> Iterator[str]:
    step = _step(sheet.span)
    for n in range(int(sheet.span / step) + 1):
        x = sheet.x(sheet.begin + n * step)
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{HEAD}" y2="{sheet.bottom}"/>'
        for y in (HEAD - 6, sheet.bottom + 16):
            yield _text(x, y, "0" if n == 0 else f"+{length(n * step)}", "faint", "middle")


def _step(span: float) -> float:
    """Choose between two ticks a length that people count in."""
    for step in STEPS_S:
        if span / step <= TICKS:
            return step
    days = max(1.0, span / DAY_S / TICKS)
    power = 10.0 ** math.floor(math.log10(days))
    return DAY_S * power * next(n for n in (1, 2, 5, 10) if n * power >= days)


def _lives(lives: Iterable[NewLife], sheet: _Sheet) -> Iterator[str]:
    for life in lives:
        after, before = sheet.x(life.after), sheet.x(life.before)
        title = f"life {life.number} began between {instant(life.after)} and {instant(life.before)}"
        yield (
            f'<g><title>{html.escape(title)}</title><rect class="away" x="{after:.1f}" y="{HEAD}"'
            f' width="{before - after:.1f}" height="{sheet.bottom - HEAD}"/>'
            f'<line class="life" x1="{before:.1f}" x2="{before:.1f}" y1="{HEAD}"'
            f' y2="{sheet.bottom + 20}"/></g>'
        )
        yield _text(before + 4, sheet.bottom + 30, f"life {life.number}", "lifetext")


def _drawn(n: int, row: Row, sheet: _Sheet) -> Iterator[str]:
    y = HEAD + n * sheet.row
    base = y + sheet.row / 2 + 4
    begin = sheet.x(row.begin)
    wide = max(LEAST_BAR, sheet.x(row.end) - begin)
    yield f"<g><title>{html.escape(_tooltip(row))}</title>"
    yield _text(MARGIN + INDENT * row.depth, base, row.label, "" if row.bar else "faint")
    yield _shape(row, begin, y, wide, sheet.row)
    remark = row.remark()
    if remark:
        goes_on = row.bar is not None and row.bar.end is None
        yield _text(begin + wide + (14 if goes_on else 6), base, remark, "faint")
    yield "</g>"


def _shape(row: Row, x: float, y: float, wide: float, high: int) -> str:
    bar, middle = row.bar, y + high / 2
    if bar is None:
        return _rect("group", x, middle - 1.5, wide, 3)
    if bar.kind is BarKind.MARK:
        style = "mark" if bar.state is BarState.OK else bar.state
        return f'<path class="{style}" d="M {x:.1f} {middle - 5:.1f} l 5 5 l -5 5 l -5 -5 z"/>'
    is_plain = bar.state in (BarState.OK, BarState.OPEN) and bar.kind is not BarKind.TASK
    drawn = _rect(str(bar.kind) if is_plain else str(bar.state), x, y + 4, wide, high - 8)
    if bar.end is None:
        end = x + wide
        drawn += (
            f'<path class="open" d="M {end:.1f} {y + 3:.1f} l 7 {high / 2 - 3:.1f}'
            f' l -7 {high / 2 - 3:.1f} z"/>'
        )
    return drawn


def _rect(style: str, x: float, y: float, wide: float, high: float) -> str:
    return (
        f'<rect class="{style}" x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}"'
        ' rx="2"/>'
    )


def _tooltip(row: Row) -> str:
    if row.bar is None:
        return one_line(row.label)
    bar = row.bar
    parts = [
        "/".join(bar.path),
        f"{bar.kind}, {bar.state}",
        f"from {instant(bar.begin)}",
        "" if bar.end is None else f"to {instant(bar.end)}",
        row.remark(),
    ]
    return one_line("; ".join(filter(None, parts)))
