"""Pruning through the control socket: what a step asks for, and what it answers."""

from __future__ import annotations

import pytest

from claw_actors import Status, errors
from claw_actors._core.retention import Rule
from claw_actors._runtime.control.steps import PruneSome, read_stepped, told_of
from claw_actors._runtime.pruning import Place, Stepped


@pytest.mark.parametrize("names", [None, frozenset({"a", "b"})])
def test_a_request_is_a_rule_and_a_place(names):
    """Nothing of them is lost."""
    rule = Rule(ended_before=5.0, keep=2, statuses=frozenset({Status.FAILED}), names=names)
    place = Place(7, {"a": 1})
    request = PruneSome.of(rule, place)
    assert (request.rule, request.place) == (rule, place)


@pytest.mark.parametrize("place", [None, Place(7, {"a": 1})])
def test_an_answer_is_what_a_step_has_done(place):
    """As it was."""
    done = Stepped(("x", "y"), 4_096, place)
    assert read_stepped(told_of(done)) == done


@pytest.mark.parametrize("answer", [None, [], {"ids": []}, {"ids": [], "bytes": 1, "next": [1]}])
def test_an_answer_that_makes_no_sense_leaves_it_unknown(answer):
    """What it pruned is pruned."""
    with pytest.raises(errors.RequestOutcomeUnknownError, match="makes no sense"):
        read_stepped(answer)
