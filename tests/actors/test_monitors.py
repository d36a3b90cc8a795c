"""Watching an actor's incarnation end: from outside, and as another actor."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors.actors import Actor, ChildSpec, GiveUp, open_supervisor

pytestmark = pytest.mark.usefixtures("autojump_clock")


async def test_a_monitor_tells_how_an_incarnation_ended(stage, told, autojump_clock):
    """And whether another one follows."""
    async with open_supervisor(stage.puppet("a")) as supervisor:
        ref = supervisor.find("a")
        with ref.monitor() as monitor:
            assert monitor.down is None
            ref.tell_nowait(told.crash)
            down = await monitor.wait()
            assert (down.path, down.incarnation, down.final) == ("a", 1, False)
            assert str(down.error) == "as told"
            assert monitor.down is down
        await trio.sleep(2)
        with ref.monitor() as monitor:
            await supervisor.stop_child("a")
            down = await monitor.wait()
            assert (down.incarnation, down.error, down.final) == (2, None, True)


async def test_a_monitor_of_one_that_is_gone_fires_at_once(stage, told, autojump_clock):
    """With how it had ended: waiting for its restart, or down for good; deleted, too."""
    async with open_supervisor(stage.puppet("a")) as supervisor:
        ref = supervisor.find("a")
        ref.tell_nowait(told.crash)
        await wait_all_tasks_blocked()
        with ref.monitor() as monitor:
            assert (monitor.down.incarnation, monitor.down.final) == (1, False)
            assert str(monitor.down.error) == "as told"
        await supervisor.stop_child("a")
        with ref.monitor() as monitor:
            assert monitor.down.final
        supervisor.delete_child("a")
        with ref.monitor() as monitor:
            assert (await monitor.wait()).final


async def test_a_monitor_before_the_first_life_fires_at_once(stage, autojump_clock):
    """None runs: it is number 0 that has ended."""

    async def start(_):
        await trio.sleep(1)

    async with open_supervisor(strategy="rest_for_one") as supervisor:
        supervisor.start_child_soon(stage.puppet("a", on_start=start))
        ref = supervisor.start_child_soon(stage.puppet("b"))
        with ref.monitor() as monitor:
            down = monitor.down
            assert (down.incarnation, down.error, down.final) == (0, None, False)


async def test_a_monitor_while_its_policy_is_asked_knows_the_last_error(
    stage, told, autojump_clock
):
    """Not that of the life before."""

    async def ponder(exit):
        await trio.sleep(5)
        return GiveUp()

    async with open_supervisor(stage.puppet("a", on_exit=ponder)) as supervisor:
        ref = supervisor.find("a")
        ref.tell_nowait(told.crash)
        await wait_all_tasks_blocked()
        with ref.monitor() as monitor:
            assert str(monitor.down.error) == "as told"


async def test_a_monitor_watches_no_longer_than_its_block(stage, told, autojump_clock):
    """And one that is cancelled changes nothing."""
    async with open_supervisor(stage.puppet("a")) as supervisor:
        ref = supervisor.find("a")
        with ref.monitor() as monitor, trio.move_on_after(1) as scope:
            await monitor.wait()
        assert scope.cancelled_caught
        ref.tell_nowait(told.crash)
        await trio.sleep(5)
        assert monitor.down is None


async def test_many_may_watch_the_same(stage, told, autojump_clock):
    """Each is told."""
    async with open_supervisor(stage.puppet("a")) as supervisor:
        ref = supervisor.find("a")
        with ref.monitor() as one, ref.monitor() as two:
            ref.tell_nowait(told.crash)
            assert await one.wait() == await two.wait()


# -- actors that watch ------------------------------------------------------------------------------


async def test_an_actor_that_watches_is_told_before_its_next_message(stage, told, autojump_clock):
    """However full its mailbox is; once."""
    async with open_supervisor(stage.puppet("a"), stage.puppet("b")) as supervisor:
        a, b = supervisor.find("a"), supervisor.find("b")
        await b.ask(lambda puppet: puppet.watch(a))
        stage.take()
        b.tell_nowait(told.sleep(1))
        b.tell_nowait("next")
        await wait_all_tasks_blocked()
        a.tell_nowait(told.crash)
        await trio.sleep(5)
        a.tell_nowait(told.crash)
        await trio.sleep(5)
        noted = [noted for noted in stage.take() if noted.startswith("b")]
        assert noted == ["b is busy", "b is done", "b sees a down, not final", "b next"]


async def test_an_idle_actor_is_woken_by_what_it_watches(stage, told, autojump_clock):
    """It does not wait for a message."""
    async with open_supervisor(stage.puppet("a"), stage.puppet("b")) as supervisor:
        await supervisor.find("b").ask(lambda puppet: puppet.watch(supervisor.find("a")))
        await supervisor.stop_child("a")
        await wait_all_tasks_blocked()
        assert "b sees a down, final" in stage.take()


async def test_all_that_is_watched_is_told_in_the_order_in_which_it_ended(
    stage, told, autojump_clock
):
    """While the watcher was busy with something else."""
    async with open_supervisor(*(stage.puppet(id) for id in "abc")) as supervisor:
        for id in "ab":
            await supervisor.find("c").ask(lambda puppet, id=id: puppet.watch(supervisor.find(id)))
        supervisor.find("c").tell_nowait(told.sleep(1))
        await wait_all_tasks_blocked()
        await supervisor.stop_child("b")
        await supervisor.stop_child("a")
        await trio.sleep(2)
        assert stage.take()[-2:] == ["c sees b down, final", "c sees a down, final"]


async def test_an_actor_may_leave_it_at_knowing_that_it_could_know(stage, autojump_clock):
    """``on_down`` need not be written."""

    class Calm(Actor):
        async def receive(self, message):
            self.watch(message)

    async with open_supervisor(stage.puppet("a"), ChildSpec("calm", Calm)) as supervisor:
        calm = supervisor.find("calm")
        await calm.ask(supervisor.find("a"))
        await supervisor.stop_child("a")
        await calm.ask(supervisor.find("a"))
        assert calm.statistics().crashes == 0


async def test_watching_one_that_is_gone_is_told_at_once(stage, autojump_clock):
    """After the message in hand."""
    async with open_supervisor(stage.puppet("a"), stage.puppet("b")) as supervisor:
        ref = supervisor.find("a")
        await supervisor.stop_child("a")
        await supervisor.find("b").ask(lambda puppet: puppet.watch(ref))
        await wait_all_tasks_blocked()
        assert stage.take()[-1] == "b sees a down, final"


async def test_what_one_incarnation_watched_is_not_told_to_the_next(stage, told, autojump_clock):
    """Neither later, nor what it had not got to."""
    async with open_supervisor(stage.puppet("a"), stage.puppet("b")) as supervisor:
        a, b = supervisor.find("a"), supervisor.find("b")

        async def watch_and_crash(puppet):
            puppet.watch(a)
            await supervisor.stop_child("a")
            raise ValueError

        b.tell_nowait(watch_and_crash)
        await trio.sleep(5)
        supervisor.restart_child("a")
        await wait_all_tasks_blocked()
        await b.ask(lambda puppet: puppet.watch(a))
        b.tell_nowait(told.crash)
        await trio.sleep(5)
        await supervisor.stop_child("a")
        await b.ask("awake")
        assert [noted for noted in stage.take() if "sees" in noted] == []


async def test_a_watcher_that_crashes_again_and_again_leaves_nothing_with_the_watched(
    stage, told, autojump_clock
):
    """Each of its lives watches anew; the one that is watched lives on."""

    async def start(puppet):
        puppet.watch(puppet.supervisor.find("a"))

    async with open_supervisor(
        stage.puppet("a"), stage.puppet("b", on_start=start), max_restarts=100
    ) as supervisor:
        for _ in range(20):
            supervisor.find("b").tell_nowait(told.crash)
            await trio.sleep(10)
        assert len(supervisor.find("a").cell._monitors) == 1


async def test_a_crash_in_on_down_is_a_crash(stage, autojump_clock):
    """Like any other."""

    async def start(puppet):
        async def on_down(down):
            raise ValueError(down.path)

        puppet.on_down = on_down

    async with open_supervisor(stage.puppet("a"), stage.puppet("b", on_start=start)) as supervisor:
        await supervisor.find("b").ask(lambda puppet: puppet.watch(supervisor.find("a")))
        await supervisor.stop_child("a")
        assert await supervisor.find("b").ask(lambda puppet: puppet.incarnation) == 2
