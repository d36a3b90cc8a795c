"""What follows a crash: the window's edges, clocks set back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claw_actors._core.restart import (
    Quarantine,
    Respawn,
    Restart,
    decide_restart,
)
from claw_actors.errors import InvalidInputError

NOW = 1_000.0


def test_a_first_crash_is_forgiven_after_the_initial_delay():
    """It is remembered, with its time."""
    assert decide_restart(Restart(), (), NOW) == Respawn(NOW + 0.1, (NOW,))


def test_delays_grow_with_the_crashes_in_the_window():
    """Each is twice the one before, up to the maximum."""
    policy = Restart(max_restarts=100, within=1e6, initial=1, maximum=5)
    restarts, delays = (), []
    for second in range(5):
        decision = decide_restart(policy, restarts, NOW + second)
        restarts = decision.restarts
        delays.append(decision.due_at - NOW - second)
    assert delays == [1, 2, 4, 5, 5]


def test_one_crash_too_many_is_the_end():
    """Three are forgiven by default, the fourth is not; its time is kept for the operator."""
    restarts = (NOW - 3, NOW - 2)
    allowed = decide_restart(Restart(), restarts, NOW - 1)
    assert isinstance(allowed, Respawn)
    assert decide_restart(Restart(), allowed.restarts, NOW) == Quarantine(
        (NOW - 3, NOW - 2, NOW - 1, NOW)
    )


def test_without_a_budget_the_first_crash_is_the_end():
    """``max_restarts=0`` forgives nothing."""
    assert decide_restart(Restart(max_restarts=0), (), NOW) == Quarantine((NOW,))


def test_a_crash_as_old_as_the_window_is_forgotten():
    """The edge is outside, a moment later is inside."""
    policy = Restart(max_restarts=1, within=60)
    assert decide_restart(policy, (NOW - 60,), NOW) == Respawn(NOW + 0.1, (NOW,))
    assert isinstance(decide_restart(policy, (NOW - 59.999,), NOW), Quarantine)


def test_a_window_of_nothing_counts_each_crash_alone():
    """Not even another one at this very moment."""
    policy = Restart(max_restarts=1, within=0)
    assert decide_restart(policy, (NOW, NOW - 1), NOW).restarts == (NOW,)


def test_after_a_clock_was_set_back_crashes_count_as_just_now():
    """They still count, and they grow old from now on instead of lasting for ever."""
    policy = Restart(max_restarts=2, within=60)
    decision = decide_restart(policy, (NOW + 86_400,), NOW)
    assert decision == Respawn(NOW + 0.2, (NOW, NOW))
    assert decide_restart(policy, decision.restarts, NOW + 61).restarts == (NOW + 61,)


def test_a_steep_backoff_does_not_overflow():
    """A hundred crashes at a factor of 10¹⁰ wait for the maximum."""
    policy = Restart(max_restarts=1_000, within=1e9, backoff=1e10)
    restarts = tuple(NOW - n for n in range(100))
    assert decide_restart(policy, restarts, NOW).due_at == NOW + policy.maximum


@given(
    st.integers(0, 5),
    st.floats(0, 100),
    st.lists(st.floats(-200, 200), max_size=10).map(tuple),
)
def test_a_decision_stays_within_its_policy(budget, within, restarts):
    """The delay is bounded, the memory is of the window, the budget is kept."""
    policy = Restart(max_restarts=budget, within=within)
    decision = decide_restart(policy, restarts, 0.0)
    assert decision.restarts[-1] == 0.0
    assert all(-within < at <= 0 for at in decision.restarts[:-1])
    assert isinstance(decision, Quarantine) == (len(decision.restarts) > budget)
    if isinstance(decision, Respawn):
        assert 0 < decision.due_at <= policy.maximum


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_restarts", -1), ("max_restarts", 1.0), ("within", -1), ("initial", "0"), ("backoff", 0)],
)
def test_a_policy_that_makes_no_sense_is_refused(field, value):
    """At declaration, naming the field."""
    with pytest.raises(InvalidInputError) as caught:
        Restart(**{field: value})
    assert caught.value.field == field
