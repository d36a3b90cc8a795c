"""The order of a boot, and what becomes of one that fails."""

from __future__ import annotations

import pytest

from claw_actors.errors import ChildStartError, DuplicateChildError, SupervisorStoppedError


def test_children_start_in_order_each_acknowledged_before_the_next(drive):
    """The second one does not begin while the first has not said that it has started."""
    one = drive("a b c")
    assert one.boot() == ["spawn a"]
    assert one.wait(20) == []
    assert one.up("a") == ["started a", "spawn b"]
    assert one.up("b") == ["started b", "spawn c"]
    assert one.machine.is_booting
    assert one.up("c") == ["started c"]
    assert not one.machine.is_booting
    assert one.machine.alive == 3


def test_a_supervisor_without_children_has_booted_at_once(drive):
    """And stops at once."""
    one = drive()
    assert one.boot() == []
    assert not one.machine.is_booting
    assert one.shut_down() == ["finished"]


def test_a_failed_boot_unwinds_in_reverse(drive):
    """Those after it never start; why is kept."""
    one = drive("a b c d").booted_until("c")
    assert one.crash("c") == [
        "not started c",
        "removed c",
        "not started d",
        "removed d",
        "ask b by 5",
    ]
    assert one.exit("b") == ["down b", "ask a by 5"]
    assert one.exit("a") == ["down a", "finished"]
    end = one.actions[-1]
    assert end.error.id == "c"
    assert isinstance(end.error.__cause__, ValueError)
    assert end.history == (), "a failed start is no crash"


def test_a_child_that_has_not_started_in_time_fails_the_boot(drive):
    """It is cancelled, waited for, and then the rest unwinds."""
    one = drive("a b", default={"start_timeout": 7})
    one.boot()
    one.up("a")
    assert one.wait(6.5) == []
    assert one.wait(0.5) == ["cancel b"]
    assert one.exit("b") == ["not started b", "removed b", "ask a by 12"]
    assert one.exit("a")[-1] == "finished"
    assert "not within 7 s" in str(one.actions[-1].error)


def test_a_child_that_acknowledges_too_late_has_not_started(drive):
    """Its time was over when it did."""
    one = drive("a", default={"start_timeout": 7})
    one.boot()
    assert one.wait(7) == ["cancel a"]
    assert one.up("a") == []
    assert one.exit("a") == ["not started a", "removed a", "finished"]


def test_what_a_child_raises_because_its_time_is_over_is_its_time_being_over(drive):
    """Whatever comes out of its clean-up."""
    one = drive("a", default={"start_timeout": 7})
    one.boot()
    one.wait(7)
    one.crash("a")
    assert "not within 7 s" in str(one.actions[-1].error)


def test_a_child_that_is_done_before_it_says_so_has_started(drive):
    """A short job is no failed start; a permanent one comes back, and holds the boot up."""
    one = drive("a b c", each={"a": {"restart": "transient"}})
    one.boot()
    assert one.exit("a") == ["started a", "down a", "spawn b"]
    assert one.exit("b") == ["started b", "crashed b, back in 1"]
    assert one.wait(1) == ["spawn b"]
    assert one.up("b") == ["spawn c"]


def test_a_crash_of_one_that_is_up_does_not_fail_the_boot(drive):
    """It comes back first, as those after it may rely on it."""
    one = drive("a b c")
    one.boot()
    one.up("a")
    assert one.crash("a") == ["crashed a, back in 1"]
    assert one.up("b") == ["started b"], "c waits for a"
    assert one.wait(1) == ["spawn a"]
    assert one.up("a") == ["spawn c"]


def test_a_child_stopped_by_hand_during_the_boot_does_not_hold_it_up(drive):
    """Before its turn, or in the middle of its start."""
    one = drive("a b c d")
    one.boot()
    assert one.stop("b") == ["not started b", "removed b"]
    assert one.stop("a") == ["ask a by 5", "spawn c"]
    assert one.exit("a") == ["not started a", "removed a"]
    assert one.up("c") == ["started c", "spawn d"]


def test_shutting_down_during_the_boot_stops_what_has_started(drive):
    """The one that is just starting first; those to come never begin; it is no failure."""
    one = drive("a b c")
    one.boot()
    one.up("a")
    assert one.shut_down() == ["not started c", "removed c", "ask b by 5"]
    assert not one.machine.is_booting
    assert one.up("b") == []
    assert one.exit("b") == ["not started b", "removed b", "ask a by 5"]
    assert one.exit("a") == ["down a", "finished"]
    assert one.actions[-1].error is None


def test_a_child_added_during_the_boot_comes_after_it(drive):
    """In line with all the others."""
    one = drive("a b")
    one.boot()
    assert one.add("late") == []
    one.up("a")
    assert one.up("b") == ["started b", "spawn late"]


def test_a_child_added_during_the_boot_does_not_fail_it(drive):
    """Only what the supervisor was made with must start."""
    one = drive("a b")
    one.boot()
    one.add("late")
    one.up("a")
    one.up("b")
    assert one.crash("late") == ["not started late", "removed late"]
    assert not one.machine.is_stopping
    assert not one.machine.is_booting


def test_a_child_added_later_starts_at_once(drive):
    """Whatever its siblings do."""
    one = drive("a").booted()
    one.crash("a")
    assert one.add("b") == ["spawn b"]
    assert one.add("c") == ["spawn c"], "they do not wait for each other"
    assert one.up("c") == ["started c"]


def test_in_a_group_a_child_added_later_waits_for_those_before_it(drive):
    """It may rely on them."""
    one = drive("a", strategy="rest_for_one").booted()
    one.crash("a")
    assert one.add("b") == []
    assert one.wait(1) == ["spawn a"]
    assert one.up("a") == ["spawn b"]


def test_a_child_added_that_does_not_start_is_no_child(drive):
    """Its id is free; the others are not concerned."""
    one = drive("a").booted()
    one.add("b")
    assert one.crash("b") == ["not started b", "removed b"]
    assert one.phases() == {"a": "up"}
    assert one.add("b") == ["spawn b"]


def test_an_error_of_starting_names_the_child_itself(drive):
    """Also when what it raised is such an error of a child of its own."""
    one = drive("pool")
    one.boot()
    one.exit("pool", ChildStartError("worker", "it was tired"))
    assert one.actions[-1].error.id == "pool"
    assert one.actions[-1].error.__cause__.id == "worker"


def test_an_id_is_taken_as_long_as_its_child_is_there(drive):
    """While it runs, ends, and is down."""
    one = drive("a").booted()
    for step in (one.crash, one.stop):
        with pytest.raises(DuplicateChildError):
            one.add("a")
        step("a")
    with pytest.raises(DuplicateChildError):
        one.add("a")
    one.machine.delete(one["a"])
    assert one.add("a") == ["spawn a"]


def test_a_stopping_supervisor_takes_no_child(drive):
    """Nor when it has stopped."""
    one = drive("a").booted()
    one.shut_down()
    with pytest.raises(SupervisorStoppedError):
        one.add("b")
    one.exit("a")
    with pytest.raises(SupervisorStoppedError):
        one.add("b")
