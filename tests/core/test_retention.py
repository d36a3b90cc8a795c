"""Which ended workflows go."""

from __future__ import annotations

from claw_actors import Status
from claw_actors._core.retention import Ended, Rule, next_size, select


def ended(pk, at, name="ship", status=Status.COMPLETED):
    return Ended(pk, f"w{pk}", name, status, at)


def chosen(page, rule, kept=None):
    found, counts = select(page, rule, kept or {})
    return [one.pk for one in found], counts


def test_what_ended_before_goes():
    """And nothing that ended then or later, or of which something goes on."""
    page = [ended(4, None), ended(3, 6.0), ended(2, 5.0), ended(1, 4.9)]
    assert chosen(page, Rule(ended_before=5.0)) == ([1], {})


def test_the_newest_of_each_name_stay():
    """However old they are; they are counted from page to page."""
    rule = Rule(ended_before=9.0, keep=2)
    page = [ended(6, 1.0), ended(5, None), ended(4, 1.0), ended(3, 1.0, "other")]
    found, kept = chosen(page, rule)
    assert (found, kept) == ([4], {"ship": 2, "other": 1})
    assert chosen([ended(2, 1.0, "other"), ended(1, 1.0, "other")], rule, kept)[0] == [1]


def test_who_is_not_meant_neither_goes_nor_counts():
    """By status and by name."""
    page = [ended(3, 1.0, status=Status.FAILED), ended(2, 1.0, "other"), ended(1, 1.0)]
    rule = Rule(
        ended_before=9.0,
        keep=0,
        statuses=frozenset({Status.COMPLETED}),
        names=frozenset({"ship"}),
    )
    assert chosen(page, rule) == ([1], {})


def test_a_commit_is_made_to_last_as_long_as_it_may():
    """By what the last one took, but never by more than a factor of two at once."""
    assert next_size(40, 0.008, 0.005, (10, 100)) == 25
    assert next_size(40, 0.004, 0.005, (10, 100)) == 50
    assert next_size(40, 1.0, 0.005, (10, 100)) == 20
    assert next_size(40, 0.001, 0.005, (10, 100)) == 80
    assert next_size(40, 0.0, 0.005, (10, 100)) == 80


def test_a_commit_is_neither_too_small_nor_too_large():
    """However long it lasts."""
    assert next_size(12, 1.0, 0.005, (10, 100)) == 10
    assert next_size(80, 0.001, 0.005, (10, 100)) == 100
    assert next_size(0, 0.005, 0.005, (10, 100)) == 10
