"""A check that declarations share: a number not below a bound."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..errors import InvalidInputError

__all__ = ["at_least"]

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
