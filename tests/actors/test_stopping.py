"""How children stop: asked, cancelled, reported; one of them or all."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors.actors import Behaviour, ChildSpec, open_supervisor, service
from claw_actors.errors import ChildRunningError

pytestmark = pytest.mark.usefixtures("autojump_clock")


def sleep(seconds):
    async def stop(_):
        await trio.sleep(seconds)

    return stop


def shielded(seconds):
    async def be_deaf(puppet):
        puppet.note("is deaf")
        with trio.CancelScope(shield=True):
            await trio.sleep(seconds)
        puppet.note("hears again")

    return be_deaf


async def test_a_stopped_child_ends_after_the_message_in_hand(stage, told, autojump_clock):
    """What waits behind that is not dealt with; the child stays, to be started by hand."""
    async with open_supervisor(stage.puppet("a")) as supervisor:
        ref = supervisor.find("a")
        ref.tell_nowait(told.sleep(2))
        ref.tell_nowait("never")
        await wait_all_tasks_blocked()
        await supervisor.stop_child("a")
        assert trio.current_time() == 2
        assert supervisor.count_children() == {"down": 1}
        assert ref.statistics().dead_letters == 1
    assert stage.take() == ["a starts", "a is busy", "a is done", "a stops"]


async def test_a_stopped_temporary_child_is_forgotten(stage, autojump_clock):
    """Its id is free."""
    async with open_supervisor() as supervisor:
        await supervisor.start_child(stage.puppet("a", restart="temporary"))
        await supervisor.stop_child("a")
        assert "a" not in supervisor


@pytest.mark.parametrize(("own", "given", "at"), [(5, 60, 5), (5, 2, 2), (60, 7, 7)])
async def test_a_child_that_does_not_obey_is_cancelled_when_its_grace_is_over(
    stage, told, own, given, at, autojump_clock
):
    """Its own, or less if whoever stops it says so; and it still cleans up."""
    async with open_supervisor(stage.puppet("a", grace=own)) as supervisor:
        supervisor.find("a").tell_nowait(told.sleep(1000))
        await wait_all_tasks_blocked()
        await supervisor.stop_child("a", grace=given)
        assert trio.current_time() == at
    assert stage.take() == ["a starts", "a is busy", "a stops"]


async def test_stopping_again_waits_with_the_first_and_may_hurry(stage, told, autojump_clock):
    """It is asked only once."""
    async with open_supervisor(stage.puppet("a", grace=60)) as supervisor:
        supervisor.find("a").tell_nowait(told.sleep(1000))
        await wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervisor.stop_child, "a")
            await trio.sleep(2)
            await supervisor.stop_child("a", grace=3)
        assert trio.current_time() == 5
        await supervisor.stop_child("a")
    assert stage.take().count("a stops") == 1


async def test_a_restart_that_is_refused_does_not_lose_who_waits_for_the_stop(
    stage, told, autojump_clock
):
    """Somebody is too early to start it again."""
    async with open_supervisor(stage.puppet("a")) as supervisor:
        supervisor.find("a").tell_nowait(told.sleep(3))
        await wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(supervisor.stop_child, "a")
            await wait_all_tasks_blocked()
            with pytest.raises(ChildRunningError):
                supervisor.restart_child("a")
            with pytest.raises(ChildRunningError):
                supervisor.delete_child("a")
        assert trio.current_time() == 3


async def test_a_cancelled_caller_leaves_the_stop_asked_for(stage, told, autojump_clock):
    """Only the waiting was given up; the deadline holds."""
    async with open_supervisor(stage.puppet("a")) as supervisor:
        supervisor.find("a").tell_nowait(told.sleep(1000))
        await wait_all_tasks_blocked()
        with trio.move_on_after(2) as scope:
            await supervisor.stop_child("a")
        assert scope.cancelled_caught
        assert supervisor.count_children() == {"stopping": 1}
        await supervisor.find("a").wait_stopped()
        assert trio.current_time() == 5


async def test_a_child_stopped_during_its_backoff_is_just_not_restarted(
    stage, told, autojump_clock
):
    """At once: there is nothing to wait for."""
    async with open_supervisor(stage.puppet("a")) as supervisor:
        supervisor.find("a").tell_nowait(told.crash)
        await wait_all_tasks_blocked()
        assert supervisor.count_children() == {"waiting": 1}
        await supervisor.stop_child("a")
        assert trio.current_time() == 0
        await trio.sleep(100)
    assert stage.take() == ["a starts", "a stops"]


async def test_a_child_stopped_while_its_policy_is_asked_stays_down(stage, told, autojump_clock):
    """The policy is heard out, and what it says does not matter any more."""
    from claw_actors.actors import RestartAfter

    async def ponder(exit):
        await trio.sleep(10)
        return RestartAfter(0)

    async with open_supervisor(stage.puppet("a", on_exit=ponder)) as supervisor:
        supervisor.find("a").tell_nowait(told.crash)
        await wait_all_tasks_blocked()
        await supervisor.stop_child("a")
        assert trio.current_time() == 10
        await trio.sleep(100)
        assert supervisor.count_children() == {"down": 1}


async def test_a_crash_in_on_stop_is_reported_and_brings_nothing_back(
    stage, recorder, autojump_clock
):
    """It was to end anyway."""

    async def fail(_):
        raise ValueError("in on_stop")

    async with open_supervisor(
        stage.puppet("a", on_stop=fail), instruments=[recorder]
    ) as supervisor:
        await supervisor.stop_child("a")
        assert supervisor.count_children() == {"down": 1}
    [report] = recorder.crashes
    assert (report.decision, str(report.error)) == ("it was stopping", "in on_stop")


async def test_a_group_with_a_cancellation_and_an_error_is_a_stop_whose_error_is_reported(
    stage, recorder, autojump_clock
):
    """As it comes out of a nursery whose clean-up fails when the grace is over."""
    groups = []

    async def fail_when_cancelled():
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("in the clean-up")

    async def open_nursery(_):
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(fail_when_cancelled)
                nursery.start_soon(trio.sleep_forever)
        except BaseExceptionGroup as group:
            groups.append(group)
            raise

    async with open_supervisor(stage.puppet("a"), instruments=[recorder]) as supervisor:
        supervisor.find("a").tell_nowait(open_nursery)
        await wait_all_tasks_blocked()
        await supervisor.stop_child("a", grace=1)
        assert supervisor.count_children() == {"down": 1}
    assert not isinstance(groups[0], ExceptionGroup), "it holds a cancellation"
    [report] = recorder.crashes
    assert report.decision == "it was stopping"
    assert pytest.RaisesGroup(ValueError).matches(report.error)


async def test_a_child_that_never_ends_is_reported_with_where_it_waits(
    stage, recorder, caplog, autojump_clock
):
    """Again and again; its siblings are stopped nevertheless, and when it ends at last, all does."""
    async with open_supervisor(
        stage.puppet("a"),
        stage.puppet("b"),
        stage.puppet("c", grace=1),
        grace=4,
        instruments=[recorder],
    ) as supervisor:
        supervisor.find("c").tell_nowait(shielded(20))
        await wait_all_tasks_blocked()
    assert trio.current_time() == 20
    noted = stage.take()
    assert noted[:4] == ["a starts", "b starts", "c starts", "c is deaf"]
    assert sorted(noted[4:6]) == ["a stops", "b stops"], "at the total deadline"
    assert noted[6:] == ["c hears again", "c stops"]
    assert [report.cancelled_for for report in recorder.stuck] == [5, 10, 15]
    report = recorder.stuck[0]
    assert (report.path, report.incarnation) == ("c", 1)
    assert any("in be_deaf" in line for line in report.stack)
    assert "in be_deaf" in caplog.text


async def test_the_report_of_one_that_never_ends_shows_its_own_trio_tasks(
    stage, recorder, autojump_clock
):
    """Where they wait is what one has to know."""

    async def hang():
        with trio.CancelScope(shield=True):
            await trio.sleep(12)

    async def open_nursery(_):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(hang, name="the culprit")
            nursery.start_soon(trio.sleep_forever)

    async with open_supervisor(stage.puppet("a"), instruments=[recorder]) as supervisor:
        supervisor.find("a").tell_nowait(open_nursery)
        await wait_all_tasks_blocked()
        await supervisor.stop_child("a", grace=1)
    stack = recorder.stuck[0].stack
    assert any("the culprit" in line for line in stack)
    assert any("in hang" in line for line in stack)


async def test_a_policy_that_never_answers_is_reported_too(stage, told, recorder, autojump_clock):
    """Its actor is gone, so there is no stack to show."""

    async def hang(exit):
        await trio.sleep(12)

    async with open_supervisor(
        stage.puppet("a", on_exit=hang, grace=1), instruments=[recorder]
    ) as supervisor:
        supervisor.find("a").tell_nowait(told.crash)
        await wait_all_tasks_blocked()
        await supervisor.stop_child("a")
    assert recorder.stuck[0].stack == ()


async def test_stopped_together_children_share_one_deadline(stage, told, autojump_clock):
    """They are not stopped one after the other."""
    specs = [stage.puppet(str(n), grace=60) for n in range(5)]
    async with open_supervisor(*specs, grace=7, stop_together=True) as supervisor:
        for n in range(5):
            supervisor.find(str(n)).tell_nowait(told.sleep(1000))
        await wait_all_tasks_blocked()
    assert trio.current_time() == 7


async def test_a_second_request_skips_what_is_left_of_the_grace(stage, told, autojump_clock):
    """All are cancelled at once."""
    async with open_supervisor(stage.puppet("a", grace=60), grace=60) as supervisor:
        supervisor.find("a").tell_nowait(told.sleep(1000))
        await wait_all_tasks_blocked()
        supervisor.request_stop("first")
        with trio.CancelScope(shield=True):
            await trio.sleep(3)
            supervisor.request_stop("second", 0)
            await supervisor.wait_stopped()
    assert trio.current_time() == 3


async def test_a_child_may_be_stopped_in_a_way_of_its_own(autojump_clock):
    """A behaviour is told why, and until when; what it does is its own business."""
    asked = []

    class Own(Behaviour):
        def __init__(self):
            self.done = trio.Event()

        async def run(self, life):
            life.started()
            await self.done.wait()

        def request_stop(self, life, reason, deadline):
            asked.append((life.path, reason, deadline))
            self.done.set()

    async with open_supervisor(ChildSpec("a", Own, grace=3)) as supervisor:
        await supervisor.stop_child("a", reason="make room")
    assert asked == [("a", "make room", 3)]


async def test_a_behaviour_that_cannot_be_asked_is_cancelled(caplog, autojump_clock):
    """Its mistake does not leave the supervisor half way."""

    class Broken(Behaviour):
        async def run(self, life):
            life.started()
            await trio.sleep_forever()

        def request_stop(self, life, reason, deadline):
            raise ValueError("how?")

    async with open_supervisor(ChildSpec("a", Broken), ChildSpec("b", Broken)):
        pass
    assert trio.current_time() == 0
    assert caplog.text.count("cannot be asked to stop") == 2


async def test_a_deleted_child_is_forgotten(stage, autojump_clock):
    """Once it is down."""
    async with open_supervisor(stage.puppet("a")) as supervisor:
        await supervisor.stop_child("a")
        supervisor.delete_child("a")
        assert "a" not in supervisor
        assert len(supervisor) == 0


async def test_the_trio_task_of_a_stopped_child_is_gone_when_the_stop_returns(
    stage, autojump_clock
):
    """Not just about to end."""

    def tasks():
        return trio.lowlevel.current_statistics().tasks_living

    async with open_supervisor() as supervisor:
        before = tasks()
        await supervisor.start_child(ChildSpec("a", service(trio.sleep_forever)))
        assert tasks() == before + 1
        await supervisor.stop_child("a")
        assert tasks() == before
