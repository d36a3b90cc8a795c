"""The world outside: the clock, randomness, and threads. Tests bring their own."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import attrs

__all__ = ["Environment"]


@attrs.frozen(kw_only=True)
class Environment:
    """What the runtime asks of the world.

    Attributes:
        wall: the wall clock, POSIX seconds.
        random: where ids, keys, seeds and jitter come from.
        inline: whether storage and plain-function tasks run in the Trio thread itself, as tests
            under a mock clock need it.
    """

    wall: Callable[[], float] = time.time
    random: random.Random = attrs.field(factory=random.SystemRandom)
    inline: bool = False
