"""Mailboxes: bounded, in order, and what happens when they are full."""

from __future__ import annotations

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors.actors import MailboxSpec, open_supervisor
from claw_actors.errors import InvalidInputError, MailboxFullError

pytestmark = pytest.mark.usefixtures("autojump_clock")


def full(stage, told, recorder, on_full, capacity=2):
    """Open a supervisor with an actor that is busy for ten seconds."""
    spec = stage.puppet("a", mailbox=MailboxSpec(capacity=capacity, on_full=on_full))
    return open_supervisor(spec, instruments=[recorder])


async def fill(supervisor, told, capacity=2):
    ref = supervisor.find("a")
    ref.tell_nowait(told.sleep(10))
    await wait_all_tasks_blocked()
    for number in range(capacity):
        ref.tell_nowait(number)
    return ref


async def test_block_makes_the_sender_wait_for_room(stage, told, recorder, autojump_clock):
    """Until a message is taken, not until it is dealt with."""
    async with full(stage, told, recorder, "block") as supervisor:
        ref = await fill(supervisor, told)
        assert (ref.statistics().mailbox, ref.statistics().capacity) == (2, 2)
        await ref.tell("third")
        assert trio.current_time() == 10
        await wait_all_tasks_blocked()
    assert stage.take()[2:] == ["a is done", "a 0", "a 1", "a third", "a stops"]


async def test_a_sender_that_cannot_wait_is_refused(stage, told, recorder, autojump_clock):
    """By ``tell_nowait``, although the policy is to wait."""
    async with full(stage, told, recorder, "block") as supervisor:
        ref = await fill(supervisor, told)
        with pytest.raises(MailboxFullError) as caught:
            ref.tell_nowait("third")
        assert (caught.value.id, caught.value.capacity) == ("a", 2)


async def test_block_is_first_in_first_out_for_each_sender(stage, told, recorder, autojump_clock):
    """Whichever way each message is sent: told, asked, told without waiting, as far as it can."""
    sent, got = [], []

    def mark(sender, number):
        return lambda _: got.append((sender, number))

    async def send(sender, ref):
        for number in range(50):
            sent.append((sender, number))
            message = mark(sender, number)
            match number % 5:
                case 0 | 1:
                    await ref.tell(message)
                case 2:
                    try:
                        ref.tell_nowait(message)
                    except MailboxFullError:
                        await ref.tell(message)
                case 3:
                    ref_nursery.start_soon(ref.ask, message)
                    await trio.testing.wait_all_tasks_blocked(0)
                case _:
                    await ref.ask(message)

    async with full(stage, told, recorder, "block") as supervisor:
        ref = supervisor.find("a")
        async with trio.open_nursery() as ref_nursery, trio.open_nursery() as nursery:
            for sender in range(4):
                nursery.start_soon(send, sender, ref)
    assert len(got) == 200
    for sender in range(4):
        assert [number for one, number in got if one == sender] == list(range(50))


async def test_who_waits_for_room_comes_before_who_comes_later(
    stage, told, recorder, autojump_clock
):
    """Nobody gets in by not waiting."""
    async with (
        full(stage, told, recorder, "block", 1) as supervisor,
        trio.open_nursery() as nursery,
    ):
        ref = await fill(supervisor, told, 1)
        nursery.start_soon(ref.tell, "told")
        await wait_all_tasks_blocked()
        nursery.start_soon(ref.ask, "asked")
        await wait_all_tasks_blocked()
        with pytest.raises(MailboxFullError):
            ref.tell_nowait("not waiting")
        await trio.sleep(10)
        await wait_all_tasks_blocked()
    assert stage.take()[3:-1] == ["a 0", "a told", "a asked"]


async def test_cancelled_while_it_waits_for_room_a_message_is_not_sent(
    stage, told, recorder, autojump_clock
):
    """Told or asked; and nobody else loses their place."""
    async with full(stage, told, recorder, "block") as supervisor:
        ref = await fill(supervisor, told)
        for send in (ref.tell, ref.ask):
            with trio.move_on_after(1) as scope:
                await send("given up")
            assert scope.cancelled_caught
        await ref.tell("third")
        await wait_all_tasks_blocked()
    assert stage.take()[3:-1] == ["a 0", "a 1", "a third"]
    assert recorder.letters == []


async def test_a_request_that_is_given_up_leaves_its_room_to_others(
    stage, told, recorder, autojump_clock
):
    """It is not in the way until the actor gets to it; who waits gets in at once."""
    times = []

    async def tell(ref):
        await ref.tell("second")
        times.append(trio.current_time())

    async with (
        full(stage, told, recorder, "block") as supervisor,
        trio.open_nursery() as nursery,
    ):
        ref = await fill(supervisor, told, 1)
        with trio.move_on_after(2):
            nursery.start_soon(tell, ref)
            await ref.ask("given up")
        await wait_all_tasks_blocked()
        assert times == [2]
    assert "a given up" not in stage.take()


