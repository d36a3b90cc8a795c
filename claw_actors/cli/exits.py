"""How a command ends, for scripts that have to know."""

from __future__ import annotations

from enum import IntEnum
from typing import cast

from ..errors import (
    ClawError,
    ConfigurationError,
    DefinitionError,
    InvalidArgumentsError,
    InvalidInputError,
    NotFoundError,
    OwnerUnreachableError,
)

__all__ = ["Exit", "exit_code", "is_unread"]


class Exit(IntEnum):
    """How a command ends that is not just done (0).

    Attributes:
        FAILED: it was not done, or what it waited for has failed.
        USAGE: it was called wrongly, or a setting is not possible; click uses it, too.
        NOT_FOUND: there is no such workflow, task or value.
        TIMED_OUT: it took too long.
        UNREAD: nobody reads what it prints any more, as in `claw export | head`. It is what a shell
            says of a tool that the closed pipe has ended, by signal 13.
    """

    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    TIMED_OUT = 4
    UNREAD = 128 + 13


def exit_code(error: ClawError) -> Exit:
    """Tell how a command ends that has met an error."""
    match error:
        case NotFoundError():
            return Exit.NOT_FOUND
        case OwnerUnreachableError():
            return Exit.TIMED_OUT
        case (
            ConfigurationError() | DefinitionError() | InvalidArgumentsError() | InvalidInputError()
        ):
            return Exit.USAGE
        case _:
            return Exit.FAILED


def is_unread(error: BaseException) -> bool:
    """Tell whether an error says only that whoever has read the output has left."""
    if isinstance(error, BaseExceptionGroup):  # it was printed from within a nursery
        group = cast("BaseExceptionGroup[BaseException]", error)
        return all(map(is_unread, group.exceptions))
    return isinstance(error, BrokenPipeError)
