"""Supervision of children that come and go."""

from __future__ import annotations

import contextvars

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors.actors.supervisor import (
    ChildSpec,
    Exit,
    GiveUp,
    RestartAfter,
    open_supervisor,
)


class Child:
    """A child that notes what happens to it, and runs what it is told to."""

    def __init__(self, id, run=None, decide=None, *, obeys=True):
        self.log: list[object] = []
        self.exits: list[Exit] = []
        self.asked = trio.Event()
        self.spec = ChildSpec(
            id=id,
            run=self._run,
            on_exit=self._on_exit,
            on_stop=self._on_stop,
            on_gone=lambda: self.log.append("gone"),
        )
        self._body, self._decide, self._obeys = run, decide, obeys

    async def _run(self, incarnation):
        self.log.append(("begins", incarnation))
        try:
            if self._body is None:
                await self.asked.wait()
            else:
                await self._body(incarnation)
        except trio.Cancelled:
            self.log.append("cancelled")
            raise
        self.log.append("ends")

    async def _on_exit(self, exit):
        self.exits.append(exit)
        return self._decide(exit) if self._decide else GiveUp()

    def _on_stop(self, reason):
        self.log.append(("asked", reason))
        if self._obeys:
            self.asked.set()


async def _fail(incarnation):
    raise ValueError(incarnation)


async def test_a_child_that_returns_is_decided_about_and_gone(autojump_clock):
    """Its exit says which incarnation it was, and that there was no error."""

    async def work(incarnation):
        await trio.sleep(1)

    child = Child("a", work)
    async with open_supervisor() as supervisor:
        assert supervisor.start_child(child.spec)
        assert len(supervisor) == 1
        assert child.log == [], "it runs from the next tick on"
        await trio.sleep(2)
        assert len(supervisor) == 0
    assert child.exits == [Exit(1, None)]
    assert child.log == [("begins", 1), "ends", "gone"]


async def test_a_failure_is_restarted_after_the_delay_decided_on(autojump_clock):
    """Incarnations are numbered, and never overlap."""
    begun = []

    async def work(incarnation):
        begun.append(trio.current_time())
        raise ValueError(incarnation)

    child = Child("a", work, lambda exit: GiveUp() if exit.incarnation == 3 else RestartAfter(10))
    async with open_supervisor() as supervisor:
        supervisor.start_child(child.spec)
        await trio.sleep(100)
    assert begun == [0, 10, 20]
    assert [(one.incarnation, str(one.error)) for one in child.exits] == [
        (1, "1"),
        (2, "2"),
        (3, "3"),
    ]
    assert child.log[-1] == "gone"


async def test_a_group_of_errors_is_a_failure(autojump_clock):
    """As it comes out of a nursery."""

    async def work(incarnation):
        async with trio.open_nursery():
            raise ValueError("inside")

    child = Child("a", work)
    async with open_supervisor() as supervisor:
        supervisor.start_child(child.spec)
        await wait_all_tasks_blocked()
    assert isinstance(child.exits[0].error, ExceptionGroup)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
async def test_what_no_supervisor_may_swallow_propagates(autojump_clock, error):
    """It is no exit to decide about; the others are unwound."""

    async def work(incarnation):
        await trio.sleep(1)
        raise error

    child, other = Child("a", work), Child("b")
    with pytest.RaisesGroup(error, flatten_subgroups=True):
        async with open_supervisor() as supervisor:
            supervisor.start_child(child.spec)
            supervisor.start_child(other.spec)
            await trio.sleep_forever()
    assert child.exits == other.exits == []
    assert other.log == [("begins", 1), "cancelled", "gone"]
    assert child.log[-1] == "gone"


async def test_an_error_of_the_decision_ends_the_supervisor(autojump_clock):
    """A policy that fails is a defect; nothing goes on behind its back."""

    def broken(exit):
        raise KeyError("policy")

    child = Child("a", _fail, broken)
    with pytest.RaisesGroup(KeyError, flatten_subgroups=True):
        async with open_supervisor() as supervisor:
            supervisor.start_child(child.spec)
            await trio.sleep_forever()
    assert child.log[-1] == "gone"


async def test_waiting_before_a_restart_blocks_nobody(autojump_clock):
    """Another child is started, runs and ends meanwhile."""
    slow = Child("slow", _fail, lambda exit: RestartAfter(100))

    async def work(incarnation):
        await trio.sleep(1)

    quick = Child("quick", work)
    async with open_supervisor() as supervisor:
        supervisor.start_child(slow.spec)
        supervisor.start_child(quick.spec)
        await trio.sleep(2)
        assert quick.log[-1] == "gone"
        assert slow.log == [("begins", 1)]
        await supervisor.stop("done", 0)
    assert trio.current_time() == 2, "a wait ends at once when the child is stopped"
    assert slow.log == [("begins", 1), ("asked", "done"), "gone"]


async def test_an_id_is_used_once_at_a_time(autojump_clock):
    """And free again as soon as its child is gone."""
    first, second = Child("a"), Child("a")
    async with open_supervisor() as supervisor:
        assert supervisor.start_child(first.spec)
        assert not supervisor.start_child(second.spec)
        await supervisor.stop_child("a", "make room", 5)
        assert first.log[-1] == "gone"
        assert supervisor.start_child(second.spec)
        await wait_all_tasks_blocked()
        await supervisor.stop("done", 5)
    assert second.log == [("begins", 1), ("asked", "done"), "ends", "gone"]


