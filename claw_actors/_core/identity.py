"""Structural ids, keys and seeds: what makes a replay find its own past.

Trio shuffles the order of Trio tasks on purpose, so nothing here counts globally. Each context
numbers its own operations, by name and occurrence: ``charge_card``, ``charge_card#2``; a child
context puts its own path before them: ``nursery/pack/weigh``.
"""

from __future__ import annotations

import hashlib
import re

import attrs

__all__ = [
    "Names",
    "derive_seed",
    "digest",
    "idempotency_key",
    "is_valid_name",
    "parent_op",
    "run_key_of",
    "send_key",
]

DIGEST_BYTES = 16

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,99}\Z")


def is_valid_name(name: object) -> bool:
    """Tell whether this may name a task or a workflow: it becomes part of ids, so no ``/ #``."""
    return isinstance(name, str) and _NAME.match(name) is not None


@attrs.define
class Names:
    """The ids handed out by one context.

    Attributes:
        path: the context's own path; ``""`` for the root.
    """

    path: str = ""
    # Invariant: how often each name was asked for in this incarnation.
    _seen: dict[str, int] = attrs.field(factory=dict[str, int], init=False)

    def next(self, name: str) -> str:
        """Return the id of the next operation of that name."""
        count = self._seen.get(name, 0) + 1
        self._seen[name] = count
        id = f"{self.path}/{name}" if self.path else name
        return id if count == 1 else f"{id}#{count}"


def idempotency_key(workflow_id: str, run_key: str, task_id: str) -> str:
    """Name one task of one run to the outside world; the same over retries and restarts."""
    return f"{workflow_id}/{run_key}/{task_id}"


def parent_op(run_key: str, op: str) -> str:
    """Name the operation that has started a child: that of one run, as the next one has the same ops."""
    return f"{run_key}/{op}"


def run_key_of(parent_op: str) -> str:
    """Return the run that :func:`parent_op` names."""
    return parent_op.partition("/")[0]


def send_key(workflow_id: str, run_key: str, op: str) -> str:
    """Name one message of one run to its receiver, which takes each name once.

    So a message whose sending was voided, and that is sent again, is received once.
    """
    whole = idempotency_key(workflow_id, run_key, op).encode()
    return "/send/" + hashlib.blake2b(whole, digest_size=DIGEST_BYTES).hexdigest()


def derive_seed(seed: int, path: str, purpose: str) -> int:
    """Derive the seed of one context's random stream: the same on every replay, written nowhere."""
    text = f"{seed}/{path}/{purpose}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")


def digest(data: bytes) -> bytes:
    """Return 16 bytes that tell encoded arguments apart."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()
