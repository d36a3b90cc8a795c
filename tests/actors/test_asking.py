"""Asking: an answer, or the reason why there is none; and no ring of actors waiting for each other."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors.actors import open_supervisor
from claw_actors.errors import (
    ActorCrashedError,
    ActorStoppedError,
    AskCycleError,
    RequestRefusedError,
)

pytestmark = pytest.mark.usefixtures("autojump_clock")


async def test_an_answer_is_what_receive_returns(stage, autojump_clock):
    """Any object, ``None`` too."""
    thing = object()
    async with open_supervisor(stage.puppet("a")) as supervisor:
        assert await supervisor.find("a").ask(lambda _: thing) is thing
        assert await supervisor.find("a").ask(lambda _: None) is None


async def test_a_crash_over_a_request_is_told_to_its_asker(stage, told, autojump_clock):
    """With its cause; each asker has an error of its own; the request is not repeated."""
    errors, calls = [], []

    async def deal(puppet):
        calls.append(puppet.incarnation)
        raise ValueError("bad request")

    async with open_supervisor(stage.puppet("a")) as supervisor:
        with pytest.raises(ActorCrashedError) as caught:
            await supervisor.find("a").ask(deal)
        errors.append(caught.value)
        assert (caught.value.id, caught.value.incarnation) == ("a", 1)
        assert str(caught.value.__cause__) == "bad request"
        assert await supervisor.find("a").ask("next") == "next"
    assert calls == [1]


async def test_a_request_that_waits_is_answered_by_the_next_incarnation(
    stage, told, autojump_clock
):
    """A crash over another message does not concern it."""
    async with open_supervisor(stage.puppet("a")) as supervisor:
        ref = supervisor.find("a")
        ref.tell_nowait(told.crash)
        assert await ref.ask(lambda puppet: puppet.incarnation) == 2


async def test_a_request_in_hand_ends_when_the_actor_is_cancelled(stage, told, autojump_clock):
    """Its grace is over before the answer."""
    async with open_supervisor(stage.puppet("a")) as supervisor, trio.open_nursery() as nursery:

        async def ask():
            with pytest.raises(ActorStoppedError):
                await supervisor.find("a").ask(told.sleep(100))
            assert trio.current_time() == 2

        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        await supervisor.stop_child("a", grace=2)


async def test_a_request_in_hand_is_answered_within_the_grace(stage, autojump_clock):
    """A stop lets it finish."""
    answers = []

    async def slow(_):
        await trio.sleep(3)
        return "done"

    async with open_supervisor(stage.puppet("a")) as supervisor, trio.open_nursery() as nursery:

        async def ask():
            answers.append(await supervisor.find("a").ask(slow))

        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        await supervisor.stop_child("a")
    assert answers == ["done"]


async def test_a_request_that_waits_at_a_final_stop_ends(stage, told, autojump_clock):
    """Queued, or even waiting for room."""
    from claw_actors.actors import MailboxSpec

    ended = []
    spec = stage.puppet("a", mailbox=MailboxSpec(capacity=1))
    async with open_supervisor(spec) as supervisor, trio.open_nursery() as nursery:
        ref = supervisor.find("a")

        async def ask():
            with pytest.raises(ActorStoppedError):
                await ref.ask("anybody there?")
            ended.append(True)

        ref.tell_nowait(told.sleep(100))
        await wait_all_tasks_blocked()
        for _ in range(3):
            nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        await supervisor.stop_child("a", grace=1)
    assert len(ended) == 3


async def test_asking_one_that_is_down_fails_at_once(stage, autojump_clock):
    """Nothing is sent; waiting for its end is over at once, too."""
    async with open_supervisor(stage.puppet("a")) as supervisor:
        ref = supervisor.find("a")
        await supervisor.stop_child("a")
        with pytest.raises(ActorStoppedError) as caught:
            await ref.ask("anybody there?")
        assert caught.value.id == "a"
        with trio.testing.assert_checkpoints():
            await ref.wait_stopped()
        assert ref.statistics().dead_letters == 0


async def test_waiting_for_an_end_can_be_cancelled(stage, autojump_clock):
    """And leaves nothing behind."""
    async with open_supervisor(stage.puppet("a")) as supervisor:
        ref = supervisor.find("a")
        with trio.move_on_after(1) as scope:
            await ref.wait_stopped()
        assert scope.cancelled_caught
        assert len(ref.cell._when_down) == 0


async def test_a_queued_request_of_a_cancelled_caller_is_never_dealt_with(
    stage, told, autojump_clock
):
    """Nobody wants it any more."""
    async with open_supervisor(stage.puppet("a")) as supervisor:
        ref = supervisor.find("a")
        ref.tell_nowait(told.sleep(10))
        with trio.move_on_after(1) as scope:
            await ref.ask("too late")
        assert scope.cancelled_caught
        await trio.sleep(20)
        assert ref.statistics().handled == 1
    assert "a too late" not in stage.take()


async def test_a_late_answer_is_dropped_and_counted(stage, autojump_clock):
    """Its caller gave up while the actor was at it; it never reaches a later request."""

    async def slow(_):
        await trio.sleep(10)
        return "late"

    async with open_supervisor(stage.puppet("a")) as supervisor:
        ref = supervisor.find("a")
        with trio.move_on_after(1):
            await ref.ask(slow)
        assert await ref.ask(lambda _: "in time") == "in time"
        assert ref.statistics().late_replies == 1


async def test_a_crash_over_what_nobody_waits_for_any_more_is_no_late_answer(stage, autojump_clock):
    """There was none."""

    async def fail(_):
        await trio.sleep(10)
        raise ValueError("late")

    async with open_supervisor(stage.puppet("a")) as supervisor:
        ref = supervisor.find("a")
        with trio.move_on_after(1):
            await ref.ask(fail)
        await trio.sleep(20)
        assert ref.statistics().late_replies == 0
        assert ref.statistics().crashes == 1


@pytest.mark.parametrize("first", ["answered", "cancelled"])
async def test_of_an_answer_and_a_cancellation_in_one_moment_the_first_counts(
    stage, first, autojump_clock
):
    """Trio is not confused by the other."""
    outcomes, replies, scope = [], [], trio.CancelScope()

    async def ask():
        with scope:
            outcomes.append(await ref.ask(lambda puppet: replies.append(puppet.defer())))
        if scope.cancelled_caught:
            outcomes.append("cancelled")

    async with open_supervisor(stage.puppet("a")) as supervisor, trio.open_nursery() as nursery:
        ref = supervisor.find("a")
        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        if first == "cancelled":
            scope.cancel()
        replies[0].send("answered")
        scope.cancel()
    assert outcomes == [first]


# -- refusing ---------------------------------------------------------------------------------------


class NotEnough(RequestRefusedError):
    def __init__(self, left):
        super().__init__(f"only {left} left")
        self.left = left


async def test_a_request_can_be_refused_without_a_crash(stage, autojump_clock):
    """Its asker gets a copy, with what it carries, and the original as its cause."""
    originals = []

    def refuse(_):
        originals.append(NotEnough(3))
        raise originals[0]

    async with open_supervisor(stage.puppet("a")) as supervisor:
        ref = supervisor.find("a")
        with pytest.raises(NotEnough) as caught:
            await ref.ask(refuse)
        assert caught.value.left == 3
        assert caught.value is not originals[0]
        assert caught.value.__cause__ is originals[0]
        assert await ref.ask(lambda puppet: puppet.incarnation) == 1


async def test_a_refused_message_is_a_dead_letter(stage, recorder, caplog, autojump_clock):
    """Nobody waits for the refusal, so it is logged."""

    def refuse(_):
        raise NotEnough(3)

    async with open_supervisor(stage.puppet("a"), instruments=[recorder]) as supervisor:
        supervisor.find("a").tell_nowait(refuse)
        await wait_all_tasks_blocked()
    assert [letter.reason for letter in recorder.letters] == ["refused"]
    assert "only 3 left" in caplog.text


async def test_a_request_can_be_refused_after_its_answer_was_put_off(stage, autojump_clock):
    """Its asker does not wait for ever."""

    def change_of_mind(puppet):
        puppet.defer()
        raise NotEnough(3)

    async with open_supervisor(stage.puppet("a")) as supervisor:
        with pytest.raises(NotEnough):
            await supervisor.find("a").ask(change_of_mind)


async def test_a_refusal_of_what_was_put_aside_is_only_logged(stage, caplog, autojump_clock):
    """The request comes back, and is answered then."""
    times = []

    def dither(puppet):
        times.append(trio.current_time())
        if len(times) == 1:
            puppet.stash()
            raise NotEnough(3)
        return "made up its mind"

    async with open_supervisor(stage.puppet("a")) as supervisor, trio.open_nursery() as nursery:
        ref = supervisor.find("a")
        answers = []

        async def ask():
            answers.append(await ref.ask(dither))

        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        ref.tell_nowait(lambda puppet: puppet.unstash())
    assert answers == ["made up its mind"]
    assert "had put aside" in caplog.text


# -- rings ------------------------------------------------------------------------------------------


def ask_on(supervisor, *path):
    """Sent to a puppet, it asks the next one on the path, which asks the next."""

    async def ask(puppet):
        if not path:
            return "the end"
        return await supervisor.find(path[0]).ask(ask_on(supervisor, *path[1:]))

    return ask


@pytest.mark.parametrize("ring", [["a", "a"], ["a", "b", "a"], ["a", "b", "c", "a"]])
async def test_a_ring_of_askers_is_refused(stage, ring, autojump_clock):
    """Where it would close; the error names the actors."""
    specs = [stage.puppet(id, restart="temporary") for id in "abc"]
    async with open_supervisor(*specs) as supervisor:
        with pytest.raises(ActorCrashedError) as caught:
            await supervisor.find(ring[0]).ask(ask_on(supervisor, *ring[1:]))
        error = caught.value
        while isinstance(error, ActorCrashedError):
            error = error.__cause__
        assert isinstance(error, AskCycleError)
        assert sorted(set(error.path)) == sorted(set(ring))
        assert error.path[0] == error.path[-1]
        assert len(error.path) == len(ring)


async def test_a_ring_through_a_nursery_in_receive_is_refused(stage, autojump_clock):
    """The message in hand waits for all that is in it."""
    errors = []

    async with open_supervisor(stage.puppet("a"), stage.puppet("b")) as supervisor:

        async def ask_b(puppet):
            await supervisor.find("b").ask(ask_a)

        async def ask_a(_):
            try:
                await supervisor.find("a").ask("hello")
            except AskCycleError as error:
                errors.append(error.path)

        async def fork(puppet):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep, 1)
                nursery.start_soon(ask_b, puppet)

        await supervisor.find("a").ask(fork)
    assert errors == [("b", "a", "b")]


async def test_a_ring_over_an_answer_that_was_put_off_is_refused(stage, autojump_clock):
    """It is owed all the same."""
    errors = []
    async with (
        open_supervisor(stage.puppet("a"), stage.puppet("b")) as supervisor,
        trio.open_nursery() as nursery,
    ):
        replies = []

        async def ask_b(_):
            return await supervisor.find("b").ask(lambda puppet: replies.append(puppet.defer()))

        async def ask_a(_):
            try:
                await supervisor.find("a").ask("hello")
            except AskCycleError as error:
                errors.append(error.path)
            replies[0].send(None)

        nursery.start_soon(supervisor.find("a").ask, ask_b)
        await wait_all_tasks_blocked()
        await supervisor.find("b").ask(ask_a)
    assert errors == [("b", "a", "b")]


async def test_a_trio_task_in_the_background_gives_no_false_alarm(stage, told, autojump_clock):
    """It was started over one message, and asks while the actor is at another."""
    async with (
        trio.open_nursery() as background,
        open_supervisor(stage.puppet("a"), stage.puppet("b")) as supervisor,
    ):
        answers = []

        async def ask_b():
            await trio.sleep(1)
            answers.append(await supervisor.find("b").ask("from the background"))

        def fork(_):
            background.start_soon(ask_b)

        await supervisor.find("a").ask(fork)
        supervisor.find("a").tell_nowait(told.sleep(5))
        # It waits for a, which is busy; a itself does not wait for b.
        await supervisor.find("b").ask(ask_on(supervisor, "a"))
        await trio.sleep(1)
    assert answers == ["from the background"]


async def test_two_askers_of_one_actor_are_no_ring(stage, told, autojump_clock):
    """Nor is a chain that meets again."""
    async with (
        open_supervisor(*(stage.puppet(id) for id in "abcde")) as supervisor,
        trio.open_nursery() as nursery,
    ):

        async def fork(_):
            async with trio.open_nursery() as inner:
                for id in "bc":
                    inner.start_soon(supervisor.find(id).ask, ask_d)

        async def ask_d(_):
            return await supervisor.find("d").ask(told.sleep(5))

        nursery.start_soon(supervisor.find("a").ask, fork)
        await wait_all_tasks_blocked()
        nursery.start_soon(supervisor.find("e").ask, ask_on(supervisor, "a"))
    assert trio.current_time() == 10
    assert supervisor.statistics().crashes == 0


async def test_asking_the_same_one_again_after_an_answer_is_no_ring(stage, autojump_clock):
    """What was waited for is over, although the message is still in hand."""

    async def ask_b_and_go_on(_):
        await supervisor.find("b").ask("hello")
        await trio.sleep(5)

    async with open_supervisor(stage.puppet("a"), stage.puppet("b")) as supervisor:
        supervisor.find("a").tell_nowait(ask_b_and_go_on)
        await wait_all_tasks_blocked()
        assert await supervisor.find("b").ask(ask_on(supervisor, "a")) == "the end"
