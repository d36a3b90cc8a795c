"""Errors as data, and back: the same class with the same attributes in another process.

Only what ``claw_actors.errors`` exports is made again, by name; nothing that comes in can name
another class, and no constructor is called with what came in.
"""

from __future__ import annotations

import math
from typing import TypeAlias, Union, cast

from .. import errors
from ..errors import ClawError
from .failures import ErrorRecord

__all__ = ["Plain", "error_to_plain", "plain_to_error"]

Plain: TypeAlias = Union[None, bool, int, float, str, "list[Plain]", "dict[str, Plain]"]
"""A value as JSON knows it."""


def error_to_plain(error: ClawError) -> dict[str, Plain]:
    """Take an error apart.

    Returns:
        Its class's name, its message, and its attributes; what is none of JSON's is told as text.
    """
    attributes = {
        name: _to_plain(value) for name, value in vars(error).items() if not name.startswith("_")
    }
    return {"type": type(error).__name__, "message": str(error), "attributes": attributes}


def plain_to_error(data: object) -> ClawError:
    """Make an error again.

    Returns:
        An error of the same class; a plain ``ClawError`` if this version does not know it.

    Raises:
        ValueError: this is not what :func:`error_to_plain` returned.
    """
    parts = cast("dict[str, object]", data if isinstance(data, dict) else {})
    name, message = parts.get("type"), parts.get("message")
    attributes = parts.get("attributes")
    if not (
        isinstance(name, str)
        and isinstance(message, str)
        and isinstance(attributes, dict)
        and len(parts) == 3
    ):
        raise ValueError("an error has a type, a message and attributes, and nothing else")
    cls = getattr(errors, name, None) if name in errors.__all__ else None
    if not (isinstance(cls, type) and issubclass(cls, ClawError)):
        return ClawError(f"{name}: {message}")
    # As its `__copy__` does: the constructor would take what the message is made of.
    error = cls.__new__(cls, message)
    named = cast("dict[str, Plain]", attributes)
    error.__dict__.update(
        {key: _from_plain(value) for key, value in named.items() if not key.startswith("_")}
    )
    return error


def _to_plain(value: object) -> Plain:
    if isinstance(value, ErrorRecord):
        return {
            "types": list(value.types),
            "message": value.message,
            "traceback": value.traceback,
        }
    if isinstance(value, list | tuple):
        return [_to_plain(one) for one in cast("list[object]", value)]
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, str):
        return str(value)  # an enumeration's member is told by its value
    return value if value is None or isinstance(value, bool | int | float) else repr(value)


def _from_plain(value: Plain) -> object:
    match value:
        case list():
            return tuple(_from_plain(one) for one in value)
        case {"types": list(types), "message": str(message), "traceback": str(trace)}:
            return ErrorRecord(tuple(map(str, types)), message, trace)
        case _:
            return value
