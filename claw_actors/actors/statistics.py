"""What a supervisor tells of itself and of its children."""

from __future__ import annotations

from typing import Never

import attrs

from .._core.supervision.policy import ChildCrash, RestartType
from .cell import ActorState
from .ref import ActorRef

__all__ = ["ChildInfo", "SupervisorStatistics"]


@attrs.frozen(kw_only=True)
class ChildInfo:
    """One child, as ``which_children`` lists it.

    Attributes:
        id: its name.
        restart: its restart type.
        state: ``"down"``, ``"waiting"`` (to be started), ``"starting"``, ``"up"``, ``"stopping"``.
        incarnation: how many lives it has had, the present one included.
        ref: reaches it.
    """

    id: str
    restart: RestartType
    state: ActorState
    incarnation: int
    ref: ActorRef[Never, object]


@attrs.frozen(kw_only=True)
class SupervisorStatistics:
    """What a supervisor has done.

    Attributes:
        path: its path; empty for the root.
        children: how many it has, by state.
        restarts: the crashes in its window, oldest first.
        crashes: of all its children, ever.
        dead_letters: of the whole tree, ever.
        breaker_until: until when crashed children are held back, in seconds of Trio's clock, or
            ``None``.
    """

    path: str
    children: dict[ActorState, int]
    restarts: tuple[ChildCrash, ...]
    crashes: int
    dead_letters: int
    breaker_until: float | None
