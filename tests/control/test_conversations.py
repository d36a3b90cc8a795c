"""The server's side of a conversation, over streams in memory and under a mock clock."""

from __future__ import annotations

import pytest
import trio
from trio.testing import memory_stream_pair, wait_all_tasks_blocked

from claw_actors import errors
from claw_actors._runtime.control.wire import Conversation, HungUp, Nonsense

from .conftest import Talk

pytestmark = pytest.mark.usefixtures("claw_environment")


# -- what can be asked for ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "arguments", "done"),
    [
        (
            "start",
            {"id": "a", "name": "n", "args": [1, {"x": []}]},
            ("start", "a", "n", [1, {"x": []}], {}, None, "attach"),
        ),
        (
            "start",
            {
                "id": "a",
                "name": "n",
                "args": [],
                "metadata": {"k": "v"},
                "description": "d",
                "on_existing": "raise",
            },
            ("start", "a", "n", [], {"k": "v"}, "d", "raise"),
        ),
        ("cancel", {"id": "a"}, ("cancel", "a", None)),
        ("cancel", {"id": "a", "reason": "why"}, ("cancel", "a", "why")),
        ("terminate", {"id": "a", "reason": "why"}, ("terminate", "a", "why")),
        ("pause", {"id": "a", "reason": None}, ("pause", "a", None)),
        ("resume", {"id": "a"}, ("resume", "a")),
        ("retry", {"id": "a"}, ("retry", "a")),
        ("fork", {"id": "a", "at": "t", "new_id": "b"}, ("fork", "a", "t", "b")),
        ("delete", {"id": "a", "force": True}, ("delete", "a", True)),
        (
            "send",
            {"id": "a", "topic": "t", "payload": {"x": [1]}, "idempotency_key": "k"},
            ("send", "a", "t", {"x": [1]}, "k"),
        ),
        (
            "request",
            {"id": "a", "topic": "t", "payload": None, "idempotency_key": "k"},
            ("request", "a", "t", None, "k"),
        ),
    ],
)
async def test_each_operation_is_done_and_answered(connect, operator, op, arguments, done):
    """With its arguments, those that are left out as the runtime has them."""
    talk = await connect().greet()
    assert await talk.ask(op, **arguments) == {"done": None}
    assert operator.done == [done]


async def test_one_request_follows_the_other(connect, operator):
    """A conversation goes on for as long as the client likes; what comes early waits."""
    talk = await connect().greet()
    for id in "abc":
        await talk.say({"op": "cancel", "args": {"id": id}})
    assert [await talk.hear() for _ in "abc"] == [{"done": None}] * 3
    assert [what[1] for what in operator.done] == ["a", "b", "c"]


async def test_what_the_operation_raises_comes_as_data(connect, operator):
    """And the conversation goes on."""
    talk = await connect().greet()
    operator.troubles.append(errors.NotFoundError("workflow", "a"))
    answer = await talk.ask("cancel", id="a")
    assert answer["failed"]["type"] == "NotFoundError"
    assert answer["failed"]["attributes"] == {"kind": "workflow", "id": "a", "pruned_at": None}
    assert await talk.ask("cancel", id="b") == {"done": None}


async def test_a_defect_is_told_as_an_unknown_outcome(connect, operator, caplog):
    """Nobody knows what it has done; the traceback is the owner's."""
    talk = await connect().greet()
    operator.troubles.append(ZeroDivisionError("a bug"))
    answer = await talk.ask("cancel", id="a")
    assert answer["failed"]["type"] == "RequestOutcomeUnknownError"
    assert "a bug" in answer["failed"]["message"]
    assert "ZeroDivisionError" in caplog.text
    assert await talk.ask("cancel", id="b") == {"done": None}


async def test_a_defect_that_is_about_no_workflow_names_none(connect, caplog):
    """The log has no workflow's id then, and the error none either."""
    talk = await connect().greet()
    answer = await talk.ask("statistics")
    assert answer["failed"]["attributes"]["operation"] == "statistics"
    assert answer["failed"]["attributes"]["id"] is None
    [record] = caplog.records
    assert not hasattr(record, "workflow_id")


