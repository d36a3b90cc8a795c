"""What is reported of a crash, and how loudly it is logged."""

from __future__ import annotations

import logging

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from claw_actors.actors import (
    ChildSpec,
    GiveUp,
    Instrument,
    RestartAfter,
    SupervisorSpec,
    open_supervisor,
    service,
)
from claw_actors.errors import RestartLimitExceededError, SupervisorStoppedError

pytestmark = pytest.mark.usefixtures("autojump_clock")


async def test_a_crash_report_tells_what_one_has_to_know(stage, told, recorder, autojump_clock):
    """Who, why, over what, how much is waiting, how often lately, and what follows."""
    async with open_supervisor(stage.puppet("a"), instruments=[recorder]) as supervisor:
        ref = supervisor.find("a")
        ref.tell_nowait("fine")
        ref.tell_nowait(told.crash)
        for _ in range(3):
            ref.tell_nowait("later")
        await wait_all_tasks_blocked()
    [report] = recorder.crashes
    assert (report.path, report.incarnation, str(report.error)) == ("a", 1, "as told")
    assert (report.last_message, report.mailbox, report.restarts) == ("function", 3, 1)
    assert (report.decision, report.delay) == ("restart", 1)


@pytest.mark.parametrize(
    ("restart", "decision", "level"),
    [
        ("permanent", "restart", logging.WARNING),
        ("temporary", "stay down", logging.ERROR),
    ],
)
async def test_a_crash_is_logged_as_loudly_as_it_matters(
    stage, told, recorder, caplog, restart, decision, level, autojump_clock
):
    """With its traceback; a restart is a warning, a loss an error."""
    async with open_supervisor(
        stage.puppet("a", restart=restart), instruments=[recorder]
    ) as supervisor:
        supervisor.find("a").tell_nowait(told.crash)
        await wait_all_tasks_blocked()
    [record] = caplog.records
    assert recorder.crashes[0].decision == decision
    assert record.levelno == level
    assert "actor a crashed (incarnation 1" in record.getMessage()
    assert record.exc_info[1] is recorder.crashes[0].error


async def test_an_end_that_should_not_have_been_is_logged_as_one(stage, caplog, autojump_clock):
    """There is no error to show."""
    async with open_supervisor(stage.puppet("a")) as supervisor:
        supervisor.find("a").tell_nowait(lambda puppet: puppet.stop())
        await wait_all_tasks_blocked()
    assert "actor a ended (incarnation 1" in caplog.text


async def test_giving_up_is_an_error(stage, told, recorder, caplog, autojump_clock):
    """Also if the child has a policy of its own."""
    with pytest.raises(RestartLimitExceededError):
        async with open_supervisor(
            stage.puppet("a"), max_restarts=0, instruments=[recorder]
        ) as supervisor:
            supervisor.find("a").tell_nowait(told.crash)
            await trio.sleep_forever()
    assert recorder.crashes[0].decision == "escalate"
    assert caplog.records[0].levelno == logging.ERROR


async def test_one_with_a_policy_of_its_own_is_logged_quietly(stage, told, caplog, autojump_clock):
    """It tells its story itself."""

    async def decide(exit):
        return RestartAfter(0) if exit.incarnation == 1 else GiveUp()

    caplog.set_level(logging.DEBUG, "claw_actors.actors")
    async with open_supervisor(stage.puppet("a", on_exit=decide)) as supervisor:
        for _ in range(2):
            supervisor.find("a").tell_nowait(told.crash)
        await trio.sleep(1)
    crashes = [record for record in caplog.records if "crashed (" in record.getMessage()]
    assert [record.levelno for record in crashes] == [logging.DEBUG, logging.DEBUG]


async def test_a_service_that_does_not_end_is_reported_since_it_was_cancelled(autojump_clock):
    """It is cancelled as soon as it is asked to stop, not when its grace is over."""
    seen = []

    class Watching(Instrument):
        def child_stuck(self, report):
            seen.append(report.cancelled_for)

    async def deaf():
        with trio.CancelScope(shield=True):
            await trio.sleep(12.5)

    async with open_supervisor(
        ChildSpec("deaf", service(deaf), grace=3), instruments=[Watching()]
    ) as supervisor:
        await trio.sleep(1)
        supervisor.request_stop()
        await trio.sleep_forever()
    assert seen == [pytest.approx(8)]


async def test_a_nested_supervisor_that_stops_says_which_it_is(autojump_clock):
    """Not the root: that one goes on."""
    async with open_supervisor(ChildSpec("pool", SupervisorSpec())) as supervisor:
        pool = supervisor.nested("pool")
        pool.request_stop()
        with pytest.raises(SupervisorStoppedError, match="'pool'"):
            pool.start_child_soon(ChildSpec("late", service(trio.sleep_forever)))
