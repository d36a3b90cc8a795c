"""Asking the owner how it is: what only it knows, and what is said where it cannot be asked."""

from __future__ import annotations

import os
import socket

import attrs
import pytest
import trio

from claw_actors import Context, RuntimeConfig, errors, open_client, open_runtime, task, workflow
from claw_actors._runtime.control import requests
from claw_actors._runtime.control.address import listening, peer_uid
from claw_actors._runtime.control.figures import AskFigures, read_figures, tell_figures
from claw_actors._runtime.control.owner import NotAsked, ask_owner
from claw_actors._runtime.control.requests import NAMES, REQUESTS, Cancel, workflow_of
from claw_actors._runtime.control.steps import PruneSome
from claw_actors.storage.codec import Codec
from claw_actors.storage.sqlite import SQLiteStorage

from .test_serving import HELLO, Impostor, impersonate, place  # noqa: F401


@task
async def work() -> None:
    await trio.sleep_forever()


@workflow
async def busy(ctx: Context) -> None:
    await ctx.run(work)


@workflow
async def patient(ctx: Context) -> None:
    await ctx.receive("go", bool)


WORKFLOWS = [busy, patient]
CONFIG = RuntimeConfig(grace=0.01)


@pytest.fixture
def database(tmp_path):
    return tmp_path / "claw.db"


async def test_the_owner_tells_who_it_is_and_what_it_does(database):
    """What is in memory, what of it runs, and how storage fares."""
    async with (
        open_runtime(database, workflows=WORKFLOWS, config=CONFIG) as runtime,
        open_client(database) as client,
    ):
        for number in range(3):
            await runtime.start(patient, id=f"p-{number}")
        await runtime.start(busy, id="b")
        with trio.fail_after(10):
            while (now := runtime.statistics()).idle < 3 or not now.running_tasks:  # noqa: ASYNC110
                await trio.sleep(0.01)
        found = await client.owner()
        assert (found.pid, found.host) == (os.getpid(), socket.gethostname())
        assert found.version
        told = attrs.evolve(found.runtime, up_seconds=0)
        assert told == attrs.evolve(runtime.statistics(), up_seconds=0)
        assert 0 < found.runtime.up_seconds < 60
        assert (told.active, told.idle, told.running_tasks) == (4, 3, 1)
        assert told.storage.commits >= 4
        assert 0 < told.storage.last_commit_seconds < 10


async def test_where_nobody_owns_it_nobody_is_asked(database):
    """And nobody takes it for a moment, only to look."""
    async with open_runtime(database, workflows=WORKFLOWS):
        pass
    epoch = attrs.asdict(_open_and_close(database))["epoch"]
    async with open_client(database) as client:
        assert await client.owner() is None
    assert _open_and_close(database).epoch == epoch + 1


def _open_and_close(database):
    storage = SQLiteStorage(database)
    report = storage.open()
    storage.close()
    return report


async def test_an_owner_without_a_socket_is_named(database):
    """After the time is up: it might have been just starting."""
    config = RuntimeConfig(control=False)
    async with (
        open_runtime(database, workflows=WORKFLOWS, config=config),
        open_client(database, timeout=0.1) as client,
    ):
        with pytest.raises(errors.OwnerUnreachableError, match=f"pid {os.getpid()} on ") as caught:
            await client.owner()
    assert caught.value.reason == "it has no control socket"


async def test_an_owner_that_is_just_closing_is_followed_to_its_end(database, monkeypatch):
    """It has no time to answer, and then there is none."""

    def closing(self):
        raise errors.RuntimeClosedError

    async with open_client_after(database) as client:
        async with open_runtime(database, workflows=WORKFLOWS) as runtime:
            monkeypatch.setattr(type(runtime), "statistics", closing)

            async def leave():
                await trio.sleep(0.2)
                runtime.request_stop()

            async with trio.open_nursery() as nursery:
                nursery.start_soon(leave)
                with trio.CancelScope(shield=True):
                    asked = []
                    async with trio.open_nursery() as asking:
                        asking.start_soon(_ask, client, asked)
                        await runtime.wait_stopped()
        assert asked == [None]


async def _ask(client, asked):
    asked.append(await client.owner())


def open_client_after(database):
    """Open a client of a database that is made before."""
    _open_and_close(database)
    return open_client(database)


async def test_an_older_owner_is_named_as_such(database, monkeypatch):
    """It does not know the question, and says so; nothing else of it changes."""
    async with (
        open_runtime(database, workflows=WORKFLOWS),
        open_client(database) as client,
    ):
        monkeypatch.delitem(requests.REQUESTS, "statistics")
        with pytest.raises(errors.ControlRefusedError) as caught:
            await client.owner()
    assert caught.value.reason.startswith("it does not know 'statistics'; it knows start, cancel, ")
    assert caught.value.reason.endswith("prune. Its owner runs an older claw_actors than you do")


@pytest.mark.parametrize(
    ("says", "why"), [([HELLO, None], "hung up"), ([HELLO, b"{}\n"], "makes no sense")]
)
async def test_a_question_that_is_not_answered_may_be_asked_again(impersonate, says, why):  # noqa: F811
    """Nothing was to be done, so nothing can be left unknown."""
    where = await impersonate(*says)
    with pytest.raises(NotAsked, match=why):
        await ask_owner(where, AskFigures(), Codec(), trio.current_time() + 1, peer_uid)


@pytest.mark.parametrize("answer", [b"[]", b'{"pid": "x"}', b'{"runtime": {"storage": 1}}'])
async def test_an_answer_that_makes_no_sense_is_refused(database, nursery, answer):
    """Whoever said it."""
    async with open_client_after(database) as client:
        impostor = Impostor([HELLO, b'{"done": ' + answer + b"}\n"])

        async def serve(task_status):
            with listening(str(database) + ".sock") as listener:
                await trio.serve_listeners(impostor.answer, [listener], task_status=task_status)

        await nursery.start(serve)
        with pytest.raises(errors.ControlRefusedError, match="the owner's figures"):
            await client.owner()


async def test_what_a_newer_owner_tells_besides_is_left_out(database):
    """It is no reason to understand nothing of it."""
    async with open_runtime(database, workflows=WORKFLOWS) as runtime:
        told = tell_figures(runtime.statistics())
    expected = read_figures(told, Codec())
    told["new"] = 1
    told["runtime"]["new"] = 2
    told["runtime"]["storage"]["new"] = 3
    assert read_figures(told, Codec()) == expected


def test_only_what_is_done_to_a_workflow_has_its_id():
    """Errors and the log name it; of others they say what was asked for."""
    prune = PruneSome(0.0, 0, (), None, 0, {})
    assert workflow_of(Cancel("a")) == "a"
    assert workflow_of(prune) is workflow_of(AskFigures()) is None
    assert {NAMES[cls] for cls in REQUESTS.values()} == set(REQUESTS)
    unknown = errors.RequestOutcomeUnknownError("prune", None, "why")
    assert str(unknown) == "prune may or may not be done: why; look before you ask again"
