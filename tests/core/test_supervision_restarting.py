"""When a child is restarted, after how long, and when its supervisor has had enough."""

from __future__ import annotations

import math
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claw_actors._core.supervision.policy import (
    Backoff,
    Breaker,
    ChildCrash,
    Escalate,
    GiveUp,
    Intensity,
    RestartAfter,
    Strategy,
    add_restart,
    check_one_of,
    delay_of,
    wants_restart,
)
from claw_actors.errors import ChildRunningError, InvalidInputError, SupervisorStoppedError

ERROR = ValueError("bad")
TWICE = Intensity(max_restarts=2, within=5)


# -- restart types ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("restart", "error", "expected"),
    [
        ("permanent", ERROR, ["crashed a, back in 1"]),
        ("permanent", None, ["crashed a, back in 1"]),
        ("transient", ERROR, ["crashed a, back in 1"]),
        ("transient", None, ["down a"]),
        ("temporary", ERROR, ["crashed a, stay down", "removed a"]),
        ("temporary", None, ["removed a"]),
    ],
)
def test_its_type_says_when_a_child_is_restarted(drive, restart, error, expected):
    """Permanent: always; transient: after a crash; temporary: never, and it is forgotten."""
    one = drive("a", default={"restart": restart}).booted()
    assert one.exit("a", error) == expected
    assert wants_restart(restart, error) == ("back" in expected[0])
    assert one.wait(1) == (["spawn a"] if "back" in expected[0] else [])


def test_each_life_has_a_number(drive):
    """From 1, by hand or not."""
    one = drive("a").booted()
    assert one["a"].incarnation == 1
    one.crash("a")
    one.wait(1)
    assert one["a"].incarnation == 2
    one.stop("a")
    one.exit("a")
    one.restart("a")
    one.wait(0)
    assert one["a"].incarnation == 3


# -- delays -----------------------------------------------------------------------------------------


def test_each_crash_in_a_row_waits_longer(drive):
    """Twice as long as the one before, up to the maximum."""
    one = drive("a").booted()
    said = []
    for delay in (1, 2, 4, 8, 10, 10):
        said += one.crash("a")
        assert one.wait(delay) == ["spawn a"]
        one.up("a")
    assert said == [f"crashed a, back in {delay}" for delay in (1, 2, 4, 8, 10, 10)]


def test_after_staying_up_for_long_enough_a_crash_is_a_first_one(drive):
    """A moment less is not enough."""
    one = drive("a").booted()
    one.crash("a")
    one.wait(1)
    one.up("a")
    one.wait(59.5)
    assert one.crash("a") == ["crashed a, back in 2"]
    one.wait(2)
    one.up("a")
    one.wait(60)
    assert one.crash("a") == ["crashed a, back in 1"]


def test_only_the_time_that_it_was_up_counts_for_that(drive):
    """Not how long it was starting, nor the time since it was stopped for a sibling's sake."""
    one = drive("a b", strategy="one_for_all", default={"start_timeout": math.inf}).booted()
    one.crash("b")
    one.exit("a")
    one.up("a")
    one.wait(1)
    one.up("b")
    one.crash("b")
    assert one["b"].crashes == 2
    one.exit("a")
    one.wait(100)
    one.crash("a")
    one.wait(100)
    one.up("a")
    one.wait(100)
    assert one.crash("b")[0] == "crashed b, back in 4"


@pytest.mark.parametrize(("dice", "delay"), [(0.0, 0.8), (0.5, 1.0), (0.75, 1.1)])
def test_a_part_of_a_delay_is_chance(drive, dice, delay):
    """So that many do not come back at the same moment."""
    backoff = Backoff(initial=1, jitter=0.2)
    assert delay_of(backoff, 1, dice) == pytest.approx(delay)
    one = drive("a", default={"backoff": backoff}, dice=lambda: dice).booted()
    assert one.crash("a") == [f"crashed a, back in {delay:g}"]


@given(
    st.floats(0, 100),
    st.floats(0, 100),
    st.floats(1, 1e10),
    st.integers(1, 10_000),
    st.floats(0, 1),
)
def test_a_delay_stays_within_its_policy(initial, maximum, factor, crashes, dice):
    """However many crashes there were, however steep it is."""
    backoff = Backoff(initial=initial, maximum=maximum, factor=factor, jitter=1)
    assert 0 <= delay_of(backoff, crashes, dice) <= 2 * maximum


def test_a_failed_restart_counts_and_is_retried_with_backoff(drive):
    """Raised, or too slow; and nobody waits for it, so nobody is told that it did not start."""
    one = drive("a b", default={"start_timeout": 2}).booted()
    one.crash("a")
    one.wait(1)
    assert one.crash("a") == ["crashed a, back in 2"]
    assert one.wait(2) == ["spawn a"]
    assert one.wait(2) == ["cancel a"]
    assert one.exit("a") == ["crashed a, back in 4"]
    assert "not within 2 s" in str(one.actions[-1].error)
    assert one.phases() == {"a": "waiting", "b": "up"}
    assert len(one.machine.history) == 2, "the first one is as old as the window"


