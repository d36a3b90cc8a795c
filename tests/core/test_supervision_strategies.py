"""Who is restarted with a crashed child, and in which order."""

from __future__ import annotations

import pytest

ALL = "one_for_all"
REST = "rest_for_one"


def test_one_for_one_concerns_nobody_else(drive):
    """The others do not notice."""
    one = drive("a b c").booted()
    assert one.crash("b") == ["crashed b, back in 1"]
    assert one.wait(1) == ["spawn b"]
    assert one.up("b") == []


def test_crashed_children_come_back_independently(drive):
    """Under one for one, each after its own delay, none waiting for another's start."""
    one = drive("a b").booted()
    one.crash("a")
    one.wait(0.5)
    one.crash("b")
    assert one.wait(0.5) == ["spawn a"]
    assert one.wait(0.5) == ["spawn b"]


def test_one_for_all_stops_the_others_in_reverse_and_starts_all_in_order(drive):
    """One at a time, each gone before the next is asked; none starts before all are gone."""
    one = drive("a b c d", strategy=ALL).booted()
    assert one.crash("b") == ["crashed b, back in 1", "ask d by 5"]
    assert one.exit("d") == ["ask c by 5"]
    assert one.wait(2) == []
    assert one.exit("c") == ["ask a by 7"]
    assert one.exit("a") == ["spawn a"]
    assert one.up("a") == ["spawn b"]
    assert one.up("b") == ["spawn c"]
    assert one.up("c") == ["spawn d"]
    assert one.up("d") == []


def test_rest_for_one_concerns_those_after_it(drive):
    """Those before it go on."""
    one = drive("a b c d", strategy=REST).booted()
    assert one.crash("b") == ["crashed b, back in 1", "ask d by 5"]
    assert one.exit("d") == ["ask c by 5"]
    assert one.exit("c") == []
    assert one.wait(1) == ["spawn b"]
    assert one.up("b") == ["spawn c"]
    assert one.up("c") == ["spawn d"]
    assert one["a"].incarnation == 1


def test_the_last_one_is_alone_in_rest_for_one(drive):
    """Nobody is after it."""
    one = drive("a b", strategy=REST).booted()
    assert one.crash("b") == ["crashed b, back in 1"]


def test_the_siblings_restart_counts_against_nobody(drive):
    """One crash in the window, no backoff for those that have not crashed."""
    one = drive("a b", strategy=ALL).booted()
    one.crash("a")
    one.exit("b")
    assert len(one.machine.history) == 1
    assert (one["a"].crashes, one["b"].crashes) == (1, 0)


def test_a_sibling_that_fails_while_it_is_stopped_comes_back_all_the_same(drive):
    """It is reported, and does not count."""
    one = drive("a b", strategy=ALL).booted()
    one.crash("a")
    assert one.crash("b") == ["crashed b, it was stopping"]
    assert one.wait(1) == ["spawn a"]
    assert one.up("a") == ["spawn b"]
    assert len(one.machine.history) == 1


def test_a_sibling_that_does_not_stop_is_cancelled_after_its_grace(drive):
    """Its own one; nothing starts before it is gone."""
    one = drive("a b", strategy=ALL, each={"b": {"grace": 3}}).booted()
    one.crash("a")
    assert one.wait(3) == ["cancel b"]
    assert one.wait(4) == []
    assert one.exit("b") == ["spawn a"]


def test_a_second_crash_during_a_regroup_counts_and_changes_nothing_else(drive):
    """It has not been asked to stop yet: a crash like any other, and it comes back in its turn."""
    one = drive("a b c", strategy=ALL).booted()
    assert one.crash("a") == ["crashed a, back in 1", "ask c by 5"]
    assert one.crash("b") == ["crashed b, back in 1"]
    assert len(one.machine.history) == 2
    assert one.exit("c") == []
    assert one.wait(1) == ["spawn a"]
    assert one.up("a") == ["spawn b"]
    assert one.up("b") == ["spawn c"]
    assert one.up("c") == []


def test_a_sibling_that_ends_by_itself_during_a_regroup_comes_back_with_it(drive):
    """Just before it would have been stopped; also a transient one, which would stay down else."""
    one = drive("a b c", strategy=ALL, each={"b": {"restart": "transient"}}).booted()
    one.crash("a")
    assert one.exit("b") == []
    assert one.exit("c") == []
    assert one.wait(1) == ["spawn a"]
    assert one.up("a") == ["spawn b"]
    assert one.up("b") == ["spawn c"]


def test_a_crash_during_the_starts_of_a_regroup_begins_it_anew(drive):
    """Those that are up again already go down once more; the one that starts, too."""
    one = drive("a b c", strategy=ALL).booted()
    one.crash("a")
    one.exit("c")
    one.exit("b")
    one.wait(1)
    one.up("a")
    assert one.phases() == {"a": "up", "b": "starting", "c": "waiting"}
    assert one.crash("a") == ["crashed a, back in 2", "ask b by 6"]
    assert one.up("b") == []
    assert one.exit("b") == []
    assert one.wait(2) == ["spawn a"]
    assert one.up("a") == ["spawn b"]
    assert one.up("b") == ["spawn c"]


