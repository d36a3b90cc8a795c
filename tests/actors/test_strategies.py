"""Groups of children that are restarted together."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors.actors import Backoff, ChildSpec, open_supervisor, service
from claw_actors.errors import ActorStoppedError

pytestmark = pytest.mark.usefixtures("autojump_clock")


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("one_for_one", ["b stops", "b starts"]),
        ("one_for_all", ["b stops", "c stops", "a stops", "a starts", "b starts", "c starts"]),
        ("rest_for_one", ["b stops", "c stops", "b starts", "c starts"]),
    ],
)
async def test_a_strategy_says_who_is_restarted_with_a_child(
    stage, told, strategy, expected, autojump_clock
):
    """Nobody, all, or those after it; stopped in reverse, started in order."""
    specs = [stage.puppet(id) for id in "abc"]
    async with open_supervisor(*specs, strategy=strategy) as supervisor:
        stage.take()
        supervisor.find("b").tell_nowait(told.crash)
        await trio.sleep(2)
        assert stage.take() == expected
        assert supervisor.count_children() == {"up": 3}
        assert supervisor.statistics().crashes == 1


async def test_what_waits_in_a_siblings_mailbox_is_dealt_with_after_the_restart(
    stage, told, autojump_clock
):
    """What it had in hand and was cancelled over is not."""
    async with open_supervisor(
        stage.puppet("a"), stage.puppet("b", grace=1), strategy="one_for_all"
    ) as supervisor:
        ref = supervisor.find("b")
        ref.tell_nowait(told.sleep(100))
        ref.tell_nowait("later")
        await wait_all_tasks_blocked()
        supervisor.find("a").tell_nowait(told.crash)
        await trio.sleep(3)
        stats = ref.statistics()
        assert (stats.incarnation, stats.handled, stats.dead_letters) == (2, 1, 1)
    noted = [noted for noted in stage.take() if noted.startswith("b")]
    assert noted == ["b starts", "b is busy", "b stops", "b starts", "b later", "b stops"]


async def test_a_request_in_a_siblings_hands_ends_when_it_is_stopped(stage, told, autojump_clock):
    """Its asker is told that it was stopped."""
    async with open_supervisor(
        stage.puppet("a"), stage.puppet("b", grace=1), strategy="one_for_all"
    ) as supervisor:

        async def crash_soon():
            await trio.sleep(2)
            supervisor.find("a").tell_nowait(told.crash)

        supervisor.start_child_soon(ChildSpec("c", service(crash_soon), "temporary"))
        with pytest.raises(ActorStoppedError):
            await supervisor.find("b").ask(told.sleep(100))
        assert trio.current_time() == 3


async def test_a_sibling_that_had_ended_and_comes_back_can_be_stopped_again(
    stage, told, autojump_clock
):
    """That is waited for; and messages reach it as soon as it is to come back."""
    async with open_supervisor(
        stage.puppet("a"), stage.puppet("b", restart="transient"), strategy="one_for_all"
    ) as supervisor:
        ref = supervisor.find("b")
        ref.tell_nowait(lambda puppet: puppet.stop())
        await ref.wait_stopped()
        supervisor.find("a").tell_nowait(told.crash)
        await wait_all_tasks_blocked()
        ref.tell_nowait("welcome back")
        ref.tell_nowait(told.sleep(3))
        await trio.sleep(2)
        await supervisor.stop_child("b")
        assert trio.current_time() == 4
    assert "b welcome back" in stage.take()


async def test_stopping_a_child_that_has_ended_keeps_it_down(stage, told, autojump_clock):
    """There was nothing to stop, and the group leaves it alone from now on."""
    async with open_supervisor(
        stage.puppet("a"), stage.puppet("b", restart="transient"), strategy="one_for_all"
    ) as supervisor:
        supervisor.find("b").tell_nowait(lambda puppet: puppet.stop())
        await wait_all_tasks_blocked()
        await supervisor.stop_child("b")
        supervisor.find("a").tell_nowait(told.crash)
        await trio.sleep(5)
        assert supervisor.count_children() == {"up": 1, "down": 1}


async def test_a_child_that_ends_while_its_siblings_are_restarted_hangs_nobody(
    stage, told, autojump_clock
):
    """It returns just before it would have been asked to stop."""

    async def linger(_):
        await trio.sleep(2)

    async with open_supervisor(
        stage.puppet("a"),
        stage.puppet("b", restart="transient"),
        stage.puppet("c", on_stop=linger),
        strategy="one_for_all",
    ) as supervisor:
        supervisor.find("a").tell_nowait(told.crash)
        await trio.sleep(1)
        supervisor.find("b").tell_nowait(lambda puppet: puppet.stop())
        await trio.sleep(4)
        assert supervisor.count_children() == {"up": 3}


async def test_reports_of_a_restart_without_delay_name_the_life_that_ended(
    stage, told, recorder, autojump_clock
):
    """The next one has been decided on in the same moment."""
    at_once = Backoff(initial=0)
    async with open_supervisor(
        stage.puppet("a", backoff=at_once), strategy="one_for_all", instruments=[recorder]
    ) as supervisor:
        with supervisor.find("a").monitor() as monitor:
            supervisor.find("a").tell_nowait(told.crash)
            down = await monitor.wait()
        assert (down.incarnation, down.final) == (1, False)
        assert [report.incarnation for report in recorder.crashes] == [1]
        assert await supervisor.find("a").ask(lambda puppet: puppet.incarnation) == 2
