"""When a failed task is tried again: bounds that hold for every policy, and each condition."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from claw_actors._core.backoff import grown
from claw_actors._core.retry import GiveUp, Retry, TryAgain, decide_retry
from claw_actors.errors import InvalidInputError, RetryAfter

NOW = 1_000_000.0
seconds = st.floats(0, 1e9)
uniform = st.floats(0, 1, exclude_max=True)
policies = st.builds(
    Retry,
    max_attempts=st.integers(1, 10_000),
    initial=seconds,
    maximum=seconds,
    backoff=st.floats(1, 1e6),
    jitter=st.floats(0, 10),
)


def decide(retry, error=None, *, attempt=1, started_at=NOW, now=NOW, uniform=0.5):
    error = ValueError() if error is None else error
    return decide_retry(
        retry, error, attempt=attempt, started_at=started_at, now=now, uniform=uniform
    )


def delay(retry, **kwargs):
    decision = decide(retry, now=0.0, started_at=0.0, **kwargs)
    assert isinstance(decision, TryAgain)
    return decision.due_at


@given(policies, st.integers(1, 9_999), uniform)
def test_no_delay_is_negative_or_beyond_the_maximum_and_its_jitter(retry, attempt, uniform):
    """However many attempts there were: 0 ≤ delay ≤ maximum × (1 + jitter)."""
    assume(attempt < retry.max_attempts)
    found = delay(retry, attempt=attempt, uniform=uniform)
    assert 0 <= found <= math.nextafter(retry.maximum * (1 + retry.jitter), math.inf)


@given(policies, st.integers(1, 9_998), uniform)
def test_delays_do_not_shrink_from_attempt_to_attempt(retry, attempt, uniform):
    """With the same jitter, the next delay is at least as long."""
    assume(attempt + 1 < retry.max_attempts)
    first = delay(retry, attempt=attempt, uniform=uniform)
    assert delay(retry, attempt=attempt + 1, uniform=uniform) >= first


@given(policies, uniform)
def test_the_last_attempt_is_the_last(retry, uniform):
    """``max_attempts`` counts the first one, too."""
    assert decide(retry, attempt=retry.max_attempts, uniform=uniform) == GiveUp()


@given(policies, st.integers(1, 9_999), seconds, seconds, uniform)
def test_no_attempt_begins_after_the_deadline(retry, attempt, deadline, elapsed, uniform):
    """Counted from the start of the first attempt."""
    assume(attempt < retry.max_attempts)
    limited = Retry(
        max_attempts=retry.max_attempts,
        initial=retry.initial,
        maximum=retry.maximum,
        deadline=deadline,
    )
    decision = decide(limited, attempt=attempt, now=NOW + elapsed, uniform=uniform)
    assert isinstance(decision, GiveUp) or decision.due_at <= NOW + deadline


def test_delays_double_by_default():
    """Half a second, a second, two, up to the maximum."""
    retry = Retry(max_attempts=100)
    assert [delay(retry, attempt=n) for n in (1, 2, 3, 6, 7, 50)] == [0.5, 1, 2, 16, 30, 30]


def test_jitter_spreads_in_both_directions():
    """A fifth down at 0, nothing at ½, nearly a fifth up below 1."""
    retry = Retry(initial=10.0)
    assert delay(retry, uniform=0.0) == pytest.approx(8)
    assert delay(retry, uniform=0.5) == 10
    assert delay(retry, uniform=0.999_999) == pytest.approx(12, rel=1e-3)


def test_jitter_beyond_1_does_not_reach_into_the_past():
    """A delay of less than nothing is none."""
    assert delay(Retry(jitter=3), uniform=0.0) == 0


def test_a_deadline_that_is_met_exactly_is_met():
    """The bound belongs to it; a hair later does not."""
    retry = Retry(deadline=10, jitter=0, initial=4)
    assert decide(retry, now=NOW + 6) == TryAgain(NOW + 10)
    assert decide(retry, now=NOW + 6.001) == GiveUp()


def test_retry_after_names_its_own_delay():
    """Neither backoff nor maximum nor matchers have a say; attempts and deadline do."""
    error = RetryAfter(3_600)
    assert decide(Retry(retry_on=KeyError, give_up_on=RetryAfter), error) == TryAgain(NOW + 3_600)
    assert decide(Retry(max_attempts=1), error) == GiveUp()
    assert decide(Retry(deadline=3_599), error) == GiveUp()


@pytest.mark.parametrize(
    ("matcher", "matches"),
    [
        (ValueError, True),
        (Exception, True),
        (KeyError, False),
        ((KeyError, ValueError), True),
        ((KeyError,), False),
        ((), False),
        (lambda error: "503" in str(error), True),
        (lambda error: False, False),
    ],
)
def test_a_matcher_is_a_class_or_several_or_a_predicate(matcher, matches):
    """The same forms say what is retried and what is not."""
    error = ValueError("503")
    assert isinstance(decide(Retry(retry_on=matcher), error), TryAgain if matches else GiveUp)
    assert isinstance(decide(Retry(give_up_on=matcher), error), GiveUp if matches else TryAgain)


def test_give_up_on_wins_over_retry_on():
    """``retry_on=OSError, give_up_on=FileNotFoundError`` reads as it is meant."""
    retry = Retry(retry_on=OSError, give_up_on=FileNotFoundError)
    assert isinstance(decide(retry, PermissionError()), TryAgain)
    assert decide(retry, FileNotFoundError()) == GiveUp()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_attempts", 0),
        ("max_attempts", 1.5),
        ("max_attempts", True),
        ("initial", -1),
        ("maximum", float("inf")),
        ("backoff", 0.9),
        ("jitter", float("nan")),
        ("deadline", -0.1),
        ("deadline", "1"),
        ("retry_on", int),
        ("retry_on", (ValueError, 5)),
        ("give_up_on", "ValueError"),
        ("give_up_on", None),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(field, value):
    """At declaration, naming the field."""
    with pytest.raises(InvalidInputError) as caught:
        Retry(**{field: value})
    assert caught.value.field == field


@pytest.mark.parametrize("steps", [0, 1, 64, 1_024, 10**6])
def test_a_delay_of_nothing_stays_nothing(steps):
    """Also where the power alone is beyond all numbers."""
    assert grown(0, 2, steps, 30) == 0


@pytest.mark.parametrize("factor", [2, 2.0, 1e300])
def test_growth_ends_at_the_maximum_whatever_overflows(factor):
    """Whole numbers and floats overflow in different places."""
    assert grown(0.5, factor, 10**6, 30) == 30
    assert grown(1e300, factor, 500, 30) == 30


def test_a_factor_of_1_never_grows():
    """A fixed pause is a policy, too."""
    assert grown(5, 1, 10**6, 30) == 5
