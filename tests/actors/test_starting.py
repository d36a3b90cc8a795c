"""How children start: at the boot, and later; and how that fails."""

from __future__ import annotations

import logging

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors.actors import Backoff, Behaviour, ChildSpec, open_supervisor, service
from claw_actors.errors import (
    ActorStoppedError,
    ChildStartError,
    DuplicateChildError,
    RestartLimitExceededError,
)

pytestmark = pytest.mark.usefixtures("autojump_clock")


async def fail(_):
    raise ValueError("cannot start")


def sleep(seconds):
    async def start(_):
        await trio.sleep(seconds)

    return start


async def test_each_child_of_the_boot_waits_for_the_one_before(stage, autojump_clock):
    """However long that takes."""
    async with open_supervisor(
        stage.puppet("a", on_start=sleep(5)), stage.puppet("b", on_start=sleep(3))
    ):
        assert trio.current_time() == 8
    assert stage.take() == ["a starts", "b starts", "b stops", "a stops"]


async def test_a_failed_boot_unwinds_and_raises(stage, autojump_clock):
    """What started is stopped, what did not start has no ``on_stop``, the rest never begins."""
    with pytest.raises(ChildStartError) as caught:
        async with open_supervisor(
            stage.puppet("a"), stage.puppet("b", on_start=fail), stage.puppet("c")
        ):
            raise AssertionError("the block has begun")
    assert (caught.value.id, str(caught.value.__cause__)) == ("b", "cannot start")
    assert stage.take() == ["a starts", "b starts", "a stops"]


async def test_a_factory_that_fails_is_a_failed_start(stage, autojump_clock):
    """There is not even an object."""

    def make():
        raise ValueError("no such thing")

    with pytest.raises(ChildStartError, match="no such thing"):
        async with open_supervisor(ChildSpec("a", make)):
            pass


async def test_a_failed_boot_is_logged_by_nobody(stage, caplog, autojump_clock):
    """It is raised; and those that had not begun did not fail."""
    with pytest.raises(ChildStartError):
        async with open_supervisor(stage.puppet("a", on_start=fail), stage.puppet("b")):
            pass
    assert caplog.records == []


async def test_a_start_over_its_deadline_is_cancelled_and_fails(stage, autojump_clock):
    """At the boot that ends it."""
    with pytest.raises(ChildStartError, match="not within 7 s"):
        async with open_supervisor(
            stage.puppet("a", on_start=sleep(100), start_timeout=7), stage.puppet("b")
        ):
            pass
    assert trio.current_time() == 7
    assert stage.take() == ["a starts"]


async def test_cancelling_the_boot_stops_what_has_started(stage, autojump_clock):
    """The one that is just starting included."""
    with trio.move_on_after(2) as scope:
        async with open_supervisor(
            stage.puppet("a"), stage.puppet("b", on_start=sleep(100), grace=3)
        ):
            raise AssertionError("the block has begun")
    assert scope.cancelled_caught
    assert trio.current_time() == 5
    assert stage.take() == ["a starts", "b starts", "a stops"]


async def test_giving_up_during_the_boot_raises(stage, told, autojump_clock):
    """One that was up crashed too often while another was starting."""

    async def crash_soon():
        await trio.sleep(1)
        raise ValueError("again")

    with pytest.raises(RestartLimitExceededError):
        async with open_supervisor(
            ChildSpec("a", service(crash_soon)),
            stage.puppet("b", on_start=sleep(20)),
            max_restarts=0,
        ):
            pass


async def test_starting_a_child_returns_when_it_has_started(stage, autojump_clock):
    """With its ref."""
    async with open_supervisor() as supervisor:
        ref = await supervisor.start_child(stage.puppet("a", on_start=sleep(3)))
        assert trio.current_time() == 3
        assert await ref.ask(lambda puppet: puppet.incarnation) == 1
        assert ref.path == "a"


async def test_a_child_that_does_not_start_is_no_child(stage, autojump_clock):
    """Whoever started it is told; its siblings go on; its id is free."""
    async with open_supervisor(stage.puppet("a")) as supervisor:
        with pytest.raises(ChildStartError) as caught:
            await supervisor.start_child(stage.puppet("b", on_start=fail))
        assert isinstance(caught.value.__cause__, ValueError)
        assert "b" not in supervisor
        await supervisor.start_child(stage.puppet("b"))
        assert supervisor.count_children() == {"up": 2}


async def test_messages_to_a_child_that_does_not_start_are_dead_letters(
    stage, recorder, autojump_clock
):
    """And whoever asks it gets an error."""
    errors = []

    async def ask(ref):
        try:
            await ref.ask("anybody there?")
        except ActorStoppedError as error:
            errors.append(error)

    async with (
        open_supervisor(instruments=[recorder]) as supervisor,
        trio.open_nursery() as nursery,
    ):

        async def start_late(puppet):
            await trio.sleep(1)
            await fail(puppet)

        ref = supervisor.start_child_soon(stage.puppet("a", on_start=start_late))
        ref.tell_nowait("hello")
        nursery.start_soon(ask, ref)
    assert len(errors) == 1
    assert [letter.reason for letter in recorder.letters] == ["stopped", "stopped"]