def test_a_sibling_does_not_cut_a_childs_backoff_short(drive):
    """It has crashed often; the other one for the first time."""
    one = drive("a b", strategy=REST).booted()
    for delay in (1, 2, 4):
        one.crash("b")
        one.wait(delay)
        one.up("b")
    assert one.crash("b") == ["crashed b, back in 8"]
    assert one.crash("a") == ["crashed a, back in 1"]
    assert one.wait(1) == ["spawn a"]
    one.up("a")
    assert one.wait(6.5) == []
    assert one.wait(0.5) == ["spawn b"]


def test_a_temporary_sibling_does_not_come_back_from_a_group_restart(drive):
    """It is stopped with the others, and forgotten."""
    one = drive("a b c", strategy=ALL, each={"b": {"restart": "temporary"}}).booted()
    one.crash("a")
    assert one.exit("c") == ["ask b by 5"]
    assert one.exit("b") == ["removed b"]
    one.wait(1)
    assert one.up("a") == ["spawn c"]


def test_a_temporary_sibling_that_ends_during_a_regroup_is_forgotten(drive):
    """By itself, before it is asked."""
    one = drive("a b c", strategy=ALL, each={"b": {"restart": "temporary"}}).booted()
    one.crash("a")
    assert one.crash("b") == ["crashed b, stay down", "removed b"]


def test_a_sibling_that_had_ended_comes_back_with_the_group(drive):
    """As in OTP: all of the group that is down is started."""
    one = drive("a b", strategy=ALL, each={"b": {"restart": "transient"}}).booted()
    one.exit("b")
    assert one.crash("a") == ["crashed a, back in 1", "revived b"]
    one.wait(1)
    assert one.up("a") == ["spawn b"]


@pytest.mark.parametrize("strategy", [ALL, REST])
def test_a_child_stopped_by_hand_stays_down_when_its_siblings_restart(drive, strategy):
    """Unlike in OTP: whoever stopped it has a reason. Down already, or just stopping."""
    one = drive("a b c", strategy=strategy).booted()
    one.stop("b")
    one.exit("b")
    one.stop("c")
    assert one.crash("a") == ["crashed a, back in 1"]
    assert one.exit("c") == ["down c"]
    assert one.wait(1) == ["spawn a"]
    assert one.up("a") == []


def test_a_child_that_had_ended_and_is_then_stopped_by_hand_stays_down(drive):
    """Nothing had to be stopped, and still that is what was asked for."""
    one = drive("a b", strategy=ALL, each={"b": {"restart": "transient"}}).booted()
    one.exit("b")
    assert one.stop("b") == []
    assert one.crash("a") == ["crashed a, back in 1"]


def test_a_child_started_again_by_hand_belongs_to_the_group_again(drive):
    """From then on it is restarted with the others."""
    one = drive("a b", strategy=ALL).booted()
    one.stop("b")
    one.exit("b")
    assert one.restart("b") == ["revived b", "spawn b"]
    one.up("b")
    assert one.crash("a") == ["crashed a, back in 1", "ask b by 5"]


def test_a_stop_by_hand_beats_the_restart_of_a_sibling(drive):
    """Asked to stop for the sibling's sake already, it stays down now."""
    one = drive("a b c", strategy=ALL).booted()
    one.crash("a")
    assert one.stop("c") == []
    assert one.exit("c") == ["down c", "ask b by 5"]
    one.exit("b")
    one.wait(1)
    assert one.up("a") == ["spawn b"]
    assert one.up("b") == []


def test_a_stop_by_hand_in_the_middle_of_a_regroup_lets_the_next_go_on(drive):
    """The order among the others is kept."""
    one = drive("a b c", strategy=ALL).booted()
    one.crash("a")
    assert one.stop("b") == ["ask b by 5"]
    assert one.exit("b") == ["down b"]
    assert one.exit("c") == []
    assert one.wait(1) == ["spawn a"]
    assert one.up("a") == ["spawn c"]


def test_a_sibling_in_its_very_first_start_is_started_again(drive):
    """Whoever waits for that start goes on waiting."""
    one = drive("a", strategy=ALL).booted()
    one.add("b")
    assert one.crash("a") == ["crashed a, back in 1", "ask b by 5"]
    assert one.exit("b") == []
    assert one.wait(1) == ["spawn a"]
    assert one.up("a") == ["spawn b"]
    assert one.up("b") == ["started b"]


def test_a_sibling_that_takes_too_long_to_start_again_is_retried_on_its_own_account(drive):
    """Nothing after it starts meanwhile."""
    one = drive("a b c", strategy=REST, default={"start_timeout": 7}).booted()
    one.crash("a")
    one.exit("c")
    one.exit("b")
    one.wait(1)
    assert one.up("a") == ["spawn b"]
    assert one.wait(7) == ["cancel b"]
    assert one.wait(1) == []
    assert one.exit("b") == ["crashed b, back in 1"]
    assert one.wait(1) == ["spawn b"]
    assert one.up("b") == ["spawn c"]
