"""The supervisor as a block: how it ends, what it shows, and what it does not swallow."""

from __future__ import annotations

import contextvars
import threading

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from claw_actors.actors import ChildSpec, open_supervisor, service
from claw_actors.errors import (
    ActorStoppedError,
    InvalidInputError,
    RestartLimitExceededError,
    SupervisorStoppedError,
    UnknownChildError,
)

pytestmark = pytest.mark.usefixtures("autojump_clock")


async def test_at_the_end_of_the_block_children_are_stopped_in_reverse(stage, autojump_clock):
    """They had all started when it began."""
    async with open_supervisor(stage.puppet("a"), stage.puppet("b")):
        assert stage.take() == ["a starts", "b starts"]
    assert stage.take() == ["b stops", "a stops"]


async def test_an_error_of_the_block_passes_unchanged_after_the_stop(stage, autojump_clock):
    """Not wrapped into a group."""
    error = KeyError("of the block")
    with pytest.raises(KeyError) as caught:
        async with open_supervisor(stage.puppet("a")):
            raise error
    assert caught.value is error
    assert stage.take() == ["a starts", "a stops"]


async def test_giving_up_cancels_the_block_and_raises(stage, told, autojump_clock):
    """With the crashes in the window, and the last one as its cause."""
    ended = []
    with pytest.raises(RestartLimitExceededError) as caught:
        async with open_supervisor(stage.puppet("a"), max_restarts=1, within=60) as supervisor:
            try:
                for _ in range(2):
                    supervisor.find("a").tell_nowait(told.crash)
                    await trio.sleep(5)
                await trio.sleep_forever()
            finally:
                ended.append(trio.current_time())
    assert ended == [5]
    assert [crash.incarnation for crash in caught.value.history] == [1, 2]
    assert caught.value.__cause__ is caught.value.history[-1].error


async def test_an_error_of_the_block_comes_before_giving_up(stage, told, autojump_clock):
    """It is raised while the block is being cancelled."""
    with pytest.raises(KeyError):
        async with open_supervisor(stage.puppet("a"), max_restarts=0) as supervisor:
            supervisor.find("a").tell_nowait(told.crash)
            try:
                await trio.sleep_forever()
            finally:
                raise KeyError("in the clean-up")


async def test_auto_shutdown_cancels_the_block_without_an_error(stage, autojump_clock):
    """What comes after the block goes on."""
    job = ChildSpec("job", service(trio.sleep, 3), restart="transient", significant=True)
    async with open_supervisor(stage.puppet("a"), job, auto_shutdown="any_significant"):
        await trio.sleep_forever()
    assert trio.current_time() == 3
    assert stage.take() == ["a starts", "a stops"]


async def test_a_requested_stop_cancels_the_block_without_an_error(stage, autojump_clock):
    """And no child is started any more."""
    async with open_supervisor(stage.puppet("a")) as supervisor:
        supervisor.request_stop("enough")
        with pytest.raises(SupervisorStoppedError):
            supervisor.start_child_soon(stage.puppet("b"))
        await trio.sleep_forever()
    assert stage.take() == ["a starts", "a stops"]


