"""How a workflow has ended, if not with a result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .family import ClawError

if TYPE_CHECKING:
    from .._core.failures import ErrorRecord

__all__ = ["WorkflowCancelledError", "WorkflowFailedError", "WorkflowQuarantinedError"]


class WorkflowFailedError(ClawError):
    """``result()``: the workflow failed.

    Attributes:
        id: the workflow.
        error: type names, message and traceback of what it failed with.
    """

    def __init__(self, id: str, error: ErrorRecord) -> None:
        super().__init__(f"workflow {id!r} failed: {error}")
        self.id = id
        self.error = error


class WorkflowCancelledError(ClawError):
    """``result()``: the workflow was cancelled.

    Attributes:
        id: the workflow.
        reason: the reason given with the request, or ``None``.
    """

    def __init__(self, id: str, reason: str | None) -> None:
        super().__init__(f"workflow {id!r} was cancelled" + (f": {reason}" if reason else ""))
        self.id = id
        self.reason = reason


class WorkflowQuarantinedError(ClawError):
    """``result()``: the workflow kept crashing and is parked, with its journal untouched.

    Mend the cause, then ``retry`` it.

    Attributes:
        id: the workflow.
        reason: the last crash, or why it was parked.
    """

    def __init__(self, id: str, reason: str | None) -> None:
        super().__init__(
            f"workflow {id!r} is quarantined: {reason or 'no reason recorded'};"
            " mend the cause, then retry it"
        )
        self.id = id
        self.reason = reason
