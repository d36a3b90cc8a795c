"""What an actor's author writes and uses."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors.actors import Actor, ChildSpec, open_supervisor
from claw_actors.errors import ActorCrashedError, ContextMisuseError

pytestmark = pytest.mark.usefixtures("autojump_clock")


class Counter(Actor[int, int]):
    """Adds up."""

    def __init__(self):
        self.total = 0

    async def receive(self, message):
        self.total += message
        return self.total


async def test_an_actor_needs_no_more_than_receive(autojump_clock):
    """State in attributes, one message at a time, answers are what it returns."""
    async with open_supervisor(ChildSpec("counter", Counter)) as supervisor:
        ref = supervisor.find("counter")
        await ref.tell(1)
        assert await ref.ask(2) == 3
        statistics = ref.statistics()
        assert (statistics.handled, statistics.mailbox, statistics.state) == (2, 0, "up")


async def test_one_message_is_dealt_with_at_a_time(stage, told, autojump_clock):
    """The next one waits, however long the first takes."""
    async with open_supervisor(stage.puppet("a")) as supervisor:
        for _ in range(3):
            supervisor.find("a").tell_nowait(told.sleep(2))
        await trio.sleep(5)
        assert stage.take() == ["a starts", *["a is busy", "a is done"] * 2, "a is busy"]


async def test_it_knows_who_it_is(stage, autojump_clock):
    """Its ref, its supervisor, its incarnation."""
    async with open_supervisor(stage.puppet("a")) as supervisor:
        ref = supervisor.find("a")
        assert await ref.ask(lambda puppet: puppet.ref) == ref
        assert await ref.ask(lambda puppet: puppet.supervisor) is supervisor
        assert await ref.ask(lambda puppet: puppet.incarnation) == 1
        assert repr(ref) == "<ActorRef 'a', up>"
        assert repr(ref.cell) == "<Cell 'a', up>"
        assert len({ref, supervisor.find("a")}) == 1
        assert ref != "a"


async def test_outside_of_its_life_it_refuses_what_belongs_to_one(autojump_clock):
    """Before it runs, or without a message in hand."""
    counter = Counter()
    for use in (
        lambda: counter.ref,
        lambda: counter.supervisor,
        lambda: counter.incarnation,
        counter.stop,
        counter.stash,
        counter.unstash,
        counter.defer,
        lambda: counter.watch(None),
    ):
        with pytest.raises(ContextMisuseError):
            use()


async def test_without_a_message_in_hand_nothing_can_be_put_aside(stage, autojump_clock):
    """In ``on_start``; or twice."""
    seen = []

    async def start(puppet):
        for use in (puppet.stash, puppet.defer):
            with pytest.raises(ContextMisuseError):
                use()
            seen.append(use)

    def twice(puppet):
        puppet.stash()
        with pytest.raises(ContextMisuseError):
            puppet.stash()
        seen.append("twice")

    async with open_supervisor(stage.puppet("a", on_start=start)) as supervisor:
        supervisor.find("a").tell_nowait(twice)
        await wait_all_tasks_blocked()
    assert len(seen) == 3


async def test_stopping_itself_it_ends_after_the_message_in_hand(stage, autojump_clock):
    """The rest is not dealt with."""
    async with open_supervisor(stage.puppet("a", restart="transient")) as supervisor:
        ref = supervisor.find("a")
        ref.tell_nowait(lambda puppet: (puppet.stop(), puppet.note("still here")))
        ref.tell_nowait("never")
        await ref.wait_stopped()
        assert ref.statistics().dead_letters == 1
    assert stage.take() == ["a starts", "a still here", "a stops"]


async def test_asked_to_stop_while_it_starts_it_finishes_that_first(stage, autojump_clock):
    """And cleans up, as it has started."""

    async def start(_):
        await trio.sleep(3)

    async with open_supervisor() as supervisor:
        supervisor.start_child_soon(stage.puppet("a", on_start=start))
        await wait_all_tasks_blocked()
        await supervisor.stop_child("a")
        assert trio.current_time() == 3
    assert stage.take() == ["a starts", "a stops"]


async def test_an_idle_actor_is_woken_by_a_stop(stage, autojump_clock):
    """It does not use its grace up."""
    async with open_supervisor(stage.puppet("a")):
        await trio.sleep(1)
    assert trio.current_time() == 1


async def test_a_busy_actor_lets_others_run(stage, autojump_clock):
    """It yields now and then, though more is waiting for it."""
    seen = []
    async with open_supervisor(stage.puppet("a")) as supervisor:
        ref = supervisor.find("a")
        for _ in range(200):
            ref.tell_nowait(seen.append)
        for _ in range(3):
            await trio.lowlevel.checkpoint()
        assert 0 < len(seen) < 200
        await wait_all_tasks_blocked()
        assert len(seen) == 200


async def test_a_busy_actor_can_be_cancelled_between_messages(stage, autojump_clock):
    """Also one whose ``receive`` never waits."""
    async with open_supervisor(stage.puppet("a")) as supervisor:
        ref = supervisor.find("a")

        def again(puppet):
            puppet._done = False  # deaf to being asked
            puppet.ref.tell_nowait(again)

        ref.tell_nowait(again)
        with trio.move_on_after(0):
            await supervisor.stop_child("a", grace=0)
    assert ref.statistics().state == "down"


# -- putting aside ----------------------------------------------------------------------------------


async def test_what_is_put_aside_comes_back_before_the_rest_in_its_order(stage, autojump_clock):
    """Messages and requests alike."""
    answers = []

    async with open_supervisor(stage.puppet("a")) as supervisor, trio.open_nursery() as nursery:
        ref = supervisor.find("a")
        aside = []

        def once(name):
            def deal(puppet):
                if name not in aside:
                    aside.append(name)
                    puppet.stash()
                    return None
                puppet.note(name)
                return name

            return deal

        async def ask():
            answers.append(await ref.ask(once("two")))

        ref.tell_nowait(once("one"))
        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        ref.tell_nowait(lambda puppet: puppet.unstash())
        ref.tell_nowait("three")
        await wait_all_tasks_blocked()
        assert ref.statistics().handled == 4
    assert answers == ["two"]
    assert stage.take() == ["a starts", "a one", "a two", "a three", "a stops"]


async def test_what_is_put_aside_survives_a_crash(stage, told, autojump_clock):
    """The next incarnation gets it first; its asker gets an answer from that."""
    answers = []

    async with open_supervisor(stage.puppet("a")) as supervisor, trio.open_nursery() as nursery:
        ref = supervisor.find("a")

        def later(puppet):
            return puppet.incarnation if puppet.incarnation > 1 else puppet.stash()

        async def ask():
            answers.append(await ref.ask(later))

        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        ref.tell_nowait(told.crash)
        ref.tell_nowait("afterwards")
    assert answers == [2]


async def test_no_more_can_be_put_aside_than_the_mailbox_holds(stage, autojump_clock):
    """It is bounded, too; that one more is a crash unless it is caught."""
    from claw_actors.actors import MailboxSpec
    from claw_actors.errors import MailboxFullError

    async with open_supervisor(
        stage.puppet("a", mailbox=MailboxSpec(capacity=2), restart="temporary")
    ) as supervisor:
        ref = supervisor.find("a")
        for _ in range(3):
            await ref.tell(lambda puppet: puppet.stash())
        with ref.monitor() as monitor:
            down = await monitor.wait()
        assert isinstance(down.error, MailboxFullError)
        assert ref.statistics().dead_letters == 3


async def test_what_was_put_aside_for_somebody_who_gave_up_is_not_dealt_with(stage, autojump_clock):
    """It does not come back."""
    calls = []

    def aside(puppet):
        calls.append(puppet)
        puppet.stash()

    async with open_supervisor(stage.puppet("a")) as supervisor:
        ref = supervisor.find("a")
        with trio.move_on_after(1):
            await ref.ask(aside)
        await ref.ask(lambda puppet: puppet.unstash())
        await wait_all_tasks_blocked()
    assert len(calls) == 1


# -- answering later --------------------------------------------------------------------------------


async def test_an_answer_can_be_given_later(stage, autojump_clock):
    """Others are dealt with in between; a second answer is dropped and counted."""
    replies, answers = [], []

    async with open_supervisor(stage.puppet("a")) as supervisor, trio.open_nursery() as nursery:
        ref = supervisor.find("a")

        async def ask():
            answers.append(await ref.ask(lambda puppet: replies.append(puppet.defer())))

        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        assert await ref.ask("in between") == "in between"
        assert replies[0].is_awaited
        ref.tell_nowait(lambda _: replies[0].send("at last"))
        await wait_all_tasks_blocked()
        assert not replies[0].is_awaited
        replies[0].send("once more")
        assert ref.statistics().late_replies == 1
    assert answers == ["at last"]


async def test_a_message_that_was_told_has_no_answer_to_give_later(stage, autojump_clock):
    """Nobody waits for one."""
    seen = []

    def defer(puppet):
        with pytest.raises(ContextMisuseError):
            puppet.defer()
        seen.append(puppet)

    async with open_supervisor(stage.puppet("a")) as supervisor:
        supervisor.find("a").tell_nowait(defer)
        await wait_all_tasks_blocked()
    assert len(seen) == 1


async def test_an_answer_that_is_owed_at_a_crash_is_the_crash(stage, told, autojump_clock):
    """Although another message was in hand."""
    async with open_supervisor(stage.puppet("a")) as supervisor, trio.open_nursery() as nursery:
        ref = supervisor.find("a")

        async def ask():
            with pytest.raises(ActorCrashedError) as caught:
                await ref.ask(lambda puppet: puppet.defer())
            assert str(caught.value.__cause__) == "as told"

        nursery.start_soon(ask)
        await wait_all_tasks_blocked()
        ref.tell_nowait(told.crash)


async def test_promised_answers_of_those_who_gave_up_are_not_kept(stage, autojump_clock):
    """A thousand of them do not pile up in an actor that lives for long."""
    async with open_supervisor(stage.puppet("a")) as supervisor:
        ref = supervisor.find("a")
        for _ in range(1_000):
            with trio.move_on_after(1):
                await ref.ask(lambda puppet: puppet.defer())
        assert len(ref.cell._owed) == 0
        assert ref.statistics().late_replies == 0