async def test_a_closing_runtime_is_worth_another_try(connect, operator):
    """The next owner, or a visit, can do it."""
    talk = await connect().greet()
    operator.troubles.append(errors.RuntimeClosedError())
    assert await talk.ask("cancel", id="a") == {"refused": "its owner is closing", "again": True}


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "why"),
    [
        ({"claw_control": [2, 3]}, "version 1 is spoken here"),
        ({"claw_control": []}, "version 1 is spoken here"),
        ({"claw_control": 1}, "a conversation begins"),
        ({"claw_control": [1], "more": 1}, "a conversation begins"),
        ({"op": "cancel", "args": {"id": "a"}}, "a conversation begins"),
        (b"GET / HTTP/1.1\r\n", "no JSON"),
        (b"[]\n", "JSON object"),
        (b"\xff\n", "no JSON"),
        (b"[" * 900 + b"\n", "no JSON"),
        (b"x" * 1_001, "longer than 1,000"),
    ],
)
async def test_who_does_not_begin_as_agreed_is_sent_away(connect, operator, first, why):
    """With the reason, and nothing is done."""
    talk = connect()
    await talk.say(first)
    answer = await talk.hear()
    assert why in answer["refused"]
    assert answer["again"] is False
    assert await talk.hear() is None
    assert operator.done == []


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({"op": "cancel"}, "a request is"),
        ({"op": "cancel", "args": {"id": "a"}, "more": 1}, "a request is"),
        ({"op": 1, "args": {}}, "a request is"),
        (
            {"op": "open_runtime", "args": {}},
            "does not know 'open_runtime'; it knows start, cancel",
        ),
        ({"op": "__init__", "args": {}}, "does not know"),
        ({"op": "cancel", "args": {}}, "request 'cancel'"),
        ({"op": "cancel", "args": {"id": 5}}, "request 'cancel'"),
        ({"op": "cancel", "args": {"id": "a b"}}, "request 'cancel'"),
        ({"op": "cancel", "args": {"id": "a", "reason": 5}}, "request 'cancel'"),
        ({"op": "cancel", "args": {"id": "a", "force": True}}, "request 'cancel'"),
        ({"op": "delete", "args": {"id": "a", "force": 1}}, "request 'delete'"),
        (b"{}\n{}\n", "a request is"),
        (b'{"op": "cancel", "args": {"id": "' + b"x" * 1_000, "longer than 1,000"),
    ],
)
async def test_what_is_no_request_ends_the_conversation(connect, operator, request_, why):
    """With the reason, and nothing is done."""
    talk = await connect().greet()
    await talk.say(request_)
    answer = await talk.hear()
    assert why in answer["refused"]
    assert await talk.hear() is None
    assert operator.done == []


# -- how long it takes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said", [b"", b'{"claw_', b'{"claw_control": [1]}\n', b'{"claw_control": [1]}\n{"op"']
)
async def test_who_says_nothing_whole_is_sent_away(connect, said):
    """Half a line is nothing; it does not matter how slowly it comes."""
    talk = connect()
    await talk.say(said)
    began = trio.current_time()
    heard = []
    while (message := await talk.hear()) is not None:
        heard.append(message)
    assert heard[-1] == {"refused": "nothing was said for 30 s", "again": False}
    assert trio.current_time() - began == pytest.approx(30)


async def test_a_line_that_never_ends_does_not_keep_the_conversation_open(connect):
    """Each byte is no new beginning."""
    talk, began = connect(), trio.current_time()
    async with trio.open_nursery() as nursery:

        async def drip():
            while True:
                await talk.say(b" ")
                await trio.sleep(1)

        nursery.start_soon(drip)
        assert "nothing was said" in (await talk.hear())["refused"]
        nursery.cancel_scope.cancel()
    assert trio.current_time() - began < 31


async def test_an_operation_that_takes_too_long_is_given_up(connect, operator):
    """What is cancelled is not done, and the client is told so."""
    operator.hold = trio.Event()
    talk = await connect().greet()
    answer = await talk.ask("cancel", id="a")
    assert answer == {"refused": "it was given up after 30 s", "again": False}
    assert operator.cancelled == 1
    assert await talk.hear() is None