async def test_a_child_started_in_passing_that_does_not_start_is_logged(
    stage, caplog, autojump_clock
):
    """As nobody waits for it."""
    async with open_supervisor() as supervisor:
        supervisor.start_child_soon(stage.puppet("a", on_start=fail))
        await trio.sleep(1)
        assert len(supervisor) == 0
    [record] = caplog.records
    assert "child 'a' did not start" in record.getMessage()
    assert record.levelno == logging.ERROR


async def test_a_child_stopped_before_it_has_started_is_no_child_and_no_alarm(
    stage, caplog, autojump_clock
):
    """Whoever starts it is told, and whoever has stopped it knows."""
    caplog.set_level(logging.DEBUG, "claw_actors.actors")

    async def start(supervisor):
        with pytest.raises(ChildStartError, match="stopped before"):
            await supervisor.start_child(stage.puppet("a", on_start=sleep(100)))

    async with open_supervisor() as supervisor, trio.open_nursery() as nursery:
        nursery.start_soon(start, supervisor)
        supervisor.start_child_soon(stage.puppet("b", on_start=sleep(100)))
        await wait_all_tasks_blocked()
        await supervisor.stop_child("a", grace=0)
        await supervisor.stop_child("b", grace=0)
        assert len(supervisor) == 0
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []


async def test_a_child_that_is_asked_to_stop_before_its_first_tick_never_begins(
    stage, autojump_clock
):
    """There is nothing to unwind."""
    async with open_supervisor() as supervisor:
        supervisor.start_child_soon(stage.puppet("a"))
        await supervisor.stop_child("a")
    assert stage.log == []


async def test_a_cancelled_start_goes_on_without_the_caller(stage, autojump_clock):
    """The deed is the supervisor's, not the caller's."""
    async with open_supervisor() as supervisor:
        with trio.move_on_after(1) as scope:
            await supervisor.start_child(stage.puppet("a", on_start=sleep(3)))
        assert scope.cancelled_caught
        await trio.sleep(5)
        assert supervisor.count_children() == {"up": 1}


async def test_a_cancelled_caller_starts_nothing_at_all(stage, autojump_clock):
    """Cancelled before it called."""
    async with open_supervisor() as supervisor:
        with trio.CancelScope() as scope:
            scope.cancel()
            await supervisor.start_child(stage.puppet("a"))
        assert len(supervisor) == 0


async def test_shutting_down_while_a_child_is_being_started_ends_it_and_tells_the_caller(
    stage, autojump_clock
):
    """Nobody waits for ever."""
    told = []

    async def start(supervisor):
        try:
            await supervisor.start_child(stage.puppet("a", on_start=sleep(100), grace=3))
        except ChildStartError as error:
            told.append(error)

    async with trio.open_nursery() as nursery, open_supervisor() as supervisor:
        nursery.start_soon(start, supervisor)  # noqa: ASYNC111 - it outlives the supervisor
        await wait_all_tasks_blocked()
    assert len(told) == 1
    assert trio.current_time() == 3
    assert stage.take() == ["a starts"]


async def test_an_id_is_taken_while_its_old_child_is_still_ending(stage, told, autojump_clock):
    """The new one would run beside it; afterwards the old ref does not reach the new actor."""
    spec = stage.puppet("a", restart="temporary", on_stop=sleep(3))
    async with open_supervisor() as supervisor, trio.open_nursery() as nursery:
        old = await supervisor.start_child(spec)
        nursery.start_soon(supervisor.stop_child, "a")
        await wait_all_tasks_blocked()
        with pytest.raises(DuplicateChildError):
            await supervisor.start_child(spec)
        await old.wait_stopped()
        new = await supervisor.start_child(spec)
        assert new != old
        old.tell_nowait("for the old one")
        with pytest.raises(ActorStoppedError):
            await old.ask("for the old one")
        await wait_all_tasks_blocked()
    assert stage.take() == ["a starts", "a stops", "a starts", "a stops"]


async def test_messages_wait_until_the_actor_has_started(stage, autojump_clock):
    """They are dealt with in order then."""
    async with open_supervisor() as supervisor:
        ref = supervisor.start_child_soon(stage.puppet("a", on_start=sleep(3)))
        ref.tell_nowait("one")
        assert await ref.ask("two") == "two"
    assert stage.take() == ["a starts", "a one", "a two", "a stops"]


async def test_who_acknowledges_twice_or_too_late_changes_nothing(autojump_clock):
    """A behaviour of its own may be careless."""
    lives = []

    class Careless(Behaviour):
        async def run(self, life):
            lives.append(life)
            life.started()
            life.started()
            lives[0].started()
            await trio.sleep_forever()

    async with open_supervisor(ChildSpec("a", Careless)) as supervisor:
        assert supervisor.count_children() == {"up": 1}
        await supervisor.stop_child("a")
        lives[0].started()
        assert supervisor.count_children() == {"down": 1}


async def test_an_earlier_life_cannot_acknowledge_for_the_next(autojump_clock):
    """Something of it may linger on."""
    lives = []

    class Lingering(Behaviour):
        async def run(self, life):
            lives.append(life)
            if life.incarnation == 1:
                life.started()
                return
            lives[0].started()
            await trio.sleep(3)
            life.started()
            await trio.sleep_forever()

    async with open_supervisor(ChildSpec("a", Lingering, backoff=Backoff(initial=0))) as supervisor:
        await trio.sleep(1)
        assert supervisor.count_children() == {"starting": 1}
        await trio.sleep(3)
        assert supervisor.count_children() == {"up": 1}