# -- the window -------------------------------------------------------------------------------------


def test_one_restart_too_many_in_the_window_is_the_end_of_all(drive):
    """Two are forgiven, the third stops everybody; the crashes are kept, with their causes."""
    one = drive("a b", intensity=TWICE).booted()
    for delay in (1, 2):
        one.crash("b")
        one.wait(delay)
        one.up("b")
    assert one.crash("b") == ["crashed b, escalate", "down b", "ask a by 8"]
    assert one.exit("a") == ["down a", "finished"]
    history = one.actions[-1].history
    assert [(crash.id, crash.incarnation, crash.at) for crash in history] == [
        ("b", 1, 0),
        ("b", 2, 1),
        ("b", 3, 3),
    ]
    assert str(history[-1].error) == "b"


def test_the_window_is_shared_by_all_children(drive):
    """It is the supervisor's patience, not a child's."""
    one = drive("a b c", intensity=TWICE).booted()
    one.crash("a")
    one.crash("b")
    assert "crashed c, escalate" in one.crash("c")


def test_restarts_as_old_as_the_window_are_forgotten():
    """The edge is outside, a moment before is inside."""
    old = ChildCrash("a", 1, None, 0.0)
    for at, count in ((5.0, 1), (4.999, 2)):
        history, too_many = add_restart(
            (old,), ChildCrash("a", 2, None, at), Intensity(max_restarts=1)
        )
        assert (len(history), too_many) == (count, count > 1)


def test_without_patience_the_first_crash_is_the_end(drive):
    """``max_restarts=0``."""
    one = drive("a", intensity=Intensity(max_restarts=0)).booted()
    assert one.crash("a") == ["crashed a, escalate", "down a", "finished"]


def test_a_window_of_nothing_counts_each_crash_alone():
    """Not even another one at this very moment."""
    crash = ChildCrash("a", 1, None, 0.0)
    assert add_restart((crash,), crash, Intensity(max_restarts=1, within=0)) == ((crash,), False)


def test_an_end_that_should_not_have_been_counts_like_a_crash(drive):
    """A permanent child that keeps returning."""
    one = drive("a", intensity=Intensity(max_restarts=1)).booted()
    one.exit("a")
    one.wait(1)
    one.up("a")
    assert "finished" in one.exit("a")
    assert [crash.error for crash in one.actions[-1].history] == [None, None]


def test_what_is_not_restarted_counts_for_nothing(drive):
    """Temporary children may crash as often as they like."""
    one = drive("a", intensity=Intensity(max_restarts=0)).booted()
    for number in range(5):
        one.add(f"t{number}", restart="temporary")
        one.up(f"t{number}")
        one.crash(f"t{number}")
    assert not one.machine.is_stopping


def test_giving_up_during_the_boot_ends_it(drive):
    """It is no failed start: the crashes are the reason."""
    one = drive("a b", intensity=Intensity(max_restarts=0))
    one.boot()
    one.up("a")
    assert one.crash("a")[:2] == ["crashed a, escalate", "down a"]
    assert one.exit("b")[-1] == "finished"
    end = one.actions[-1]
    assert (len(end.history), end.error) == (1, None)


# -- a policy of its own ----------------------------------------------------------------------------


def test_a_child_with_a_policy_of_its_own_does_not_touch_the_window(drive):
    """It comes back when that says so, however often."""
    one = drive("a b", intensity=Intensity(max_restarts=0)).booted()
    for _ in range(10):
        assert one.crash("a", RestartAfter(7)) == ["crashed a, back in 7"]
        assert one.wait(7) == ["spawn a"]
        one.up("a")
    assert one.crash("a", GiveUp()) == ["crashed a, stay down", "down a"]
    assert one.phases() == {"a": "down", "b": "up"}
    assert one.machine.history == ()


def test_a_policy_of_its_own_may_restart_what_has_just_returned(drive):
    """Whatever its type."""
    one = drive("a", default={"restart": "temporary"}).booted()
    assert one.exit("a", None, RestartAfter(1)) == ["crashed a, back in 1"]
    assert one.wait(1) == ["spawn a"]


def test_a_policy_of_its_own_may_ask_for_the_end_of_all(drive):
    """As if the window were full; also for an end without an error."""
    one = drive("a b").booted()
    assert one.exit("a", None, Escalate())[:2] == ["crashed a, escalate", "down a"]
    one.exit("b")
    assert one.actions[-1].history == (ChildCrash("a", 1, None, 0.0),)


def test_a_delay_must_be_a_number():
    """NaN would never come; it is refused where the policy says it."""
    for seconds in (math.nan, -1, math.inf, "1"):
        with pytest.raises(InvalidInputError):
            RestartAfter(seconds)


