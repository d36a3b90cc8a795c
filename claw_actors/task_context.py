"""Where the running code is: in workflow code, in a task body, or outside of both.

A context variable, because it follows code into worker threads and child Trio tasks. It does not
follow messages over channels: those carry their own ids.
"""

from __future__ import annotations

import enum
from contextvars import ContextVar

import attrs

from .errors import ContextMisuseError

__all__ = ["Place", "TaskInfo", "place", "task_info"]


class Place(enum.Enum):
    """A place that is no task body."""

    OUTSIDE = "outside"
    WORKFLOW = "workflow"


@attrs.frozen(kw_only=True)
class TaskInfo:
    """What a task body may know about itself.

    Attributes:
        workflow_id: the workflow it belongs to.
        task_id: its id within the workflow.
        name: the task's name.
        attempt: which attempt this is, from 1.
        idempotency_key: the same over retries, crashes and restarts; give it to the outside
            world, so that an effect that was done but not recorded is not done twice.
    """

    workflow_id: str
    task_id: str
    name: str
    attempt: int
    idempotency_key: str


place: ContextVar[TaskInfo | Place] = ContextVar("claw_actors.place", default=Place.OUTSIDE)


def task_info() -> TaskInfo:
    """Return what the running task body may know about itself; works in worker threads, too.

    Raises:
        ContextMisuseError: called outside a task body.
    """
    info = place.get()
    if isinstance(info, TaskInfo):
        return info
    raise ContextMisuseError("task_info() was called outside a task body")
