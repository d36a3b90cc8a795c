"""Crashes and restarts: what counts as one, what the next incarnation gets, and when it comes."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors.actors import (
    Breaker,
    ChildSpec,
    Escalate,
    GiveUp,
    RestartAfter,
    open_supervisor,
    service,
)
from claw_actors.errors import (
    ActorCrashedError,
    ActorStoppedError,
    ChildRunningError,
    ChildStartError,
    RestartLimitExceededError,
)

pytestmark = pytest.mark.usefixtures("autojump_clock")


async def test_a_crashed_actor_comes_back_as_a_new_object(stage, told, autojump_clock):
    """After its delay, behind the same ref, without its state."""
    seen = []
    async with open_supervisor(stage.puppet("a")) as supervisor:
        ref = supervisor.find("a")
        seen.append(await ref.ask(lambda puppet: puppet))
        ref.tell_nowait(told.crash)
        seen.append(await ref.ask(lambda puppet: puppet))
        assert trio.current_time() == 1
        assert await ref.ask(lambda puppet: puppet.incarnation) == 2
    assert seen[0] is not seen[1]
    assert stage.take() == ["a starts", "a stops", "a starts", "a stops"]


async def test_incarnations_never_overlap(stage, told, autojump_clock):
    """The next one begins when the last one has cleaned up, however long that takes."""

    async def linger(_):
        await trio.sleep(10)
        stage.log.append("clean")

    async with open_supervisor(stage.puppet("a", on_stop=linger)) as supervisor:
        supervisor.find("a").tell_nowait(told.crash)
        await trio.sleep(10.5)
        assert stage.take() == ["a starts", "a stops", "clean"]
        await trio.sleep(1)
        assert stage.take() == ["a starts"]


async def test_waiting_for_a_restart_blocks_nobody(stage, told, autojump_clock):
    """The supervisor stays answerable."""
    async with open_supervisor(stage.puppet("a")) as supervisor:
        supervisor.find("a").tell_nowait(told.crash)
        await wait_all_tasks_blocked()
        await supervisor.start_child(stage.puppet("b"))
        await supervisor.stop_child("b")
        assert trio.current_time() == 0


async def test_a_failing_restart_is_retried_with_backoff_while_others_are_served(
    stage, told, autojump_clock
):
    """It counts; raised or too slow, the delays grow."""
    times = []

    async def start(puppet):
        times.append(trio.current_time())
        if puppet.incarnation == 2:
            raise ValueError("not yet")
        if puppet.incarnation == 3:
            await trio.sleep_forever()

    async with open_supervisor(
        stage.puppet("a", on_start=start, start_timeout=10), max_restarts=3, within=100
    ) as supervisor:
        ref = supervisor.find("a")
        ref.tell_nowait(told.crash)
        await trio.sleep(1)
        await supervisor.start_child(stage.puppet("b"))
        assert trio.current_time() == 1
        assert await ref.ask(lambda puppet: puppet.incarnation) == 4
        assert times == [0, 1, 3, 17]
        crashes = supervisor.statistics().restarts
        assert [type(crash.error) for crash in crashes] == [
            ValueError,
            ValueError,
            ChildStartError,
        ]


async def test_an_actor_that_ends_itself_is_restarted_if_it_is_permanent(stage, autojump_clock):
    """A transient one stays down."""
    async with open_supervisor(
        stage.puppet("a"), stage.puppet("b", restart="transient")
    ) as supervisor:
        for id in "ab":
            supervisor.find(id).tell_nowait(lambda puppet: puppet.stop())
        await trio.sleep(2)
        assert supervisor.count_children() == {"up": 1, "down": 1}
        assert supervisor.statistics().restarts[0].error is None
        with pytest.raises(ActorStoppedError):
            await supervisor.find("b").ask("anybody there?")


async def test_a_group_of_one_error_out_of_a_nursery_is_a_crash(stage, autojump_clock):
    """It is what a nursery makes of every error in it."""

    async def fail_in_nursery(_):
        async with trio.open_nursery():
            raise ValueError("inside")

    async with open_supervisor(stage.puppet("a")) as supervisor:
        with pytest.raises(ActorCrashedError) as caught:
            await supervisor.find("a").ask(fail_in_nursery)
        assert pytest.RaisesGroup(ValueError).matches(caught.value.__cause__)
        assert await supervisor.find("a").ask(lambda puppet: puppet.incarnation) == 2


async def test_cancelling_a_scope_of_its_own_is_no_crash(stage, autojump_clock):
    """It is caught where it belongs."""

    async def give_up(_):
        with trio.move_on_after(3) as scope:
            await trio.sleep_forever()
        return scope.cancelled_caught

    async with open_supervisor(stage.puppet("a")) as supervisor:
        assert await supervisor.find("a").ask(give_up)
        assert supervisor.statistics().crashes == 0


async def test_a_crash_whose_clean_up_fails_too_is_one_crash(stage, told, recorder, autojump_clock):
    """The error of the clean-up, in the context of the first."""

    async def fail(_):
        raise KeyError("in on_stop")

    async with open_supervisor(
        stage.puppet("a", on_stop=fail, restart="temporary"), instruments=[recorder]
    ) as supervisor:
        supervisor.find("a").tell_nowait(told.crash)
        await trio.sleep(1)
    [report] = recorder.crashes
    assert isinstance(report.error, KeyError)
    assert str(report.error.__context__) == "as told"


# -- by hand ----------------------------------------------------------------------------------------


async def test_a_child_that_is_down_is_started_again_by_hand(stage, autojump_clock):
    """Its ref reaches it again, from the moment that it is asked for."""
    async with open_supervisor(stage.puppet("a")) as supervisor:
        ref = supervisor.find("a")
        await supervisor.stop_child("a")
        ref.tell_nowait("too early")
        supervisor.restart_child("a")
        ref.tell_nowait("hello")
        assert await ref.ask(lambda puppet: puppet.incarnation) == 2
        with pytest.raises(ChildRunningError):
            supervisor.restart_child("a")
        assert ref.statistics().dead_letters == 1
    assert stage.take() == ["a starts", "a stops", "a starts", "a hello", "a stops"]


async def test_a_child_started_again_can_be_stopped_again(stage, told, autojump_clock):
    """And that is waited for again."""
    async with open_supervisor(stage.puppet("a")) as supervisor:
        await supervisor.stop_child("a")
        supervisor.restart_child("a")
        supervisor.find("a").tell_nowait(told.sleep(3))
        await wait_all_tasks_blocked()
        await supervisor.stop_child("a")
        assert trio.current_time() == 3


# -- policies of its own ----------------------------------------------------------------------------


async def test_a_policy_of_its_own_is_asked_how_it_goes_on(stage, told, autojump_clock):
    """With which incarnation ended, and how; it may take its time, and nothing overlaps."""
    exits = []

    async def decide(exit):
        exits.append((exit.incarnation, str(exit.error), trio.current_time()))
        await trio.sleep(5)
        return RestartAfter(10) if exit.incarnation == 1 else GiveUp()

    async with open_supervisor(stage.puppet("a", on_exit=decide), max_restarts=0) as supervisor:
        ref = supervisor.find("a")
        ref.tell_nowait(told.crash)
        ref.tell_nowait(lambda puppet: puppet.stop())
        await ref.wait_stopped()
        assert exits == [(1, "as told", 0), (2, "None", 15)]
        assert trio.current_time() == 20
        assert supervisor.statistics().restarts == ()


async def test_a_policy_of_its_own_hears_of_a_start_that_took_too_long(stage, told, autojump_clock):
    """So that this does not count against its siblings either."""
    exits = []

    async def decide(exit):
        exits.append(exit)
        return RestartAfter(0) if exit.incarnation == 1 else GiveUp()

    async def start(puppet):
        if puppet.incarnation == 2:
            await trio.sleep_forever()

    async with open_supervisor(
        stage.puppet("a", on_exit=decide, on_start=start, start_timeout=7), max_restarts=0
    ) as supervisor:
        supervisor.find("a").tell_nowait(told.crash)
        await supervisor.find("a").wait_stopped()
        assert "not within 7 s" in str(exits[1].error)


async def test_a_policy_may_ask_for_the_end_of_all(stage, told, autojump_clock):
    """Then its supervisor gives up."""

    async def decide(_):
        return Escalate()

    with pytest.raises(RestartLimitExceededError) as caught:
        async with open_supervisor(stage.puppet("a", on_exit=decide)) as supervisor:
            supervisor.find("a").tell_nowait(told.crash)
            await trio.sleep_forever()
    assert str(caught.value.__cause__) == "as told"


async def test_a_policy_that_fails_escalates(stage, told, autojump_clock):
    """Nobody knows what to do with the child; its error is the reason."""

    async def decide(exit):
        raise KeyError("policy") from exit.error

    with pytest.raises(RestartLimitExceededError) as caught:
        async with open_supervisor(stage.puppet("a", on_exit=decide)) as supervisor:
            supervisor.find("a").tell_nowait(told.crash)
            await trio.sleep_forever()
    assert isinstance(caught.value.__cause__, KeyError)


async def test_a_policy_that_is_torn_down_does_not_hang(stage, told, autojump_clock):
    """While it is asked, something else brings all down."""

    async def ponder(_):
        await trio.sleep_forever()

    async def tear():
        await trio.sleep(3)
        raise KeyboardInterrupt

    with pytest.RaisesGroup(KeyboardInterrupt, flatten_subgroups=True):
        async with open_supervisor(
            stage.puppet("a", on_exit=ponder), ChildSpec("b", service(tear))
        ) as supervisor:
            supervisor.find("a").tell_nowait(told.crash)
            await trio.sleep_forever()


# -- the breaker ------------------------------------------------------------------------------------


async def test_the_breaker_holds_all_back_for_a_while(stage, told, recorder, autojump_clock):
    """Those that crash at once come back together, later."""
    specs = [stage.puppet(str(n), on_exit=None) for n in range(4)]
    async with open_supervisor(
        *specs,
        max_restarts=100,
        breaker=Breaker(max_crashes=2, within=10, pause=50),
        instruments=[recorder],
    ) as supervisor:
        for n in range(3):
            supervisor.find(str(n)).tell_nowait(told.crash)
        await trio.sleep(49)
        assert supervisor.count_children() == {"waiting": 3, "up": 1}
        assert supervisor.statistics().breaker_until == 50
        await trio.sleep(52)
        assert supervisor.count_children() == {"up": 4}
        assert supervisor.statistics().breaker_until is None
    assert "breaker of '' open until 50" in recorder.told