# -- the breaker ------------------------------------------------------------------------------------


def test_the_breaker_holds_all_back_when_too_many_crash_at_once(drive):
    """They come back after the pause, spread over as long again, those that just crashed, too."""
    breaker = Breaker(max_crashes=2, within=10, pause=100)
    one = drive("a b c d", breaker=breaker, dice=lambda: 0.25).booted()
    assert one.crash("a") == ["crashed a, back in 1"]
    assert one.crash("b") == ["crashed b, back in 1"]
    assert one.crash("c") == ["crashed c, back in 125", "breaker open until 100"]
    assert one.add("new") == ["spawn new"], "it has not crashed"
    one.up("new")
    assert one.wait(50) == []
    assert one.crash("d") == ["crashed d, back in 75"]
    assert one.wait(74) == []
    assert sorted(one.wait(1)) == ["spawn a", "spawn b", "spawn c", "spawn d"]


def test_crashes_far_apart_do_not_open_the_breaker(drive):
    """Those as old as its window are forgotten; after the pause, all is as before."""
    one = drive("a", breaker=Breaker(max_crashes=1, within=10, pause=5)).booted()
    for _ in range(5):
        assert one.crash("a", RestartAfter(0)) == ["crashed a, back in 0"]
        one.wait(10)
        one.up("a")
    one.crash("a", RestartAfter(0))
    one.wait(1)
    one.up("a")
    assert "breaker open until 56" in one.crash("a", RestartAfter(0))
    one.wait(20)
    one.up("a")
    assert one.crash("a", RestartAfter(0)) == ["crashed a, back in 0"]


def test_a_breaker_with_a_window_of_nothing_never_opens(drive):
    """No two crashes are at the same time for it."""
    one = drive("a b c", breaker=Breaker(max_crashes=1, within=0)).booted()
    for id in "abc":
        assert one.crash(id) == [f"crashed {id}, back in 1"]


def test_a_longer_delay_of_its_own_is_kept(drive):
    """The breaker only makes it longer."""
    one = drive("a b", breaker=Breaker(max_crashes=1, pause=1), dice=lambda: 0.0).booted()
    one.crash("a")
    assert one.crash("b", RestartAfter(50))[0] == "crashed b, back in 50"


# -- by hand ----------------------------------------------------------------------------------------


def test_a_child_that_is_down_can_be_started_by_hand(drive):
    """At once, whatever its type and history."""
    one = drive("a", default={"restart": "transient"}).booted()
    one.exit("a")
    assert one.restart("a") == ["revived a"]
    assert one.wait(0) == ["spawn a"]


def test_a_child_that_is_not_down_cannot_be_started_or_deleted(drive):
    """Starting, up, stopping, waiting for its restart."""
    one = drive("a")
    one.boot()

    def refused():
        with pytest.raises(ChildRunningError):
            one.restart("a")
        with pytest.raises(ChildRunningError):
            one.machine.delete(one["a"])

    refused()
    one.up("a")
    refused()
    one.crash("a")
    refused()
    one.wait(1)
    one.up("a")
    one.stop("a")
    refused()
    one.exit("a")
    one.machine.delete(one["a"])
    assert one.phases() == {}


def test_a_stopping_supervisor_starts_nothing_by_hand(drive):
    """Not what is down already either."""
    one = drive("a b").booted()
    one.stop("a")
    one.exit("a")
    one.shut_down()
    with pytest.raises(SupervisorStoppedError):
        one.restart("a")


# -- what is kept -----------------------------------------------------------------------------------


def test_deadlines_of_past_lives_are_forgotten(drive):
    """Each start has one; a thousand lives in one second do not leave a thousand behind."""
    one = drive("a b").booted()
    one.crash("b", RestartAfter(20))
    for _ in range(1_000):
        one.crash("a", RestartAfter(0.001))
        one.wait(0.001)
        one.up("a")
    assert len(one.machine._deadlines) < 100
    assert one.wait(20) == ["spawn b"], "those that count are kept"


@pytest.mark.parametrize("strategy", get_args(Strategy))
def test_a_word_that_is_allowed_is_taken(strategy):
    """Each of them."""
    check_one_of("strategy", strategy, Strategy)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: Backoff(initial=-1), "initial"),
        (lambda: Backoff(factor=0.5), "factor"),
        (lambda: Backoff(jitter=1.5), "jitter"),
        (lambda: Intensity(max_restarts=0.5), "max_restarts"),
        (lambda: Breaker(max_crashes=0), "max_crashes"),
        (lambda: check_one_of("restart", "sometimes", None), "restart"),
    ],
)
def test_a_policy_out_of_range_is_refused(make, field):
    """Where it is written, naming the field."""
    with pytest.raises(InvalidInputError) as caught:
        make()
    assert caught.value.field == field
