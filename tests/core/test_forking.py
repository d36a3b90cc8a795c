"""What a fork begins with: the effective entries before a task, numbered anew."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claw_actors._core.forking import Fork, origin_of
from claw_actors._core.forking import forked as forked_with_children
from claw_actors._core.journal import (
    CHILD_END_OP,
    OUTSIDE,
    PAUSE_OP,
    Entry,
    EntryKind,
    EntryStatus,
    effective,
    message,
    note_about,
)
from claw_actors._core.offspring import child_note
from claw_actors._core.replay import read_past

START = Entry("", "start", EntryKind.START, EntryStatus.OK, 0.0, digest=b"d", value=b"[1]")


def forked(journal, at, origin):
    """Return the entries of a fork of a workflow without children."""
    fork = forked_with_children(journal, at, origin)
    assert fork is None or fork.unended == ()
    return None if fork is None else fork.entries


def child(n, id, fate="wait", after=0, status=EntryStatus.OK):
    value = child_note(id, fate)
    return Entry(f"c{n}", id, EntryKind.CHILD, status, float(n), after, life=3, n=n, value=value)


def child_end(n, id):
    return Entry(CHILD_END_OP, id, EntryKind.CHILD_END, EntryStatus.OK, float(n), n=n)


def task(n, after, status=EntryStatus.OK, ref=None):
    return Entry(f"t{n}", "t", EntryKind.TASK, status, float(n), after=after, life=3, ref=ref, n=n)


def void(n, ref):
    return Entry("", "note", EntryKind.NOTE, EntryStatus.VOID, float(n), ref=ref, n=n)


def test_what_was_committed_before_the_task_is_kept_as_it_is():
    """Outcomes, messages and the input; not the task, and nothing behind it."""
    hello = attrs.evolve(message("t", 2.0, b"1"), n=2)
    journal = [START, task(1, 0), hello, task(3, 1), task(4, 3)]
    entries = forked(journal, "t3", "origin")
    assert entries is not None
    assert [attrs.evolve(one, life=3) for one in entries[1:2]] == [task(1, 0)]
    assert entries[2] == hello
    assert len(entries) == 3


def test_it_says_what_it_was_forked_from_and_keeps_its_input():
    """Also where the origin's id is what the start of one that is no fork is called."""
    journal = [START, task(1, 0)]
    for origin in ("start", "fork:fork", "a"):
        [start] = forked(journal, "t1", origin) or ()
        assert origin_of(start) == origin
        assert attrs.evolve(start, name="start") == START
        [again] = forked([start, task(1, 0)], "t1", "b") or ()
        assert origin_of(again) == "b"
    assert origin_of(START) is None


def test_an_unknown_task_is_no_place_to_fork_at():
    """Neither is a voided one, or something that is no task."""
    sleep = Entry("sleep", "sleep", EntryKind.TIMER, EntryStatus.OK, 1.0, after=0, n=1)
    journal = [START, sleep, task(2, 1, EntryStatus.FAILED), void(3, 2)]
    for op in ("t9", "t2", "sleep", ""):
        assert forked(journal, op, "a") is None


def test_a_task_that_was_voided_and_done_again_counts_as_done_again():
    """What came between is kept."""
    again = attrs.evolve(task(4, 1), op="t2")
    journal = [START, task(1, 0), task(2, 1, EntryStatus.FAILED), void(3, 2), again]
    entries = forked(journal, "t2", "a")
    assert entries is not None
    assert [entry.op for entry in entries] == ["", "t1"]


def test_what_entries_say_of_each_other_is_numbered_anew():
    """When one was asked for, what a note is about, since when a cancelled one unwinds."""
    hello = attrs.evolve(message("t", 5.0, b"1"), n=5)
    note = attrs.evolve(note_about("/dead-letter", 5, 6.0, 3), n=6)
    pause = Entry(PAUSE_OP, "pause", EntryKind.PAUSE, EntryStatus.OK, 4.0, n=4)
    journal = [
        START,
        task(1, 0),
        task(2, 1, EntryStatus.FAILED),
        void(3, 2),
        pause,
        hello,
        note,
        task(7, 5),
        task(8, 1, EntryStatus.CANCELLED, ref=7),
        task(9, 8),
    ]
    entries = forked(journal, "t9", "a")
    assert entries is not None
    assert [(one.op, one.n, one.after, one.ref, one.life) for one in entries] == [
        ("", 0, None, None, 0),
        ("t1", 1, 0, None, 0),
        ("/message", 2, None, None, 0),
        ("/dead-letter", 3, None, 2, 0),
        ("t7", 4, 2, None, 0),
        ("t8", 5, 1, 4, 0),
    ]


