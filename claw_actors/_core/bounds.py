"""A check that declarations share: a number not below a bound."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..errors import InvalidInputError

__all__ = ["at_least"]


def at_least(minimum: float, *, whole: bool = False) -> Callable[[object, object, object], None]:
    """Make an attrs validator: a finite number (or a whole one), not less than ``minimum``."""
    kind = "a whole number" if whole else "a finite number"

    def check(instance: object, attribute: object, value: object) -> None:
        good = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        if not good or not math.isfinite(value) or value < minimum:  # type: ignore[arg-type,operator]
            name = getattr(attribute, "name", "value")
            raise InvalidInputError(name, value, f"{kind}, at least {minimum:g}")

    return check
