"""The one table of a workflow's life."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from claw_actors._core.lifecycle import (
    TERMINAL,
    TRANSITIONS,
    UNFINISHED,
    Event,
    Status,
    TaskStatus,
    allowed,
    apply,
)

ROOT = Path(__file__).parents[2]
EVERYTHING = [(status, event) for status in Status for event in Event]


def test_the_table_knows_every_status():
    """A status that it leaves out would be a KeyError in production."""
    assert set(TRANSITIONS) == set(Status)


def test_every_event_happens_somewhere():
    """One that happens nowhere is a leftover."""
    assert {event for row in TRANSITIONS.values() for event in row} == set(Event)


def test_every_status_is_reached():
    """One that nothing leads to is a leftover."""
    reached = {target for row in TRANSITIONS.values() for target in row.values()}
    assert reached == set(Status)


@pytest.mark.parametrize(("status", "event"), EVERYTHING)
def test_apply_agrees_with_the_table(status, event):
    """What is allowed leads where the table says, everything else is refused by name."""
    if allowed(status, event):
        assert apply(status, event) is TRANSITIONS[status][event]
    else:
        with pytest.raises(ValueError, match=f"{event} is not possible .* {status}"):
            apply(status, event)


@pytest.mark.parametrize("status", sorted(TERMINAL))
def test_nothing_leads_out_of_an_end_but_a_retry_of_a_failure(status):
    """Completed is completed."""
    ways_out = {Event.RETRY: Status.PENDING} if status is Status.FAILED else {}
    assert TRANSITIONS[status] == ways_out
    assert status.is_terminal


def test_a_parked_workflow_does_nothing_by_itself():
    """Paused and quarantined ones wait for people."""
    assert set(TRANSITIONS[Status.PAUSED]) == {Event.RESUME, Event.TERMINATE}
    assert set(TRANSITIONS[Status.QUARANTINED]) == {Event.RETRY, Event.TERMINATE}
    assert not Status.QUARANTINED.is_terminal


@pytest.mark.parametrize("status", sorted(set(Status) - TERMINAL))
def test_whatever_has_not_ended_can_be_terminated(status):
    """There is always a way to be rid of it."""
    assert apply(status, Event.TERMINATE) is Status.CANCELLED


def test_what_runs_by_itself_can_be_paused_and_nothing_else():
    """A quarantined one is stopped already."""
    assert {status for status in Status if allowed(status, Event.PAUSE)} == UNFINISHED


def test_recovery_looks_at_what_can_be_claimed():
    """No more and no less."""
    assert {status for status in Status if allowed(status, Event.CLAIM)} == UNFINISHED


def test_statuses_are_stored_by_these_words():
    """They stand in databases: none may be renamed."""
    life = "pending running waiting paused quarantined completed failed cancelled"
    task = "pending running retrying completed failed cancelled"
    assert (" ".join(Status), " ".join(TaskStatus)) == (life, task)


def test_the_picture_in_the_documentation_is_made_from_the_table():
    """The page has the directive, which reads ``TRANSITIONS``, and no drawing of its own."""
    page = (ROOT / "docs" / "lifecycle.md").read_text("utf-8")
    assert re.search(r"^```\{lifecycle\}", page, re.MULTILINE)
    assert "─▶" not in page
    directive = (ROOT / "docs" / "_ext" / "lifecycle.py").read_text("utf-8")
    assert "TRANSITIONS" in directive
