"""Instruments see everything, and can break nothing."""

from __future__ import annotations

import pytest
import trio

from claw_actors.actors import Breaker, Instrument, open_supervisor

pytestmark = pytest.mark.usefixtures("autojump_clock")


async def test_an_instrument_sees_a_life_from_beginning_to_end(
    stage, told, recorder, autojump_clock
):
    """In order."""
    async with open_supervisor(stage.puppet("a"), instruments=[recorder]) as supervisor:
        supervisor.find("a").tell_nowait(told.crash)
        await trio.sleep(2)
        await supervisor.stop_child("a", reason="make room")
    assert recorder.told == [
        "spawned a 1",
        "started a 1",
        "exited a 1: ValueError('as told')",
        "spawned a 2",
        "started a 2",
        "asked a 2: make room",
        "exited a 2: None",
    ]


async def test_an_instrument_that_raises_is_logged_and_told_nothing_more(
    stage, told, recorder, caplog, autojump_clock
):
    """The others go on, and so do the children."""

    class Broken(Instrument):
        def child_exited(self, path, incarnation, error):
            raise ValueError("of the instrument")

    async with open_supervisor(stage.puppet("a"), instruments=[Broken(), recorder]) as supervisor:
        for _ in range(2):
            supervisor.find("a").tell_nowait(told.crash)
            await trio.sleep(5)
        assert supervisor.find("a").statistics().incarnation == 3
    assert caplog.text.count("is told nothing more") == 1
    assert len(recorder.crashes) == 2


async def test_an_instrument_that_raises_within_itself_breaks_nothing(
    stage, told, caplog, autojump_clock
):
    """It causes a dead letter, is told of that, and raises at both."""

    class Broken(Instrument):
        def child_exited(self, path, incarnation, error):
            if refs:
                refs[0].tell_nowait("hello")
                raise ValueError("outer")

        def dead_letter(self, letter):
            raise ValueError("inner")

    refs = []
    async with open_supervisor(
        stage.puppet("a"), stage.puppet("b"), instruments=[Broken()]
    ) as supervisor:
        await supervisor.stop_child("b")
        refs.append(supervisor.find("b"))
        supervisor.find("a").tell_nowait(lambda puppet: puppet.stop())
        await trio.sleep(5)
        assert supervisor.count_children() == {"up": 1, "down": 1}
    assert caplog.text.count("is told nothing more") == 2


async def test_an_instrument_overrides_what_it_needs(stage, told, autojump_clock):
    """The rest does nothing."""
    async with open_supervisor(
        stage.puppet("a", grace=0),
        instruments=[Instrument()],
        breaker=Breaker(max_crashes=1, pause=1),
        max_restarts=10,
    ) as supervisor:
        ref = supervisor.find("a")
        for _ in range(3):
            ref.tell_nowait(told.crash)
        await trio.sleep(20)

        async def shielded(_):
            with trio.CancelScope(shield=True):
                await trio.sleep(7)

        ref.tell_nowait(shielded)
        await trio.testing.wait_all_tasks_blocked()
    assert ref.statistics().dead_letters == 3
