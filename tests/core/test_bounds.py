"""The check that declarations share."""

from __future__ import annotations

import attrs
import pytest

from claw_actors._core.bounds import at_least
from claw_actors.errors import InvalidInputError


@attrs.frozen
class Limits:
    seconds: float = attrs.field(default=1.5, validator=at_least(0.5))
    count: int = attrs.field(default=2, validator=at_least(2, whole=True))


@pytest.mark.parametrize("value", [0.5, 1, 10**9, 1e308])
def test_a_number_from_the_bound_up_is_good(value):
    """The bound itself included, whole or not."""
    assert Limits(seconds=value).seconds == value


@pytest.mark.parametrize(
    "value",
    [0.49, -1, float("nan"), float("inf"), -float("inf"), 10**400, True, "1", None, 1j],
)
def test_anything_else_is_refused_by_name(value):
    """Too small, not finite, no number: the message says what would do."""
    with pytest.raises(InvalidInputError, match=r"seconds .*: a finite number, at least 0\.5"):
        Limits(seconds=value)


@pytest.mark.parametrize("value", [1, 2.0, True, "2"])
def test_where_a_whole_number_is_asked_for_nothing_else_will_do(value):
    """``2.0`` is none."""
    with pytest.raises(InvalidInputError, match=r"count .*: a whole number, at least 2"):
        Limits(count=value)


def test_it_can_be_called_without_a_field():
    """Then it speaks of a value."""
    with pytest.raises(InvalidInputError, match=r"^value -1"):
        at_least(0)(None, None, -1)
