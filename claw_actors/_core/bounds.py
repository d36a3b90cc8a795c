"""Checks that declarations share: a number not below a bound, and yes or no."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..errors import InvalidInputError

__all__ = ["at_least", "yes_or_no"]

LARGEST = math.nextafter(math.inf, 0)


def at_least(minimum: float, *, whole: bool = False) -> Callable[[object, object, Any], None]:
    """Make an attrs validator: a finite number (or a whole one), not less than ``minimum``."""
    kind = "a whole number" if whole else "a finite number"

    def check(instance: object, attribute: object, value: Any) -> None:
        good = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        # Not `math.isfinite`: it cannot look at a whole number that no float can hold.
        if not good or not minimum <= value <= LARGEST:
            name = getattr(attribute, "name", "value")
            raise InvalidInputError(name, value, f"{kind}, at least {minimum:g}")

    return check


def yes_or_no(instance: object, attribute: object, value: Any) -> None:
    """Attrs validator: ``True`` or ``False``, and nothing that only passes for one."""
    if not isinstance(value, bool):
        raise InvalidInputError(getattr(attribute, "name", "value"), value, "True or False")
