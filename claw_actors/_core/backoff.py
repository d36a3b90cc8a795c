"""A delay that grows: for retries of a task, and for respawns of a workflow."""

from __future__ import annotations

__all__ = ["grown"]


def grown(initial: float, factor: float, steps: int, maximum: float) -> float:
    """Return ``initial`` grown by ``factor``, that many times, but not past ``maximum``.

    Args:
        initial, maximum: in seconds, at least 0.
        factor: at least 1.
        steps: at least 0; however many there are, nothing overflows.
    """
    if not initial:  # 0 stays 0, also where the power alone is beyond all numbers
        return 0.0
    try:
        return min(maximum, initial * float(factor) ** steps)
    except OverflowError:
        return maximum