def test_the_ends_of_its_children_that_came_later_come_behind_its_past():
    """The first end of each that was started before; what was told already is not told again."""
    journal = [
        START,
        child(1, "a"),
        child(2, "b"),
        child(3, "c", "abandon"),
        child_end(4, "b"),
        task(5, 3),
        child(6, "d", after=5),
        child_end(7, "b"),
        child_end(8, "d"),
        child_end(9, "a"),
        child_end(10, "a"),
    ]
    fork = forked_with_children(journal, "t5", "o")
    assert fork is not None
    assert [(one.op, one.name, one.n, one.after) for one in fork.entries[1:]] == [
        ("c1", "a", 1, 0),
        ("c2", "b", 2, 0),
        ("c3", "c", 3, 0),
        (CHILD_END_OP, "b", 4, None),
        (CHILD_END_OP, "a", 5, None),
    ]
    assert fork.unended == ()


@pytest.mark.parametrize(("fate", "unended"), [("wait", ("a",)), ("cancel", ()), ("abandon", ())])
def test_a_child_that_is_waited_for_and_has_not_ended_is_named(fate, unended):
    """One whose start was refused is none, and one that was started later does not matter."""
    refused = child(2, "r", status=EntryStatus.FAILED)
    journal = [START, child(1, "a", fate), refused, task(3, 2), child(4, "later", after=3)]
    fork = forked_with_children(journal, "t3", "o")
    assert isinstance(fork, Fork)
    assert (fork.unended, len(fork.entries)) == (unended, 3)


@st.composite
def journals(draw):
    """Draw what instances write: entries asked for after what was delivered, and voids of some."""
    journal = [START]
    for n in range(1, draw(st.integers(1, 14))):
        counted = [one.n for one in effective(journal) if one.kind is not EntryKind.NOTE]
        match draw(st.sampled_from(("task", "task", "task", "cut", "message", "void", "pause"))):
            case "task":
                entry = task(n, draw(st.sampled_from(counted)))
            case "cut":
                ref = draw(st.sampled_from(counted))
                after = draw(st.sampled_from([one for one in counted if one <= ref]))
                entry = task(n, after, EntryStatus.CANCELLED, ref=ref)
            case "message":
                entry = attrs.evolve(message("t", float(n), None), n=n)
            case "void" if len(counted) > 1:
                entry = void(n, draw(st.sampled_from(counted[1:])))
            case _:
                entry = Entry(PAUSE_OP, "pause", EntryKind.PAUSE, EntryStatus.OK, float(n), n=n)
        journal.append(entry)
    return journal


@settings(deadline=None)
@given(journals())
def test_a_fork_has_the_past_that_the_origin_had_before_the_task(journal):
    """Replayed, it delivers the same entries in the same order, each asked for at the same moment."""
    counted = effective(journal)
    for place, target in enumerate(counted):
        if target.kind is not EntryKind.TASK:
            continue
        entries = forked(journal, target.op, "a")
        assert entries is not None
        assert [entry.n for entry in entries] == list(range(place))
        was = {entry.n: entry for entry in counted[:place]}
        delivered = list(was)
        past = read_past(entries)
        assert len(past.entries) == place - 1
        for before, now in zip(counted[:place], entries, strict=True):
            assert attrs.evolve(now, n=before.n, after=before.after, ref=before.ref) == (
                attrs.evolve(before, life=0, name=now.name)
            )
            for old, new in ((before.after, now.after), (before.ref, now.ref)):
                assert (old is None) == (new is None)
                if old is not None:
                    assert delivered[new] == old
            assert (now.op in past.by_op) == (before.kind not in OUTSIDE and now.n > 0)


@settings(deadline=None)
@given(journals())
def test_a_fork_of_a_fork_is_a_fork_of_the_origin(journal):
    """Nothing is lost on the way."""
    tasks = [entry.op for entry in effective(journal) if entry.kind is EntryKind.TASK]
    for first in range(len(tasks)):
        for second in range(first + 1, len(tasks)):
            once = forked(journal, tasks[second], "a")
            assert once is not None
            assert forked(once, tasks[first], "a") == forked(journal, tasks[first], "a")
