"""A child as its supervisor's decisions see it."""

from __future__ import annotations

import enum
import math

import attrs

from .policy import ChildPolicy

__all__ = ["ALIVE", "Child", "Phase"]


class Phase(enum.Enum):
    """Where a child is in its life."""

    DOWN = "down"
    """Not running: stopped, or ended, and kept only to be restarted by hand."""
    WAITING = "waiting"
    """To be started: when its delay is over and those before it are up."""
    STARTING = "starting"
    UP = "up"
    STOPPING = "stopping"
    """Asked to stop, and not gone yet."""


ALIVE = frozenset({Phase.STARTING, Phase.UP, Phase.STOPPING})


@attrs.define(eq=False)
class Child:
    """A child as the machine sees it.

    Attributes:
        id, policy: as specified.
        phase: where it is.
        incarnation: how many lives it has had, this one included.
        crashes: crashes in a row, for its backoff.
        deadline: when something has to happen to it unless something else happens first.
        first: whether its very first start is still to be acknowledged.
        of_boot: whether its supervisor was made with it, so that it has to start.
        stale: alive, but to be stopped and started again because of a sibling.
        again: to be started again once it is gone (it is being stopped for a sibling's sake).
        by_hand: stopped on request, so it stays down when its siblings are restarted.
        cancelled: whether its grace is over.
        timed_out: whether it was cancelled because it took too long to start.
    """

    id: str
    policy: ChildPolicy
    phase: Phase = Phase.WAITING
    incarnation: int = 0
    crashes: int = 0
    up_since: float = math.inf
    deadline: float = math.inf
    first: bool = True
    of_boot: bool = False
    stale: bool = False
    again: bool = False
    by_hand: bool = False
    cancelled: bool = False
    timed_out: bool = False
