"""A seeded schedule: the same seed gives the same order of Trio tasks.

Trio shuffles the tasks that are ready, on purpose, and offers no public way to seed that; pytest-
trio and Hypothesis set the same two private names. Worker threads break the order again, so this
is for inline runs.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import trio._core._run as trio_run

__all__ = ["seeded_schedule"]


@contextmanager
def seeded_schedule(seed: int) -> Generator[None]:
    """Make Trio's scheduler deterministic for the length of the block, as ``seed`` says."""
    before = trio_run._ALLOW_DETERMINISTIC_SCHEDULING  # pyright: ignore[reportPrivateUsage]
    state = trio_run._r.getstate()  # pyright: ignore[reportPrivateUsage]
    trio_run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]  # pyright: ignore[reportPrivateUsage]
    trio_run._r.seed(seed)  # pyright: ignore[reportPrivateUsage]
    try:
        yield
    finally:
        trio_run._ALLOW_DETERMINISTIC_SCHEDULING = before  # type: ignore[misc]  # pyright: ignore[reportPrivateUsage]
        trio_run._r.setstate(state)  # pyright: ignore[reportPrivateUsage]
