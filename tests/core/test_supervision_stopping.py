"""How children are stopped: one of them, or all of them under one deadline."""

from __future__ import annotations

import math

import pytest

from claw_actors.errors import UnknownChildError

# -- one of them ------------------------------------------------------------------------------------


def test_a_child_stopped_by_hand_is_asked_first_and_stays_down(drive):
    """It is kept, to be started again by hand."""
    one = drive("a b").booted()
    assert one.stop("a") == ["ask a by 5"]
    assert one.exit("a") == ["down a"]
    assert one.wait(100) == []
    assert one.phases() == {"a": "down", "b": "up"}
    assert one.stop("a") == [], "again, it is nothing"


def test_a_temporary_child_that_is_stopped_is_forgotten(drive):
    """Its id is free."""
    one = drive("a", default={"restart": "temporary"}).booted()
    one.stop("a")
    assert one.exit("a") == ["removed a"]
    with pytest.raises(UnknownChildError):
        one["a"]


@pytest.mark.parametrize(
    ("own", "given", "by"), [(5, math.inf, 5), (5, 2, 2), (5, 50, 5), (0, 9, 0)]
)
def test_the_grace_is_its_own_or_less(drive, own, given, by):
    """Whoever asks can only shorten it."""
    one = drive("a", default={"grace": own}).booted()
    assert one.stop("a", given) == [f"ask a by {by}"]
    assert one.wait(by) == ["cancel a"]


def test_asking_again_can_only_shorten_the_grace(drive):
    """It is not asked a second time."""
    one = drive("a").booted()
    assert one.stop("a") == ["ask a by 5"]
    assert one.stop("a", 50) == []
    assert one.stop("a", 2) == []
    assert one.wait(1.5) == []
    assert one.wait(0.5) == ["cancel a"]
    assert one.stop("a", 0) == [], "it is cancelled already"
    assert one.wait(4.5) == []


def test_a_child_that_does_not_end_although_cancelled_is_reported_again_and_again(drive):
    """Every five seconds; its end is an end like any other."""
    one = drive("a").booted()
    one.stop("a", 0)
    assert one.wait(0) == ["cancel a"]
    assert one.wait(12) == ["stuck a", "stuck a"]
    assert one.exit("a") == ["down a"]
    assert one.wait(100) == []


def test_a_stop_beats_a_restart(drive):
    """One that waits for its restart is just not restarted."""
    one = drive("a").booted()
    one.crash("a")
    assert one.stop("a") == ["down a"]
    assert one.wait(100) == []


def test_a_stop_during_a_restart_stops_it(drive):
    """Its acknowledgement comes too late."""
    one = drive("a").booted()
    one.crash("a")
    one.wait(1)
    assert one.stop("a") == ["ask a by 6"]
    assert one.up("a") == []
    assert one.exit("a") == ["down a"]


def test_a_stop_by_hand_beats_a_start_that_takes_too_long(drive):
    """It was cancelled for that, and stays down for this."""
    one = drive("a", default={"start_timeout": 3}).booted()
    one.crash("a")
    one.wait(4)
    assert one.stop("a") == []
    assert one.exit("a") == ["down a"]


def test_a_child_stopped_before_it_has_ever_started_is_no_child(drive):
    """Whoever started it is told so."""
    one = drive("a").booted()
    one.add("b")
    assert one.stop("b") == ["ask b by 5"]
    assert one.exit("b") == ["not started b", "removed b"]
    assert "stopped before" in str(one.actions[-2].error)


def test_an_error_while_stopping_is_reported_and_brings_nothing_back(drive):
    """Nor does it count."""
    one = drive("a").booted()
    one.stop("a")
    assert one.crash("a") == ["crashed a, it was stopping", "down a"]
    assert one.machine.history == ()


# -- all of them ------------------------------------------------------------------------------------


def test_all_stop_in_reverse_each_gone_before_the_next_is_asked(drive):
    """So none loses what it relies on."""
    one = drive("a b c").booted()
    assert one.shut_down() == ["ask c by 5"]
    assert one.wait(1) == []
    assert one.exit("c") == ["down c", "ask b by 6"]
    assert one.exit("b") == ["down b", "ask a by 6"]
    assert one.exit("a") == ["down a", "finished"]
    assert one.machine.alive == 0


@pytest.mark.parametrize("strategy", ["one_for_one", "one_for_all", "rest_for_one"])
def test_a_crash_while_all_stop_brings_nothing_back(drive, strategy):
    """Not of the one that is stopping, nor of one whose turn has not come."""
    one = drive("a b c", strategy=strategy).booted()
    one.shut_down()
    assert one.crash("a") == ["crashed a, it was stopping", "down a"]
    assert one.crash("c") == ["crashed c, it was stopping", "down c", "ask b by 5"]
    assert one.exit("b") == ["down b", "finished"]


def test_each_gets_its_own_grace_or_what_is_left_of_the_total(drive):
    """Twelve seconds in all, five for each: the third has two, and nothing is left for the last."""
    one = drive("a b c d").booted()
    assert one.shut_down(12) == ["ask d by 5"]
    assert one.wait(5) == ["cancel d"]
    assert one.exit("d") == ["down d", "ask c by 10"]
    assert one.wait(5) == ["cancel c"]
    assert one.exit("c") == ["down c", "ask b by 12"]
    assert one.wait(2) == ["cancel b", "cancel a"]


