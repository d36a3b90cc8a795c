"""Specifications: what they take, and what they refuse at once."""

from __future__ import annotations

import math

import pytest
import trio

from claw_actors.actors import (
    ChildSpec,
    SupervisorSpec,
    open_supervisor,
    service,
)
from claw_actors.errors import InvalidInputError

JOB = service(trio.sleep_forever)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"id": ""}, "id"),
        ({"id": "a/b"}, "id"),
        ({"id": 1}, "id"),
        ({"restart": "sometimes"}, "restart"),
        ({"grace": -1}, "grace"),
        ({"grace": math.nan}, "grace"),
        ({"grace": "1"}, "grace"),
        ({"grace": True}, "grace"),
        ({"start_timeout": -1}, "start_timeout"),
        ({"significant": True}, "restart"),
    ],
)
def test_a_child_that_makes_no_sense_is_refused(options, field):
    """Naming the field; a permanent child cannot be significant, as it never ends."""
    with pytest.raises(InvalidInputError) as caught:
        ChildSpec(**{"id": "a", "factory": JOB, **options})
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"children": [ChildSpec("a", JOB), ChildSpec("a", JOB)]}, "children"),
        ({"strategy": "all"}, "strategy"),
        ({"auto_shutdown": "always"}, "auto_shutdown"),
        ({"max_restarts": 1.5}, "max_restarts"),
        ({"within": math.inf}, "within"),
        ({"grace": -1}, "grace"),
    ],
)
def test_a_supervisor_that_makes_no_sense_is_refused(options, field):
    """Naming the field."""
    with pytest.raises(InvalidInputError) as caught:
        SupervisorSpec(**options)
    assert caught.value.field == field


def test_endless_graces_are_possible():
    """For those who would rather wait."""
    spec = ChildSpec("a", JOB, grace=math.inf, start_timeout=math.inf)
    assert (spec.policy.grace, spec.policy.start_timeout) == (math.inf, math.inf)


async def test_one_spec_can_make_many_children(autojump_clock):
    """It is data: each supervisor makes its own from it."""
    spec = ChildSpec("a", JOB)
    async with open_supervisor(spec) as one, open_supervisor(spec) as two:
        assert one.find("a") != two.find("a")


async def test_a_significance_that_never_matters_is_refused(autojump_clock):
    """From the start and at run time: without auto_shutdown nobody would heed it."""
    spec = ChildSpec("a", JOB, restart="transient", significant=True)
    with pytest.raises(InvalidInputError, match="significant True: a supervisor with"):
        SupervisorSpec(children=[spec])
    async with open_supervisor() as supervisor:
        with pytest.raises(InvalidInputError, match="significant"):
            await supervisor.start_child(spec)
        assert len(supervisor) == 0


def test_a_nested_supervisor_has_the_grace_that_it_says():
    """Unless its child spec says something else: it needs all of it for its own children."""
    below = SupervisorSpec(grace=45)
    assert ChildSpec("a", below).policy.grace == 45
    assert ChildSpec("a", below, grace=1).policy.grace == 1
    assert ChildSpec("a", JOB).policy.grace == 5
