"""The server on a real socket: who is let in, how many, and what it does where there is no place."""

from __future__ import annotations

import logging
import os

import attrs
import pytest
import trio

from claw_actors import errors
from claw_actors._runtime.control.address import connect, peer_uid
from claw_actors._runtime.control.owner import NotAsked, ask_owner
from claw_actors._runtime.control.requests import Cancel
from claw_actors._runtime.control.server import ControlServer
from claw_actors.storage.codec import Codec

from .conftest import LIMITS, FakeOperator, Talk


@pytest.fixture
def place(tmp_path):
    return str(tmp_path / "claw.db.sock")


@pytest.fixture
async def served(server, place, nursery):
    """Serve at the place until the end of the test."""
    await nursery.start(server.serve, place)
    return place


async def ask(place: str, id: str = "a", peer=peer_uid, within_s: float = 10) -> object:
    return await ask_owner(place, Cancel(id), Codec(), trio.current_time() + within_s, peer)


async def test_a_request_is_done_once_and_answered(served, operator):
    """From one end of a real socket to the other."""
    assert await ask(served) is None
    assert operator.done == [("cancel", "a", None)]


async def test_another_users_process_is_not_let_in(operator, place, nursery, caplog):
    """Whatever the modes of the files say."""
    server = ControlServer(operator, Codec(), LIMITS, peer_uid=lambda stream: 4_242)
    await nursery.start(server.serve, place)
    with pytest.raises(errors.ControlRefusedError, match="you are of user 4242") as caught:
        await ask(place)
    assert caught.value.path == place
    assert operator.done == []
    assert "a process of user 4242 was refused" in caplog.text


async def test_another_users_owner_is_not_told_anything(served, operator):
    """Somebody who can write to the directory could put a socket there."""
    with pytest.raises(errors.ControlRefusedError, match="user 4242 answers there"):
        await ask(served, peer=lambda stream: 4_242)
    assert operator.done == []


async def test_no_more_than_so_many_are_let_in(served, operator):
    """One more is told to try again; when one has gone, there is room."""
    talks = [await Talk(connect(served)).greet() for _ in range(LIMITS.max_clients)]
    with pytest.raises(NotAsked, match="too many clients"):
        await ask(served)
    await talks.pop().stream.aclose()
    with trio.fail_after(5):
        while True:
            try:
                await ask(served)
            except NotAsked:
                await trio.sleep(0.001)
            else:
                break
    assert operator.done == [("cancel", "a", None)]
    for talk in talks:
        await talk.stream.aclose()


async def test_a_conversation_that_goes_wrong_is_that_clients_matter(place, nursery, caplog):
    """The others are served, and the log says what it was."""

    def broken_once(stream):
        if troubles:
            raise troubles.pop()
        return os.geteuid()

    troubles = [OSError("no credentials")]
    operator = FakeOperator()
    server = ControlServer(operator, Codec(), LIMITS, peer_uid=broken_once)
    await nursery.start(server.serve, place)
    with pytest.raises(NotAsked, match="hung up"):
        await ask(place)
    assert "no credentials" in caplog.text
    await ask(place)
    assert server._clients == 0 or len(operator.done) == 1


async def test_where_no_socket_can_be_the_server_says_so_and_ends(server, tmp_path, caplog):
    """The library is as good without it."""
    gone = str(tmp_path / "gone" / "x.sock")
    async with trio.open_nursery() as nursery:
        await nursery.start(server.serve, gone)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert gone in record.message


async def test_a_request_that_is_longer_than_the_owner_takes_is_refused(served, operator):
    """The client learns why although it was not heard to the end."""
    request = Cancel("a", "x" * 1_000_000)
    with pytest.raises(errors.ControlRefusedError, match="longer than 1,000 bytes"):
        await ask_owner(served, request, Codec(), trio.current_time() + 10, peer_uid)
    assert operator.done == []


# -- what answers is none of ours -----------------------------------------------------------------


@attrs.define
class Impostor:
    """Listens in the place of an owner, and says what it is told to.

    Attributes:
        says: what is sent for each line heard; ``None`` hangs up.
    """

    says: list[bytes | None]

    async def answer(self, stream) -> None:
        async with stream:
            for reply in self.says:
                heard = b""
                while not heard.endswith(b"\n"):
                    heard += await stream.receive_some()
                if reply is None:
                    return
                await stream.send_all(reply)
            await trio.sleep_forever()


HELLO = b'{"claw_control": 1}\n'


@pytest.fixture
def impersonate(place, nursery):
    """Listen there, with these answers."""

    async def begin(*says) -> str:
        from claw_actors._runtime.control.address import listening

        async def serve(task_status):
            with listening(place) as listener:
                await trio.serve_listeners(
                    Impostor(list(says)).answer, [listener], task_status=task_status
                )

        await nursery.start(serve)
        return place

    return begin


@pytest.mark.parametrize(
    ("says", "error", "why"),
    [
        ([None], NotAsked, "hung up"),
        ([b"220 smtp ready\n"], errors.ControlRefusedError, "no JSON"),
        ([b"[]\n"], errors.ControlRefusedError, "JSON object"),
        ([b'{"claw_control": 2}\n'], errors.ControlRefusedError, "no owner of ours"),
        ([b'{"refused": "no", "again": false}\n'], errors.ControlRefusedError, "no"),
        ([b'{"refused": "later", "again": true}\n'], NotAsked, "later"),
        ([b""], NotAsked, "did not answer in time"),
        ([HELLO, b'{"refused": "no", "again": false}\n'], errors.ControlRefusedError, "no"),
        ([HELLO, b'{"refused": "later", "again": true}\n'], NotAsked, "later"),
        ([HELLO, None], errors.RequestOutcomeUnknownError, "hung up, after it was asked"),
        ([HELLO, b"what?\n"], errors.RequestOutcomeUnknownError, "no JSON"),
        ([HELLO, b"{}\n"], errors.RequestOutcomeUnknownError, "makes no sense"),
        ([HELLO, b'{"done": 1, "more": 1}\n'], errors.RequestOutcomeUnknownError, "makes no sense"),
        ([HELLO, b'{"failed": {}}\n'], errors.RequestOutcomeUnknownError, "an error has a type"),
        ([HELLO, b""], errors.RequestOutcomeUnknownError, "did not answer in time"),
    ],
)
async def test_each_way_of_not_answering_has_its_error(impersonate, says, error, why):
    """What was not heard whole was not done; what was heard may be."""
    place = await impersonate(*says)
    with pytest.raises(error, match=why):
        await ask(place, within_s=0.3)


async def test_an_unknown_outcome_names_what_was_asked(impersonate):
    """So that a program knows what to look at."""
    place = await impersonate(HELLO, None)
    with pytest.raises(errors.RequestOutcomeUnknownError) as caught:
        await ask(place, "order-7")
    assert (caught.value.operation, caught.value.id) == ("cancel", "order-7")


async def test_a_socket_that_may_not_be_used_is_a_refusal(tmp_path):
    """What is there is no socket: nobody should write to the database beside it."""
    (tmp_path / "x.sock").touch()
    with pytest.raises(errors.ControlRefusedError, match="no socket"):
        await ask(str(tmp_path / "x.sock"))
