"""How a command ends, for scripts that have to know."""

from __future__ import annotations

from enum import IntEnum

from ..errors import (
    ClawError,
    ConfigurationError,
    DefinitionError,
    InvalidArgumentsError,
    InvalidInputError,
    NotFoundError,
    OwnerUnreachableError,
)

__all__ = ["Exit", "exit_code"]


class Exit(IntEnum):
    """How a command ends that is not just done (0).

    Attributes:
        FAILED: it was not done, or what it waited for has failed.
        USAGE: it was called wrongly, or a setting is not possible; click uses it, too.
        NOT_FOUND: there is no such workflow, task or value.
        TIMED_OUT: it took too long.
    """

    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    TIMED_OUT = 4


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
