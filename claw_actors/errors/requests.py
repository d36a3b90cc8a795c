"""Errors of what one process asks of another."""

from __future__ import annotations

from .family import ClawError

__all__ = [
    "ControlRefusedError",
    "NoOwnerError",
    "OwnerUnreachableError",
    "RequestOutcomeUnknownError",
]


class OwnerUnreachableError(ClawError):
    """Somebody owns the database, and could not be asked before the time was up. Nothing was done.

    It is just starting or closing, it has no control socket (``RuntimeConfig(control=False)``, or
    ``open_storage``), or it is stuck.

    Attributes:
        path: the database file.
        holder: who owns it, as it named itself.
        reason: how asking it has failed the last time.
    """

    def __init__(self, path: str, holder: str, reason: str) -> None:
        super().__init__(
            f"{path} is owned by {holder}, who could not be asked: {reason}. Nothing was done"
        )
        self.path = path
        self.holder = holder
        self.reason = reason


class NoOwnerError(ClawError):
    """No program owns the database, and only one that has the code of workflows can do this.

    Nothing was done.

    Attributes:
        path: the database file.
        reason: what cannot be done.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"{reason}: no program owns {path}, and only one that has the code of workflows knows"
            " their names and what they take; start it first, as with `claw run`"
        )
        self.path = path
        self.reason = reason


class ControlRefusedError(ClawError):
    """Who answers on the control socket refuses to be asked, or is none of ours. Nothing was done.

    Attributes:
        path: the control socket.
        reason: what it said, or what is wrong with it.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"nothing was done through {path}: {reason}")
        self.path = path
        self.reason = reason


class RequestOutcomeUnknownError(ClawError):
    """The owner was asked, and has not answered: what it was asked for may or may not be done.

    Look at the workflow before you ask again.

    Attributes:
        operation: what was asked for: ``"cancel"``, ``"retry"`` ….
        id: the workflow; ``None`` if it was about no single one.
        reason: why there is no answer.
    """

    def __init__(self, operation: str, id: str | None, reason: str) -> None:
        what = operation if id is None else f"{operation} of workflow {id!r}"
        super().__init__(f"{what} may or may not be done: {reason}; look before you ask again")
        self.operation = operation
        self.id = id
        self.reason = reason