def test_the_total_deadline_cuts_off_all_that_still_run(drive):
    """One that does not end, although cancelled, does not protect those before it."""
    one = drive("a b c", each={"c": {"grace": 1}}).booted()
    one.shut_down(3)
    assert one.wait(1) == ["cancel c"]
    assert one.wait(2) == ["cancel b", "cancel a"]
    assert one.exit("a") == ["down a"]
    assert one.exit("b") == ["down b"]
    assert one.wait(10) == ["stuck c", "stuck c"]
    assert one.exit("c") == ["down c", "finished"]


def test_one_that_takes_too_long_to_start_is_waited_for_like_the_others(drive):
    """It was cancelled for that already, and ends with an error of its own."""
    one = drive("a b", default={"start_timeout": 3}).booted()
    one.add("c")
    assert one.wait(3) == ["cancel c"]
    assert one.shut_down() == []
    assert one.exit("c") == ["not started c", "removed c", "ask b by 8"]


def test_the_default_deadline_is_the_supervisors(drive):
    """It holds when it stops by itself, too."""
    one = drive("a", grace=2).booted()
    assert one.shut_down() == ["ask a by 2"]


def test_said_again_a_stop_can_only_be_sooner(drive):
    """A second, more urgent one shortens the grace of who is being stopped, too."""
    one = drive("a b").booted()
    one.shut_down(20)
    assert one.shut_down(50) == []
    assert one.wait(4) == []
    assert one.shut_down(0.5) == []
    assert one.wait(0.5) == ["cancel b", "cancel a"]


def test_a_stop_at_once_cancels_all_at_once(drive):
    """In reverse still."""
    one = drive("a b c").booted()
    assert one.shut_down(0) == ["ask c by 0"]
    assert one.wait(0) == ["cancel c", "cancel b", "cancel a"]


def test_stopped_together_all_are_asked_at_once(drive):
    """They do not depend on each other; one deadline holds for all."""
    one = drive("a b c", stop_together=True, each={"b": {"grace": 50}}).booted()
    assert one.shut_down(9) == ["ask c by 5", "ask b by 9", "ask a by 5"]
    assert one.wait(5) == ["cancel c", "cancel a"]
    one.exit("a")
    one.exit("c")
    assert one.wait(4) == ["cancel b"]
    assert one.exit("b") == ["down b", "finished"]


def test_stopped_together_and_at_once(drive):
    """A second, more urgent stop reaches all of them."""
    one = drive("a b", stop_together=True).booted()
    one.shut_down(9)
    one.shut_down(0)
    assert sorted(one.wait(0)) == ["cancel a", "cancel b"]


def test_those_that_wait_for_a_restart_are_down_at_once(drive):
    """Nobody has to be waited for."""
    one = drive("a b").booted()
    one.crash("a")
    one.crash("b")
    assert one.shut_down() == ["down a", "down b", "finished"]
    assert one.wait(100) == []


def test_a_child_stopped_by_hand_before_is_held_to_the_total_deadline(drive):
    """Its own grace may be longer."""
    one = drive("a", default={"grace": 60}).booted()
    assert one.stop("a") == ["ask a by 60"]
    assert one.shut_down(3) == []
    assert one.wait(3) == ["cancel a"]


def test_it_finishes_once(drive):
    """However often it is told to stop."""
    one = drive("a").booted()
    one.shut_down()
    assert one.exit("a") == ["down a", "finished"]
    assert one.shut_down() == []


# -- by itself --------------------------------------------------------------------------------------

BOTH = {"a": {"restart": "transient", "significant": True}}
BOTH["b"] = {"restart": "temporary", "significant": True}


def test_the_first_significant_end_may_end_the_supervisor(drive):
    """``any_significant``: after a normal end, or one that is not restarted."""
    one = drive("a b c", auto_shutdown="any_significant", each=BOTH).booted()
    assert one.exit("a") == ["down a", "ask c by 5"]
    one = drive("a b c", auto_shutdown="any_significant", each=BOTH).booted()
    assert one.crash("b") == ["crashed b, stay down", "removed b", "ask c by 5"]


def test_the_last_significant_end_may_end_the_supervisor(drive):
    """``all_significant``: those that are left do not matter."""
    one = drive("a b c", auto_shutdown="all_significant", each=BOTH).booted()
    assert one.exit("b") == ["removed b"]
    assert one.exit("a") == ["down a", "ask c by 5"]
    assert one.exit("c") == ["down c", "finished"]
    end = one.actions[-1]
    assert (end.history, end.error) == ((), None), "that is no failure"


@pytest.mark.parametrize("auto_shutdown", ["never", "any_significant"])
def test_other_ends_do_not_end_the_supervisor(drive, auto_shutdown):
    """One that is not significant, one that comes back, one stopped by hand."""
    one = drive("a b c", auto_shutdown=auto_shutdown, each=BOTH | {"c": {"restart": "transient"}})
    one.booted()
    assert one.exit("c") == ["down c"]
    assert one.crash("a") == ["crashed a, back in 1"]
    one.stop("b")
    assert one.exit("b") == ["removed b"]
    assert not one.machine.is_stopping


def test_unless_told_so_no_end_of_a_child_ends_the_supervisor(drive):
    """``never``, also of a significant one."""
    one = drive("a b", each=BOTH).booted()
    one.exit("a")
    one.exit("b")
    assert not one.machine.is_stopping


def test_a_significant_child_taken_down_by_a_sibling_does_not_end_the_supervisor(drive):
    """A temporary one, which does not come back from it."""
    one = drive("a b", strategy="one_for_all", auto_shutdown="any_significant", each=BOTH).booted()
    one.crash("a")
    assert one.exit("b") == ["removed b"]
    assert not one.machine.is_stopping
