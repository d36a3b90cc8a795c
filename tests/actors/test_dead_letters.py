"""Messages that nobody deals with: counted, told, never lost without a word."""

from __future__ import annotations

import logging

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors.actors import DeadLetter, open_supervisor

pytestmark = pytest.mark.usefixtures("autojump_clock")


async def test_the_message_in_hand_at_a_crash_is_a_dead_letter_and_not_repeated(
    stage, told, recorder, autojump_clock
):
    """It would crash the next incarnation, too; what waits behind it is dealt with by that."""
    async with open_supervisor(stage.puppet("a"), instruments=[recorder]) as supervisor:
        ref = supervisor.find("a")
        ref.tell_nowait(told.crash)
        ref.tell_nowait("next")
        await trio.sleep(5)
        statistics = ref.statistics()
        assert (statistics.dead_letters, statistics.handled, statistics.crashes) == (1, 1, 1)
    assert recorder.letters == [DeadLetter("a", told.crash, "crashed")]
    assert stage.take() == ["a starts", "a stops", "a starts", "a next", "a stops"]


async def test_the_message_in_hand_when_the_actor_is_cancelled_is_a_dead_letter(
    stage, told, recorder, autojump_clock
):
    """That is no crash."""
    async with open_supervisor(stage.puppet("a"), instruments=[recorder]) as supervisor:
        supervisor.find("a").tell_nowait(told.sleep(100))
        await wait_all_tasks_blocked()
        await supervisor.stop_child("a", grace=1)
    assert [letter.reason for letter in recorder.letters] == ["stopped"]
    assert recorder.crashes == []


async def test_a_message_to_one_that_is_down_is_a_dead_letter(stage, recorder, autojump_clock):
    """Stopped, given up, deleted; sending never fails for that."""
    async with open_supervisor(stage.puppet("a"), instruments=[recorder]) as supervisor:
        ref = supervisor.find("a")
        await supervisor.stop_child("a")
        await ref.tell("one")
        ref.tell_nowait("two")
        supervisor.delete_child("a")
        ref.tell_nowait("three")
        assert supervisor.statistics().dead_letters == 3
    assert [(letter.message, letter.reason) for letter in recorder.letters] == [
        ("one", "not_running"),
        ("two", "not_running"),
        ("three", "not_running"),
    ]


async def test_the_hook_is_called_with_each_and_it_is_logged(stage, caplog, autojump_clock):
    """By type only: a message may be private."""
    letters = []
    caplog.set_level(logging.INFO, "claw_actors.actors")
    async with open_supervisor(stage.puppet("a"), on_dead_letter=letters.append) as supervisor:
        await supervisor.stop_child("a")
        supervisor.find("a").tell_nowait("a secret")
    assert letters == [DeadLetter("a", "a secret", "not_running")]
    assert "dead letter: a str for actor a: not_running" in caplog.text
    assert "secret" not in caplog.text


async def test_a_hook_that_raises_is_logged_and_called_again(stage, caplog, autojump_clock):
    """It harms nobody."""
    calls = []

    def hook(letter):
        calls.append(letter)
        raise ValueError("of the hook")

    async with open_supervisor(stage.puppet("a"), on_dead_letter=hook) as supervisor:
        await supervisor.stop_child("a")
        for _ in range(2):
            supervisor.find("a").tell_nowait("hello")
    assert len(calls) == 2
    assert caplog.text.count("the dead-letter hook raised") == 2


async def test_a_hook_may_stop_the_supervisor(stage, autojump_clock):
    """In the middle of what that is doing; children that are just being started are stopped, too."""
    seen = []

    async def fail(_):
        raise ValueError("cannot start")

    def hook(letter):
        seen.append(letter.message)
        opened[0].request_stop("a letter was lost")

    opened = []
    async with open_supervisor(
        stage.puppet("a"), stage.puppet("b"), strategy="one_for_all", on_dead_letter=hook
    ) as supervisor:
        opened.append(supervisor)
        supervisor.start_child_soon(stage.puppet("c", on_start=fail)).tell_nowait("hello")
        supervisor.start_child_soon(stage.puppet("d"))
        await trio.sleep_forever()
    assert seen == ["hello"]
    assert stage.take()[2:] == ["c starts", "b stops", "a stops"], "d was stopped before it began"


async def test_a_hook_may_send_the_letter_to_somebody_else(stage, autojump_clock):
    """Who collects them."""

    def forward(letter):
        collector.tell_nowait(f"got {letter.message}")

    async with open_supervisor(
        stage.puppet("a"), stage.puppet("post"), on_dead_letter=forward
    ) as supervisor:
        collector = supervisor.find("post")
        await supervisor.stop_child("a")
        supervisor.find("a").tell_nowait("hello")
        await wait_all_tasks_blocked()
        assert stage.take()[-1] == "post got hello"
