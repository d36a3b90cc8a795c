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
