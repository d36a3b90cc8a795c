"""A directive that draws the life of a workflow from the table that the program runs on.

``{lifecycle}`` becomes a diagram in text, one line for each transition, and a table of what is
possible where. Nothing is drawn by hand, so the page cannot disagree with the program, and no
program outside Python is needed to draw it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from docutils import nodes
from docutils.parsers.rst import Directive

from claw_actors._core.lifecycle import TERMINAL, TRANSITIONS, Event, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sphinx.application import Sphinx


def diagram() -> str:
    """Draw every transition: where from, by what event, where to."""
    from_width = max(map(len, Status))
    event_width = max(map(len, Event))
    lines: list[str] = []
    for status, transitions in TRANSITIONS.items():
        start = f"{status:<{from_width}}"
        if not transitions:
            # Spelled out, so that nobody takes it for something left out.
            lines.append(f"{start}  ({'final' if status in TERMINAL else 'no way out'})")
        for event, target in transitions.items():
            arrow = f"{f' {event} ':─<{event_width + 2}}"
            lines.append(f"{start}  ──{arrow}─▶ {target}")
            start = " " * from_width
    return "\n".join(lines)


def table_row(cells: Iterable[str]) -> nodes.row:
    """Make a row of plain cells."""
    row = nodes.row()
    for cell in cells:
        row += nodes.entry("", nodes.paragraph(text=cell))
    return row


def table() -> nodes.table:
    """Make the table of statuses and events; an empty cell is refused."""
    events = list(Event)
    group = nodes.tgroup(cols=len(events) + 1)
    group += [nodes.colspec(colwidth=1) for _ in range(len(events) + 1)]
    group += nodes.thead("", table_row(["status", *events]))
    body = nodes.tbody()
    for status, transitions in TRANSITIONS.items():
        body += table_row([status, *(transitions.get(event, "") for event in events)])
    group += body
    return nodes.table("", group)


class Lifecycle(Directive):
    """``{lifecycle}``: takes no arguments."""

    def run(self) -> list[nodes.Node]:
        text = diagram()
        return [nodes.literal_block(text, text, language="text"), table()]


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("lifecycle", Lifecycle)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
