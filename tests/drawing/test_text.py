"""A timeline in a terminal."""

from __future__ import annotations

import textwrap

from claw_actors import EntryKind, EntryStatus, Status
from claw_actors.drawing import timeline_as_text, timeline_of

from .conftest import BEGUN, Story, a_state, a_story, an_open_task


def text_of(story, *, status=Status.RUNNING, tasks=(), now=10, **options):
    timeline = timeline_of(a_state(status), story.entries, tasks, now=BEGUN + now)
    return timeline_as_text(timeline, **options)


def bars_of(story, **options):
    return [line for line in text_of(story, **options).splitlines()[2:] if line]


PICTURE = """\
order-7  checkout@1  running
2001-09-09T01:46:40Z – 2001-09-09T01:46:50Z  10 s
                                           ▼life 2
charge           ███████                            2 s  ×3
nursery                ┈┈┈┈┈┈┈┈┈┈┈┈┈┈
  weigh                ████████                     2 s
  pack                 ┈┈┈┈┈┈┈┈┈┈┈┈┈┈
    wrap               ███████████                  3 s
    print                        ▚▚▚▚               1 s  failed  TooHeavy
message address                  ◆
sleep                               ────────        2 s
ship                                       ▬▬▬▬     1 s  parcel-7
refund                                     ▒▒▒▒▒▒▶  2 s  running
"""


def test_the_picture_of_a_workflow():
    """Bars below one another in the order they began, those of a nursery together."""
    assert text_of(a_story(), tasks=[an_open_task()], width=62) == PICTURE


def test_the_same_in_ascii():
    """For terminals that know nothing else."""
    text = text_of(a_story(), tasks=[an_open_task()], width=62, ascii_only=True)
    assert text.isascii()
    assert len(text.splitlines()) == len(PICTURE.splitlines())
    for old, new in zip("█┈▚◆─▬▒▶▼×–", "#:X*-=+>vx-", strict=True):
        assert text.count(new) >= PICTURE.count(old)


def test_names_are_never_cut():
    """Where there is no room for them, lines are longer."""
    story = Story()
    story.task("n" * 90, 0, 10)
    [line] = bars_of(story, status=Status.COMPLETED, width=40)
    assert line == f"{'n' * 90}  {'█' * 20}  10 s"


def test_what_takes_no_time_can_be_seen():
    """One column at least, and none behind the last one."""
    story = Story()
    story.task("first", 0, 0)
    story.task("last", 10, 10)
    first, last = bars_of(story, status=Status.COMPLETED, width=60)
    assert (first.count("█"), last.count("█")) == (1, 1)
    assert last.index("█") == len("first") + 2 + (60 - len("first") - 14) - 1


def test_what_counts_no_more_is_dotted():
    """So is what was cancelled told from what has failed."""
    story = Story()
    story.task("a", 0, 5, EntryStatus.CANCELLED, after=0)
    story.task("b", 5, 8, EntryStatus.FAILED, after=1)
    story.add("/retry", EntryKind.NOTE, 9, EntryStatus.VOID, ref=2)
    lines = bars_of(story, status=Status.COMPLETED)
    assert "░" in lines[0]
    assert lines[0].endswith("cancelled")
    assert "···" in lines[1]
    assert lines[1].endswith("void")


def test_marks_of_lives_do_not_overlap():
    """Of those that are too near, the first is named."""
    story = Story()
    for life in range(1, 40):
        story.task(f"t{life}", life / 4, life / 4 + 0.1, life=life)
    marks = text_of(story, status=Status.COMPLETED).splitlines()[2]
    assert marks.split()[:2] == ["▼life", "2"]
    assert 3 < marks.count("▼") < 38


def test_nothing_is_a_picture_too():
    """A workflow that has just been accepted."""
    state = a_state(Status.PENDING)
    timeline = timeline_of(state, Story().entries, now=BEGUN)
    assert timeline_as_text(timeline) == textwrap.dedent(
        """\
        order-7  checkout@1  pending
        2001-09-09T01:46:40Z – 2001-09-09T01:46:40Z  0 ms
        """
    )
