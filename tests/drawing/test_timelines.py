"""What was done when: bars, their beginnings and ends."""

from __future__ import annotations

import pytest

from claw_actors import EntryKind, EntryStatus, Status, TaskStatus
from claw_actors.drawing import BarKind, BarState, NewLife, timeline_of

from .conftest import BEGUN, HEAVY, Story, a_state, an_open_task


def drawn(story, state=None, tasks=(), now=10):
    state = a_state(Status.COMPLETED, completed_at=BEGUN + now) if state is None else state
    return timeline_of(state, story.entries, tasks, now=BEGUN + now)


def only_bar(story, **options):
    [bar] = drawn(story, **options).bars
    return bar


def seconds(bar):
    return bar.begin - BEGUN, None if bar.end is None else bar.end - BEGUN


def test_a_task_goes_from_its_first_attempt_to_its_outcome():
    """Its entry says when both were, and how many attempts there were."""
    story = Story()
    story.task("charge", 1, 3, attempt=4)
    bar = only_bar(story)
    assert (bar.path, bar.kind, bar.state) == (("charge",), BarKind.TASK, BarState.OK)
    assert (seconds(bar), bar.attempts) == ((1, 3), 4)


@pytest.mark.parametrize(
    ("status", "state"),
    [(EntryStatus.FAILED, BarState.FAILED), (EntryStatus.CANCELLED, BarState.CANCELLED)],
)
def test_a_task_that_did_not_end_well_says_so(status, state):
    """What it failed with is named without its module."""
    story = Story()
    story.task("charge", 1, 3, status, error=HEAVY)
    bar = only_bar(story)
    assert (bar.state, bar.note) == (state, "TooHeavy")


def test_an_error_without_a_type_is_a_failure():
    """Somebody may have saved it by hand."""
    story = Story()
    story.task("charge", 1, 3, EntryStatus.FAILED, error=type(HEAVY)((), "?"))
    assert only_bar(story).note == "failed"


def test_a_task_saved_without_a_beginning_began_when_it_was_asked_for():
    """Or, if not even that is known, when it ended."""
    story = Story()
    story.add("a", EntryKind.TASK, 2, after=0)
    story.add("b", EntryKind.TASK, 3)
    assert [seconds(bar) for bar in drawn(story).bars] == [(0, 2), (3, 3)]


def test_a_sleep_and_a_limit_begin_when_they_were_asked_for():
    """That is when the code had been told of the entry before."""
    story = Story()
    story.task("charge", 0, 2)
    story.add("sleep", EntryKind.TIMER, 5, after=1)
    story.add("limit", EntryKind.TIMEOUT, 6, after=1)
    _, sleep, limit = drawn(story).bars
    assert (sleep.kind, seconds(sleep)) == (BarKind.SLEEP, (2, 5))
    assert (limit.kind, seconds(limit)) == (BarKind.LIMIT, (2, 6))


@pytest.mark.parametrize(
    ("status", "state", "note"),
    [
        (EntryStatus.OK, BarState.OK, "kid-1"),
        (EntryStatus.FAILED, BarState.FAILED, "kid-1 TooHeavy"),
        (EntryStatus.CANCELLED, BarState.CANCELLED, "kid-1"),
    ],
)
def test_a_child_goes_from_its_start_to_its_end(status, state, note):
    """Two entries are one bar, which says the id, and how the child has ended."""
    story = Story()
    story.add("kid", EntryKind.CHILD, 2, after=0, value=["kid-1", "wait"])
    error = HEAVY if status is EntryStatus.FAILED else None
    story.add("/child", EntryKind.CHILD_END, 7, status, name="kid-1", error=error)
    bar = only_bar(story)
    assert (bar.kind, bar.state, bar.note, seconds(bar)) == (BarKind.CHILD, state, note, (2, 7))


def test_a_child_that_lives_is_open():
    """It has no end so far."""
    story = Story()
    story.add("kid", EntryKind.CHILD, 2, after=0, value=["kid-1", "wait"])
    bar = only_bar(story)
    assert (bar.state, bar.end) == (BarState.OPEN, None)


def test_a_child_that_could_not_be_started_failed_at_once():
    """There is no end to wait for."""
    story = Story()
    story.add("kid", EntryKind.CHILD, 2, EntryStatus.FAILED, after=0, error=HEAVY)
    bar = only_bar(story)
    assert (bar.state, bar.note, seconds(bar)) == (BarState.FAILED, "TooHeavy", (2, 2))


def test_an_end_of_a_child_that_nobody_started_here_is_shown():
    """A fork may have been told of one."""
    story = Story()
    story.add("/child", EntryKind.CHILD_END, 7, name="kid-1")
    bar = only_bar(story)
    assert (bar.path, bar.kind) == (("child ended kid-1",), BarKind.MARK)


def test_a_child_that_ends_again_has_a_mark_for_that():
    """Somebody has retried it; its bar goes to the first end, which the code was told of."""
    story = Story()
    story.add("kid", EntryKind.CHILD, 2, after=0, value=["kid-1", "wait"])
    story.add("/child", EntryKind.CHILD_END, 5, EntryStatus.FAILED, name="kid-1", error=HEAVY)
    story.add("/child", EntryKind.CHILD_END, 8, name="kid-1")
    bar, mark = drawn(story).bars
    assert (seconds(bar), bar.state) == ((2, 5), BarState.FAILED)
    assert (seconds(mark), mark.kind, mark.state) == ((8, 8), BarKind.MARK, BarState.OK)


