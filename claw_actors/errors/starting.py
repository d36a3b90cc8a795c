"""Errors of declaring, starting and operating workflows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .family import ClawError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "ConfigurationError",
    "DefinitionError",
    "InvalidArgumentsError",
    "InvalidInputError",
    "InvalidTransitionError",
    "RuntimeClosedError",
    "UnknownWorkflowError",
    "WorkflowClosedError",
]


class InvalidInputError(ClawError):
    """A value handed to the API is not acceptable. Nothing was changed.

    Attributes:
        field: which one.
        value: what was given, as text.
        allowed: what would be acceptable.
    """

    def __init__(self, field: str, value: object, allowed: str) -> None:
        text = repr(value)
        super().__init__(f"{field} {text if len(text) <= 200 else text[:200] + '…'}: {allowed}")
        self.field = field
        self.value = text
        self.allowed = allowed


class ConfigurationError(ClawError):
    """A setting cannot be what it is set to, or a file of settings cannot be read.

    Attributes:
        source: the file, ``the environment`` or ``the arguments``.
        key: what the source calls the setting; ``None`` if the whole file is meant.
        value: what was given, as text; ``None`` if the whole file is meant.
        allowed: what would be acceptable; of a file, what is wrong with it.
    """

    def __init__(self, source: str, key: str | None, value: object, allowed: str) -> None:
        text = repr(value)
        text = text if len(text) <= 200 else text[:200] + "…"
        where = source if key is None else f"{source}: {key} = {text}"
        super().__init__(f"{where}: {allowed}")
        self.value: str | None = None if key is None else text
        self.source = source
        self.key = key
        self.allowed = allowed


class InvalidArgumentsError(ClawError):
    """The arguments do not fit the function's signature. Nothing was started.

    Attributes:
        name: the workflow or task.
        reason: what does not fit.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name} cannot be called with these arguments: {reason}")
        self.name = name
        self.reason = reason


class DefinitionError(ClawError):
    """A ``@workflow`` or ``@task`` is declared wrongly, or one was expected and not given."""


class UnknownWorkflowError(ClawError):
    """The workflow, or this version of it, is not registered with the runtime.

    Attributes:
        name: the workflow's name.
        version: the version asked for, or ``None`` for the newest.
        known: what is registered, as ``name@version``.
    """

    def __init__(self, name: str, version: int | None, known: Sequence[str]) -> None:
        wanted = name if version is None else f"{name}@{version}"
        super().__init__(
            f"workflow {wanted} is not registered (registered: {', '.join(known) or 'none'});"
            " pass it to open_runtime(workflows=[...])"
        )
        self.name = name
        self.version = version
        self.known: tuple[str, ...] = tuple(known)


class RuntimeClosedError(ClawError):
    """The runtime is closing or closed; nothing was changed."""

    def __init__(self) -> None:
        super().__init__("the runtime is closed; open it again to go on")


class InvalidTransitionError(ClawError):
    """The event is not possible in the workflow's present status. Nothing was changed.

    Attributes:
        id: the workflow.
        status: its status.
        event: what was asked.
    """

    def __init__(self, id: str, status: str, event: str, advice: str = "") -> None:
        super().__init__(
            f"workflow {id!r} is {status}: {event} is not possible"
            + (f"; {advice}" if advice else "")
        )
        self.id = id
        self.status = status
        self.event = event


class WorkflowClosedError(ClawError):
    """The workflow has ended, so it takes no more messages and requests. Nothing was changed.

    Attributes:
        id: the workflow.
        status: how it ended.
    """

    def __init__(self, id: str, status: str) -> None:
        super().__init__(f"workflow {id!r} has ended ({status}) and takes no more requests")
        self.id = id
        self.status = status
