"""What a supervisor tells of its children: crashes, those that do not end, letters undelivered."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import Literal, TypeAlias

import attrs
import trio

__all__ = [
    "CrashReport",
    "DeadLetter",
    "DeadLetterReason",
    "Instrument",
    "StuckReport",
    "await_stack",
]

DeadLetterReason: TypeAlias = Literal[
    "crashed", "dropped_newest", "dropped_oldest", "not_running", "refused", "stopped"
]
"""Why a message was not dealt with.

``crashed``: it was in hand when the actor crashed (it is not given to the next incarnation, which
would crash, too). ``dropped_newest``, ``dropped_oldest``: the mailbox was full. ``not_running``: the
actor had stopped before. ``refused``: ``receive`` raised a ``RequestRefusedError``. ``stopped``: it
was in the mailbox when the actor stopped for good, or in hand when it was cancelled.
"""


@attrs.frozen
class DeadLetter:
    """A message that no actor has dealt with.

    Attributes:
        path: the actor that it was for.
        message: the message.
        reason: why.
    """

    path: str
    message: object
    reason: DeadLetterReason


@attrs.frozen(kw_only=True)
class CrashReport:
    """One incarnation that ended as it should not have.

    Attributes:
        path: the child.
        incarnation: the one that ended, from 1.
        error: what it raised; ``None`` if it returned although it is permanent.
        last_message: the type of the message it dealt with last, if any.
        mailbox: how many messages wait for the next incarnation.
        restarts: restarts within the supervisor's window, this one included.
        decision: ``"restart"``, ``"stay down"``, ``"escalate"`` or ``"it was stopping"``.
        delay: seconds until it is restarted.
    """

    path: str
    incarnation: int
    error: Exception | None
    last_message: str | None
    mailbox: int
    restarts: int
    decision: str
    delay: float


@attrs.frozen(kw_only=True)
class StuckReport:
    """A child that was cancelled, and has not ended: Trio cannot kill.

    Attributes:
        path: the child.
        incarnation: which.
        cancelled_for: seconds since it was first cancelled: a service as soon as it is asked to
            stop, an actor when its grace is over.
        stack: where it waits, one line per frame, its own Trio tasks included.
    """

    path: str
    incarnation: int
    cancelled_for: float
    stack: tuple[str, ...]


class Instrument:
    """Sees what happens under a supervisor. Subclass it, and override what you need.

    The methods are called synchronously, in the middle of things: they must neither block nor
    call back into the supervisor. One that raises is logged and not called any more, as with
    ``trio.abc.Instrument``.
    """

    def child_spawned(self, path: str, incarnation: int) -> None:
        """An incarnation begins."""

    def child_started(self, path: str, incarnation: int) -> None:
        """An incarnation has acknowledged its start."""

    def child_asked_to_stop(self, path: str, incarnation: int, reason: str) -> None:
        """An incarnation is asked to end."""

    def child_exited(self, path: str, incarnation: int, error: Exception | None) -> None:
        """An incarnation is gone."""

    def child_crashed(self, report: CrashReport) -> None:
        """An incarnation has ended as it should not have."""

    def child_stuck(self, report: StuckReport) -> None:
        """A child does not end."""

    def dead_letter(self, letter: DeadLetter) -> None:
        """A message is not dealt with."""

    def breaker_opened(self, path: str, until: float) -> None:
        """The children of a supervisor crash by the dozen; they come back after ``until``."""


def await_stack(task: trio.lowlevel.Task) -> tuple[str, ...]:
    """Describe where a Trio task waits, and those in its nurseries; outermost frame first."""
    return tuple(_lines(task, ""))


def _lines(task: trio.lowlevel.Task, indent: str) -> Iterator[str]:
    frames = traceback.StackSummary.extract(task.iter_await_frames())
    for frame in frames:
        yield f"{indent}{frame.filename}:{frame.lineno} in {frame.name}: {frame.line}"
    for nursery in task.child_nurseries:
        for child in nursery.child_tasks:
            yield f"{indent}  in Trio task {child.name}:"
            yield from _lines(child, indent + "  ")
