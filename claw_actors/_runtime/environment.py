"""The world outside: the clock, randomness, and threads. Tests bring their own."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable

import attrs

__all__ = ["AttemptBegun", "Environment"]


@attrs.frozen(kw_only=True)
class AttemptBegun:
    """A task body is about to run.

    Attributes:
        workflow_id, task_id: which task.
        attempt: which attempt, from 1.
        life: which incarnation runs it.
        delivered: the number of the last journal entry that the workflow's code has seen.
    """

    workflow_id: str
    task_id: str
    attempt: int
    life: int
    delivered: int


def _ignore(_: AttemptBegun) -> None:
    """Observe nothing."""


@attrs.frozen(kw_only=True)
class Environment:
    """What the runtime asks of the world.

    Attributes:
        wall: the wall clock, POSIX seconds.
        random: where ids, keys, seeds and jitter come from.
        inline: whether storage and plain-function tasks run in the Trio thread itself, as tests
            under a mock clock need it.
        clock_check_s: how long a jump of the wall clock may go unnoticed, in seconds.
        on_attempt: told of each task body just before it runs; an independent witness of effects.
            Must neither block nor raise.
    """

    wall: Callable[[], float] = time.time
    random: random.Random = attrs.field(factory=random.SystemRandom)
    inline: bool = False
    clock_check_s: float = 60.0
    on_attempt: Callable[[AttemptBegun], None] = _ignore

    def new_id(self) -> str:
        """Make an id for a workflow that was given none."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def new_run_key(self) -> str:
        """Make what tells the outside keys of a run from those of every other run."""
        return f"{self.random.getrandbits(64):016x}"

    def new_seed(self) -> int:
        """Make what the random numbers of a run derive from."""
        return self.random.getrandbits(63)