async def test_cancelled_from_outside_children_are_stopped_in_order_within_the_grace(
    stage, told, autojump_clock
):
    """Asked first, each in its turn, under the one deadline of the supervisor."""
    with trio.move_on_after(1) as scope:
        async with open_supervisor(
            stage.puppet("a"), stage.puppet("b", grace=60), stage.puppet("c", grace=2), grace=7
        ) as supervisor:
            supervisor.find("b").tell_nowait(told.sleep(4))
            supervisor.find("c").tell_nowait(told.sleep(100))
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert trio.current_time() == 4, "c was cancelled at 3, b was done at 4"
    stops = [noted for noted in stage.take() if "stops" in noted]
    assert stops == ["c stops", "b stops", "a stops"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
async def test_what_no_supervisor_may_swallow_tears_all_down(stage, error, autojump_clock):
    """No restart; the others are cancelled, and whoever asks gets an error instead of hanging."""
    asked = []

    async def hang(_):
        await trio.sleep_forever()

    async def tear(_):
        raise error

    async def ask(supervisor):
        try:
            await supervisor.find("b").ask(hang)
        except ActorStoppedError as stopped:
            asked.append(stopped)

    with pytest.RaisesGroup(error, flatten_subgroups=True):
        async with (
            trio.open_nursery() as nursery,
            open_supervisor(stage.puppet("a"), stage.puppet("b")) as supervisor,
        ):
            nursery.start_soon(ask, supervisor)  # noqa: ASYNC111 - it outlives the supervisor
            await wait_all_tasks_blocked()
            supervisor.find("a").tell_nowait(tear)
            await trio.sleep_forever()
    assert stage.take() == ["a starts", "b starts", "a stops", "b stops"]
    assert supervisor.count_children() == {"down": 2}
    assert len(asked) == 1


async def test_a_cancellation_that_comes_from_nowhere_is_no_crash(stage, autojump_clock):
    """A ``Cancelled`` that no scope of the child has asked for tears all down, as in any nursery."""

    async def raise_cancelled(_):
        with trio.CancelScope() as scope:
            scope.cancel()
            try:
                await trio.lowlevel.checkpoint()
            except trio.Cancelled as cancelled:  # noqa: ASYNC103 - raised where it does not belong
                stolen = cancelled
        raise stolen

    async with open_supervisor(stage.puppet("a")) as supervisor:
        supervisor.find("a").tell_nowait(raise_cancelled)
        await trio.sleep_forever()
    assert stage.take() == ["a starts", "a stops"]
    assert supervisor.statistics().crashes == 0


async def test_a_second_interrupt_during_the_stop_does_not_hang(stage, told, autojump_clock):
    """As by an impatient Ctrl-C: it interrupts the waiting, and all are cancelled at once."""
    with pytest.RaisesGroup(KeyboardInterrupt, flatten_subgroups=True, allow_unwrapped=True):
        async with open_supervisor(stage.puppet("a", grace=1000), grace=1000) as supervisor:
            supervisor.find("a").tell_nowait(told.sleep(900))
            await wait_all_tasks_blocked()

            async def interrupt(_=None):
                raise KeyboardInterrupt

            supervisor.wait_stopped = interrupt
    assert trio.current_time() == 0
    assert stage.take() == ["a starts", "a is busy", "a stops"]


async def test_two_supervisors_live_side_by_side(stage, told, autojump_clock):
    """The same names, nothing shared."""
    async with open_supervisor(stage.puppet("a")) as one, open_supervisor(stage.puppet("a")) as two:
        assert one.find("a") != two.find("a")
        one.find("a").tell_nowait(told.crash)
        await trio.sleep(5)
        assert one.statistics().crashes == 1
        assert two.statistics().crashes == 0
        assert two.find("a").statistics().incarnation == 1


def test_each_run_of_trio_has_supervisors_of_its_own(stage):
    """In two threads at once: there is no state that is shared by a process."""
    meet = threading.Barrier(2, timeout=30)
    answers = []

    async def main(n):
        async with open_supervisor(stage.puppet("a")) as supervisor:
            ref = supervisor.find("a")
            answers.extend([await ref.ask(lambda _: n) for _ in range(20)])

    def run(n):
        meet.wait()
        trio.run(main, n, clock=MockClock(autojump_threshold=0))

    threads = [threading.Thread(target=run, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [0] * 20 + [1] * 20


def test_a_supervisor_runs_as_a_guest(stage):
    """Under another event loop, whose callbacks are all that it needs."""
    waiting, done = [], []

    async def main():
        async with open_supervisor(stage.puppet("a")) as supervisor:
            return await supervisor.find("a").ask(lambda _: "hello")

    ready = threading.Semaphore(0)

    def soon(fn):
        waiting.append(fn)
        ready.release()

    trio.lowlevel.start_guest_run(main, run_sync_soon_threadsafe=soon, done_callback=done.append)
    while not done:
        assert ready.acquire(timeout=30)
        waiting.pop(0)()
    assert done[0].unwrap() == "hello"


async def test_it_shows_its_children(stage, told, autojump_clock):
    """In the order in which they start; counted by state; with what has happened to them."""
    async with open_supervisor(
        stage.puppet("a"), stage.puppet("b", restart="transient")
    ) as supervisor:
        supervisor.find("a").tell_nowait(told.crash)
        await wait_all_tasks_blocked()
        await supervisor.stop_child("b")
        one, two = supervisor.which_children()
        assert (one.id, one.state, one.incarnation, one.restart) == ("a", "waiting", 1, "permanent")
        assert (two.id, two.state, two.incarnation, two.restart) == ("b", "down", 1, "transient")
        assert two.ref == supervisor.find("b")
        assert supervisor.count_children() == {"waiting": 1, "down": 1}
        assert len(supervisor) == 2
        assert "a" in supervisor
        assert "c" not in supervisor
        assert supervisor.path == ""
        assert repr(supervisor) == "<Supervisor '/', 2 children>"
        statistics = supervisor.statistics()
        assert (statistics.path, statistics.crashes, statistics.dead_letters) == ("", 1, 1)
        assert [crash.id for crash in statistics.restarts] == ["a"]
        assert statistics.breaker_until is None


async def test_what_is_not_there_is_said_to_be_unknown(stage, autojump_clock):
    """By its id, also below a child that is no supervisor."""
    async with open_supervisor(stage.puppet("a")) as supervisor:
        for look in (
            lambda: supervisor.find("b"),
            lambda: supervisor.find("a/b"),
            lambda: supervisor.nested("a"),
            lambda: supervisor.restart_child("b"),
            lambda: supervisor.delete_child("b"),
        ):
            with pytest.raises(UnknownChildError):
                look()
        with pytest.raises(UnknownChildError):
            await supervisor.stop_child("b")


async def test_children_run_in_the_supervisors_own_context(stage, told, autojump_clock):
    """Neither the cancel scope nor the context variables of who starts them leak in."""
    who = contextvars.ContextVar("who", default="nobody")
    seen = []

    async def look(_):
        seen.append(who.get())
        who.set("a child")

    async with open_supervisor() as supervisor:
        with trio.move_on_after(2):
            who.set("the caller")
            ref = await supervisor.start_child(stage.puppet("a", on_start=look))
            supervisor.start_child_soon(stage.puppet("b", on_start=look))
            await trio.sleep_forever()
        await trio.sleep(5)
        ref.tell_nowait(told.crash)
        await trio.sleep(5)
        assert supervisor.count_children() == {"up": 2}, "the cancelled scope reached a child"
    assert seen == ["nobody", "nobody", "nobody"]


async def test_one_poisonous_child_with_a_budget_of_its_own_harms_none_of_a_thousand(
    stage, told, autojump_clock
):
    """It crashes a hundred times, and is given up at last; the others do not notice."""
    from claw_actors.actors import GiveUp, RestartAfter

    async def budget(exit):
        return GiveUp() if exit.incarnation == 100 else RestartAfter(0.01)

    async def poison(_):
        raise ValueError("poison")

    async with open_supervisor(max_restarts=0, stop_together=True) as supervisor:
        healthy = [supervisor.start_child_soon(stage.puppet(f"h{n}")) for n in range(1_000)]
        await wait_all_tasks_blocked()
        bad = supervisor.start_child_soon(
            ChildSpec("bad", service(poison), "transient", on_exit=budget)
        )
        await bad.wait_stopped()
        assert bad.statistics().incarnation == 100
        assert supervisor.count_children() == {"up": 1_000, "down": 1}
        assert all(ref.statistics().incarnation == 1 for ref in healthy)
        assert [await ref.ask(lambda _: 1) for ref in healthy] == [1] * 1_000


async def test_values_that_make_no_sense_are_refused(stage):
    """Before anything is started."""
    for options in (
        {"strategy": "two_for_one"},
        {"max_restarts": -1},
        {"within": -1},
        {"auto_shutdown": "yes"},
        {"grace": "long"},
    ):
        with pytest.raises(InvalidInputError) as caught:
            async with open_supervisor(**options):
                pass
        assert caught.value.field in options
    with pytest.raises(InvalidInputError):
        async with open_supervisor(stage.puppet("a"), stage.puppet("a")):
            pass
    assert stage.log == []
