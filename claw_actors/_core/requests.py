"""Requests: messages whose sender waits for a reply, and how the two are named.

A request is a message with an op of its own, made of the asker's idempotency key. Its reply is a
value of the workflow under a reserved key, made of the same. So who asks again with the same key
sends nothing new, and finds the same reply.
"""

from __future__ import annotations

import hashlib

from .journal import MESSAGE_OP, Entry

__all__ = ["is_reserved", "reply_key", "reply_to", "request_op"]

REQUEST = "/ask/"
REPLY = "/reply/"

DIGEST_BYTES = 16


def request_op(key: str) -> str:
    """Return the op of the request with this idempotency key; also its key for the receiver."""
    return REQUEST + hashlib.blake2b(key.encode(), digest_size=DIGEST_BYTES).hexdigest()


def reply_key(message: Entry) -> str | None:
    """Return the key of the value that is the reply to a message; ``None`` if nobody asked."""
    return None if message.op == MESSAGE_OP else REPLY + message.op.removeprefix(REQUEST)


def reply_to(key: str) -> str:
    """Return the key of the value that is the reply to the request with this idempotency key."""
    return REPLY + request_op(key).removeprefix(REQUEST)


def is_reserved(key: str) -> bool:
    """Tell whether a value with this key is a reply, and none of the author's."""
    return key.startswith(REPLY)
