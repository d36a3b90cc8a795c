"""Where the running code is: in workflow code, in a task body, or outside of both.

A context variable, because it follows code into worker threads and child Trio tasks. It does not
follow messages over channels: those carry their own ids.
"""

from __future__ import annotations

import enum
from contextvars import ContextVar
from typing import TypeVar, cast

import attrs

from .errors import ContextMisuseError

__all__ = ["Heart", "Place", "TaskInfo", "place", "task_info"]


class Place(enum.Enum):
    """A place that is no task body."""

    OUTSIDE = "outside"
    WORKFLOW = "workflow"


T = TypeVar("T")


class Heart:
    """What a task body beats with. This one is of a body that runs by itself, in a unit test."""

    def beat(self, details: object) -> None:
        """Take what the body tells; never wait."""

    def details(self, declared: object) -> object:  # noqa: ARG002 - nothing to be read as that
        """Return what earlier attempts have told last, as a value of that type."""
        return None


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
    _heart: Heart = attrs.field(factory=Heart, alias="heart", eq=False, repr=False)

    def heartbeat(self, details: object = None) -> None:
        """Tell that the body is alive, and how far it has come; from a worker thread, too.

        The last one is stored with the workflow's next write, or within a second; so it may be
        called often. An attempt that follows a crash or a failure finds it in :attr:`details`, and
        ``handle.tasks()`` shows it.

        Args:
            details: encodable by its own type; what the next attempt needs in order to go on.

        Raises:
            SerializationError, PayloadTooLargeError: the details cannot be stored.
        """
        self._heart.beat(details)

    @property
    def details(self) -> object:
        """What attempts before this one have told last, as JSON; ``None`` if they told nothing."""
        return self._heart.details(object)

    def details_as(self, declared: type[T]) -> T | None:
        """Return :attr:`details` as a value of a type, as in ``details_as(Progress)``.

        Raises:
            SerializationError: they do not fit it.
        """
        return cast("T | None", self._heart.details(declared))


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
