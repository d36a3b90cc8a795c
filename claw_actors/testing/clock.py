"""A world for tests: a wall clock that follows virtual time, seeded randomness, no threads."""

from __future__ import annotations

import math
import random

import trio

from .._runtime.environment import Environment

__all__ = ["EPOCH", "virtual_environment"]

EPOCH = 1_700_000_000.0
"""Where virtual wall time begins, in POSIX seconds."""


def virtual_environment(seed: int = 0, *, start: float = EPOCH) -> Environment:
    """Make an environment for a runtime under ``trio.testing.MockClock``.

    Everything runs inline, because virtual time leaps while a worker thread runs; the wall clock
    follows Trio's; ids, keys and jitter come from the seed.

    Args:
        seed: of everything random.
        start: the wall time at Trio's time zero, in POSIX seconds.
    """
    return Environment(
        wall=lambda: start + trio.current_time(),
        random=random.Random(seed),
        inline=True,
        clock_check_s=math.inf,  # this clock does not jump
    )
