"""The life of a workflow as data: one transition table, one ``apply``, one error.

The picture in the documentation is made from ``TRANSITIONS``, so it cannot disagree with it.
"""

from __future__ import annotations

import enum
from typing import Literal, TypeAlias

__all__ = [
    "TERMINAL",
    "TRANSITIONS",
    "UNFINISHED",
    "Event",
    "OnExisting",
    "Status",
    "TaskStatus",
    "allowed",
    "apply",
]

OnExisting: TypeAlias = Literal["attach", "raise", "replace_closed"]
"""What to do where the id of a new workflow is taken."""


class Status(enum.StrEnum):
    """Where a workflow stands; the last three are final."""

    PENDING = "pending"
    """Accepted, and not running: never begun, or waiting out the back-off after a crash."""
    RUNNING = "running"
    """An incarnation runs, or ran when the process died."""
    WAITING = "waiting"
    """Every context waits, for a time that lies ahead or for somebody outside; it needs no memory
    until then."""
    PAUSED = "paused"
    """Stopped by an operator, until resumed."""
    QUARANTINED = "quarantined"
    """It kept crashing, or diverged from its journal: parked, visible, repairable."""
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_terminal(self) -> bool:
        """Whether it is final (but for ``retry`` of a failed one)."""
        return self in TERMINAL


class TaskStatus(enum.StrEnum):
    """Where a task stands."""

    PENDING = "pending"
    """Known, not started."""
    RUNNING = "running"
    """Its body runs, or ran when the process died."""
    RETRYING = "retrying"
    """An attempt failed; the next one is due later."""
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Event(enum.StrEnum):
    """What can happen to a workflow."""

    CLAIM = "claim"
    """An incarnation begins."""
    PARK = "park"
    """Nothing to do until a time ahead, or until something arrives."""
    CRASH = "crash"
    """The incarnation ended in an unexpected exception; another follows after a back-off."""
    QUARANTINE = "quarantine"
    COMPLETE = "complete"
    FAIL = "fail"
    CANCEL = "cancel"
    """The cancellation has been carried out. (The *request* for it is a journal entry.)"""
    CONTINUE = "continue"
    """The run has ended by beginning the next one."""
    RETRY = "retry"
    """An operator wants a failed or quarantined one to go on."""
    PAUSE = "pause"
    """An operator wants it to stop where it stands."""
    RESUME = "resume"
    """An operator lets a paused one go on."""
    TERMINATE = "terminate"
    """An operator ends it: none of its code runs any more."""


UNFINISHED = frozenset({Status.PENDING, Status.RUNNING, Status.WAITING})
"""What recovery looks at."""

TERMINAL = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})
"""Final, but for ``retry`` of a failed one."""

TRANSITIONS: dict[Status, dict[Event, Status]] = {
    Status.PENDING: {
        Event.CLAIM: Status.RUNNING,
        Event.PAUSE: Status.PAUSED,
        Event.QUARANTINE: Status.QUARANTINED,
        Event.TERMINATE: Status.CANCELLED,
    },
    Status.RUNNING: {
        # The last incarnation died with its process; the row still says running.
        Event.CLAIM: Status.RUNNING,
        Event.PARK: Status.WAITING,
        Event.CRASH: Status.PENDING,
        Event.CONTINUE: Status.PENDING,
        Event.PAUSE: Status.PAUSED,
        Event.QUARANTINE: Status.QUARANTINED,
        Event.COMPLETE: Status.COMPLETED,
        Event.FAIL: Status.FAILED,
        Event.CANCEL: Status.CANCELLED,
        Event.TERMINATE: Status.CANCELLED,
    },
    Status.WAITING: {
        # While it waits its incarnation may still be in memory, so it can do what a running
        # one does.
        Event.CLAIM: Status.RUNNING,
        Event.PARK: Status.WAITING,
        Event.CRASH: Status.PENDING,
        Event.CONTINUE: Status.PENDING,
        Event.PAUSE: Status.PAUSED,
        Event.QUARANTINE: Status.QUARANTINED,
        Event.COMPLETE: Status.COMPLETED,
        Event.FAIL: Status.FAILED,
        Event.CANCEL: Status.CANCELLED,
        Event.TERMINATE: Status.CANCELLED,
    },
    # What its last incarnation still writes changes nothing of that.
    Status.PAUSED: {
        Event.RESUME: Status.PENDING,
        Event.TERMINATE: Status.CANCELLED,
    },
    Status.QUARANTINED: {
        Event.RETRY: Status.PENDING,
        Event.TERMINATE: Status.CANCELLED,
    },
    Status.COMPLETED: {},
    Status.FAILED: {Event.RETRY: Status.PENDING},
    Status.CANCELLED: {},
}


def allowed(status: Status, event: Event) -> bool:
    """Tell whether ``event`` is possible in ``status``."""
    return event in TRANSITIONS[status]


def apply(status: Status, event: Event) -> Status:
    """Return the status after ``event``.

    Raises:
        ValueError: the event is not possible there; the caller knows the workflow's id and
            raises the public error that names it.
    """
    try:
        return TRANSITIONS[status][event]
    except KeyError:
        raise ValueError(f"{event} is not possible for a workflow that is {status}") from None
