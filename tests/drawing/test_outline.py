"""A timeline as a tree: what stands below what, and what a line without a bar spans."""

from __future__ import annotations

from claw_actors.drawing.outline import outline
from claw_actors.drawing.timeline import Bar, BarKind, BarState, Timeline


def bar(path: str, begin: float, end: float | None) -> Bar:
    """Something that was done under a path."""
    return Bar(
        path=tuple(path.split("/")), kind=BarKind.TASK, state=BarState.OK, begin=begin, end=end
    )


def rows(*bars: Bar) -> list[tuple[int, str, bool, float, float]]:
    """The tree of these, each line with whether it has a bar."""
    timeline = Timeline(title="w", begin=0.0, end=9.0, bars=bars, lives=())
    return [
        (row.depth, row.label, row.bar is not None, row.begin, row.end) for row in outline(timeline)
    ]


def test_a_path_that_only_holds_others_spans_them():
    """From the first of them to the last, which goes on if it has not ended."""
    assert rows(bar("fan/a", 1, 2), bar("fan/b", 1, None)) == [
        (0, "fan", False, 1, 9),
        (1, "a", True, 1, 2),
        (1, "b", True, 1, 9),
    ]


def test_a_path_that_was_something_itself_holds_others_without_another_line():
    """A child of a nursery, say, of which a limit is over."""
    assert rows(bar("fan", 1, 5), bar("fan/a", 2, 3), bar("fan", 6, 7)) == [
        (0, "fan", True, 1, 5),
        (0, "fan", True, 6, 7),
        (1, "a", True, 2, 3),
    ]
