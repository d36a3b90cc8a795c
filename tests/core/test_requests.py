"""Requests and replies, and how they are named."""

from __future__ import annotations

from claw_actors._core.journal import message
from claw_actors._core.requests import is_reserved, reply_key, request_op


def test_the_reply_to_a_request_is_found_by_the_key_of_the_request():
    """The same for the same key, another one for another."""
    first, again, other = (
        reply_key(message("topic", 0.0, b"1", request_op(key))) for key in ("k", "k", "l")
    )
    assert first == again
    assert first != other
    assert first is not None
    assert is_reserved(first)


def test_nobody_waits_for_the_reply_to_a_message():
    """It has no key; and no author's key is one of a reply."""
    assert reply_key(message("topic", 0.0, b"1")) is None
    assert not is_reserved("reply")


def test_a_key_of_any_length_makes_an_op_that_fits():
    """What the receiver takes is printable, and short."""
    op = request_op("ä" * 200)
    assert op.startswith("/ask/")
    assert len(op) < 50