async def test_a_client_that_hangs_up_takes_its_request_with_it(connect, operator):
    """As a caller who is cancelled would."""
    operator.hold = trio.Event()
    talk = await connect().greet()
    await talk.say({"op": "cancel", "args": {"id": "a"}})
    await operator.begun.wait()
    await talk.stream.aclose()
    await wait_all_tasks_blocked()
    assert operator.cancelled == 1
    assert operator.done == []


async def test_a_client_that_floods_while_it_waits_is_hung_up_on(connect, operator):
    """No more than a line is kept of what comes early."""
    operator.hold = trio.Event()
    talk = await connect().greet()
    await talk.say({"op": "cancel", "args": {"id": "a"}})
    await operator.begun.wait()
    await talk.say(b"x" * 1_001)
    assert await talk.hear() is None
    assert operator.cancelled == 1


async def test_a_client_that_does_not_read_is_not_waited_for(server, operator):
    """Its answer is dropped after a second; what was done is done."""
    ours, theirs = trio.testing.lockstep_stream_pair()
    talk = Talk(ours)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.converse, theirs)
        await talk.greet()
        began = trio.current_time()
        await talk.say({"op": "cancel", "args": {"id": "a"}})
    assert trio.current_time() - began == pytest.approx(1)
    assert operator.done == [("cancel", "a", None)]


@pytest.mark.parametrize("said", [b"", b'{"claw_control": [1]}\n'])
async def test_a_client_that_goes_away_ends_the_conversation(connect, nursery, said):
    """Without a word, at any moment."""
    talk = connect()
    await talk.say(said)
    await talk.stream.aclose()
    await wait_all_tasks_blocked()
    assert not nursery.child_tasks


async def test_a_client_that_goes_away_before_its_refusal_is_no_matter(server):
    """Nobody is left to be told."""
    ours, theirs = memory_stream_pair()
    await ours.send_all(b"nonsense\n")
    await ours.aclose()
    await server.converse(theirs)


# -- the end of the server --------------------------------------------------------------------------


async def test_who_waits_when_the_server_stops_is_told_that_nothing_was_done(server, operator):
    """So that the client can ask the next owner."""
    operator.hold = trio.Event()
    ours, theirs = memory_stream_pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.converse, theirs)
        talk = await Talk(ours).greet()
        await talk.say({"op": "cancel", "args": {"id": "a"}})
        await operator.begun.wait()
        nursery.cancel_scope.cancel()
    assert await talk.hear() == {"refused": "its owner is closing", "again": True}
    assert operator.done == []


async def test_what_is_done_while_the_server_stops_is_answered(server, operator):
    """A commit in flight is waited for, and told."""
    ours, theirs = memory_stream_pair()

    async def in_flight(id, reason=None):
        operator.begun.set()
        with trio.CancelScope(shield=True):
            await trio.sleep(0.1)

    operator.cancel = in_flight
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.converse, theirs)
        talk = await Talk(ours).greet()
        await talk.say({"op": "cancel", "args": {"id": "a"}})
        await operator.begun.wait()
        nursery.cancel_scope.cancel()
    assert await talk.hear() == {"done": None}


async def test_a_closed_stream_is_a_hang_up():
    """Whoever has closed it."""
    _, theirs = memory_stream_pair()
    talk = Conversation(theirs, 10)
    await theirs.aclose()
    with pytest.raises(HungUp):
        await talk.receive()
    with pytest.raises(HungUp):
        await talk.send({})
    await talk.wait_hung_up()


async def test_lone_surrogates_are_sent_as_json_knows_them():
    """Python's text may hold what UTF-8 does not."""
    ours, theirs = memory_stream_pair()
    await Conversation(ours, 100).send({"x": "\udc80é"})
    assert await Conversation(theirs, 100).receive() == {"x": "\udc80é"}
    await ours.send_all(b"NaN\n")
    with pytest.raises(Nonsense):
        await Conversation(theirs, 100).receive()