async def test_a_cancelled_sender_sends_nothing(stage, autojump_clock):
    """Cancelled before it called."""
    async with open_supervisor(stage.puppet("a")) as supervisor:
        ref = supervisor.find("a")
        with trio.CancelScope() as scope:
            scope.cancel()
            await ref.tell("hello")
        with trio.CancelScope() as scope:
            scope.cancel()
            await ref.ask("hello")
        await wait_all_tasks_blocked()
    assert "a hello" not in stage.take()


async def test_telling_is_a_checkpoint(stage, autojump_clock):
    """A loop that tells lets others run; and what was taken is sent, even if cancelled just then."""
    async with open_supervisor(stage.puppet("a")) as supervisor:
        with trio.testing.assert_checkpoints():
            await supervisor.find("a").tell("hello")
        with trio.testing.assert_checkpoints():
            await supervisor.find("a").ask("hello")


async def test_fail_refuses_what_does_not_fit(stage, told, recorder, autojump_clock):
    """Told or asked, its sender gets an error; it is no dead letter."""
    async with full(stage, told, recorder, "fail") as supervisor:
        ref = await fill(supervisor, told)
        with pytest.raises(MailboxFullError):
            await ref.tell("third")
        with pytest.raises(MailboxFullError):
            ref.tell_nowait("third")
        with pytest.raises(MailboxFullError):
            await ref.ask("third")
        assert recorder.letters == []


async def test_fail_does_not_count_requests_that_were_given_up(
    stage, told, recorder, autojump_clock
):
    """Impatient callers do not fill a mailbox."""
    async with full(stage, told, recorder, "fail") as supervisor:
        ref = await fill(supervisor, told, 1)
        for _ in range(5):
            with trio.move_on_after(1):
                await ref.ask("given up")
        await ref.tell("second")
        await trio.sleep(10)
    assert stage.take()[3:-1] == ["a 0", "a second"]


async def test_drop_oldest_makes_room(stage, told, recorder, autojump_clock):
    """What has waited longest is a dead letter; if it was asked, its asker is told."""
    refused = []

    async def ask(ref):
        try:
            await ref.ask("asked")
        except MailboxFullError as error:
            refused.append(error)

    async with (
        full(stage, told, recorder, "drop_oldest", 1) as supervisor,
        trio.open_nursery() as nursery,
    ):
        ref = await fill(supervisor, told, 1)
        nursery.start_soon(ask, ref)
        await wait_all_tasks_blocked()
        ref.tell_nowait("last")
        await trio.sleep(11)
    assert [(letter.message, letter.reason) for letter in recorder.letters] == [
        (0, "dropped_oldest"),
        ("asked", "dropped_oldest"),
    ]
    assert len(refused) == 1
    assert stage.take()[3:-1] == ["a last"]


async def test_drop_newest_lets_nothing_in(stage, told, recorder, autojump_clock):
    """What comes is a dead letter; if it is asked, its asker is told."""
    async with full(stage, told, recorder, "drop_newest") as supervisor:
        ref = await fill(supervisor, told)
        ref.tell_nowait("third")
        await ref.tell("fourth")
        with pytest.raises(MailboxFullError):
            await ref.ask("fifth")
        await trio.sleep(11)
    assert [letter.message for letter in recorder.letters] == ["third", "fourth", "fifth"]
    assert {letter.reason for letter in recorder.letters} == {"dropped_newest"}
    assert stage.take()[3:-1] == ["a 0", "a 1"]


async def test_a_request_refused_and_cancelled_at_once_is_no_accident(
    stage, told, recorder, autojump_clock
):
    """The dead-letter hook cancels whoever asks, in the middle of it."""
    scope = trio.CancelScope()
    spec = stage.puppet("a", mailbox=MailboxSpec(capacity=1, on_full="drop_newest"))
    async with open_supervisor(spec, on_dead_letter=lambda _: scope.cancel()) as supervisor:
        ref = await fill(supervisor, told, 1)
        with scope, pytest.raises(MailboxFullError):
            await ref.ask("one too many")
        await trio.sleep(11)


async def test_what_waits_at_the_end_is_dead_letters(stage, told, recorder, autojump_clock):
    """What was waiting for room, too; its sender does not wait for ever."""
    async with (
        trio.open_nursery() as nursery,
        full(stage, told, recorder, "block", 1) as supervisor,
    ):
        ref = await fill(supervisor, told, 1)
        nursery.start_soon(ref.tell, "waits for room")
        await wait_all_tasks_blocked()
        await supervisor.stop_child("a", grace=1)
    assert [(letter.message, letter.reason) for letter in recorder.letters[1:]] == [
        (0, "stopped"),
        ("waits for room", "stopped"),
    ]


@pytest.mark.parametrize(
    ("options", "field"),
    [({"capacity": 0}, "capacity"), ({"capacity": 1.5}, "capacity"), ({"on_full": "x"}, "on_full")],
)
def test_a_mailbox_that_makes_no_sense_is_refused(options, field):
    """Naming the field."""
    with pytest.raises(InvalidInputError) as caught:
        MailboxSpec(**options)
    assert caught.value.field == field
