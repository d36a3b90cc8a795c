"""What a supervisor is told to do, and what it is told has happened."""

from __future__ import annotations

import enum
from typing import TypeAlias

import attrs

from ...errors import ChildStartError
from .child import Child
from .policy import ChildCrash

__all__ = [
    "Action",
    "AskToStop",
    "BreakerOpened",
    "Cancel",
    "Crashed",
    "Finished",
    "Gone",
    "Revived",
    "Spawn",
    "StartFailed",
    "Started",
    "Stuck",
    "Verdict",
]


@attrs.frozen
class Spawn:
    """Start the next incarnation."""

    child: Child


@attrs.frozen
class AskToStop:
    """Ask it to end; it will be cancelled at ``deadline``."""

    child: Child
    reason: str
    deadline: float


@attrs.frozen
class Cancel:
    """Its grace, or its time to start, is over."""

    child: Child
    reason: str


@attrs.frozen
class Stuck:
    """It was cancelled a while ago, and still runs."""

    child: Child


@attrs.frozen
class Started:
    """Its first start was acknowledged."""

    child: Child


@attrs.frozen
class StartFailed:
    """Its first start failed, so it is no child any more (after a boot: nothing is)."""

    child: Child
    error: ChildStartError


class Verdict(enum.Enum):
    """What follows an end."""

    RESTART = "restart"
    STAY_DOWN = "stay down"
    ESCALATE = "escalate"
    STOPPING = "it was stopping"


@attrs.frozen
class Crashed:
    """It ended as it should not have; it comes back after ``delay`` seconds, or not at all."""

    child: Child
    error: Exception | None
    verdict: Verdict
    delay: float = 0.0


@attrs.frozen
class Gone:
    """It is down, and stays so; ``removed``: it is no child any more."""

    child: Child
    removed: bool


@attrs.frozen
class Revived:
    """It was down, and is to be started again: what is sent to it waits for that."""

    child: Child


@attrs.frozen
class BreakerOpened:
    """Too many crashes at once: none that crashes comes back before ``until``."""

    until: float


@attrs.frozen
class Finished:
    """No child runs, and none will.

    Attributes:
        history: what made the supervisor give up, if it did.
        error: why the boot failed, if it did.
    """

    history: tuple[ChildCrash, ...]
    error: ChildStartError | None


Action: TypeAlias = (
    Spawn
    | AskToStop
    | Cancel
    | Stuck
    | Started
    | StartFailed
    | Crashed
    | Gone
    | Revived
    | BreakerOpened
    | Finished
)
