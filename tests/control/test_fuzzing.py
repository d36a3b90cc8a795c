"""Whatever bytes come to the server: it says only what it may, and does only what was asked."""

from __future__ import annotations

import json

import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import memory_stream_pair

from claw_actors._runtime.control.server import ControlServer
from claw_actors.storage.codec import Codec

from .conftest import LIMITS, FakeOperator


@given(
    st.lists(
        st.binary(max_size=60)
        | st.sampled_from(
            [
                b'{"claw_control": [1]}\n',
                b'{"op": "cancel", "args": {"id": "a"}}\n',
                b'{"op": "cancel"',
                b"\n",
            ]
        )
    )
)
def test_no_bytes_do_harm(chunks):
    """A conversation ends by itself, says only what it may, and does only what was asked."""
    operator = FakeOperator.__new__(FakeOperator)

    async def main():
        operator.__init__()
        ours, theirs = memory_stream_pair()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ControlServer(operator, Codec(), LIMITS).converse, theirs)
            for chunk in chunks:
                await ours.send_all(chunk)
            await ours.send_eof()
        await theirs.aclose()
        heard = b""
        while data := await ours.receive_some():
            heard += data
        return [json.loads(line) for line in heard.splitlines()]

    heard = trio.run(main)
    asked = b"".join(chunks).count(b'{"op": "cancel", "args": {"id": "a"}}')
    answers = [message for message in heard if "done" in message]
    assert len(answers) <= len(operator.done) <= asked
    assert all(message.keys() <= {"claw_control", "done", "refused", "again"} for message in heard)
    assert [("refused" in message) for message in heard[:-1]] == [False] * len(heard[:-1])
