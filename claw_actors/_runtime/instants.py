"""Lengths and instants that authors give, checked."""

from __future__ import annotations

import datetime
import math

from ..errors import InvalidInputError

__all__ = ["checked_instant", "checked_length"]


def checked_length(seconds: object) -> float:
    """Return a length in seconds.

    Raises:
        InvalidInputError: it is negative, infinite or no number.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise InvalidInputError("seconds", seconds, "a number")
    if not 0 <= seconds < math.inf:
        raise InvalidInputError("seconds", seconds, "a finite number, at least 0")
    return float(seconds)


def checked_instant(when: object) -> float:
    """Return a point in time in POSIX seconds, given as such or as a datetime.

    Raises:
        InvalidInputError: a datetime without time zone, or no finite number.
    """
    if isinstance(when, datetime.datetime):
        if when.tzinfo is None:
            raise InvalidInputError("when", when, "a datetime with a time zone")
        when = when.timestamp()
    if isinstance(when, bool) or not isinstance(when, int | float) or not math.isfinite(when):
        raise InvalidInputError("when", when, "POSIX seconds, or a datetime with a time zone")
    return float(when)