def test_what_comes_from_outside_has_a_mark():
    """Messages, requests to cancel; and messages to others, and notes."""
    story = Story()
    story.add("/message", EntryKind.MESSAGE, 1, name="address")
    story.add("send", EntryKind.SEND, 2, after=0)
    story.add("/cancel", EntryKind.CANCEL, 3, value="enough")
    story.add("/cancel", EntryKind.CANCEL, 4)
    story.add("/reply", EntryKind.NOTE, 5, ref=1)
    story.add("/other", EntryKind.NOTE, 6, ref=1)
    bars = drawn(story).bars
    assert {bar.kind for bar in bars} == {BarKind.MARK}
    assert [(*bar.path, bar.note) for bar in bars] == [
        ("message address", ""),
        ("send", ""),
        ("cancel", "enough"),
        ("cancel", ""),
        ("reply", ""),
        ("note", ""),
    ]


@pytest.mark.parametrize("ending", [EntryKind.RESUME, EntryKind.END])
def test_a_pause_lasts_until_it_is_resumed_or_over(ending):
    """One that lasts is open."""
    story = Story()
    story.add("/pause", EntryKind.PAUSE, 1)
    assert seconds(only_bar(story, state=a_state(Status.PAUSED))) == (1, None)
    story.add("/x", ending, 4)
    bar = only_bar(story)
    assert (bar.path, bar.kind, seconds(bar)) == (("paused",), BarKind.WAIT, (1, 4))


def test_what_a_retry_has_voided_is_there_and_counts_no_more():
    """So is what was asked for behind it; what came before, and messages, count."""
    story = Story()
    story.task("a", 0, 1, after=0)
    story.task("b", 1, 2, EntryStatus.FAILED, after=1)
    story.task("c", 2, 3, after=2)
    story.add("/message", EntryKind.MESSAGE, 3, name="m")
    story.add("/retry", EntryKind.NOTE, 4, EntryStatus.VOID, ref=2)
    story.task("b", 4, 5, after=1)
    states = [(bar.path[0], bar.state) for bar in drawn(story).bars]
    assert states == [
        ("a", BarState.OK),
        ("b", BarState.VOID),
        ("c", BarState.VOID),
        ("message m", BarState.OK),
        ("retry", BarState.OK),
        ("b", BarState.OK),
    ]


def test_a_task_that_runs_is_open():
    """With what is known of it; one that has ended is in the journal already."""
    waits = an_open_task(status=TaskStatus.RETRYING, attempt=2, due_at=BEGUN + 60, error=HEAVY)
    ended = an_open_task("done", status=TaskStatus.COMPLETED, completed_at=BEGUN + 9)
    bar = only_bar(Story(), state=a_state(), tasks=[waits, ended])
    assert (bar.path, bar.state, seconds(bar)) == (("refund",), BarState.OPEN, (8, None))
    assert bar.note == "retrying  due 2001-09-09T01:47:40Z  TooHeavy"
    later = an_open_task(started_at=None, status=TaskStatus.PENDING)
    assert seconds(only_bar(Story(), state=a_state(), tasks=[later])) == (10, None)


@pytest.mark.parametrize(
    ("wake_at", "note"), [(None, ""), (BEGUN + 60, "due 2001-09-09T01:47:40Z")]
)
def test_a_workflow_that_waits_has_an_open_bar(wake_at, note):
    """For what, the journal does not say; since when, it does."""
    story = Story()
    story.task("a", 0, 1)
    _, bar = drawn(story, state=a_state(Status.WAITING, wake_at=wake_at)).bars
    assert (bar.path, seconds(bar), bar.note) == (("waiting",), (1, None), note)


@pytest.mark.parametrize("status", [Status.QUARANTINED, Status.PENDING])
def test_a_workflow_that_does_nothing_has_none(status):
    """Nor has one without a journal."""
    assert drawn(Story(), state=a_state(status)).bars == ()
    empty = timeline_of(a_state(), [], now=BEGUN + 10)
    assert (empty.bars, empty.begin, empty.end) == ((), BEGUN, BEGUN + 10)
    assert timeline_of(a_state(created_at=None), [], now=BEGUN).begin == BEGUN


def test_a_later_life_shows_between_what_the_lives_have_written():
    """Its first sign is the beginning of a task, or an entry; outsiders have no life."""
    story = Story()
    story.task("a", 0, 1, life=1)
    story.add("/message", EntryKind.MESSAGE, 2, name="m")
    story.task("b", 5, 6, life=2)
    story.task("c", 3, 9, life=4)
    lives = drawn(story).lives
    assert lives == (
        NewLife(2, BEGUN + 2, BEGUN + 5),
        NewLife(4, BEGUN + 6, BEGUN + 9),
    )


def test_a_timeline_holds_all_that_is_in_it():
    """Also where a clock was set back, or a task of another one's past is older."""
    story = Story()
    story.task("a", -5, 20)
    timeline = drawn(story, now=10)
    assert (timeline.begin, timeline.end) == (BEGUN - 5, BEGUN + 20)
    assert timeline.span == 25


def test_the_title_is_one_line_and_says_why():
    """Whatever a reason holds."""
    reason = "one\ntwo\x1b[31m"
    timeline = drawn(Story(), state=a_state(Status.PAUSED, reason=reason))
    assert timeline.title == "order-7  checkout@1  paused: one\\ntwo\\x1b[31m"