async def test_after_the_stop_nothing_is_started(autojump_clock):
    """Not even while it is under way."""
    late = Child("late")
    async with open_supervisor() as supervisor:
        await supervisor.stop("done", 0)
        assert not supervisor.start_child(late.spec)
    assert late.log == []


async def test_a_child_that_does_not_obey_is_cancelled_at_the_deadline(autojump_clock):
    """Asked first; and no decision is asked for, as nobody wants another incarnation."""
    child = Child("a", obeys=False)
    async with open_supervisor() as supervisor:
        supervisor.start_child(child.spec)
        await wait_all_tasks_blocked()
        await supervisor.stop("closing", 7)
        assert trio.current_time() == pytest.approx(7)
    assert child.log == [("begins", 1), ("asked", "closing"), "cancelled", "gone"]
    assert child.exits == []


async def test_all_children_share_one_deadline(autojump_clock):
    """They are stopped at once, not one after the other."""
    children = [Child(str(n), obeys=False) for n in range(5)]
    async with open_supervisor() as supervisor:
        for child in children:
            supervisor.start_child(child.spec)
        await wait_all_tasks_blocked()
        await supervisor.stop("closing", 7)
        assert trio.current_time() == pytest.approx(7)


async def test_a_child_that_fails_while_it_is_stopped_is_decided_about_and_not_restarted(
    autojump_clock,
):
    """Its last exit is told; the answer cannot bring it back."""

    async def work(incarnation):
        await child.asked.wait()
        raise ValueError("on the way out")

    child = Child("a", work, lambda exit: RestartAfter(0))
    async with open_supervisor() as supervisor:
        supervisor.start_child(child.spec)
        await wait_all_tasks_blocked()
        await supervisor.stop("closing", 7)
    assert [str(one.error) for one in child.exits] == ["on the way out"]
    assert child.log.count(("begins", 1)) == 1
    assert len([one for one in child.log if isinstance(one, tuple)]) == 2


async def test_stopping_one_that_is_not_there_does_nothing(autojump_clock):
    """It has ended, or never was."""
    async with open_supervisor() as supervisor:
        await supervisor.stop_child("nobody", "why")


async def test_a_child_stopped_before_its_first_tick_never_begins(autojump_clock):
    """There is nothing to unwind."""
    child = Child("a")
    async with open_supervisor() as supervisor:
        supervisor.start_child(child.spec)
        await supervisor.stop_child("a", "too soon", 5)
    assert child.log == [("asked", "too soon"), "gone"]


async def test_it_is_asked_to_stop_only_once(autojump_clock):
    """Whoever asks again waits with the first."""
    child = Child("a", obeys=False)
    async with open_supervisor() as supervisor:
        supervisor.start_child(child.spec)
        await wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervisor.stop_child, "a", "first", 5)
            await wait_all_tasks_blocked()
            nursery.start_soon(supervisor.stop_child, "a", "second", 50)
        assert trio.current_time() == pytest.approx(5)
    assert [one for one in child.log if "asked" in one] == [("asked", "first")]


async def test_a_cancelled_caller_leaves_the_stop_asked_for(autojump_clock):
    """The child ends by itself; only the waiting was given up."""

    async def work(incarnation):
        await child.asked.wait()
        await trio.sleep(10)

    child = Child("a", work)
    async with open_supervisor() as supervisor:
        supervisor.start_child(child.spec)
        await wait_all_tasks_blocked()
        with trio.move_on_after(2) as scope:
            await supervisor.stop_child("a", "stop", 60)
        assert scope.cancelled_caught
        assert child.log == [("begins", 1), ("asked", "stop")]
        await trio.sleep(9)
        assert child.log[-1] == "gone"


async def test_a_cancelled_caller_does_not_lift_the_deadline(autojump_clock):
    """A child that does not obey is cancelled all the same."""
    child = Child("a", obeys=False)
    async with open_supervisor() as supervisor:
        supervisor.start_child(child.spec)
        await wait_all_tasks_blocked()
        with trio.move_on_after(2) as scope:
            await supervisor.stop_child("a", "stop", 5)
        assert scope.cancelled_caught
        assert child.log == [("begins", 1), ("asked", "stop")]
        await trio.sleep(4)
        assert child.log[-2:] == ["cancelled", "gone"]


async def test_what_cancels_the_block_does_not_reach_the_children(autojump_clock):
    """So that they can be stopped in order."""
    child = Child("a")
    with trio.move_on_after(3):
        async with open_supervisor() as supervisor:
            supervisor.start_child(child.spec)
            try:
                await trio.sleep_forever()
            finally:
                child.log.append("block is left")
                with trio.CancelScope(shield=True):
                    await supervisor.stop("closing", 5)
    assert child.log == [("begins", 1), "block is left", ("asked", "closing"), "ends", "gone"]


async def test_children_run_in_the_supervisors_own_context(autojump_clock):
    """Neither the cancel scope nor the context variables of who starts them leak in."""
    who = contextvars.ContextVar("who", default="nobody")
    seen = []

    async def work(incarnation):
        seen.append(who.get())
        who.set("child")
        await trio.sleep(5)
        seen.append("ended")
        if incarnation == 1:
            raise ValueError

    child = Child("a", work, lambda exit: GiveUp() if exit.error is None else RestartAfter(0))
    other = Child("b", work)
    async with open_supervisor() as supervisor:
        with trio.move_on_after(2):
            who.set("caller")
            supervisor.start_child(child.spec)
            await trio.sleep_forever()
        await trio.sleep(20)
        supervisor.start_child(other.spec)
        await trio.sleep(20)
    assert seen[:2] == ["nobody", "ended"]
    assert seen[4] == "nobody", "a sibling's variables do not leak either"
